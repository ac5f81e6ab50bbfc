"""Language models for bench/memory.py: one step of AdamW on an adapter, or on the whole model, in the training image on CPU.

The activations are not measured: with gradient checkpointing the forward pass keeps next to nothing, and the peak is the backward
pass's own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

IMAGE = "trainchart/train-cpu-llm:0.9.5"
PARTS = ("parameters", "gradients", "optimizer")
TEST_MODELS = [("tiny", "lora"), ("tiny", "full")]
SMALL = [("0.6B", "lora")]


def compare(size: str, kind: str) -> Iterator[tuple[str, str, int, int]]:
    """Name, part, measured and estimated bytes."""
    from trainchart.estimate import Layout
    from trainchart.families import family_data
    from trainchart.values.families.llm_sft import SIZES, estimate

    defaults = family_data("llm-sft")["defaults"]["train"]
    estimated = estimate({**defaults, "modelSize": size, "finetuningType": kind}, Layout(processes=1, backend="cpu"))
    found = measure(asdict(SIZES[size]), kind, int(defaults["loraRank"]))
    for part in PARTS:
        yield f"llm-sft {size} {kind}", part, found[part], getattr(estimated, part)


def measure(geometry: dict[str, Any], kind: str, rank: int) -> dict[str, int]:
    command = [
        "docker",
        "run",
        "--rm",
        "--interactive",
        "--network",
        "none",
        "--env",
        "HOME=/tmp",
        IMAGE,
        "python3",
        "-",
    ]
    done = subprocess.run(
        [*command, "--inside", json.dumps(geometry), kind, str(rank)],
        input=Path(__file__).read_text(encoding="utf-8"),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if done.returncode:
        sys.exit(f"the container failed:\n{done.stderr}")
    found: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return found


def inside(geometry: dict[str, Any], kind: str, rank: int) -> dict[str, int]:
    """In the container: a model of this shape, and one step of it."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import Qwen3Config, Qwen3ForCausalLM

    def total(tensors: Any) -> int:
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)

    model: Any = Qwen3ForCausalLM(
        Qwen3Config(
            hidden_size=geometry["hidden"],
            num_hidden_layers=geometry["layers"],
            num_attention_heads=geometry["heads"],
            num_key_value_heads=geometry["groups"],
            head_dim=geometry["head"],
            intermediate_size=geometry["inner"],
            vocab_size=geometry["vocabulary"],
            tie_word_embeddings=geometry["tied"],
        )
    )
    if kind == "lora":
        model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", r=rank, target_modules="all-linear"))
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained)
    tokens = torch.randint(geometry["vocabulary"], (1, 16))
    model(input_ids=tokens, labels=tokens).loss.backward()
    optimizer.step()
    states = (value for state in optimizer.state.values() for value in state.values() if torch.is_tensor(value))
    return {
        "parameters": total(model.parameters()),
        "gradients": total(parameter.grad for parameter in trained if parameter.grad is not None),
        "optimizer": total(states),
    }


if __name__ == "__main__" and sys.argv[1:2] == ["--inside"]:
    print(json.dumps(inside(json.loads(sys.argv[2]), sys.argv[3], int(sys.argv[4]))))
