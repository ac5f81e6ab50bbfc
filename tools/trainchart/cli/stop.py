"""`trainchart stop`: stop a run gracefully."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from trainchart.cli.console import LogPrinter
from trainchart.cli.options import add_connection_options, add_run_name, command_line, connect, parse_duration
from trainchart.cli.parser import Commands, exit_codes
from trainchart.errors import ExitCode, FileError
from trainchart.terminal import print_message, print_text

if TYPE_CHECKING:
    from trainchart.run.state import Snapshot


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser(
        "stop",
        help="stop a run gracefully; what is installed of it stays",
        description="Stop a run gracefully (Volcano: AbortJob) and wait until its pods are gone. What is installed of it stays. On "
        "a claim the runner saves its log; if the workspace is deleted with its pod, the log is written to a local file.",
        epilog=exit_codes(
            ExitCode.TIMED_OUT, ExitCode.NOT_FOUND, ExitCode.UNREACHABLE, ExitCode.FORBIDDEN,
            ok="stopped, or finished before",
        ),
    )  # fmt: skip
    add_run_name(parser)
    parser.add_argument(
        "--logs",
        metavar="FILE",
        default="",
        help="append the logs of its pods to this file (default, without a claim: ./NAME.log)",
    )
    parser.add_argument(
        "--timeout",
        type=parse_duration,
        default=180.0,
        metavar="DURATION",
        help="wait so long for its pods (default: 3m)",
    )
    add_connection_options(parser)


def run(options: argparse.Namespace) -> ExitCode:
    from trainchart.follow.stop import keeps_logs, stop
    from trainchart.run import state

    api, name = connect(options), options.name
    before = state.load(api, name)
    file = options.logs or ("" if keeps_logs(before) or not before.pods else f"{name}.log")
    with _log_printer(before, file) as printer:
        try:
            outcome = stop(
                api, before, print_message, show=printer.show if printer else None, seconds=options.timeout
            )  # fmt: skip
        except KeyboardInterrupt:
            print_message(f"{name} is stopping nevertheless; to wait for it, run: {command_line(options, 'stop {}')}")
            return ExitCode.INTERRUPTED
    after = outcome.snapshot
    if outcome.had_finished:
        gone = after.state is state.State.NO_JOB
        print_text(f"the Job of {name} was deleted already" if gone else f"{name} had finished: {after.state.value}")
        return ExitCode.OK
    if after.state is state.State.STOPPED:
        print_text(f"{name} is stopped; {after.uninstall}")
    else:
        print_text(f"{name} {after.state.value} before it could be stopped")
    if file:
        print_text(f"the logs of its pods are in {file}")
    elif keeps_logs(before):
        saved = command_line(options, f"logs {{}} --attempt {after.attempt + 1}")
        print_text(f"the logs of its pods are in its workspace: {saved}")
    return ExitCode.OK


@contextmanager
def _log_printer(snapshot: Snapshot, file: str) -> Iterator[LogPrinter | None]:
    """Prints logs to a file; None without a file, and for a run that has finished."""
    if not file or snapshot.has_finished:
        yield None
        return
    with ExitStack() as stack:
        try:
            out = stack.enter_context(Path(file).open("ab"))
        except OSError as error:
            raise FileError(
                f"--logs: {file} cannot be written: {error.strerror}; nothing was stopped; name another file by --logs"
            ) from None
        yield LogPrinter(replicas=snapshot.replicas, out=out)
