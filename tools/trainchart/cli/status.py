"""`trainchart status`: show the state of a run, and what is blocking it."""

from __future__ import annotations

import argparse
import math
import sys
from typing import TYPE_CHECKING

from trainchart.cli.options import add_connection_options, add_format_option, add_run_name, connect
from trainchart.cli.output import has_colours
from trainchart.cli.parser import Commands, exit_codes
from trainchart.errors import ExitCode
from trainchart.terminal import has_reader, print_message, print_text, printable

if TYPE_CHECKING:
    from trainchart.cluster.api import Api
    from trainchart.follow.watcher import Status

# The screen is redrawn every second, for the clock and the window's size; the API server is called less often.
DRAW_SECONDS = 1.0
CHANGE_SECONDS = 0.5
_HIDE_CURSOR, _SHOW_CURSOR = "\033[?25l", "\033[?25h"


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser(
        "status",
        help="show the state of a run and what is blocking it",
        description="Show the state of a run: its stage and progress, its pods, and why it is blocked or has failed.",
        epilog=exit_codes(
            ExitCode.NOT_FOUND, ExitCode.UNREACHABLE, ExitCode.FORBIDDEN,
            ok="whatever the state of the run (`trainchart wait` exits with the run's code)",
        ),
    )  # fmt: skip
    add_run_name(parser)
    parser.add_argument(
        "-w",
        "--watch",
        action="store_true",
        help="watch the run until it has finished: redraw a terminal, else print a line per change",
    )
    add_format_option(parser)
    add_connection_options(parser)


def run(options: argparse.Namespace) -> ExitCode:
    from trainchart.follow.status import load_status

    api = connect(options)
    status = load_status(api, options.name)
    if not options.watch and options.format == "json":
        print_text(_format_json(status, indent=2))
    elif not options.watch:
        print_text(_format_text(status), styled=True)
    elif options.format == "text" and sys.stdout.isatty():
        _watch_in_place(api, status)
    else:
        _watch_changes(api, status, as_json=options.format == "json")
    return ExitCode.OK


def _format_text(status: Status) -> str:
    from datetime import datetime, timezone

    from trainchart.follow.screen import lines

    return "\n".join(lines(status, datetime.now(timezone.utc), width=_columns(), colour=has_colours()))


def _format_json(status: Status, indent: int | None = None) -> str:
    import json

    from trainchart.follow.status import as_object

    return json.dumps(as_object(status), indent=indent)


def _columns() -> int:
    """The width of the terminal; 0 if the output is none, where nothing is folded."""
    import shutil

    return shutil.get_terminal_size().columns - 1 if sys.stdout.isatty() else 0


def _watch_in_place(api: Api, status: Status) -> None:
    import shutil
    import time
    from datetime import datetime, timezone

    from trainchart.follow.retry import Retry
    from trainchart.follow.screen import Picture, lines
    from trainchart.follow.status import watch

    retry, picture = Retry(lambda _: None, limit=math.inf), Picture()
    print_text("", prefix=_HIDE_CURSOR, end="")
    try:
        for latest in watch(api, status, retry).statuses(lambda: time.sleep(DRAW_SECONDS)):
            size = shutil.get_terminal_size()
            rows = lines(latest, datetime.now(timezone.utc), width=size.columns - 1, colour=has_colours())
            if retry.trouble:
                rows.append(printable(retry.trouble))
            print_text("", prefix=picture.next(rows, size.columns, size.lines), end="")
    finally:
        retry.cancel()
        print_text("", prefix=_SHOW_CURSOR, end="")


def _watch_changes(api: Api, status: Status, *, as_json: bool) -> None:
    import time
    from datetime import datetime

    from trainchart.follow.retry import Retry
    from trainchart.follow.screen import change
    from trainchart.follow.status import watch

    retry, printed = Retry(print_message, limit=math.inf), ""
    try:
        for latest in watch(api, status, retry).statuses(lambda: time.sleep(CHANGE_SECONDS)):
            text = change(latest)
            if text != printed:
                printed = text
                print_text(_format_json(latest) if as_json else f"{datetime.now().astimezone():%H:%M:%S} {text}")
            if not has_reader():
                return
    finally:
        retry.cancel()
