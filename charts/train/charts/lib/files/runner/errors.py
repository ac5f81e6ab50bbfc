"""The failures of a run. exit_codes.json is the table of exit codes; every failure has a reason and a fix."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, NamedTuple


class ExitCode(NamedTuple):
    code: int
    name: str
    stage: str  # "" if any stage can fail this way
    retried: bool


def _table() -> Dict[str, ExitCode]:
    rows = json.loads((Path(__file__).parent / "exit_codes.json").read_text(encoding="utf-8"))["codes"]
    return {row["name"]: ExitCode(**row) for row in rows}


EXIT_CODES = _table()


class RunnerError(Exception):
    """A failure with an exit code. `reason` says what happened, `fix` what the user can do; `result` is what exists
    nevertheless.
    """

    immediate = False  # whether subprocesses are killed without a grace period

    def __init__(self, name: str, reason: str, fix: str) -> None:
        super().__init__(reason)
        self.exit = EXIT_CODES[name]
        self.reason = reason
        self.fix = fix
        self.result: Dict[str, Any] = {}


class FamilyError(Exception):
    """Raised by a family's hook, which knows no exit codes: the calling stage supplies the code."""

    def __init__(self, reason: str, fix: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.fix = fix


class Interrupted(BaseException):
    """The run must end now (SIGTERM, time limit, lost lease). Not an Exception, so that no handler swallows it."""

    def __init__(self, error: RunnerError) -> None:
        super().__init__(error.reason)
        self.error = error
