"""Objects of an API server may lack any field, and then say nothing; nothing here raises over what is missing or of another type."""

from __future__ import annotations

import json
import re
from datetime import datetime, timezone
from typing import Any

Object = dict[str, Any]


def dig(value: Any, *path: str | int) -> Any:
    """What lies there, by keys and indices; None where the way ends before."""
    for step in path:
        if isinstance(step, str):
            value = value.get(step) if isinstance(value, dict) else None
        else:
            value = value[step] if isinstance(value, list) and -len(value) <= step < len(value) else None
    return value


def text(value: Any, *path: str | int) -> str:
    found = dig(value, *path)
    return found if isinstance(found, str) else ""


def number(value: Any, *path: str | int) -> int:
    return whole(dig(value, *path)) or 0


def whole(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        return None


def parsed(content: str | bytes) -> Object:
    """The JSON object that it is; empty for anything else."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def mapping(value: Any, *path: str | int) -> Object:
    found = dig(value, *path)
    return found if isinstance(found, dict) else {}


def items(value: Any, *path: str | int) -> list[Object]:
    """The objects of a list."""
    found = dig(value, *path)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def moment(value: Any, *path: str | int) -> datetime | None:
    """A time as Kubernetes writes it, such as 2026-11-24T17:11:41Z, with or without parts of a second."""
    words = re.sub(r"(\.\d{1,6})\d*", r"\1", text(value, *path)).replace("Z", "+00:00")
    words = re.sub(r"\.(\d{1,6})", lambda part: "." + part[1].ljust(6, "0"), words)
    try:
        found = datetime.fromisoformat(words)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=timezone.utc)
