"""What commands that follow a run print: lines, a line that is replaced in place, and the logs of several pods."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from typing import TYPE_CHECKING, BinaryIO

from trainchart.cli.output import has_colours
from trainchart.terminal import CLEAR, discard, print_text

if TYPE_CHECKING:
    from trainchart.follow.logs import Line

_REDRAW_SECONDS = 0.2
_RANK_COLOURS = (36, 33, 32, 35, 34, 31)


class Console:
    """Lines that stay, and below them, in a terminal, one that is replaced."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._is_terminal = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
        self.clear = CLEAR if self._is_terminal else ""
        self.lock = threading.RLock()
        self._live = ""
        self._drawn_at = 0.0

    def line(self, message: str) -> None:
        """Print a line that stays."""
        if self._quiet:
            return
        with self.lock:
            print_text(message, prefix=self.clear)
            self._live = ""

    def live(self, message: str) -> None:
        """Replace the last line; an empty message clears it."""
        if not self._is_terminal or self._quiet:
            return
        with self.lock:
            if message == self._live or (message and time.monotonic() - self._drawn_at < _REDRAW_SECONDS):
                return
            width = shutil.get_terminal_size().columns - 1
            print_text(message[:width], prefix=CLEAR, end="")
            self._live, self._drawn_at = message, time.monotonic()


class LogPrinter:
    """Prints whole log lines from several threads, as the pods wrote them."""

    def __init__(
        self,
        *,
        replicas: int,
        prefix: bool | None = None,
        timestamps: bool = False,
        out: BinaryIO | None = None,
        console: Console | None = None,
    ) -> None:
        """Print to `out`, or the standard output.

        Args:
            replicas: pods of the run.
            prefix: print the rank before each line (default: if there are several pods).
            timestamps: print the time before each line.
            out: where to print.
            console: has a line that is replaced in place, above which to print.
        """
        self._prefix = replicas > 1 if prefix is None else prefix
        self._timestamps, self._width = timestamps, len(str(max(replicas - 1, 0)))
        self._out = out or sys.stdout.buffer
        self._colours = has_colours()
        self._clear = console.clear.encode() if console else b""
        self._lock: threading.Lock | threading.RLock = console.lock if console else threading.Lock()
        self._attempt: int | None = None
        self.closed = threading.Event()
        """Set when the reader has gone away (`| head`)."""

    def show(self, line: Line) -> None:
        """Print a line, and a separator before the first line of another attempt."""
        attempt = line.pod.attempt or 0
        time_prefix = line.time.encode() + b" " if self._timestamps else b""
        with self._lock:
            if self._attempt is not None and attempt > self._attempt:
                self._write(f"-- attempt {attempt + 1} --".encode())
            self._attempt = max(attempt, self._attempt or 0)
            self._write(self._rank_prefix(line.pod.rank) + time_prefix + line.text)

    def write(self, rank: int, text: bytes) -> None:
        """Print a line of a saved log."""
        with self._lock:
            self._write(self._rank_prefix(rank) + text)

    def _rank_prefix(self, rank: int) -> bytes:
        if not self._prefix:
            return b""
        prefix = f"[{rank:>{self._width}}]"
        if self._colours:
            prefix = f"\033[{_RANK_COLOURS[rank % len(_RANK_COLOURS)]}m{prefix}\033[0m"
        return prefix.encode() + b" "

    def _write(self, line: bytes) -> None:
        if self.closed.is_set():
            return
        try:
            self._out.write(self._clear + line + b"\n")
            self._out.flush()
        except BrokenPipeError:
            self.closed.set()
            discard(sys.stdout)
