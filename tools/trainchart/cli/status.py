"""`trainchart status`: where a run is, and what keeps it."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from trainchart.cli.connection import add_connection_options, add_run_name, connected
from trainchart.cli.output import add_format_option, is_coloured, show
from trainchart.cli.parser import Commands
from trainchart.errors import ExitCode
from trainchart.terminal import has_reader, printable, put, tell

if TYPE_CHECKING:
    from trainchart.cluster.api import Api
    from trainchart.follow.status import Status

# The picture is drawn anew every second, for the clock and the window's size; the cluster is asked less often.
DRAW_SECONDS = 1.0
LOOK_SECONDS = 2.0
# A diagnosis makes several calls, and its outcome rarely changes.
DIAGNOSE_SECONDS = 10.0


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
    from trainchart.follow.status import look

    api = connected(options)
    status = look(api, options.name)
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


class _Looker:
    """Looks again and again; an API server that is away for a while is waited for."""

    def __init__(self, api: Api, status: Status) -> None:
        import time

        self.api, self.status, self.trouble = api, status, ""
        self._looked = self._diagnosed = time.monotonic()

    def look(self, every: float) -> None:
        import time

        from trainchart.cluster.errors import UnreachableError
        from trainchart.follow.status import refreshed

        now = time.monotonic()
        if now - self._looked < every:
            return
        with_causes = now - self._diagnosed >= DIAGNOSE_SECONDS
        try:
            self.status = refreshed(self.api, self.status, with_causes=with_causes)
            self.trouble = ""
        except UnreachableError as error:
            self.trouble = f"{error}; trying again"
        self._looked = time.monotonic()
        if with_causes:
            self._diagnosed = self._looked


def _watch_in_place(api: Api, status: Status) -> None:
    import shutil
    import time
    from datetime import datetime, timezone

    from trainchart.follow.screen import Picture, lines

    looker, picture = _Looker(api, status), Picture()
    put("", before="\033[?25l", end="")  # no cursor
    try:
        while True:
            size = shutil.get_terminal_size()
            now = datetime.now(timezone.utc)
            rows = lines(looker.status, now, width=size.columns - 1, colour=is_coloured())
            if looker.trouble:
                rows.append(printable(looker.trouble))
            put("", before=picture.next(rows, size.columns, size.lines), end="")
            if looker.status.is_over:
                return
            time.sleep(DRAW_SECONDS)
            looker.look(LOOK_SECONDS)
    finally:
        put("", before="\033[?25h", end="")


def _watch_changes(api: Api, status: Status, *, as_json: bool) -> None:
    import time
    from datetime import datetime

    from trainchart.follow.screen import change

    looker, said, trouble = _Looker(api, status), "", ""
    while True:
        words = change(looker.status)
        if words != said:
            said = words
            show(_json(looker.status) if as_json else f"{datetime.now().astimezone():%H:%M:%S} {words}")
        if looker.trouble != trouble:
            trouble = looker.trouble
            tell(trouble or "the API server answers again")
        if looker.status.is_over or not has_reader():
            return
        time.sleep(LOOK_SECONDS)
        looker.look(0)
