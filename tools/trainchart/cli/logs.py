"""`trainchart logs`: print the logs of a run's pods, all ranks as one stream."""

from __future__ import annotations

import argparse

from trainchart.cli.console import LogPrinter
from trainchart.cli.options import add_connection_options, add_run_name, command_line, connect, parse_duration
from trainchart.cli.parser import Commands, exit_codes
from trainchart.errors import ExitCode
from trainchart.terminal import print_message


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser(
        "logs",
        help="print the logs of a run's pods",
        description="Print the logs of a run's pods, all ranks as one stream. With -f it survives broken connections "
        "and restarts, prints every line once, and ends when the run has finished.",
        epilog=exit_codes(ExitCode.NOT_FOUND, ExitCode.UNREACHABLE, ExitCode.FORBIDDEN),
    )
    add_run_name(parser)
    parser.add_argument("-f", "--follow", action="store_true", help="follow the logs until the run has finished")
    parser.add_argument("--rank", type=_parse_rank, metavar="R", help="print only this rank, from 0")
    parser.add_argument("--tail", type=_parse_lines, metavar="N", help="start with the last N lines of each rank")
    parser.add_argument(
        "--since", type=parse_duration, metavar="DURATION", help="print only what is younger than this, such as 10m"
    )
    parser.add_argument(
        "--prefix",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="print the rank before each line (default: if there are several)",
    )
    parser.add_argument("--timestamps", action="store_true", help="print the time before each line")
    parser.add_argument(
        "--attempt",
        type=_parse_attempt,
        metavar="K",
        help="print an earlier attempt, from the workspace; 1 is the first. Starts a small pod, which needs the "
        "permission to create pods",
    )
    add_connection_options(parser)


def run(options: argparse.Namespace) -> ExitCode:
    from trainchart.follow.logs import current_lines, follow, no_pods
    from trainchart.run import state

    api = connect(options)
    snapshot = state.load(api, options.name)
    pods = [pod for pod in snapshot.pods if options.rank in (None, pod.rank)]
    if options.attempt is not None and (options.attempt - 1 != snapshot.attempt or not pods):
        return _print_saved_logs(options)
    if options.rank is not None and options.rank >= snapshot.replicas > 0 and snapshot.job:
        print_message(f"--rank: {options.name} has ranks 0 to {snapshot.replicas - 1}")
        return ExitCode.REFUSED
    prefix = False if options.prefix is None and options.rank is not None else options.prefix
    printer = LogPrinter(replicas=snapshot.replicas, prefix=prefix, timestamps=options.timestamps)
    ranks = [] if options.rank is None else [options.rank]
    since = _moment_before_now(options.since)
    if options.follow and not (snapshot.has_finished and not pods):
        try:
            follow(
                api,
                snapshot,
                printer.show,
                print_message,
                closed=printer.closed,
                ranks=ranks,
                tail=options.tail,
                since=since,
            )
        except KeyboardInterrupt:
            print_message(f"stopped following; the run continues: {command_line(options, 'logs -f {}')}")
            return ExitCode.INTERRUPTED
        return ExitCode.OK
    if not pods:
        print_message(no_pods(snapshot, lambda command: command_line(options, command)))
        return ExitCode.NOT_FOUND
    for line in current_lines(api, pods, print_message, options.tail, since):
        if printer.closed.is_set():
            break
        printer.show(line)
    return ExitCode.OK


def _print_saved_logs(options: argparse.Namespace) -> ExitCode:
    from trainchart.run.attempts import kept_logs

    if options.follow or options.timestamps or options.since is not None:
        print_message("--attempt: -f, --since and --timestamps have no effect on a saved log")
    ranks = None if options.rank is None else [options.rank]
    logs = kept_logs(connect(options), options.name, options.attempt - 1, ranks, print_message)
    prefix = len(logs) > 1 if options.prefix is None else options.prefix
    printer = LogPrinter(replicas=max(logs, default=0) + 1, prefix=prefix)
    for rank, text in sorted(logs.items()):
        lines = text.splitlines()
        for line in lines if options.tail is None else lines[max(len(lines) - options.tail, 0) :]:
            printer.write(rank, line)
    return ExitCode.OK


def _moment_before_now(seconds: float | None) -> str:
    """A time for Kubernetes, which counts whole seconds; empty for none."""
    from datetime import datetime, timedelta, timezone

    from trainchart.units import stamp

    return "" if seconds is None else stamp(datetime.now(timezone.utc) - timedelta(seconds=seconds)) or ""


def _parse_rank(value: str) -> int:
    return _parse_number(value, 0, "ranks count from 0")


def _parse_lines(value: str) -> int:
    return _parse_number(value, 0, "write how many lines")


def _parse_attempt(value: str) -> int:
    return _parse_number(value, 1, "attempts count from 1")


def _parse_number(value: str, minimum: int, fix: str) -> int:
    if not value.isascii() or not value.isdecimal() or int(value) < minimum:
        raise argparse.ArgumentTypeError(f"{value!r} is not valid; {fix}")
    return int(value)
