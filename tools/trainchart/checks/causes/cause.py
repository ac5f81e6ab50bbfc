"""What a cause is, and how the latest of several events is read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from trainchart.cluster.fields import Object, mapping, moment, text

Severity = Literal["problem", "waiting", "info"]

STUCK_SECONDS = 60
"""What ends within seconds where all is well, and has not for so long, does not end by itself."""


@dataclass(frozen=True)
class Cause:
    """One reason. A `problem` does not go away by itself, `waiting` does, `info` is good to know."""

    key: str
    """For programs: image-missing, queue-closed, ..."""
    severity: Severity
    text: str
    fix: str = ""
    words: str = ""
    """What the cluster said, unchanged."""


def problem(key: str, text: str, fix: str = "", words: str = "") -> Cause:
    return Cause(key, "problem", text, fix, words)


def waiting(key: str, text: str, fix: str = "", words: str = "") -> Cause:
    return Cause(key, "waiting", text, fix, words)


def info(key: str, text: str, fix: str = "", words: str = "") -> Cause:
    return Cause(key, "info", text, fix, words)


def latest(events: Iterable[Object]) -> Object | None:
    return max(events, key=_said_at, default=None)


def _said_at(event: Object) -> float:
    times = (
        moment(event, "series", "lastObservedTime"),
        moment(event, "lastTimestamp"),
        moment(event, "eventTime"),
        moment(mapping(event, "metadata"), "creationTimestamp"),
    )
    return next((at.timestamp() for at in times if at), 0.0)


def last_words(events: Iterable[Object], *reasons: str) -> str:
    """The message of the latest event of these reasons; an empty reason stands for any."""
    return text(
        latest(event for event in events if any(text(event, "reason").startswith(one) for one in reasons)), "message"
    )


def seconds(since: datetime | None, now: datetime) -> float:
    return max((now - since).total_seconds(), 0.0) if since else 0.0
