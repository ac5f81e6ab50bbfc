"""Read values files, and merge them as Helm does."""

from __future__ import annotations

import os
import select
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainchart.errors import FileError

Tree = dict[str, Any]

STDIN = "-"
MAX_BYTES = 1 << 20
"""Helm stores the values in the release's Secret, which holds 1 MiB."""
FIFO_SECONDS = 10.0
"""How long to wait for the first byte of a FIFO, such as that of the shell's `<(command)`."""


def load_values(*paths: Path) -> Tree:
    """The values of several files, where later ones override earlier ones: `helm install -f first -f second`."""
    import yaml  # 15 ms, and `validate` reads by Helm's reader

    values: Tree = {}
    for path in paths:
        values = overlay(values, yaml.safe_load(path.read_text(encoding="utf-8")) or {})
    return values


def overlay(below: Mapping[str, Any], above: Mapping[str, Any]) -> Tree:
    """Merge maps; everything else in `above` replaces what is below it. A null stays, and means "not configured"."""
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        merged[key] = overlay(under, value) if isinstance(value, dict) and isinstance(under, dict) else value
    return merged


def read_text(path: str) -> str:
    """The text of a values file; `-` is the standard input.

    Raises:
        FileError: it is missing, not readable, too large, or not UTF-8 text. The message leaves out its name.
    """
    if path == STDIN:
        if not sys.stdin:
            raise FileError("the standard input is closed")
        content = sys.stdin.buffer.read(MAX_BYTES + 1)
    else:
        content = read_bytes(path, MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise FileError(f"is larger than {MAX_BYTES >> 20} MiB, too large for values; is it the right file?")
    if b"\0" in content:
        raise FileError("is a binary file; values are YAML text in UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise FileError(
            f"is not UTF-8 text (byte {content[error.start]:#04x} in line {line}); save it as UTF-8"
        ) from None


def read_bytes(path: str, limit: int) -> bytes:
    """The first `limit` bytes of a file of any kind. A FIFO is read if anybody writes to it.

    Raises:
        FileError: the message leaves out the file's name.
    """
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise FileError(f"does not exist{_meant(path)}") from None
    except PermissionError:
        raise FileError("cannot be read: permission denied") from None
    except (OSError, ValueError) as error:  # ValueError: the path has a NUL character
        raise FileError(f"cannot be read: {getattr(error, 'strerror', None) or error}") from None
    mode = os.fstat(file).st_mode
    if stat.S_ISDIR(mode):
        os.close(file)
        raise FileError("is a directory; name a file in it")
    try:
        with os.fdopen(file, "rb") as opened:
            if stat.S_ISFIFO(mode) and not select.select([file], [], [], FIFO_SECONDS)[0]:
                raise FileError(f"is a FIFO without a writer for {FIFO_SECONDS:g} seconds")
            os.set_blocking(file, True)
            return opened.read(limit)
    except OSError as error:
        raise FileError(f"cannot be read: {error.strerror or error}") from None


def _meant(path: str) -> str:
    """The file beside a path that does not exist whose name is nearly that; a URL, which Helm takes, has to be fetched."""
    import difflib

    if "://" in path:
        return " as a file; fetch it first, such as by curl, and give it as - from a pipe"
    try:
        names = [beside.name for beside in Path(path).parent.iterdir()]
    except OSError:
        return ""
    near = difflib.get_close_matches(Path(path).name, names, 1, 0.8)
    return f"; did you mean {Path(path).with_name(near[0])}?" if near else ""
