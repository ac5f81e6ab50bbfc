"""Durations and quantities as the values have them. What is none raises a ValueError."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_UNITS = {"m": Fraction(1, 1000), "": Fraction(1)}
_UNITS.update({unit: Fraction(1000) ** power for power, unit in enumerate("kMGTP", 1)})
_UNITS.update({f"{unit}i": Fraction(1024) ** power for power, unit in enumerate("KMGTP", 1)})


def seconds(duration: str) -> int:
    """Return what `90m` is in seconds."""
    if not re.fullmatch(r"[0-9]+[smhd]", duration):
        raise ValueError(f"{duration!r} is not a duration such as 90m")
    return int(duration[:-1]) * _SECONDS[duration[-1]]


def quantity(amount: Any) -> int:
    """Return what `1.5Gi` is in its base unit, rounded down."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([A-Za-z]*)", str(amount))
    if not match or match[2] not in _UNITS:
        raise ValueError(f"{amount!r} is not a quantity such as 512Mi")
    return int(Fraction(match[1]) * _UNITS[match[2]])
