"""Runs LLaMA-Factory's training, as its own launcher does under torchrun. Argument: its configuration."""

from __future__ import annotations

import math
from typing import Any, Optional

import torch
import torch.distributed as dist
from llamafactory.train.tuner import run_exp
from transformers import TrainerCallback


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


class Diverged(TrainerCallback):  # type: ignore[misc]
    """Logs the loss of a diverged training as NaN. The trainer drops NaN from its sum, and logs 0."""

    def on_log(self, arguments: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        entry = state.log_history[-1]
        if entry.get("loss") == 0 and math.isnan(entry.get("grad_norm") or 0):
            entry["loss"] = math.nan


if __name__ == "__main__":
    # With several processes on CPU the device is cpu:0, but torch.load, with which the trainer resumes, knows only cpu.
    torch.serialization.register_package(5, lambda _: None, on_cpu)
    leave_together()
    run_exp(callbacks=[Diverged()])
