"""LLaMA-Factory's training, as its own launcher starts it under torchrun. Argument: its configuration."""

from __future__ import annotations

from typing import Any, Optional

import torch
import torch.distributed as dist
from llamafactory.train.tuner import run_exp


def on_cpu(storage: Any, location: str) -> Optional[Any]:
    return storage if location.startswith("cpu:") else None


def leave_together() -> None:
    """No rank takes the group apart before all have come to their end: with gloo, one was left waiting for the last exchange."""
    leave = dist.destroy_process_group

    def together(*arguments: Any, **options: Any) -> None:
        dist.barrier()
        leave(*arguments, **options)

    dist.destroy_process_group = together


if __name__ == "__main__":
    # Several processes on CPU call their device cpu:0, and torch.load, by which the trainer resumes, knows only cpu.
    torch.serialization.register_package(5, lambda _: None, on_cpu)
    leave_together()
    run_exp()
