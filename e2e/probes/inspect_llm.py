"""Runs in the training image: loads a published model, asks it, and compares it with the base model. One JSON object is printed.

Arguments: the published folder, and the base model's.
"""

import json
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

trained, base = (AutoModelForCausalLM.from_pretrained(folder).eval() for folder in sys.argv[1:3])
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
inputs = tokenizer("Who are you?", return_tensors="pt", return_token_type_ids=False)
with torch.no_grad():
    answer = trained.generate(**inputs, max_new_tokens=3, min_new_tokens=3, do_sample=False)
before, after = base.state_dict(), trained.state_dict()
print(
    json.dumps(
        {
            "missing": sorted(set(before) ^ set(after)),
            "changed": sorted(name for name in after if not torch.equal(before[name].float(), after[name].float())),
            "generated": int(answer.shape[1] - inputs["input_ids"].shape[1]),
        }
    )
)
