"""`trainchart result`: what a run came to."""

from __future__ import annotations

import argparse
import shutil
import sys
from typing import TYPE_CHECKING

from trainchart.cli.connection import add_connection_options, add_run_name, again, connected
from trainchart.cli.output import add_format_option, complain, show
from trainchart.cli.parser import Commands
from trainchart.errors import ExitCode
from trainchart.terminal import tell

if TYPE_CHECKING:
    from trainchart.run.record import Record


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser(
        "result",
        help="what a run came to: branch, commit, metrics, files, curve",
        description="What a run came to: the branch and commit it was pushed to, its metrics and files, and its curve.",
        epilog="exit codes: 0 there is a result, 4 no such run or no result (yet), 5 API server away, 6 no right, 8 the "
        "workspace could not be read",
    )
    add_run_name(parser)
    add_format_option(parser)
    parser.add_argument(
        "--whole",
        action="store_true",
        help="with all files, from the run's workspace: starts a small pod that reads it (right: create pods)",
    )
    add_connection_options(parser)


def run(options: argparse.Namespace) -> ExitCode:
    import json

    from trainchart.follow.record import load

    record = load(connected(options), options.name, tell, whole=options.whole)
    as_json = options.format == "json"
    if record.result is None:
        complain(_none(record, options), ExitCode.NOT_FOUND, as_json=as_json)
        return ExitCode.NOT_FOUND
    show(json.dumps(record.result, indent=2) if as_json else "\n".join(_text(record)))
    return ExitCode.OK


def _text(record: Record) -> list[str]:
    from trainchart.follow.outcome import format_failure, format_result
    from trainchart.report.curve import curves

    lines = [
        f"{record.name}: {record.status}",
        *format_failure(record.result or {}),
        *format_result(record.result or {}, whole=True),
    ]
    width = min(shutil.get_terminal_size().columns, 100)
    drawn = curves(record.progress.metrics, width=width, encoding=sys.stdout.encoding)
    return [*lines, "", drawn] if drawn else lines


def _none(record: Record, options: argparse.Namespace) -> str:
    from trainchart.cluster.fields import dig, text

    name = record.name
    if record.status in ("pending", "running", "restarting", "ending"):
        return f"{name} is {record.status} and has no result yet; {again(options, 'wait {}')} follows it"
    branch = text(record.settings, "publish", "branch")
    repository = text(record.settings, "publish", "repository")
    published = ""
    if repository:
        published = f"; its result went to branch {branch or 'sft-<time>'} of {repository}"
    gone = f"the Job or the pods of {name} are gone{published}"
    if dig(record.settings, "workspace", "shared") is False:
        return gone + ("" if published else "; its workspace was an emptyDir, and its result is gone with it")
    return f"{gone}; {again(options, 'result {} --whole')} reads its workspace"
