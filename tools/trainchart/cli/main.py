"""The `trainchart` command. What costs time to import is imported by the commands that need it, and nothing here before `main` runs:
from there on Ctrl-C shows no traceback.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # as typing has it, which takes its time too
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType, ModuleType

    from trainchart.cli.parser import Parser

# In the order of the help. Each is a module of this package.
COMMANDS = (
    "preset", "validate", "doctor", "submit", "status", "list", "wait", "logs", "result", "report", "stop", "chart",
    "completion",
)  # fmt: skip
_INTERRUPTED = 130  # ExitCode.INTERRUPTED, which is not imported yet


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the result is one of `ExitCode`. No exception leaves it, argparse's SystemExit excepted.

    Without arguments it is the program itself: they are those of the process, and so are its signals and its streams.
    """
    if arguments is not None:
        return _run(arguments)
    try:
        try:
            _take_signals(raising=False)
            return _program()
        except KeyboardInterrupt:
            _take_signals(raising=False)
            return _INTERRUPTED
    except KeyboardInterrupt:  # a second one, just before the line above
        return _INTERRUPTED


def _take_signals(*, raising: bool) -> None:
    """Ctrl-C, SIGTERM and a terminal that is closed: an exception where there may be something to undo, else the end at once."""
    import signal

    def interrupt(_: int, frame: FrameType | None) -> None:
        if not raising:
            os._exit(_INTERRUPTED)
        if _is_importing(frame):  # libraries in C and Rust take no exception there: some end with words of their own
            signal.setitimer(signal.ITIMER_REAL, 0.01)  # and then it is here again
            return
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
        # Ignored ones stay so: nohup, and a shell for what runs in the background, start a program like that.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, interrupt)


def _is_importing(frame: FrameType | None) -> bool:
    while frame and not frame.f_code.co_filename.startswith("<frozen importlib"):
        frame = frame.f_back
    return frame is not None


def _unraisable(unraisable: sys.UnraisableHookArgs) -> None:
    """A KeyboardInterrupt in a callback of the interpreter, such as one of an import, would be shown and then forgotten."""
    if issubclass(unraisable.exc_type, KeyboardInterrupt):
        os._exit(_INTERRUPTED)
    sys.__unraisablehook__(unraisable)


def _program() -> int:
    from trainchart import terminal
    from trainchart.cli.output import complain
    from trainchart.errors import ExitCode

    _open_closed_streams()
    sys.unraisablehook = _unraisable
    code: int = ExitCode.OK
    try:
        parser = make_parser()
        _take_signals(raising=True)
        code = _run(sys.argv[1:], parser)
    finally:  # also of argparse's own end, which has printed the help
        _take_signals(raising=False)
        full = terminal.flush(sys.stdout)
        terminal.flush(sys.stderr)
    if full:
        complain(_words_of_full_disk(full), ExitCode.REFUSED, as_json=False)
        return ExitCode.REFUSED
    return code


def _run(arguments: Sequence[str], parser: Parser | None = None) -> int:
    import errno

    from trainchart.cli.output import complain
    from trainchart.errors import ExitCode, TrainchartError

    options = (parser or make_parser()).parse_args(arguments)
    as_json = getattr(options, "format", "") == "json"
    try:
        return int(_module(options.command).run(options))
    except TrainchartError as error:
        words = str(error)
        # The API server's own words, without a fix.
        if error.exit_code == ExitCode.FORBIDDEN and " is forbidden: User " in words:
            words += "; name another namespace by -n, or ask for a right of docs/rights.md"
        complain(words, error.exit_code, as_json=as_json)
        return error.exit_code
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except Exception as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            complain(_words_of_full_disk(error), ExitCode.REFUSED, as_json=False)
            return ExitCode.REFUSED
        if os.environ.get("TRAINCHART_DEBUG") == "1":
            raise
        words = " ".join(f"{type(error).__name__}: {error}".split())
        report = "please report it with the values; TRAINCHART_DEBUG=1 shows where it happened"
        complain(f"internal error: {words}; {report}", ExitCode.FAILED, as_json=as_json)
        return ExitCode.FAILED


def _words_of_full_disk(error: OSError) -> str:
    return f"the disk is full: {error.filename or 'the standard output'} was not written whole"


def _open_closed_streams() -> None:
    """Python has None for a stream that the caller closed (`>&-`); what is printed then goes nowhere, as is meant."""
    if sys.stdout is None:
        sys.stdout = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8")
    if sys.stderr is None:
        sys.stderr = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8")


def make_parser() -> Parser:
    """The command line: every command with its options."""
    from trainchart import __version__
    from trainchart.cli.parser import Parser

    parser = Parser(
        prog="trainchart",
        description="Write, check, submit and follow training runs: releases of the chart train.",
        epilog="exit codes: 0 done, 1 internal error, 2 refused (values, files or usage), 3 timed out, 4 not found, 5 API server not "
        "reachable, 6 no right, 7 the run failed without a word, 8 doctor found a problem, 130 interrupted; of a run that failed, its "
        "runner's own: docs/exit-codes.md has all",
    )
    parser.add_argument("--version", action="version", version=f"trainchart {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in COMMANDS:
        _module(name).add_parser(commands)
    return parser


def _module(command: str) -> ModuleType:
    """The module of a command: `add_parser(commands)` adds its options, `run(options)` runs it and returns an exit code."""
    import importlib

    return importlib.import_module(f"trainchart.cli.{command}")


if __name__ == "__main__":
    sys.exit(main())
