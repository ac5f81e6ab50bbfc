"""Values files: read, and laid over each other as Helm does it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainchart.errors import FileError

Tree = dict[str, Any]

STDIN = "-"
MAX_BYTES = 1 << 20
"""Helm keeps the values in the release's Secret, which holds 1 MiB; nobody writes as much by hand."""


def load_values(*paths: Path) -> Tree:
    """The values of several files, later ones over earlier ones: `helm install -f first -f second`."""
    import yaml  # 15 ms, and `validate` reads by Helm's reader

    values: Tree = {}
    for path in paths:
        values = overlay(values, yaml.safe_load(path.read_text(encoding="utf-8")) or {})
    return values


def overlay(below: Mapping[str, Any], above: Mapping[str, Any]) -> Tree:
    """Maps are merged, everything else of `above` replaces what is below it; a null stays, and means "not configured"."""
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        merged[key] = overlay(under, value) if isinstance(value, dict) and isinstance(under, dict) else value
    return merged


def read_text(path: str) -> str:
    """The text of a values file; `-` is the standard input.

    Raises:
        FileError: it is not there, not readable, too large, or not text in UTF-8.
    """
    try:
        if path == STDIN:
            if not sys.stdin:
                raise FileError("the standard input is closed")
            content = sys.stdin.buffer.read(MAX_BYTES + 1)
        else:
            with Path(path).open("rb") as file:
                content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise FileError("there is no such file") from None
    except IsADirectoryError:
        raise FileError("is a directory; name a values file in it") from None
    except PermissionError:
        raise FileError("no permission to read it") from None
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL character
        raise FileError(f"cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if len(content) > MAX_BYTES:
        raise FileError(f"is larger than {MAX_BYTES >> 20} MiB, and values are a page of text; is it the right file?")
    if b"\0" in content:
        raise FileError("is a binary file; values are YAML text in UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise FileError(
            f"is not UTF-8 text (byte {content[error.start]:#04x} in line {line}); save it as UTF-8"
        ) from None
