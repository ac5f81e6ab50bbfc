"""LLaMA-Factory's training, as its own launcher starts it under torchrun. Argument: its configuration."""

from __future__ import annotations

from typing import Any, Optional

import torch
from llamafactory.train.tuner import run_exp


def on_cpu(storage: Any, location: str) -> Optional[Any]:
    return storage if location.startswith("cpu:") else None


if __name__ == "__main__":
    # Several processes on CPU call their device cpu:0, and torch.load, by which the trainer resumes, knows only cpu.
    torch.serialization.register_package(5, lambda _: None, on_cpu)
    run_exp()
