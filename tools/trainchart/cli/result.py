"""`trainchart result`: show the result of a run."""

from __future__ import annotations

import argparse
import shutil
import sys
from typing import TYPE_CHECKING

from trainchart.cli.options import add_connection_options, add_format_option, add_run_name, command_line, connect
from trainchart.cli.output import print_error
from trainchart.cli.parser import Commands, exit_codes
from trainchart.errors import ExitCode
from trainchart.terminal import print_message, print_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trainchart.run.record import Record


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser(
        "result",
        help="show the result of a run: where it is, metrics, files, curve",
        description="Show the result of a run: the branch and commit, or the folder of a bucket, where it is, its metrics "
        "and files, and its curve.",
        epilog=exit_codes(
            ExitCode.NOT_FOUND, ExitCode.UNREACHABLE, ExitCode.FORBIDDEN, also="8 workspace not readable"
        ),
    )  # fmt: skip
    add_run_name(parser)
    add_format_option(parser)
    parser.add_argument(
        "--whole",
        action="store_true",
        help="show all files, from the run's workspace. Starts a small pod, which needs the permission to create pods",
    )
    add_connection_options(parser)


def run(options: argparse.Namespace) -> ExitCode:
    import json

    from trainchart.follow.record import load

    record = load(connect(options), options.name, print_message, whole=options.whole)
    as_json = options.format == "json"
    if record.result is None:
        print_error(_no_result_message(record, options), ExitCode.NOT_FOUND, as_json=as_json)
        return ExitCode.NOT_FOUND
    print_text(json.dumps(record.result, indent=2) if as_json else "\n".join(_format_text(record)))
    return ExitCode.OK


def _format_text(record: Record) -> list[str]:
    from trainchart.follow.outcome import format_failure, format_result
    from trainchart.report.curve import curves

    lines = [
        f"{record.name}: {record.status}",
        *format_failure(record.result or {}),
        *format_result(record.result or {}, whole=True),
        *_device_hours(record),
    ]
    width = min(shutil.get_terminal_size().columns, 100)
    drawn = curves(record.progress.metrics, width=width, encoding=sys.stdout.encoding)
    return [*lines, "", drawn] if drawn else lines


def _device_hours(record: Record) -> Iterator[str]:
    from trainchart.cluster.fields import number

    devices = number(record.settings, "accelerator", "count") * (number(record.settings, "replicas") or 1)
    if devices and record.started and record.ended:
        hours = devices * (record.ended - record.started).total_seconds() / 3600
        yield f"  {'devices':<12} {devices}, {hours:.1f} device-hours"


def _no_result_message(record: Record, options: argparse.Namespace) -> str:
    from trainchart.cluster.fields import text
    from trainchart.run.settings import target

    name = record.name
    if record.status in ("pending", "running", "restarting", "ending"):
        return f"{name} is {record.status} and has no result yet; to follow it, run: {command_line(options, 'wait {}')}"
    whole = f"to read its workspace, run: {command_line(options, 'result {} --whole')}"
    on_claim = text(record.settings, "workspace", "type") not in ("emptyDir", "ephemeral")
    if record.status in ("failed", "stopped"):
        why = f"for the reason, run: {command_line(options, 'status {}')}"
        gone = f"{name} {'has failed' if record.status == 'failed' else 'was stopped'}, and the pods that had its result are gone"
        return f"{gone}; {why}" + (f"; {whole}" if on_claim else "")
    where = target(record.settings)
    # How a run ended whose Job is gone is not known.
    completed = (
        "its result was published" if record.status == "completed" else "if it completed, its result was published"
    )
    published = f"; {completed} to {where}" if where else ""
    gone = f"the Job or the pods of {name} were deleted{published}"
    if on_claim:
        return f"{gone}; {whole}"
    return gone + ("" if published else "; its workspace was deleted with them, and its result is lost")
