"""The errors a user can meet: each is one sentence that says what is wrong and what to do. And what the command ends with."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Every exit code of `trainchart`; docs/validate.md has the same table."""

    OK = 0
    # Ours, not the user's: an internal error; or, of `generate --check`, a file that nobody generated anew.
    FAILED = 1
    # The values, the files or the command line cannot be used; argparse ends with the same number.
    REFUSED = 2
    # 128 + SIGINT, as a shell counts it.
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
    """A values file cannot be read; the text says why, and does not name the file."""

    exit_code = ExitCode.REFUSED
