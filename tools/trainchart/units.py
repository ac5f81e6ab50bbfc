"""Format durations, times and sizes for people, and times for programs."""

from __future__ import annotations

from datetime import datetime


def duration(seconds: float) -> str:
    """A measured duration: `7.9 s`, `2 min 14 s`, `3 h 5 min`, `2 d 4 h`."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return span(round(seconds))


def span(seconds: float) -> str:
    """A duration in whole seconds, by its two largest units: `8 s`, `3 min 20 s`, `2 h 5 min`, `4 d 3 h`."""
    whole = max(int(seconds), 0)
    parts = [(whole // 86400, "d"), (whole // 3600 % 24, "h"), (whole // 60 % 60, "min"), (whole % 60, "s")]
    first = next((place for place, (count, _) in enumerate(parts) if count), 3)
    return " ".join(f"{count} {unit}" for count, unit in parts[first : first + 2] if count) or "0 s"


def between(since: datetime | None, until: datetime | None) -> str:
    """The duration between two times, or "" if one is unknown."""
    return span((until - since).total_seconds()) if since and until else ""


def clock(at: datetime | None) -> str:
    """The local time, with the date if it is not today."""
    if at is None:
        return ""
    local = at.astimezone()
    today = datetime.now().astimezone().date()
    return local.strftime("%H:%M:%S" if local.date() == today else "%Y-%m-%d %H:%M")


def stamp(at: datetime | None) -> str | None:
    """The time for programs: 2026-11-24T17:11:41Z."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ") if at else None


def size(count: float) -> str:
    """A size in powers of 1000: `240 B`, `7.3 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 99.5 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
