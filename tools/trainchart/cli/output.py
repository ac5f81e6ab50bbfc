"""What commands print, and how."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from trainchart import terminal
from trainchart.errors import FileError

_COLOURS = {"error": "31", "problem": "31", "warning": "33", "ok": "32"}


def add_format_option(parser: argparse.ArgumentParser) -> None:
    """Add `--output`, the format: text for people, JSON for programs."""
    parser.add_argument(
        "-o", "--output", choices=("text", "json"), default="text", dest="format", help="default: %(default)s"
    )


def complain(text: str, code: int, *, as_json: bool) -> None:
    """One line on the standard error; a program that asked for JSON finds the same on the standard output."""
    terminal.tell(text)
    if as_json:
        import json

        show(json.dumps({"error": text, "code": int(code)}))


def refuse_existing(path: Path, *, force: bool) -> None:
    """Before anything that takes time is done for it.

    Raises:
        FileError
    """
    if path.is_dir():
        raise FileError(f"{path} cannot be written: Is a directory; name another file by --write")
    if not force and os.path.lexists(path):
        raise FileError(f"{path} exists; add --force to replace it, or name another file")


def write(path: Path, content: str, *, force: bool) -> None:
    """A new file; with `force` also in place of one that is there.

    Raises:
        FileError
    """
    refuse_existing(path, force=force)
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(content)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise FileError(f"{path} cannot be written: {reason}; name another file by --write") from None


def show(text: str, *, styled: bool = False) -> None:
    """To the standard output. What is `styled` has our own colours in it, and nothing that came from elsewhere unescaped."""
    terminal.put(text, styled=styled)


def is_coloured() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def coloured(severity: str) -> str:
    """The word, in its colour where the output is a terminal that has colours, and NO_COLOR is not set."""
    if severity in _COLOURS and is_coloured():
        return f"\033[{_COLOURS[severity]};1m{severity}\033[0m"
    return severity
