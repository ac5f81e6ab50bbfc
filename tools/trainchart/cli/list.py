"""`trainchart list`: list the runs of a namespace."""

from __future__ import annotations

import argparse

from trainchart.cli.options import add_connection_options, add_format_option, connect
from trainchart.cli.parser import Commands, exit_codes
from trainchart.errors import ExitCode
from trainchart.terminal import print_text

# As in run/state.py, which would make `--help` slow.
STATES = ("pending", "running", "restarting", "ending", "completed", "failed", "stopped")


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser(
        "list",
        help="list the runs of a namespace",
        description="List the runs of a namespace that have a Job, the newest first.",
        epilog=exit_codes(ExitCode.UNREACHABLE, ExitCode.FORBIDDEN),
    )
    parser.add_argument("-A", "--all-namespaces", action="store_true", help="list the runs of all namespaces")
    parser.add_argument("--family", default="", metavar="NAME", help="list only runs of this family")
    parser.add_argument(
        "--state",
        action="append",
        default=[],
        choices=STATES,
        metavar="STATE",
        help="list only runs in this state (%(choices)s); may be repeated",
    )
    add_format_option(parser, "name")
    add_connection_options(parser)


def run(options: argparse.Namespace) -> ExitCode:
    import json
    from datetime import datetime, timezone

    from trainchart.run.listing import aligned, as_object, runs, table
    from trainchart.run.state import State

    api = connect(options)
    found = runs(
        api,
        all_namespaces=options.all_namespaces,
        family=options.family,
        states=[State(state) for state in options.state],
    )
    now = datetime.now(timezone.utc)
    if options.format == "json":
        print_text(json.dumps([as_object(row, now) for row in found], indent=2))
    elif options.format == "name":
        print_text("\n".join(row.name for row in found))
    elif found:
        cells = table(found, now, with_namespace=options.all_namespaces)
        print_text("\n".join(aligned(cells)))
    else:
        where = "any namespace" if options.all_namespaces else f"namespace {api.namespace}"
        chosen = " of this family and state" if options.family or options.state else ""
        print_text(f"no runs{chosen} in {where}")
    return ExitCode.OK
