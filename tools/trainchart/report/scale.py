"""What curves need before they are drawn: which belong together, the ticks of an axis, and which points are shown."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from trainchart.run.metrics import Kind, kind, subject

Points = Sequence[tuple[float, float]]

PER_CHART = 8
MAX_POINTS = 400
TINY = 1e-250  # below, floating-point numbers have no digits left to divide
APART = 100  # curves whose sizes differ by more have axes of their own: one would lie flat


@dataclass(frozen=True)
class Group:
    """Curves that share an axis."""

    title: str
    kind: Kind
    curves: Mapping[str, Points]


def groups(rows: Sequence[Mapping[str, float]]) -> list[Group]:
    """Return the groups: scores, losses and learning rates apart, and each other metric by itself."""
    names = dict.fromkeys(name for row in rows for name in row if name != "epoch")
    curves = {name: [(row["epoch"], row[name]) for row in rows if name in row] for name in names}
    found = []
    titles = {Kind.SCORE: "Scores", Kind.LOSS: "Losses", Kind.RATE: "Learning rate"}
    for wanted, title in titles.items():
        chosen = {name: points for name, points in curves.items() if kind(name) is wanted}
        parts = list(_charts(chosen))
        for place, part in enumerate(parts, 1):
            found.append(Group(title if len(parts) == 1 else f"{title} ({place} of {len(parts)})", wanted, part))
    found += [Group(name, Kind.OTHER, {name: points}) for name, points in curves.items() if kind(name) is Kind.OTHER]
    return found


def _charts(curves: Mapping[str, Points]) -> Iterator[dict[str, Points]]:
    """Yield curves of similar size, few enough to be told apart."""
    sizes = {name: max((abs(y) for _, y in finite(points)), default=0.0) for name, points in curves.items()}
    parts: list[list[str]] = []
    for name in sorted(curves, key=lambda name: -sizes[name]):
        largest = sizes[parts[-1][0]] if parts else math.inf
        flat = sizes[name] > 0 and largest > APART * sizes[name] and (kind(name) is not Kind.SCORE or largest > 1)
        if not parts or flat:
            parts.append([])
        parts[-1].append(name)
    order = list(curves)
    for part in parts:
        names = sorted(part, key=order.index)
        if len(names) > PER_CHART:  # of train and val the same ones stay together
            subjects = [subject(name) for name in names]
            names.sort(key=lambda name: subjects.index(subject(name)))
        for start in range(0, len(names), PER_CHART):
            yield {name: curves[name] for name in names[start : start + PER_CHART]}


def finite(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the points that can be drawn."""
    return [(x, y) for x, y in points if drawable(y)]


def drawable(value: float) -> bool:
    return abs(value) < 1e300  # neither of NaN


def thin(points: Points, limit: int = MAX_POINTS) -> Points:
    """Return at most `limit` points: the lowest and the highest of every section, and gaps stay gaps."""
    if len(points) <= limit:
        return points
    step = math.ceil(len(points) / ((limit - 2) // 2))
    kept = [points[0]]
    for start in range(0, len(points), step):
        part = points[start : start + step]
        real = finite(part)
        if not real:
            kept.append(part[0])
            continue
        ends = {min(real, key=lambda point: point[1]), max(real, key=lambda point: point[1])}
        kept += sorted(ends)
    kept.append(points[-1])
    return list(dict.fromkeys(kept))


def axis(values: Sequence[float], *, whole: bool = False, wanted: int = 4) -> list[float]:
    """Return round numbers from at or below the lowest to at or above the highest; with zero where that is near."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    if not whole:
        if 0 < low < 0.5 * high:
            low = 0.0
        elif 0.5 * low < high < 0:
            high = 0.0
    span = high - low
    if span <= max(abs(low), abs(high), TINY) * 1e-9:  # a line that lies flat, in the middle
        room = abs(high) * 0.1 if abs(high) > TINY else 0.5
        low, high = (low, high + 1) if whole else (low - room, high + room)
        span = high - low
    step = _round_up(span / wanted, whole=whole)
    first = math.floor(low / step)
    last = math.ceil(round(high / step, 9))
    return [step * tick for tick in range(first, last + 1)]


def _round_up(step: float, *, whole: bool) -> float:
    """Return the next of 1, 2, 2.5, 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step))
    found = next(
        (power * factor for factor in (1, 2, 5 if whole else 2.5, 5) if power * factor >= step * (1 - 1e-9)), power * 10
    )
    return max(found, 1.0) if whole else found


def tick(value: float, step: float) -> str:
    """Return a tick with as many digits as it takes to tell it from the next."""
    if value == 0:
        return "0"
    if not 1e-4 <= step < 1e5:
        digits = math.floor(math.log10(abs(value) / step) + 1e-9) + 1  # one more than whole steps need, for 2.5
        mantissa, _, exponent = f"{value:.{min(max(digits, 1), 9)}e}".partition("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    digits = next((digits for digits in range(6) if abs(step - round(step, digits)) < step * 1e-6), 6)
    return f"{value:.{digits}f}"
