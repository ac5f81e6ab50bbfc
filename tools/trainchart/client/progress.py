"""What `wait` shows: lines, and below them one that is replaced, in a notebook and in a terminal."""

from __future__ import annotations

import sys
from typing import Any

from trainchart.follow.narrator import Console
from trainchart.terminal import CLEAR, print_text


class Silent:
    """Shows nothing."""

    def line(self, message: str) -> None: ...

    def live(self, message: str) -> None: ...


class Lines:
    """For a terminal, and for a program whose output goes to a file: only a terminal has a line that is replaced."""

    def line(self, message: str) -> None:
        print_text(message, prefix=CLEAR if sys.stdout.isatty() else "")

    def live(self, message: str) -> None:
        if sys.stdout.isatty():
            print_text(message, prefix=CLEAR, end="")


class Notebook:
    """For a cell of a notebook: its output has the lines, and one that Jupyter replaces."""

    def __init__(self, display: Any) -> None:
        self._display, self._live = display, None

    def line(self, message: str) -> None:
        sys.stdout.write(f"{message}\n")

    def live(self, message: str) -> None:
        shown = {"text/plain": message}
        if self._live is None:
            self._live = self._display(shown, raw=True, display_id=True)
        else:
            self._live.update(shown, raw=True)


def console() -> Console:
    """The one for where this process shows its output."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    if shell is None or not hasattr(shell, "kernel"):  # IPython in a terminal has none
        return Lines()
    from IPython.display import display

    return Notebook(display)
