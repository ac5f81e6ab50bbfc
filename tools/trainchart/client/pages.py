"""How notebooks show runs: `_repr_html_`, as Jupyter asks for it."""

from __future__ import annotations

from html import escape
from pathlib import Path


class Page(str):
    """An HTML page. A notebook shows it in a frame of its own, so that neither changes the other's look."""

    __slots__ = ()

    def _repr_html_(self, height: int = 720) -> str:
        return (
            f'<iframe srcdoc="{escape(self)}" sandbox="" style="width: 100%; height: {height}px; border: 0" '
            'title="trainchart"></iframe>'
        )

    def write(self, path: str | Path) -> Path:
        """Write the page to a file, and return its path. Raises OSError."""
        written = Path(path)
        written.write_text(self, encoding="utf-8")
        return written


def table(cells: list[list[str]]) -> str:
    """A table as HTML; the first row is its header."""
    header, *rows = ["".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in row) for tag, row in _tagged(cells)]
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return f"<table><thead><tr>{header}</tr></thead><tbody>{body}</tbody></table>"


def _tagged(cells: list[list[str]]) -> list[tuple[str, list[str]]]:
    return [("th" if number == 0 else "td", row) for number, row in enumerate(cells)]
