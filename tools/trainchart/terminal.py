"""Text for a terminal. Control characters from pods, git servers, API objects and files are escaped here."""

from __future__ import annotations

import errno
import os
import re
import sys
from typing import TextIO

# Colours, which pass where text is `styled`: its caller has escaped what came from elsewhere.
_STYLE = re.compile(r"(\033\[[0-9;]*m)")

CLEAR = "\r\033[K"
"""Go to the beginning of the line, and clear it."""


def printable(text: str) -> str:
    """The text on one line: all other than printable characters are escaped as in Python."""
    return text if text.isprintable() else "".join(map(_escape, text))


def _escape(character: str) -> str:
    return character if character.isprintable() else ascii(character)[1:-1]


def printable_lines(text: str, *, styled: bool = False) -> str:
    """Like `printable`, but line breaks and tabs stay, and colours where the text is `styled`."""
    parts = _STYLE.split(text) if styled else [text]
    parts[::2] = ["".join(c if c in "\n\t" else _escape(c) for c in part) for part in parts[::2]]
    return "".join(parts)


def print_text(
    text: str, stream: TextIO | None = None, *, styled: bool = False, prefix: str = "", end: str = "\n"
) -> None:
    """Print any text in the encoding of the stream. A reader that has gone away (`| head`) is no error.

    Args:
        text: may hold anything; of control characters only line breaks and tabs are printed.
        stream: the standard output by default.
        styled: print colours too; the caller has escaped all other parts by `printable`.
        prefix: a control sequence of ours, such as CLEAR.
        end: printed after the text.
    """
    stream = stream or sys.stdout
    encoding = stream.encoding or "utf-8"
    content = prefix + printable_lines(text, styled=styled) + end
    try:
        stream.write(content.encode(encoding, "backslashreplace").decode(encoding))
        stream.flush()
    except BrokenPipeError:
        discard(stream)


def print_message(text: str) -> None:
    """Print a message for people to the standard error."""
    print_text(f"trainchart: {text}", sys.stderr)


def write_bytes(document: bytes) -> None:
    """Write a document for a file or another program to the standard output, unchanged."""
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(document)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        discard(sys.stdout)


_discarded: set[int] = set()


def discard(stream: TextIO) -> None:
    """Discard all further output to a stream whose reader has gone away: Python flushes it once more at exit."""
    _discarded.add(stream.fileno())
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)


def has_reader() -> bool:
    """Whether the standard output still has a reader: what would print forever may stop otherwise."""
    return sys.stdout.fileno() not in _discarded if _discarded else True


def flush(stream: TextIO) -> OSError | None:
    """Flush what Python has buffered of a stream; returns the error if the disk is full."""
    try:
        stream.flush()
    except OSError as error:
        discard(stream)
        return error if error.errno == errno.ENOSPC else None
    return None
