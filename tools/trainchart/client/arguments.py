"""Arguments of the Python API, as notebooks have them: numbers of numpy, times of datetime."""

from __future__ import annotations

import operator
from datetime import timedelta
from typing import overload

from trainchart.errors import UsageError


@overload
def whole(name: str, number: int, least: int) -> int: ...
@overload
def whole(name: str, number: int | None, least: int) -> int | None: ...
def whole(name: str, number: int | None, least: int) -> int | None:
    """As a plain int. Raises UsageError: it is none, or less than `least`."""
    if number is None:
        return None
    try:
        found = operator.index(number)
    except TypeError:
        found = least - 1
    if found < least:
        raise UsageError(f"{name}: {number!r} is not a whole number of at least {least}")
    return found


@overload
def seconds(name: str, time: float | timedelta) -> float: ...
@overload
def seconds(name: str, time: float | timedelta | None) -> float | None: ...
def seconds(name: str, time: float | timedelta | None) -> float | None:
    """A time in seconds. Raises UsageError: it is none."""
    if time is None:
        return None
    if isinstance(time, timedelta):
        return time.total_seconds()
    try:
        return time + 0.0  # of a text, float() would take "90"
    except TypeError:
        raise UsageError(f"{name}: {time!r} is not a time; give seconds or a datetime.timedelta") from None
