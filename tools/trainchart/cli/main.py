"""The `trainchart` command.

Imports that cost time are left to the commands that need them. All others wait until `main` runs, from where on Ctrl-C
prints no traceback.
"""

from __future__ import annotations

import os
import sys

from trainchart.cli import signals

TYPE_CHECKING = False  # as in typing, whose import costs time too
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

    from trainchart.cli.parser import Parser

# Each is a module of this package; in the order of the help.
COMMANDS = (
    "families", "accelerators", "explain", "docs", "preset", "validate", "render", "check-data", "try", "doctor", "submit", "rerun", "status", "list", "wait", "logs", "exec", "result", "report", "stop", "guard",
    "delete", "prune", "cache", "chart", "completion",
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code. Raises nothing but argparse's SystemExit.

    Without arguments it is the program itself, with the arguments, signals and streams of the process.
    """
    if arguments is not None:
        return _run(arguments)
    try:
        try:
            signals.handle(raising=False)
            return _program()
        except KeyboardInterrupt:
            signals.handle(raising=False)
            return signals.INTERRUPTED
    except KeyboardInterrupt:  # a second one, just before the line above
        return signals.INTERRUPTED


def _unraisable(unraisable: sys.UnraisableHookArgs) -> None:
    """Interrupt again after a KeyboardInterrupt in a callback of the interpreter, which would only print it."""
    if issubclass(unraisable.exc_type, KeyboardInterrupt):
        signals.interrupt_again()
    else:
        sys.__unraisablehook__(unraisable)


def _program() -> int:
    import gc

    from trainchart import terminal
    from trainchart.cli.output import print_error
    from trainchart.errors import ExitCode

    gc.set_threshold(100_000)  # what is imported is no garbage: looking for it costs 40 ms
    _open_closed_streams()
    sys.unraisablehook = _unraisable
    code: int = ExitCode.OK
    try:
        parser = make_parser(sys.argv[1:2])
        signals.handle(raising=True)
        code = _run(sys.argv[1:], parser)
    finally:  # also when argparse exits after the help
        signals.handle(raising=False)
        full = terminal.flush(sys.stdout)
        terminal.flush(sys.stderr)
        signals.finish()
    if full:
        print_error(_full_disk_message(full), ExitCode.REFUSED, as_json=False)
        return ExitCode.REFUSED
    return code


def _run(arguments: Sequence[str], parser: Parser | None = None) -> int:
    import errno

    from trainchart.cli.output import print_error
    from trainchart.errors import ExitCode, TrainchartError

    parser = parser or make_parser(arguments[:1])
    if not arguments:  # as kubectl and helm do
        parser.print_help()
        return ExitCode.OK
    options = parser.parse_args(arguments)
    as_json = getattr(options, "format", "") == "json"
    try:
        return int(_module(options.command).run(options))
    except TrainchartError as error:
        message = str(error)
        # The API server's message, which has no fix.
        if error.exit_code == ExitCode.FORBIDDEN and " is forbidden: User " in message:
            message += "; name another namespace by -n, or ask for the permission (trainchart docs rights)"
        print_error(message, error.exit_code, as_json=as_json)
        return error.exit_code
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except Exception as error:
        if _is_interrupted(error):
            return ExitCode.INTERRUPTED
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            print_error(_full_disk_message(error), ExitCode.REFUSED, as_json=False)
            return ExitCode.REFUSED
        if os.environ.get("TRAINCHART_DEBUG") == "1":
            raise
        message = " ".join(f"{type(error).__name__}: {error}".split())
        report = "please report it with the values; TRAINCHART_DEBUG=1 shows the traceback"
        print_error(f"internal error: {message}; {report}", ExitCode.FAILED, as_json=as_json)
        return ExitCode.FAILED


def _is_interrupted(error: BaseException | None) -> bool:
    """Whether an interrupt caused the error: shutil.rmtree closes a file twice when one comes between."""
    while error and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error is not None


def _full_disk_message(error: OSError) -> str:
    return f"the disk is full: {error.filename or 'the standard output'} was not written completely"


def _open_closed_streams() -> None:
    """Discard output to a stream that the caller has closed (`>&-`), for which Python has None."""
    if sys.stdout is None:
        sys.stdout = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8")
    if sys.stderr is None:
        sys.stderr = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8")


def make_parser(first: Sequence[str] = ()) -> Parser:
    """The command line: every command with its options, or, to start sooner, the one that the first argument names."""
    from trainchart.cli.parser import Parser, exit_codes
    from trainchart.errors import ExitCode
    from trainchart.version import __version__

    parser = Parser(
        prog="trainchart",
        description="Write, check, submit and follow training runs, which are releases of the chart `train`.",
        epilog=exit_codes(*ExitCode, also="a failed run has the exit code of its runner"),
    )
    parser.add_argument("--version", action="version", version=f"trainchart {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in [name for name in COMMANDS if name in first] or COMMANDS:
        _module(name).add_parser(commands)
    return parser


def _module(command: str) -> ModuleType:
    """The module of a command: `add_parser(commands)` adds its options, `run(options)` returns its exit code."""
    import importlib
    import keyword

    name = command.replace("-", "_") + "_" * keyword.iskeyword(command)
    return importlib.import_module(f"trainchart.cli.{name}")


if __name__ == "__main__":
    sys.exit(main())
