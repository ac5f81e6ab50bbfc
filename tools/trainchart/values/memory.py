"""The memory that a training process needs on its device, and whether it has as much.

What a family needs is said by its own estimator (`trainchart.values.models.families`); here is what all of them share.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from trainchart.errors import ExitCode, TrainchartError

GIB = 1 << 30

RUNTIME = GIB // 2
"""Bytes of a process that trains nothing yet: the device's context and the kernels of its libraries, or on CPU the
interpreter with the framework loaded. Approximate: 0.3 to 0.6 GiB are usual for CUDA."""

_UNITS = {
    "": Decimal(1),
    "m": Decimal("0.001"),
    **{unit: Decimal(1000) ** power for power, unit in enumerate("kMGTP", start=1)},
    **{f"{unit}i": Decimal(1024) ** power for power, unit in enumerate("KMGTP", start=1)},
}


class EstimateError(TrainchartError):
    """The values do not say enough, such as which size the model has; the text says what is missing."""

    exit_code = ExitCode.REFUSED


@dataclass(frozen=True)
class Layout:
    """How the processes of a run lie on devices."""

    processes: int = 1
    """All training processes of the run; each has a device of its own."""
    backend: str = "cuda"
    """What frameworks call the device; "cpu" is none."""


@dataclass(frozen=True)
class Estimate:
    """Memory of one training process on its device; every part in bytes."""

    model: str
    """What was estimated, in words."""
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
        """What does not depend on the batch, the runtime excepted."""
        return self.parameters + self.gradients + self.optimizer + self.copies

    @property
    def total(self) -> int:
        return self.state + self.activations + self.runtime

    def __str__(self) -> str:
        return (
            f"{readable(self.total)} ({self.model}: parameters, gradients, optimizer and copies {readable(self.state)}, "
            f"activations {readable(self.activations)}, runtime {readable(self.runtime)})"
        )


def largest_batch(estimate: Callable[[int], Estimate], *, batch: int, step: int, memory: int) -> int:
    """The largest multiple of `step` up to `batch` whose estimate fits into `memory` bytes; 0 when none does."""
    steps = range(step, batch + 1, step)
    return step * bisect_right(steps, memory, key=lambda smaller: estimate(smaller).total)


def quantity(text: str | float) -> int:
    """A Kubernetes quantity (512Mi, 20Gi, 1.5G) in its base unit, rounded down as the chart does.

    Raises:
        ValueError: it is none.
    """
    if isinstance(text, float) and text.is_integer():
        return int(text)  # which Python may write as 1e+22
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([mkMGTP]|[KMGTP]i)?", str(text))
    if not match:
        raise ValueError(f"'{text}' is not a quantity such as 512Mi or 24Gi")
    return int(Decimal(match[1]) * _UNITS[match[2] or ""])


def as_quantity(amount: int) -> str:
    """Bytes as a Kubernetes quantity, exactly: in Mi, where that is whole."""
    for shift, unit in ((20, "Mi"), (10, "Ki")):
        if amount % (1 << shift) == 0:
            return f"{amount >> shift}{unit}"
    return str(amount)


def readable(amount: int) -> str:
    """Bytes as a person reads them."""
    return f"{amount / GIB:.1f} GiB" if amount >= GIB // 10 else f"{amount / (1 << 20):.0f} MiB"
