"""Fewer combinations, which still show what goes wrong where two values meet."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from itertools import combinations
from typing import TypeVar

T = TypeVar("T")


def pairwise(rows: Sequence[T], values: Callable[[T], Sequence[Hashable]]) -> list[T]:
    """A few of the rows, in which every two values of different columns meet that meet in any of the rows."""
    meetings = [(row, set(combinations(enumerate(values(row)), 2))) for row in rows]
    left = set().union(*(pairs for _, pairs in meetings))
    chosen = []
    while left:
        row, met = max(meetings, key=lambda found: len(left & found[1]))
        chosen.append(row)
        left -= met
    return chosen
