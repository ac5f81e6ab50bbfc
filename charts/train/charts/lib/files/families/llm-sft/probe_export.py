"""Checks that the exported model loads and generates. Argument: {"output", "artifacts", "train", "maxBatchSize"}."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Dict

import outcome


def probe(output: Path, artifacts: Path, train: Dict[str, Any]) -> Dict[str, Any]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    configured = json.loads((output / "train.yaml").read_text(encoding="utf-8"))
    adapter_only = train["finetuningType"] == "lora" and not train["merge"]
    source = configured["model_name_or_path"] if adapter_only else str(artifacts)
    trust = {"trust_remote_code": bool(configured.get("trust_remote_code", False))}
    if not adapter_only and not list(artifacts.glob("*.safetensors")):
        return failure("the export wrote no .safetensors file")
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, **trust)
        model = AutoModelForCausalLM.from_pretrained(source, torch_dtype="auto", **trust).eval()
        if adapter_only:
            from peft import PeftModel

            model = PeftModel.from_pretrained(model, str(outcome.weights(output / "train")))
        inputs = tokenizer("Hello", return_tensors="pt", return_token_type_ids=False)
        with torch.no_grad():
            answer = model.generate(**inputs, max_new_tokens=1, do_sample=False)
    except Exception as error:  # whatever the libraries raise, the exported model is unusable
        return failure(f"the exported model cannot be loaded and run: {type(error).__name__}: {error}")
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return {"ok": True, "tokens": int(answer.shape[1]), "parameters": parameters}


def failure(reason: str) -> Dict[str, Any]:
    return {"ok": False, "reason": reason, "fix": "see the exporter's output above"}


if __name__ == "__main__":
    argument = json.loads(sys.argv[1])
    print(json.dumps(probe(Path(argument["output"]), Path(argument["artifacts"]), argument["train"])))
