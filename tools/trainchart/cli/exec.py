"""`trainchart exec`: run a command in a pod of a run."""

from __future__ import annotations

import argparse
import sys

from trainchart.cli.options import add_connection_options, add_run_name, command_line, connect
from trainchart.cli.parser import Commands, exit_codes
from trainchart.errors import ExitCode, UsageError

_SHELL = ("sh", "-c", "command -v bash >/dev/null && exec bash || exec sh")


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser(
        "exec",
        passed_on="command_arguments",
        help="run a command in a pod of a run, or a shell",
        usage="trainchart exec RUN [--rank R] [options] [-- COMMAND ...]",
        description="Run a command in a pod of a run that is running, or that holdAfterFailure keeps. Without a command, a "
        "shell. It takes the rights to get and create pods/exec, which those who submit runs need not have: whoever has them can read "
        "what the pod's Secrets give it.",
        epilog=exit_codes(
            ExitCode.NOT_FOUND, ExitCode.UNREACHABLE, ExitCode.FORBIDDEN, ok="success", also="and those of the command"
        ),
    )
    add_run_name(parser)
    parser.add_argument("--rank", type=int, default=0, metavar="R", help="in the pod of this rank (default: 0)")
    add_connection_options(parser)


def run(options: argparse.Namespace) -> int:
    from trainchart.cluster.errors import NotFoundError
    from trainchart.cluster.terminal_session import execute
    from trainchart.run import state

    command = options.command_arguments
    interactive = sys.stdin.isatty() and sys.stdout.isatty()
    if not command and not interactive:
        raise UsageError("exec: a shell needs a terminal; name a command after --, such as -- df -h")
    api = connect(options)
    snapshot = state.load(api, options.name)
    pod = next((pod for pod in snapshot.pods if pod.rank == options.rank), None)
    if pod is None or not pod.is_running:
        is_ = "has finished" if pod and pod.has_finished else "does not run"
        why = f"`{command_line(options, 'status {}')}` says more"
        held = (
            "; holdAfterFailure: 30m in the values keeps the pods of a run that fails" if snapshot.has_finished else ""
        )
        raise NotFoundError(f"rank {options.rank} of {options.name} {is_}, so nothing can be run in it; {why}{held}")
    return execute(api, pod.name, pod.container, command or _SHELL, interactive=interactive)
