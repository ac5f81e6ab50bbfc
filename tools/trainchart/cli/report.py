"""`trainchart report`: the page of a run, of one in the cluster or of files that were kept."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from trainchart import terminal
from trainchart.cli.connection import add_connection_options, add_run_name, connected
from trainchart.cli.output import refuse_existing, write
from trainchart.cli.parser import Commands
from trainchart.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from trainchart.run.record import Record


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser(
        "report",
        help="write a run's curves, parameters, commits and times into one HTML page",
        description="Write one HTML page about a run: its curves, settings, commits, stages and artifacts. It needs no network "
        "and no script to be read. With --log it is made from files that were kept, and no cluster is asked.",
        epilog="exit codes: 0 done, 2 refused (files or usage); the others are in docs/exit-codes.md",
    )
    add_run_name(parser)
    parser.add_argument("--write", metavar="FILE", required=True, help="the page to write; - is the standard output")
    parser.add_argument("--force", action="store_true", help="replace FILE where it exists")
    parser.add_argument("--log", metavar="FILE", help="the log of rank 0, such as `kubectl logs` prints it")
    parser.add_argument("--result", metavar="FILE", help="with --log: result.json, or the termination message")
    parser.add_argument("--settings", metavar="FILE", help="with --log: settings.json of the ConfigMap NAME-run")
    add_connection_options(parser)


def run(options: argparse.Namespace) -> int:
    """Write the page that the command line asks for; the result is an exit code."""
    from trainchart.report.page import page

    if options.write == "-":
        terminal.write(page(_record(options)).encode("utf-8"))
        return ExitCode.OK
    output = Path(options.write)
    refuse_existing(output, force=options.force)
    write(output, page(_record(options)), force=options.force)
    return ExitCode.OK


def _record(options: argparse.Namespace) -> Record:
    if options.log:
        from trainchart.run.record import of_files

        result, settings = (Path(name) if name else None for name in (options.result, options.settings))
        return of_files(options.name, options.namespace, log=Path(options.log), result=result, settings=settings)
    if options.result or options.settings:
        raise UsageError(
            "report: --result and --settings go with --log; add --log FILE, or ask the cluster with none of them"
        )
    from trainchart.follow.record import load

    return load(connected(options), options.name)
