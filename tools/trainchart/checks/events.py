"""Events of Kubernetes: which is the latest, and what it says."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from trainchart.cluster.fields import Object, mapping, moment, text

STUCK_SECONDS = 60
"""What takes seconds where all is well, and has taken longer than this, does not finish by itself."""


def latest(events: Iterable[Object]) -> Object | None:
    return max(events, key=time_of, default=None)


def time_of(event: Object | None) -> float:
    """The time of its last occurrence, in seconds since the epoch; 0 where there is none."""
    times = (
        moment(event, "series", "lastObservedTime"),
        moment(event, "lastTimestamp"),
        moment(event, "eventTime"),
        moment(mapping(event, "metadata"), "creationTimestamp"),
    )
    return next((at.timestamp() for at in times if at), 0.0)


def last_message(events: Iterable[Object], *reasons: str) -> str:
    """The message of the latest event of these reasons; an empty reason stands for any."""
    return text(
        latest(event for event in events if any(text(event, "reason").startswith(one) for one in reasons)), "message"
    )


def seconds(since: datetime | None, now: datetime) -> float:
    """How long ago it was; 0 where that is not known."""
    return max((now - since).total_seconds(), 0.0) if since else 0.0
