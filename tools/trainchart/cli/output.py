"""Errors, files and colours of the commands."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from trainchart.errors import FileError
from trainchart.terminal import print_message, print_text

_COLOURS = {"error": "31", "problem": "31", "warning": "33", "waiting": "33", "ok": "32"}


def print_error(message: str, code: int, *, as_json: bool) -> None:
    """Print one line to the standard error; with `as_json` also an object to the standard output."""
    print_message(message)
    if as_json:
        import json

        print_text(json.dumps({"error": message, "code": int(code)}))


def check_target(path: Path, *, force: bool) -> None:
    """Check that a file can be written, before the work for it starts.

    Raises:
        FileError: it is a directory, or exists, and `force` is not given.
    """
    if path.is_dir():
        raise FileError(f"{path} cannot be written: Is a directory; name another file by --write")
    if not force and os.path.lexists(path):
        raise FileError(f"{path} exists; add --force to replace it, or name another file")


def write_file(path: Path, content: str, *, force: bool) -> None:
    """Write a new file, or with `force` also replace one.

    Raises:
        FileError
    """
    check_target(path, force=force)
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(content)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise FileError(f"{path} cannot be written: {reason}; name another file by --write") from None


def has_colours() -> bool:
    """Whether the standard output is a terminal with colours, and NO_COLOR is not set."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def coloured(severity: str) -> str:
    """A severity, in its colour if the output has colours."""
    if severity in _COLOURS and has_colours():
        return f"\033[{_COLOURS[severity]};1m{severity}\033[0m"
    return severity
