"""The errors a user can meet: each is one sentence that says what is wrong and what to do. And what the command ends with."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Every exit code of `trainchart` itself. Of a run that failed, the commands that wait for it end with the code of its
    runner (the chart's files/runner/exit_codes.json); docs/exit-codes.md has both in one table.
    """

    OK = 0
    # Ours, not the user's: an internal error; or, of `generate --check`, a file that nobody generated anew.
    FAILED = 1
    # The values, the files or the command line cannot be used; argparse ends with the same number.
    REFUSED = 2
    TIMED_OUT = 3
    NOT_FOUND = 4
    UNREACHABLE = 5
    FORBIDDEN = 6
    # The run failed, and its runner could not say why: evicted, killed for memory, never started.
    RUN_FAILED = 7
    # `doctor` found what would keep the run from starting.
    PROBLEM = 8
    # 128 + SIGINT, as a shell counts it; also for SIGTERM, as 143 says of `wait` that the run was stopped.
    INTERRUPTED = 130


class TrainchartError(Exception):
    """Base of all of them; `exit_code` is what the command ends with."""

    exit_code = ExitCode.FAILED


class RenderError(TrainchartError):
    """The chart refused the values; the text is Helm's."""

    exit_code = ExitCode.REFUSED


class UsageError(TrainchartError):
    """A command line that argparse lets through and that cannot be meant."""

    exit_code = ExitCode.REFUSED


class FileError(TrainchartError):
    """A file cannot be read or written; the text says why."""

    exit_code = ExitCode.REFUSED
