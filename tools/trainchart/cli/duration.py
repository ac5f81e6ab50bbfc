"""Durations on the command line, as values have them: a number and s, m, h or d."""

from __future__ import annotations

import argparse
import re

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds_of(words: str) -> float:
    """The type of an option: `90s`, `10m`, `1.5h`; a bare number is seconds. Several parts add up: `1h30m`."""
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd])", words)
    if re.fullmatch(r"\d+(\.\d+)?", words):
        return float(words)
    if not parts or "".join(number + unit for number, unit in parts) != words:
        raise argparse.ArgumentTypeError(f"{words!r} is no duration; write 90s, 10m, 2h or 1d")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)
