"""What a cause is, and how the latest of several events is read."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from trainchart.checks.finding import Finding
from trainchart.cluster.fields import Object, mapping, moment, text

STUCK_SECONDS = 60
"""What ends within seconds where all is well, and has not for so long, does not end by itself."""


def problem(key: str, text: str, fix: str = "", details: str = "") -> Finding:
    return Finding(key, "problem", "", text, fix, details)


def waiting(key: str, text: str, fix: str = "", details: str = "") -> Finding:
    return Finding(key, "waiting", "", text, fix, details)


def info(key: str, text: str, fix: str = "", details: str = "") -> Finding:
    return Finding(key, "info", "", text, fix, details)


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
