"""Estimates of the device memory that a training process needs: what the families' own estimates share.

Each family has its formula in `trainchart.values.models.families`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass

from trainchart.cluster.quantities import parse_quantity
from trainchart.errors import ExitCode, TrainchartError

GIB = 1 << 30

RUNTIME = GIB // 2
"""Bytes of a process that trains nothing yet: the device's context and the kernels of its libraries, or on CPU the
interpreter with the framework loaded. Approximate: 0.3 to 0.6 GiB are usual for CUDA."""


class EstimateError(TrainchartError):
    """The values are not enough for an estimate; the message says what is missing, such as the size of the model."""

    exit_code = ExitCode.REFUSED


@dataclass(frozen=True)
class Layout:
    """How the processes of a run are placed on devices."""

    processes: int = 1
    """All training processes of the run; each has a device of its own."""
    backend: str = "cuda"
    """The name of the device in frameworks; "cpu" if there is none."""


@dataclass(frozen=True)
class Estimate:
    """Memory of one training process on its device; every part in bytes."""

    model: str
    """What was estimated, for messages."""
    parameters: int
    gradients: int
    optimizer: int
    """State of the optimizer."""
    copies: int
    """Other copies of the parameters: moving average, half precision, buckets for exchange."""
    activations: int
    """Approximate, and proportional to the batch."""
    runtime: int = RUNTIME

    @property
    def state(self) -> int:
        """The memory that does not depend on the batch, without the runtime."""
        return self.parameters + self.gradients + self.optimizer + self.copies

    @property
    def total(self) -> int:
        return self.state + self.activations + self.runtime

    def __str__(self) -> str:
        return (
            f"{format_bytes(self.total)} ({self.model}: parameters, gradients, optimizer and copies {format_bytes(self.state)}, "
            f"activations {format_bytes(self.activations)}, runtime {format_bytes(self.runtime)})"
        )


def largest_batch(estimate: Callable[[int], Estimate], *, batch: int, step: int, memory: int) -> int:
    """The largest multiple of `step` up to `batch` whose estimate fits into `memory` bytes; 0 when none does."""
    steps = range(step, batch + 1, step)
    return step * bisect_right(steps, memory, key=lambda smaller: estimate(smaller).total)


def parse_bytes(quantity: str | float) -> int:
    """A Kubernetes quantity of memory in whole bytes, rounded down as the chart does.

    Raises:
        ValueError: it is not a quantity.
    """
    amount = parse_quantity(quantity)
    if amount is None:
        raise ValueError(f"'{quantity}' is not a quantity such as 512Mi or 24Gi")
    return int(amount)


def bytes_quantity(count: int) -> str:
    """Bytes as a Kubernetes quantity, exactly: in Mi or Ki where that is whole."""
    for shift, unit in ((20, "Mi"), (10, "Ki")):
        if count % (1 << shift) == 0:
            return f"{count >> shift}{unit}"
    return str(count)


def format_bytes(count: int) -> str:
    """Bytes for a message: `1.5 GiB`, `12 MiB`."""
    return f"{count / GIB:.1f} GiB" if count >= GIB // 10 else f"{count / (1 << 20):.0f} MiB"
