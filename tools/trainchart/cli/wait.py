"""`trainchart wait`: follow a run until it finishes, and exit with its exit code."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from trainchart.cli import signals
from trainchart.cli.console import Console, LogPrinter
from trainchart.cli.options import add_connection_options, add_follow_options, add_run_name, command_line, connect
from trainchart.cli.parser import Commands, exit_codes
from trainchart.errors import ExitCode
from trainchart.terminal import print_message, print_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from trainchart.cluster.api import Api
    from trainchart.follow.logs import Line
    from trainchart.follow.outcome import Outcome
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
    signals.interrupt_once()
    return follow(options).code


def follow(options: argparse.Namespace) -> Outcome:
    """Follow a run and print its outcome; also the last part of `trainchart submit`."""
    console = Console(quiet=options.quiet)
    try:
        return _follow(options, console)
    except KeyboardInterrupt:
        console.live("")
        return interrupted(options)


def interrupted(options: argparse.Namespace) -> Outcome:
    """What becomes of the run that the command has followed, when a signal comes.

    Raises:
        ForbiddenError, UnreachableError: it could not be stopped.
    """
    from trainchart.cluster import own_pod
    from trainchart.follow.outcome import Outcome

    again = command_line(options, "wait {}")
    if options.on_signal == "leave":
        print_message(f"stopped following; the run continues: {again}")
        return Outcome(ExitCode.INTERRUPTED, [])
    api = connect(options)
    if own_pod.is_evicted(api):
        print_message(f"the cluster evicts this pod; the run continues: {again}")
        return Outcome(ExitCode.INTERRUPTED, [])
    print_message(f"stopping {options.name}")
    return Outcome(signals.exit_code(), [], _stop(api, options))


def _stop(api: Api, options: argparse.Namespace) -> Snapshot | None:
    """Stop the run; return how it was last seen."""
    from trainchart.cluster.errors import NotFoundError
    from trainchart.follow.stop import StillStoppingError, stop_at_once
    from trainchart.run.state import State

    try:
        stopped = stop_at_once(api, options.name, print_message, seconds=options.stop_timeout)
    except (NotFoundError, StillStoppingError) as error:
        print_message(str(error))
        return None
    run = stopped.snapshot
    if stopped.had_finished:
        print_message(f"{run.name} had finished: {run.state.value}")
    elif run.state is State.STOPPED:
        print_message(f"{run.name} is stopped; its release stays; {run.uninstall}")
    else:
        print_message(f"{run.name} {run.state.value} before it could be stopped")
    return run


def _follow(options: argparse.Namespace, console: Console) -> Outcome:
    from trainchart.follow.guard import take_up_if_guarded
    from trainchart.follow.retry import Retry
    from trainchart.follow.wait import Limits, wait

    def show_logs(snapshot: Snapshot) -> Callable[[Line], None]:
        return LogPrinter(replicas=snapshot.replicas, console=console).show

    api = connect(options)
    if options.on_signal == "stop":
        Retry().call(lambda: take_up_if_guarded(api, options.name))
    try:
        outcome = wait(
            api,
            options.name,
            console,
            limits=Limits(options.timeout, options.start_timeout),
            show_logs=show_logs if options.logs and not options.quiet else None,
        )
    finally:
        console.live("")
    for line in outcome.lines:
        print_text(line)
    return outcome
