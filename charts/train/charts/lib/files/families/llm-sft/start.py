"""Runs LLaMA-Factory's training, as its own launcher does under torchrun. Argument: its configuration."""

from __future__ import annotations

from typing import Any, Optional

import torch
import torch.distributed as dist
from llamafactory.train.tuner import run_exp


def on_cpu(storage: Any, location: str) -> Optional[Any]:
    return storage if location.startswith("cpu:") else None


def leave_together() -> None:
    """Destroy the process group only when all ranks have finished: with gloo, one rank could hang in the last
    exchange.
    """
    leave = dist.destroy_process_group

    def together(*arguments: Any, **options: Any) -> None:
        dist.barrier()
        leave(*arguments, **options)

    dist.destroy_process_group = together


if __name__ == "__main__":
    # With several processes on CPU the device is cpu:0, but torch.load, with which the trainer resumes, knows only cpu.
    torch.serialization.register_package(5, lambda _: None, on_cpu)
    leave_together()
    run_exp()
