"""`trainchart logs`: what the pods of a run print, all ranks as one stream."""

from __future__ import annotations

import argparse
import sys
import threading
from typing import TYPE_CHECKING, BinaryIO

from trainchart.cli.connection import add_connection_options, add_run_name, again, connected
from trainchart.cli.output import is_coloured
from trainchart.cli.parser import Commands
from trainchart.errors import ExitCode
from trainchart.terminal import silence, tell

if TYPE_CHECKING:
    from trainchart.follow.logs import Line
    from trainchart.run.state import Snapshot

_COLOURS = (36, 33, 32, 35, 34, 31)


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser(
        "logs",
        help="what the pods of a run print",
        description="What the pods of a run print, all ranks as one stream. With -f it goes on through broken connections and "
        "restarts, prints every line once, and ends when the run has.",
        epilog="exit codes: 0 done, 2 usage, 4 no such run or log, 5 API server away, 6 no right, 130 interrupted",
    )
    add_run_name(parser)
    parser.add_argument("-f", "--follow", action="store_true", help="go on until the run has ended")
    parser.add_argument("--rank", type=_rank, metavar="R", help="of this rank alone, from 0")
    parser.add_argument("--tail", type=_lines, metavar="N", help="begin with the last N lines of each rank")
    parser.add_argument(
        "--prefix",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="the rank before each line (default: where there are several)",
    )
    parser.add_argument("--timestamps", action="store_true", help="the time before each line")
    parser.add_argument(
        "--attempt",
        type=_attempt,
        metavar="K",
        help="of an earlier attempt, from its workspace; 1 is the first. Starts a small pod that reads it (right: create pods)",
    )
    add_connection_options(parser)


def run(options: argparse.Namespace) -> ExitCode:
    from trainchart.follow.logs import current_lines, follow
    from trainchart.run import state

    api = connected(options)
    snapshot = state.load(api, options.name)
    pods = [pod for pod in snapshot.pods if options.rank in (None, pod.rank)]
    if options.attempt is not None and (options.attempt - 1 != snapshot.attempt or not pods):
        return _kept(options)
    if options.rank is not None and options.rank >= snapshot.replicas > 0 and snapshot.job:
        tell(f"--rank: {options.name} has ranks 0 to {snapshot.replicas - 1}")
        return ExitCode.REFUSED
    several = snapshot.replicas > 1 and options.rank is None
    printer = Printer(several if options.prefix is None else options.prefix, options.timestamps, snapshot.replicas)
    ranks = [] if options.rank is None else [options.rank]
    if options.follow and not (snapshot.has_finished and not pods):
        try:
            follow(api, snapshot, printer.show, tell, closed=printer.closed, ranks=ranks, tail=options.tail)
        except KeyboardInterrupt:
            tell(f"stopped following; the run continues: {again(options, 'logs -f {}')}")
            return ExitCode.INTERRUPTED
        return ExitCode.OK
    if not pods:
        tell(_no_pods(snapshot, options))
        return ExitCode.NOT_FOUND
    for line in current_lines(api, pods, tell, options.tail):
        if printer.closed.is_set():
            break
        printer.show(line)
    return ExitCode.OK


def _no_pods(snapshot: Snapshot, options: argparse.Namespace) -> str:
    name = snapshot.name
    if not snapshot.has_finished:
        return f"{name} is {snapshot.state.value} and has no pods yet; `{again(options, 'status {}')}` says why"
    if snapshot.job and not snapshot.workspace_claim:
        return f"{name} has no pods any more, and its workspace was an emptyDir: its log is gone with them"
    kept = again(options, f"logs {{}} --attempt {snapshot.attempt + 1}")
    return f"{name} has no pods any more; a log that is kept in its workspace: {kept}"


def _kept(options: argparse.Namespace) -> ExitCode:
    from trainchart.run.attempts import kept_logs

    if options.follow or options.timestamps:
        tell("--attempt: a kept log has ended and has no times of Kubernetes; -f and --timestamps do nothing")
    ranks = None if options.rank is None else [options.rank]
    logs = kept_logs(connected(options), options.name, options.attempt - 1, ranks, tell)
    printer = Printer(len(logs) > 1 if options.prefix is None else options.prefix, False, max(logs, default=0) + 1)
    for rank, text in sorted(logs.items()):
        lines = text.splitlines()
        for line in lines if options.tail is None else lines[max(len(lines) - options.tail, 0) :]:
            printer.write(rank, line)
    return ExitCode.OK


class Printer:
    """Lines of several threads, each whole, as the pods wrote them."""

    def __init__(self, prefix: bool, timestamps: bool, replicas: int, out: BinaryIO | None = None) -> None:
        self._prefix, self._timestamps, self._width = prefix, timestamps, len(str(max(replicas - 1, 0)))
        self._out = out or sys.stdout.buffer
        self._colours = is_coloured()
        self.lock: threading.Lock | threading.RLock = threading.Lock()
        self._attempt: int | None = None
        self.before = b""
        """What takes a line out of the way that is shown in place."""
        self.closed = threading.Event()
        """The reader went away (`| head`): it has what it wanted."""

    def show(self, line: Line) -> None:
        attempt = line.pod.attempt or 0
        with self.lock:
            if self._attempt is not None and attempt > self._attempt:
                self._put(f"-- attempt {attempt + 1} --".encode())
            self._attempt = max(attempt, self._attempt or 0)
            self._put(self._head(line.pod.rank) + (line.time.encode() + b" " if self._timestamps else b"") + line.text)

    def write(self, rank: int, text: bytes) -> None:
        with self.lock:
            self._put(self._head(rank) + text)

    def _head(self, rank: int) -> bytes:
        if not self._prefix:
            return b""
        head = f"[{rank:>{self._width}}]"
        if self._colours:
            head = f"\033[{_COLOURS[rank % len(_COLOURS)]}m{head}\033[0m"
        return head.encode() + b" "

    def _put(self, line: bytes) -> None:
        if self.closed.is_set():
            return
        try:
            self._out.write(self.before + line + b"\n")
            self._out.flush()
        except BrokenPipeError:
            self.closed.set()
            silence(sys.stdout)


def _rank(words: str) -> int:
    return _number(words, 0, "ranks count from 0")


def _lines(words: str) -> int:
    return _number(words, 0, "write how many lines")


def _attempt(words: str) -> int:
    return _number(words, 1, "attempts count from 1, the first")


def _number(words: str, least: int, fix: str) -> int:
    if not words.isascii() or not words.isdecimal() or int(words) < least:
        raise argparse.ArgumentTypeError(f"{words!r} is none; {fix}")
    return int(words)
