"""Times as people read them."""

from __future__ import annotations

from datetime import datetime


def span(seconds: float) -> str:
    """8 s, 3 min 20 s, 2 h 5 min, 4 d 3 h: the two largest parts."""
    whole = max(int(seconds), 0)
    parts = [(whole // 86400, "d"), (whole // 3600 % 24, "h"), (whole // 60 % 60, "min"), (whole % 60, "s")]
    first = next((place for place, (count, _) in enumerate(parts) if count), 3)
    return " ".join(f"{count} {unit}" for count, unit in parts[first : first + 2] if count) or "0 s"


def between(since: datetime | None, until: datetime | None) -> str:
    return span((until - since).total_seconds()) if since and until else ""


def clock(at: datetime | None) -> str:
    """The time here, with the day where it is another."""
    if at is None:
        return ""
    local = at.astimezone()
    today = datetime.now().astimezone().date()
    return local.strftime("%H:%M:%S" if local.date() == today else "%Y-%m-%d %H:%M")
