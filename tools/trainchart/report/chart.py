"""Curves as inline SVG, without a script.

The SVG holds lines only, and is stretched to its place; what is to be read stands over it as text, so that it has the size of text
on every screen and on paper.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape

from trainchart.report.scale import Group, Points, axis, drawable, finite, thin, tick
from trainchart.run.metrics import Kind, format_number, held_out, subject

WIDTH, HEIGHT = 1000, 400
COLOURS = 8


def text(value: object) -> str:
    """Escaped for HTML; control characters and halves of characters, which HTML cannot have, are replaced."""
    clean = "".join(c if c.isprintable() or c in " \u00a0" else "\ufffd" for c in str(value))
    return escape(clean, quote=True)


def figure(value: float) -> str:
    """A metric in a column: as many digits as its neighbours have."""
    return format_number(value) if not abs(value) < 1000 or value == round(value) else f"{value:#.3g}"


def chart(group: Group, key: str, *, resumed: int | None = None) -> str:
    """A figure: the curves of a group over the epochs, and what each comes to. `key` is its own in the page."""
    drawn = [point for points in group.curves.values() for point in finite(points)]
    epochs = [x for points in group.curves.values() for x, _ in points]
    across = axis([min(epochs), max(epochs)], whole=True, wanted=6)
    left, right = min(epochs), max(epochs)
    ticks = axis([y for _, y in drawn])
    colours = _colours(group.curves)
    lines = [
        _line(points, colours[name], name, (left, right), (ticks[0], ticks[-1]))
        for name, points in group.curves.items()
    ]
    marks = [value for value in across if left <= value <= right] or [left]
    grid = "".join(f'<path d="M0 {_y(value, ticks)}h{WIDTH}"/>' for value in ticks)
    again = ""
    if resumed is not None and left < resumed < right:
        again = f'<path class="resumed" d="M{_x(resumed, left, right)} 0v{HEIGHT}"><title>resumed after epoch {resumed}</title></path>'
    labels = "".join(
        f'<span style="top:{_y(value, ticks) / HEIGHT:.2%}">{text(tick(value, ticks[1] - ticks[0]))}</span>'
        for value in ticks
    )
    below = "".join(f'<span style="left:{_x(value, left, right) / WIDTH:.2%}">{value:.0f}</span>' for value in marks)
    empty = "" if drawn else '<p class="nothing">no number that could be drawn</p>'
    return f"""<figure class="chart">
<figcaption id="{key}">{text(group.title)}</figcaption>
<div class="plot"><div class="up" aria-hidden="true">{labels}</div>
<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" role="img" aria-labelledby="{key} {key}-d">
<desc id="{key}-d">{text(_description(group, left, right))}</desc>
<g class="grid">{grid}</g>{again}{"".join(lines)}</svg>{empty}
<div class="across" aria-hidden="true">{below}</div></div>
{_legend(group, colours)}
</figure>"""


def scatter(trials: Sequence[tuple[int, float]], best: int | None, key: str, title: str) -> str:
    """The value of every trial."""
    left, right = min(x for x, _ in trials), max(x for x, _ in trials)
    ticks = axis([y for _, y in trials])
    grid = "".join(f'<path d="M0 {_y(value, ticks)}h{WIDTH}"/>' for value in ticks)
    dots = "".join(
        f'<path class="dot{" best" if number_ == best else ""}" d="M{_x(number_, left, right)} {_y(value, ticks)}h0">'
        f"<title>trial {number_}: {format_number(value)}</title></path>"
        for number_, value in sorted(trials, key=lambda trial: trial[0] == best)
    )
    labels = "".join(
        f'<span style="top:{_y(value, ticks) / HEIGHT:.2%}">{text(tick(value, ticks[1] - ticks[0]))}</span>'
        for value in ticks
    )
    marks = [value for value in axis([left, right], whole=True, wanted=6) if left <= value <= right] or [left]
    below = "".join(f'<span style="left:{_x(value, left, right) / WIDTH:.2%}">{value:.0f}</span>' for value in marks)
    return f"""<figure class="chart">
<figcaption id="{key}">{text(title)}</figcaption>
<div class="plot"><div class="up" aria-hidden="true">{labels}</div>
<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" role="img" aria-labelledby="{key} {key}-d">
<desc id="{key}-d">{len(trials)} trials with a value</desc>
<g class="grid">{grid}</g>{dots}</svg>
<div class="across" aria-hidden="true">{below}</div></div>
</figure>"""


def _colours(curves: Mapping[str, Points]) -> dict[str, str]:
    """One colour for what is measured; what is measured on held-out data is dashed where it is on the others, too."""
    subjects = list(dict.fromkeys(subject(name) for name in curves))
    several = {known for known in subjects if len({held_out(name) for name in curves if subject(name) == known}) > 1}
    return {
        name: f"c{subjects.index(subject(name)) % COLOURS}"
        + (" dashed" if held_out(name) and subject(name) in several else "")
        for name in curves
    }


def _line(points: Points, style: str, name: str, wide: tuple[float, float], high: tuple[float, float]) -> str:
    steps: list[str] = []
    for part in _unbroken(thin(points)):
        places = [f"{_x(x, *wide)} {_y(y, high)}" for x, y in part]
        # A lone point is a dot: a line of no length, with a round end.
        steps.append(f"M{places[0]}" + (f"L{' '.join(places[1:])}" if places[1:] else "h0"))
    few = " few" if len(points) == 1 else ""
    return f'<path class="line {style}{few}" d="{"".join(steps)}"><title>{text(name)}</title></path>' if steps else ""


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


def _legend(group: Group, colours: Mapping[str, str]) -> str:
    extreme = "lowest" if group.kind is Kind.LOSS else "highest" if group.kind is Kind.SCORE else ""
    rows = []
    shown: list[str] = []  # of curves that lie on one another only the last is to be seen
    for name, points in group.curves.items():
        real = finite(points)
        last = points[-1][1]
        found = ""
        if extreme:
            found = '<td class="n"></td>'
            if real:
                choose = min if group.kind is Kind.LOSS else max
                x, y = choose(real, key=lambda point: point[1])
                found = f'<td class="n">{figure(y)} <small>at {x:.0f}</small></td>'
        lost = len(points) - len(real)
        twin = next((other for other in shown if group.curves[other] == points), None)
        shown.append(name)
        note = f" <small>same as {text(twin)}</small>" if twin else ""
        note += f' <small class="lost">{lost} &times; not finite</small>' if lost else ""
        rows.append(
            f'<tr><th scope="row"><svg class="key" viewBox="0 0 22 8" aria-hidden="true"><path class="line {colours[name]}" d="M2 4H20"/></svg>'
            f'<span class="name">{text(name)}</span>{note}</th><td class="n">{figure(last)}</td>{found}</tr>'
        )
    head = f'<th class="n" scope="col">{extreme}</th>' if extreme else ""
    return (
        f'<table class="legend"><thead><tr><th scope="col"><span class="sr">metric</span></th><th class="n" scope="col">last</th>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def _description(group: Group, left: float, right: float) -> str:
    lasts = ", ".join(f"{name} ends at {format_number(points[-1][1])}" for name, points in group.curves.items())
    return f"Over the epochs {left:.0f} to {right:.0f}: {lasts}"


def _x(value: float, left: float, right: float) -> float:
    return round((value - left) / (right - left) * WIDTH, 1) if right > left else WIDTH / 2


def _y(value: float, ticks: Sequence[float]) -> float:
    return round((1 - (value - ticks[0]) / (ticks[-1] - ticks[0])) * HEIGHT, 1)
