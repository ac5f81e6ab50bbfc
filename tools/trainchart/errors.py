"""Exit codes, and the errors that users see: each message is one line that says what is wrong and what to do."""

from __future__ import annotations

from enum import IntEnum
from typing import Any


class ExitCode(IntEnum):
    """The exit codes of `trainchart` itself.

    If a run fails, commands that wait for it exit with the code of its runner (the chart's
    files/runner/exit_codes.json). docs/exit-codes.md lists both.
    """

    OK = 0
    # An internal error.
    FAILED = 1
    # Invalid values, files or command line. argparse exits with the same code.
    REFUSED = 2
    TIMED_OUT = 3
    NOT_FOUND = 4
    UNREACHABLE = 5
    FORBIDDEN = 6
    # The run failed with no reason reported by its runner: evicted, out of memory, never started.
    RUN_FAILED = 7
    # `doctor` found a problem that would keep the run from starting.
    PROBLEM = 8
    # `check-data` found nothing on this machine that can read the data.
    NOT_CHECKED = 9
    # 128 + SIGINT, as shells count it. Also for SIGTERM: 143 is the code of a run that was stopped.
    INTERRUPTED = 130


class TrainchartError(Exception):
    """The base class; `exit_code` is that of the command: trainchart's own, or that of a runner."""

    exit_code: int = ExitCode.FAILED

    def __str__(self) -> str:
        """The message; what a pod or a server has said in it changes no terminal or notebook."""
        from trainchart.terminal import printable_lines

        return printable_lines(super().__str__())

    def __reduce__(self) -> tuple[Any, ...]:
        """Copied without `__init__`, whose arguments differ: a pool of processes waits forever for an error that it cannot copy."""
        return _copied, (type(self), self.args, self.__dict__)

    def _render_traceback_(self) -> list[str]:
        """What IPython and notebooks show of it: where it was caused, without the frames in here, and the message."""
        import traceback
        from pathlib import Path

        inner = (str(Path(__file__).parent), "/IPython/")
        every = traceback.extract_tb(self.__traceback__)
        frames = [frame for frame in every if not any(part in frame.filename for part in inner)]
        return [*map(str.rstrip, traceback.format_list(frames)), f"{type(self).__name__}: {self}"]


def _copied(kind: type[TrainchartError], arguments: tuple[Any, ...], attributes: dict[str, Any]) -> TrainchartError:
    error = kind.__new__(kind, *arguments)
    error.__dict__.update(attributes)
    return error


class RenderError(TrainchartError):
    """The chart refused the values; the message is Helm's."""

    exit_code = ExitCode.REFUSED


class UsageError(TrainchartError):
    """The command line is invalid in a way that argparse does not detect."""

    exit_code = ExitCode.REFUSED


class FileError(TrainchartError):
    """A file cannot be read or written."""

    exit_code = ExitCode.REFUSED
