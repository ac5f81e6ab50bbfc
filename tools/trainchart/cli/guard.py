"""`trainchart guard`: stop a run that nobody follows any more."""

from __future__ import annotations

import argparse

from trainchart.cli.options import add_connection_options, add_run_name, connect, parse_duration
from trainchart.cli.parser import Commands, exit_codes
from trainchart.errors import ExitCode
from trainchart.terminal import print_message


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser(
        "guard",
        help="stop a run whose follower is gone (`submit --guard` runs it in a pod)",
        description="Wait until a run has finished, and stop it if the pod that follows it has ended or is gone, and no "
        "other has taken it up. `trainchart submit --guard` runs this in a pod of its own.",
        epilog=exit_codes(ExitCode.UNREACHABLE, ExitCode.FORBIDDEN, ok="the run has finished, or is gone"),
    )
    add_run_name(parser)
    parser.add_argument(
        "--timeout", type=parse_duration, default=120.0, metavar="DURATION",
        help="how long nobody may follow the run (default: 2m)",
    )  # fmt: skip
    add_connection_options(parser)


def run(options: argparse.Namespace) -> ExitCode:
    from trainchart.follow.guard import guard

    guard(connect(options), options.name, print_message, seconds=options.timeout)
    return ExitCode.OK
