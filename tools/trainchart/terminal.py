"""Where text leaves for a terminal. What came from a pod, a git server, an API object or a file cannot command it: it is escaped here."""

from __future__ import annotations

import errno
import os
import re
import sys
from typing import TextIO

# Colours and their end: all that `styled` text is let through, where its caller has escaped what came from elsewhere.
_STYLE = re.compile(r"(\033\[[0-9;]*m)")

CLEAR = "\r\033[K"
"""To the beginning of the line, which becomes empty."""


def printable(text: str) -> str:
    """On one line and without terminal sequences: any other character is escaped, as Python writes it."""
    return text if text.isprintable() else "".join(_escaped(character) for character in text)


def safe(text: str, *, styled: bool = False) -> str:
    """The same with the line breaks and tabs that it has."""
    parts = _STYLE.split(text) if styled else [text]
    parts[::2] = ["".join(c if c in "\n\t" else _escaped(c) for c in part) for part in parts[::2]]
    return "".join(parts)


def _escaped(character: str) -> str:
    return character if character.isprintable() else ascii(character)[1:-1]


def put(text: str, stream: TextIO | None = None, *, styled: bool = False, before: str = "", end: str = "\n") -> None:
    """To the standard output or another stream, whatever its encoding. A reader that went away (`| head`) has what it wanted.

    Args:
        text: may hold anything; of control characters only line breaks and tabs get through.
        stream: the standard output where none is named.
        styled: let colours through too; the caller has passed what is not its own through `printable`.
        before: our own control sequence, such as what clears the line.
        end: behind it.
    """
    stream = stream or sys.stdout
    encoding = stream.encoding or "utf-8"
    words = before + safe(text, styled=styled) + end
    try:
        stream.write(words.encode(encoding, "backslashreplace").decode(encoding))
        stream.flush()
    except BrokenPipeError:
        silence(stream)


def tell(words: str) -> None:
    """Beside what the command prints, for a person."""
    put(f"trainchart: {words}", sys.stderr)


def write(document: bytes) -> None:
    """A document to the standard output as it is, for a file or another program."""
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(document)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        silence(sys.stdout)


_gone: set[int] = set()


def silence(stream: TextIO) -> None:
    """For a reader that went away: Python flushes once more when it ends, and would complain."""
    _gone.add(stream.fileno())
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def has_reader() -> bool:
    """Whether anybody is left who reads the standard output: what would go on for ever may end."""
    return sys.stdout.fileno() not in _gone if _gone else True


def flush(stream: TextIO) -> OSError | None:
    """What Python still has of a stream; the error where the disk is full."""
    try:
        stream.flush()
    except OSError as error:
        silence(stream)
        return error if error.errno == errno.ENOSPC else None
    return None
