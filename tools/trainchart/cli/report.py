"""`trainchart report`: write the HTML page of a run, from the cluster or from saved files."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from trainchart.cli.options import add_connection_options, add_run_name, connect
from trainchart.cli.output import check_target, write_file
from trainchart.cli.parser import Commands, exit_codes
from trainchart.errors import ExitCode, UsageError
from trainchart.terminal import write_bytes

if TYPE_CHECKING:
    from trainchart.run.record import Record


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser(
        "report",
        help="write an HTML page with a run's curves, parameters, commits and times",
        description="Write one HTML page about a run: curves, settings, commits, stages and artifacts. It needs "
        "neither network nor scripts. With --log it is made from saved files, without a cluster.",
        epilog=exit_codes(ExitCode.NOT_FOUND, ExitCode.UNREACHABLE, ExitCode.FORBIDDEN),
    )
    add_run_name(parser)
    parser.add_argument("--write", metavar="FILE", required=True, help="write to this file; - is the standard output")
    parser.add_argument("--force", action="store_true", help="replace FILE if it exists")
    parser.add_argument("--log", metavar="FILE", help="log of rank 0, as printed by `kubectl logs`")
    parser.add_argument("--result", metavar="FILE", help="with --log: result.json, or the termination message")
    parser.add_argument("--settings", metavar="FILE", help="with --log: settings.json of the ConfigMap NAME-run")
    add_connection_options(parser)


def run(options: argparse.Namespace) -> int:
    from trainchart.report.page import page

    file = Path(options.write)
    to_stdout = options.write == "-"
    if not to_stdout:
        check_target(file, force=options.force)
    content = page(_load_record(options))
    if to_stdout:
        write_bytes(content.encode("utf-8"))
    else:
        write_file(file, content, force=options.force)
    return ExitCode.OK


def _load_record(options: argparse.Namespace) -> Record:
    if options.log:
        from trainchart.run.record import load_files

        result, settings = (Path(name) if name else None for name in (options.result, options.settings))
        return load_files(options.name, options.namespace, log=Path(options.log), result=result, settings=settings)
    if options.result or options.settings:
        raise UsageError("report: --result and --settings need --log; add --log FILE, or omit them to read the cluster")
    from trainchart.follow.record import load

    return load(connect(options), options.name)
