"""A curve in a terminal, drawn with braille characters, or in ASCII where the terminal has no others.

Why it is our own: docs/decisions/0011-curves-are-drawn-by-us.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from trainchart.report.scale import Points, drawable, finite
from trainchart.run.metrics import Kind, format_number, headline, kind

# Bits of the dots of a braille character, by row and column.
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_UPPER, _LOWER = 0x01 | 0x08 | 0x02 | 0x10, 0x04 | 0x20 | 0x40 | 0x80
MIN_WIDTH = 40


def curves(rows: Sequence[Mapping[str, float]], *, width: int, encoding: str | None) -> str:
    """Return the curve of a run's score and that of its loss as text; empty where there is nothing to draw."""
    names = list(dict.fromkeys(name for row in rows for name in row if name != "epoch"))
    losses = [name for name in names if kind(name) is Kind.LOSS]
    chosen = dict.fromkeys([headline(names), headline(losses)])
    known = {name: [(row["epoch"], row[name]) for row in rows if name in row] for name in chosen if name}
    drawn = {name: points for name, points in known.items() if len(finite(points)) > 1}
    return "\n\n".join(curve(name, points, width=width, encoding=encoding) for name, points in drawn.items())


def curve(title: str, points: Points, *, width: int, encoding: str | None, height: int = 7) -> str:
    """Return one curve: its highest and lowest value on the left, the last one on the right, epochs below."""
    real = finite(points)
    if not real:
        return f"{_encodable(title, encoding)}: no number that could be drawn"
    low, high = min(y for _, y in real), max(y for _, y in real)
    labels = (format_number(high), format_number(low))
    margin = max(map(len, labels))
    last = format_number(real[-1][1])
    room = max(8, max(width, MIN_WIDTH) - margin - len(last) - 4)
    cells = _cells(points, room, height, (low, high))
    braille = _fits("\u2800\u28ff\u2502\u2500\u2514", encoding)
    bar, corner, floor = ("\u2502", "\u2514", "\u2500") if braille else ("|", "+", "-")
    end = round((1 - (real[-1][1] - low) / (high - low)) * (height - 1)) if high > low else height // 2
    lines = [_encodable(title, encoding)]
    for place, row in enumerate(cells):
        label = labels[0] if place == 0 else labels[1] if place == height - 1 and high > low else ""
        drawn = "".join(_character(bits, braille=braille) for bits in row)
        lines.append(f"{label:>{margin}} {bar}{drawn}{' ' + last if place == end else ''}".rstrip())
    first, until = f"{points[0][0]:.0f}", f"{points[-1][0]:.0f}"
    lines.append(f"{'':>{margin}} {corner}{floor * room}")
    lines.append(
        f"{'':>{margin}}  {first}{until:>{room - len(first)}}" if len(points) > 1 else f"{'':>{margin}}  {first}"
    )
    return "\n".join(lines)


def _cells(points: Points, width: int, height: int, limits: tuple[float, float]) -> list[list[int]]:
    """Return the dots of every character. Neighbours are joined by a line, broken where a number is missing."""
    cells = [[0] * width for _ in range(height)]
    left, right = points[0][0], points[-1][0]
    before: tuple[int, int] | None = None
    for x, y in points:
        if not drawable(y):
            before = None
            continue
        low, high = limits
        across = round((x - left) / (right - left) * (width * 2 - 1)) if right > left else width
        down = round((1 - (y - low) / (high - low)) * (height * 4 - 1)) if high > low else height * 2
        for dot_x, dot_y in _joined(before or (across, down), (across, down)):
            cells[dot_y // 4][dot_x // 2] |= _DOTS[dot_y % 4][dot_x % 2]
        before = (across, down)
    return cells


def _joined(start: tuple[int, int], end: tuple[int, int]) -> list[tuple[int, int]]:
    steps = max(abs(end[0] - start[0]), abs(end[1] - start[1])) or 1
    return [
        (round(start[0] + (end[0] - start[0]) * step / steps), round(start[1] + (end[1] - start[1]) * step / steps))
        for step in range(steps + 1)
    ]


def _character(bits: int, *, braille: bool) -> str:
    if not bits:
        return " "
    if braille:
        return chr(0x2800 + bits)
    return ":" if bits & _UPPER and bits & _LOWER else "'" if bits & _UPPER else "."


def _encodable(text: str, encoding: str | None) -> str:
    """Return the name as the terminal can show it; what would move its cursor is replaced."""
    clean = "".join(c if c.isprintable() else "?" for c in text)
    return clean.encode(encoding or "ascii", "replace").decode(encoding or "ascii")


def _fits(characters: str, encoding: str | None) -> bool:
    try:
        characters.encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
