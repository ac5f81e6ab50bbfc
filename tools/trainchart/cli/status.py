"""`trainchart status`: where a run is, and what keeps it from going on."""

from __future__ import annotations

import argparse
import math
import sys
from typing import TYPE_CHECKING

from trainchart.cli.connection import add_connection_options, add_run_name, connected
from trainchart.cli.output import add_format_option, is_coloured, show
from trainchart.cli.parser import Commands
from trainchart.errors import ExitCode
from trainchart.terminal import has_reader, printable, put, tell

if TYPE_CHECKING:
    from trainchart.cluster.api import Api
    from trainchart.follow.watcher import Status

# The picture is redrawn every second, for the clock and the window's size; the API server is called less often.
DRAW_SECONDS = 1.0
CHANGE_SECONDS = 0.5


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser(
        "status",
        help="say where a run is, and what keeps it",
        description="Say where a run is: its stage and progress, its pods, and why it does not go on or why it failed.",
        epilog="exit codes: 0 whatever the state of the run is (`trainchart wait` ends with the run's own code), 4 no such "
        "run, 5 the API server cannot be reached, 6 no right, 130 interrupted",
    )
    add_run_name(parser)
    parser.add_argument(
        "-w",
        "--watch",
        action="store_true",
        help="go on until the run has ended: one picture in a terminal, else a line per change",
    )
    add_format_option(parser)
    add_connection_options(parser)


def run(options: argparse.Namespace) -> ExitCode:
    from trainchart.follow.status import load_status

    api = connected(options)
    status = load_status(api, options.name)
    if not options.watch and options.format == "json":
        show(_json(status, indent=2))
    elif not options.watch:
        show(_text(status), styled=True)
    elif options.format == "text" and sys.stdout.isatty():
        _watch_in_place(api, status)
    else:
        _watch_changes(api, status, as_json=options.format == "json")
    return ExitCode.OK


def _text(status: Status) -> str:
    from datetime import datetime, timezone

    from trainchart.follow.screen import lines

    return "\n".join(lines(status, datetime.now(timezone.utc), width=_columns(), colour=is_coloured()))


def _json(status: Status, indent: int | None = None) -> str:
    import json

    from trainchart.follow.status import as_object

    return json.dumps(as_object(status), indent=indent)


def _columns() -> int:
    """Of the terminal; 0 where there is none, and nothing is folded."""
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
    put("", before="\033[?25l", end="")  # hide the cursor
    try:
        for latest in watch(api, status, retry).statuses(lambda: time.sleep(DRAW_SECONDS)):
            size = shutil.get_terminal_size()
            rows = lines(latest, datetime.now(timezone.utc), width=size.columns - 1, colour=is_coloured())
            if retry.trouble:
                rows.append(printable(retry.trouble))
            put("", before=picture.next(rows, size.columns, size.lines), end="")
    finally:
        retry.cancel()
        put("", before="\033[?25h", end="")


def _watch_changes(api: Api, status: Status, *, as_json: bool) -> None:
    import time
    from datetime import datetime

    from trainchart.follow.retry import Retry
    from trainchart.follow.screen import change
    from trainchart.follow.status import watch

    retry, printed = Retry(tell, limit=math.inf), ""
    try:
        for latest in watch(api, status, retry).statuses(lambda: time.sleep(CHANGE_SECONDS)):
            text = change(latest)
            if text != printed:
                printed = text
                show(_json(latest) if as_json else f"{datetime.now().astimezone():%H:%M:%S} {text}")
            if not has_reader():
                return
    finally:
        retry.cancel()
