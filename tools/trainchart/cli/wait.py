"""`trainchart wait`: follows a run until it finishes, and exits with its exit code."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import threading
import time
from typing import TYPE_CHECKING

from trainchart.cli.connection import add_connection_options, add_run_name, again, connected
from trainchart.cli.duration import seconds_of
from trainchart.cli.parser import Commands
from trainchart.errors import ExitCode
from trainchart.terminal import CLEAR, put, tell

if TYPE_CHECKING:
    from collections.abc import Callable

    from trainchart.follow.logs import Line
    from trainchart.run.state import Snapshot


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser(
        "wait",
        help="follow a run until it finishes, and exit with its exit code",
        description="Follow a run until it finishes: stage by stage, with its progress and with what keeps it from going on. "
        "The exit code is that of the run.",
        epilog="exit codes: 0 completed; 10 to 62 the runner's own; 143 stopped by a user; 3 timed out; 4 no such run; "
        "5 API server away; 6 no right; 7 failed with no reason reported; docs/exit-codes.md has all",
    )
    add_run_name(parser)
    parser.add_argument("--timeout", type=seconds_of, metavar="D", help="for the end (default: none); such as 90m, 12h")
    parser.add_argument("--start-timeout", type=seconds_of, metavar="D", help="for the start (default: none)")
    parser.add_argument("--quiet", action="store_true", help="say how it ended, and nothing before")
    parser.add_argument("--logs", action="store_true", help="print what all its pods print")
    add_connection_options(parser)


def run(options: argparse.Namespace) -> int:
    """Also the last part of `submit`."""
    console = Console(quiet=options.quiet)
    try:
        return _follow(options, console)
    except KeyboardInterrupt:
        console.live("")
        tell(f"stopped following; the run continues: {again(options, 'wait {}')}")
        return ExitCode.INTERRUPTED


def _follow(options: argparse.Namespace, console: Console) -> int:
    from trainchart.cli.logs import Printer
    from trainchart.follow.wait import Limits, wait

    def show_logs(snapshot: Snapshot) -> Callable[[Line], None]:
        printer = Printer(snapshot.replicas > 1, False, snapshot.replicas)
        printer.before, printer.lock = console.clear.encode(), console.lock
        return printer.show

    try:
        ended = wait(
            connected(options),
            options.name,
            console,
            limits=Limits(options.timeout, options.start_timeout),
            show_logs=show_logs if options.logs and not options.quiet else None,
        )
    finally:
        console.live("")
    for line in ended.lines:
        put(line)
    return ended.code


class Console:
    """Lines that stay, and below them one that is replaced, where the output is a terminal."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._is_terminal = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
        self.clear = CLEAR if self._is_terminal else ""
        self.lock = threading.RLock()
        self._drawn = ""
        self._drawn_at = 0.0

    def line(self, words: str) -> None:
        if self._quiet:
            return
        with self.lock:
            put(words, before=self.clear)
            self._drawn = ""

    def live(self, words: str) -> None:
        """An empty one leaves the line empty."""
        if not self._is_terminal or self._quiet:
            return
        with self.lock:
            if words == self._drawn or (words and time.monotonic() - self._drawn_at < 0.2):
                return
            width = shutil.get_terminal_size().columns - 1
            put(words[:width], before=CLEAR, end="")
            self._drawn, self._drawn_at = words, time.monotonic()
