"""`trainchart list`: the runs of a namespace."""

from __future__ import annotations

import argparse

from trainchart.cli.connection import add_connection_options, connected
from trainchart.cli.output import add_format_option, show
from trainchart.cli.parser import Commands
from trainchart.errors import ExitCode

# As run/state.py has them, whose import costs more than `--help` should.
STATES = ("pending", "running", "restarting", "ending", "completed", "failed", "stopped")


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser(
        "list",
        help="list the runs of a namespace",
        description="List the runs of a namespace, the newest first: each that has a Job, by one call to the API server.",
        epilog="exit codes: 0 done, 5 the API server cannot be reached, 6 no right, 130 interrupted",
    )
    parser.add_argument("-A", "--all-namespaces", action="store_true", help="of all namespaces")
    parser.add_argument("--family", default="", metavar="NAME", help="only runs of this family")
    parser.add_argument(
        "--state",
        action="append",
        default=[],
        choices=STATES,
        metavar="STATE",
        help="only runs in this state (%(choices)s); may be repeated",
    )
    add_format_option(parser)
    add_connection_options(parser)


def run(options: argparse.Namespace) -> ExitCode:
    import json
    from datetime import datetime, timezone

    from trainchart.run.listing import aligned, as_object, runs, table
    from trainchart.run.state import State

    api = connected(options)
    found = runs(
        api,
        all_namespaces=options.all_namespaces,
        family=options.family,
        states=[State(word) for word in options.state],
    )
    if options.format == "json":
        show(json.dumps([as_object(one) for one in found], indent=2))
    elif found:
        cells = table(found, datetime.now(timezone.utc), with_namespace=options.all_namespaces)
        show("\n".join(aligned(cells)))
    else:
        where = "any namespace" if options.all_namespaces else f"namespace {api.namespace}"
        chosen = " of this family and state" if options.family or options.state else ""
        show(f"no runs{chosen} in {where}")
    return ExitCode.OK
