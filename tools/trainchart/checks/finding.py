"""What a check comes to. `doctor`, `status` and `wait` give findings of one form, in the same words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["problem", "warning", "waiting", "info", "not-checked", "ok"]
"""A `problem` keeps the run from starting or has ended it, and does not go away by itself; `waiting` does go away.
`not-checked` is for what this account may not see: it says nothing about the run."""


@dataclass(frozen=True)
class Finding:
    key: str
    """For programs, and stable: image-missing, queue-closed, ...; `ok` or `not-checked` where there is nothing to mend."""
    severity: Severity
    subject: str
    """What was checked: `queue team`, `Secret git-credentials`, ..."""
    text: str
    fix: str = ""
    details: str = ""
    """What the cluster itself said, unchanged."""


def ok(subject: str, text: str) -> Finding:
    return Finding("ok", "ok", subject, text)


def warning(subject: str, text: str, fix: str = "") -> Finding:
    return Finding("warning", "warning", subject, text, fix)


def problem(subject: str, text: str, fix: str, key: str = "problem") -> Finding:
    return Finding(key, "problem", subject, text, fix)


def not_checked(subject: str, text: str, fix: str = "") -> Finding:
    return Finding("not-checked", "not-checked", subject, text, fix)


def listed(names: list[str], most: int = 5) -> str:
    """`a, b and 3 more`: of many names only the first are worth a line."""
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
