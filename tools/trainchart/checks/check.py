"""What a check comes to: one line."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Verdict(str, Enum):
    """`NOT_CHECKED` is for what this account may not see: it says nothing about the run."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"
    NOT_CHECKED = "not checked"


@dataclass(frozen=True)
class Check:
    """`topic` is what was looked at, `text` what was found, `fix` what to do about it; `cause` is for programs, where a refusal
    was understood (`queue-closed`, see refusal.py)."""

    topic: str
    verdict: Verdict
    text: str
    fix: str = ""
    cause: str = ""


def ok(topic: str, text: str) -> Check:
    return Check(topic, Verdict.OK, text)


def warning(topic: str, text: str, fix: str = "") -> Check:
    return Check(topic, Verdict.WARNING, text, fix)


def problem(topic: str, text: str, fix: str, cause: str = "") -> Check:
    return Check(topic, Verdict.PROBLEM, text, fix, cause)


def not_checked(topic: str, text: str, fix: str = "") -> Check:
    return Check(topic, Verdict.NOT_CHECKED, text, fix)


def listed(names: list[str], most: int = 5) -> str:
    """`a, b and 3 more`: of many names only the first are worth a line."""
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
