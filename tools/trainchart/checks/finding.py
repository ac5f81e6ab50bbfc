"""What a check comes to. `doctor`, `status` and `wait` give findings of one form, in the same words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from trainchart.cluster.connection import Connection

Severity = Literal["problem", "warning", "waiting", "info", "not-checked", "ok"]
"""A `problem` keeps the run from starting or has ended it, and does not go away by itself; `waiting` does go away.
`not-checked` is for what this account may not see: it says nothing about the run."""


@dataclass(frozen=True)
class Finding:
    key: str
    """For programs, and stable: image-missing, queue-closed, ...; `ok` or `not-checked` where there is nothing to fix."""
    severity: Severity
    subject: str
    """What was checked: `queue team`, `Secret git-credentials`, ..."""
    text: str
    """A whole sentence, which names the subject."""
    fix: str = ""
    details: str = ""
    """What the cluster itself said, unchanged."""

    def __str__(self) -> str:
        """What was found; what to do."""
        return f"{self.text}; {self.fix}" if self.fix else self.text

    def on(self, connection: Connection) -> Finding:
        """The same, whose commands (in backticks) use the cluster that was checked."""
        return replace(self, text=connection.commands_in(self.text), fix=connection.commands_in(self.fix))


def ok(subject: str, text: str) -> Finding:
    return Finding("ok", "ok", subject, text)


def not_checked(subject: str, text: str, fix: str = "") -> Finding:
    return Finding("not-checked", "not-checked", subject, text, fix)


def problem(key: str, subject: str, text: str, fix: str = "", details: str = "") -> Finding:
    return Finding(key, "problem", subject, text, fix, details)


def warning(key: str, subject: str, text: str, fix: str = "", details: str = "") -> Finding:
    return Finding(key, "warning", subject, text, fix, details)


def waiting(key: str, subject: str, text: str, fix: str = "", details: str = "") -> Finding:
    return Finding(key, "waiting", subject, text, fix, details)


def info(key: str, subject: str, text: str, fix: str = "", details: str = "") -> Finding:
    return Finding(key, "info", subject, text, fix, details)


def has_problem(findings: Iterable[Finding]) -> bool:
    return any(finding.severity == "problem" for finding in findings)


def enumerate_names(names: Iterable[str], most: int = 5) -> str:
    """`a, b and 3 more`: of many names only the first are worth a line."""
    names = list(names)
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def count(number: int, what: str) -> str:
    """`1 node`, `2 nodes`."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def by_severity(findings: Iterable[Finding]) -> Sequence[Finding]:
    """The most severe first, each once."""
    order: list[Severity] = ["problem", "warning", "waiting", "info", "not-checked", "ok"]
    return sorted(dict.fromkeys(findings), key=lambda finding: order.index(finding.severity))
