"""How a run fails: exit_codes.json is the one table of codes; every failure carries a reason and what to do about it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, NamedTuple


class ExitCode(NamedTuple):
    code: int
    name: str
    stage: str  # "" where any stage can end this way
    retried: bool
    meaning: str


def _table() -> Dict[str, ExitCode]:
    rows = json.loads((Path(__file__).parent / "exit_codes.json").read_text(encoding="utf-8"))["codes"]
    return {row["name"]: ExitCode(**row) for row in rows}


EXIT_CODES = _table()


class RunnerError(Exception):
    """A failure with an exit code. `reason` says what happened, `fix` what the user can do, `result` what there is nevertheless."""

    at_once = False  # whether what runs is killed without time to end in order

    def __init__(self, name: str, reason: str, fix: str) -> None:
        super().__init__(reason)
        self.exit = EXIT_CODES[name]
        self.reason = reason
        self.fix = fix
        self.result: Dict[str, Any] = {}


class FamilyError(Exception):
    """Raised by a family's hook, which knows no exit codes: the stage that called it supplies the code."""

    def __init__(self, reason: str, fix: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.fix = fix


class Interrupted(BaseException):
    """The run must end now (SIGTERM or its time limit). Not an Exception, so that no handler on the way swallows it."""

    def __init__(self, error: RunnerError) -> None:
        super().__init__(error.reason)
        self.error = error
