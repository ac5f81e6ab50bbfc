"""`trainchart wait`: follow a run until it finishes, and exit with its exit code."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from trainchart.cli.console import Console, LogPrinter
from trainchart.cli.options import add_connection_options, add_follow_options, add_run_name, command_line, connect
from trainchart.cli.parser import Commands, exit_codes
from trainchart.errors import ExitCode
from trainchart.terminal import print_message, print_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from trainchart.follow.logs import Line
    from trainchart.run.state import Snapshot


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser(
        "wait",
        help="follow a run until it finishes, and exit with its exit code",
        description="Follow a run until it finishes: stage by stage, with its progress and with what is blocking it. "
        "The exit code is that of the run.",
        epilog=exit_codes(
            ExitCode.TIMED_OUT, ExitCode.NOT_FOUND, ExitCode.UNREACHABLE, ExitCode.FORBIDDEN, ExitCode.RUN_FAILED,
            ok="completed", also="10 to 63 the runner's own; 143 stopped by a user",
        ),
    )  # fmt: skip
    add_run_name(parser)
    add_follow_options(parser)
    add_connection_options(parser)


def run(options: argparse.Namespace) -> int:
    """Also the last part of `trainchart submit`."""
    console = Console(quiet=options.quiet)
    try:
        return _follow(options, console)
    except KeyboardInterrupt:
        console.live("")
        print_message(f"stopped following; the run continues: {command_line(options, 'wait {}')}")
        return ExitCode.INTERRUPTED


def _follow(options: argparse.Namespace, console: Console) -> int:
    from trainchart.follow.wait import Limits, wait

    def show_logs(snapshot: Snapshot) -> Callable[[Line], None]:
        return LogPrinter(replicas=snapshot.replicas, console=console).show

    try:
        outcome = wait(
            connect(options),
            options.name,
            console,
            limits=Limits(options.timeout, options.start_timeout),
            show_logs=show_logs if options.logs and not options.quiet else None,
        )
    finally:
        console.live("")
    for line in outcome.lines:
        print_text(line)
    return outcome.code
