"""Charts as geometry: curves as the paths of an SVG, and what is written around it. The page's template draws them.

The SVG has lines only, and is stretched to its place; what is to be read is HTML over it, so that it has the size of
text on every screen and on paper.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from trainchart.report.scale import Group, Points, axis, drawable, finite, thin, tick
from trainchart.run.metrics import Kind, format_number, held_out, subject

WIDTH, HEIGHT = 1000, 400
COLOURS = 8


@dataclass(frozen=True)
class Path:
    d: str
    style: str
    """Classes of the style sheet."""
    title: str


@dataclass(frozen=True)
class Label:
    place: str
    """From the top or from the left, in percent."""
    text: str


@dataclass(frozen=True)
class LegendRow:
    name: str
    style: str
    last: str
    extreme: str
    """The lowest or highest value; empty where no value can be drawn."""
    extreme_epoch: str
    twin: str
    """The curve that lies under this one, and cannot be seen."""
    lost: int
    """How many values are not finite."""


@dataclass(frozen=True)
class Chart:
    key: str
    """Identifies it in the page."""
    title: str
    description: str
    grid: Sequence[str]
    paths: Sequence[Path]
    up: Sequence[Label]
    across: Sequence[Label]
    is_empty: bool = False
    extreme: str = ""
    """What the legend shows beside the last values: `lowest`, `highest`, or nothing."""
    legend: Sequence[LegendRow] = ()


def format_figure(value: float) -> str:
    """Return a metric with as many digits as its neighbours in a column have."""
    return format_number(value) if not abs(value) < 1000 or value == round(value) else f"{value:#.3g}"


def curves(group: Group, key: str, *, resumed: int | None = None) -> Chart:
    """Return the chart of a group of curves over the epochs; `resumed` is the epoch after which the run was resumed."""
    drawn = [y for points in group.curves.values() for _, y in finite(points)]
    epochs = [x for points in group.curves.values() for x, _ in points]
    left, right = min(epochs), max(epochs)
    ticks = axis(drawn)
    colours = _colours(group.curves)
    paths = []
    if resumed is not None and left < resumed < right:
        line = f"M{_x(resumed, left, right)} 0v{HEIGHT}"
        paths.append(Path(line, "resumed", f"resumed after epoch {resumed}"))
    for name, points in group.curves.items():
        if d := _line(points, (left, right), ticks):
            paths.append(Path(d, f"line {colours[name]}{' few' if len(points) == 1 else ''}", name))
    return Chart(
        key,
        group.title,
        _description(group, left, right),
        _grid(ticks),
        paths,
        _up(ticks),
        _across(left, right),
        is_empty=not drawn,
        extreme={Kind.LOSS: "lowest", Kind.SCORE: "highest"}.get(group.kind, ""),
        legend=list(_legend(group, colours)),
    )


def scatter(trials: Sequence[tuple[int, float]], best: int | None, key: str, title: str) -> Chart:
    """Return the chart of the values of all trials; the best is drawn last, over the others."""
    left, right = min(x for x, _ in trials), max(x for x, _ in trials)
    ticks = axis([y for _, y in trials])
    paths = [
        Path(
            f"M{_x(number, left, right)} {_y(value, ticks)}h0",
            "dot best" if number == best else "dot",
            f"trial {number}: {format_number(value)}",
        )
        for number, value in sorted(trials, key=lambda trial: trial[0] == best)
    ]
    description = f"{len(trials)} trials with a value"
    return Chart(key, title, description, _grid(ticks), paths, _up(ticks), _across(left, right))


def _grid(ticks: Sequence[float]) -> list[str]:
    return [f"M0 {_y(value, ticks)}h{WIDTH}" for value in ticks]


def _up(ticks: Sequence[float]) -> list[Label]:
    return [Label(f"{_y(value, ticks) / HEIGHT:.2%}", tick(value, ticks[1] - ticks[0])) for value in ticks]


def _across(left: float, right: float) -> list[Label]:
    marks = [value for value in axis([left, right], whole=True, wanted=6) if left <= value <= right] or [left]
    return [Label(f"{_x(value, left, right) / WIDTH:.2%}", f"{value:.0f}") for value in marks]


def _colours(curves: Mapping[str, Points]) -> dict[str, str]:
    """Return the style of each curve: a colour per subject, dashed on held-out data where it is measured on both."""
    subjects = list(dict.fromkeys(subject(name) for name in curves))
    several = {known for known in subjects if len({held_out(name) for name in curves if subject(name) == known}) > 1}
    return {
        name: f"c{subjects.index(subject(name)) % COLOURS}"
        + (" dashed" if held_out(name) and subject(name) in several else "")
        for name in curves
    }


def _line(points: Points, wide: tuple[float, float], ticks: Sequence[float]) -> str:
    steps: list[str] = []
    for part in _unbroken(thin(points)):
        places = [f"{_x(x, *wide)} {_y(y, ticks)}" for x, y in part]
        # A lone point is a dot: a line of no length, with a round end.
        steps.append(f"M{places[0]}" + (f"L{' '.join(places[1:])}" if places[1:] else "h0"))
    return "".join(steps)


def _unbroken(points: Points) -> Iterator[list[tuple[float, float]]]:
    part: list[tuple[float, float]] = []
    for x, y in points:
        if drawable(y):
            part.append((x, y))
        elif part:
            yield part
            part = []
    if part:
        yield part


def _legend(group: Group, colours: Mapping[str, str]) -> Iterator[LegendRow]:
    before: list[str] = []  # of curves that lie on one another only the last can be seen
    for name, points in group.curves.items():
        real = finite(points)
        extreme, epoch = "", ""
        if real and group.kind in (Kind.LOSS, Kind.SCORE):
            choose = min if group.kind is Kind.LOSS else max
            x, y = choose(real, key=lambda point: point[1])
            extreme, epoch = format_figure(y), f"{x:.0f}"
        twin = next((other for other in before if group.curves[other] == points), "")
        before.append(name)
        last = format_figure(points[-1][1])
        yield LegendRow(name, colours[name], last, extreme, epoch, twin, len(points) - len(real))


def _description(group: Group, left: float, right: float) -> str:
    lasts = ", ".join(f"{name} ends at {format_number(points[-1][1])}" for name, points in group.curves.items())
    return f"Over the epochs {left:.0f} to {right:.0f}: {lasts}"


def _x(value: float, left: float, right: float) -> float:
    return round((value - left) / (right - left) * WIDTH, 1) if right > left else WIDTH / 2


def _y(value: float, ticks: Sequence[float]) -> float:
    return round((1 - (value - ticks[0]) / (ticks[-1] - ticks[0])) * HEIGHT, 1)
