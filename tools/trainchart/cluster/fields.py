"""Safe accessors for Kubernetes objects: a missing or mistyped field yields an empty value, never an exception."""

from __future__ import annotations

import json
import re
from datetime import datetime, timezone
from typing import Any

Object = dict[str, Any]


def dig(value: Any, *path: str | int) -> Any:
    """The value at a path of keys and indices, or None."""
    for step in path:
        if isinstance(step, str):
            value = value.get(step) if isinstance(value, dict) else None
        else:
            value = value[step] if isinstance(value, list) and -len(value) <= step < len(value) else None
    return value


def text(value: Any, *path: str | int) -> str:
    """The string at a path, or ""."""
    found = dig(value, *path)
    return found if isinstance(found, str) else ""


def number(value: Any, *path: str | int) -> int:
    """The integer at a path, or 0."""
    return whole(dig(value, *path)) or 0


def whole(value: Any) -> int | None:
    """The value as an integer, or None."""
    if isinstance(value, bool):
        return None
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        return None


def parsed(content: str | bytes) -> Object:
    """The JSON object that a text is, or {}."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def mapping(value: Any, *path: str | int) -> Object:
    """The object at a path, or {}."""
    found = dig(value, *path)
    return found if isinstance(found, dict) else {}


def items(value: Any, *path: str | int) -> list[Object]:
    """The objects in the list at a path; other elements are left out."""
    found = dig(value, *path)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def texts(value: Any, *path: str | int) -> list[str]:
    """The strings in the list at a path; other elements are left out."""
    found = dig(value, *path)
    return [item for item in found if isinstance(item, str)] if isinstance(found, list) else []


def moment(value: Any, *path: str | int) -> datetime | None:
    """The RFC 3339 time at a path, such as 2026-11-24T17:11:41Z, with or without fractions of a second; or None."""
    written = re.sub(r"(\.\d{1,6})\d*", r"\1", text(value, *path)).replace("Z", "+00:00")
    written = re.sub(r"\.(\d{1,6})", lambda part: "." + part[1].ljust(6, "0"), written)
    try:
        found = datetime.fromisoformat(written)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=timezone.utc)
