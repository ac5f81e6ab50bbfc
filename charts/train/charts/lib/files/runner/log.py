"""The run's log on stdout, and in a kept workspace: logfmt lines of our own between the unchanged lines of subprocesses."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Any, Optional, Set

from . import trees

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:+@%,")

_OWN = ("time", "event")

KEPT_BYTES = 32 << 20  # the most that is kept of the log of one rank in one attempt
HEAD_BYTES = 4 << 20  # what is left of it when it gets there: so much of its beginning, which says what is run,
TAIL_BYTES = 12 << 20  # and so much of its end, which says why it ended
KEPT = f"{KEPT_BYTES >> 20} MiB"

_copy: Optional[_Copy] = None


def setup() -> None:
    """Write UTF-8 in every locale, and never fail on a character that cannot be written."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)


def keep(file: Path, folder: Path) -> None:
    """From here on the log also goes to a file in the run's folder, behind what is in it."""
    global _copy
    try:
        folder.mkdir(parents=True, exist_ok=True)
        trees.make(file.parent, folder)
        _copy = _Copy(file)
    except OSError as error:
        _warn_of(error)


def event(name: str, /, **fields: Any) -> None:
    """One line: `trainchart time=... event=... key=value`. A field that is None is left out. Keys may be anything that a trainer
    calls a metric: one that would break the line, or be taken for the line's own, is written with `_`.
    """
    words = [f"trainchart time={utc()} event={name}"]
    for key, value in fields.items():
        if value is not None:
            key = re.sub(r"[=\x00-\x1f\x7f-\x9f\u2028\u2029]", "_", key)
            words.append(f"{'_' * (key in _OWN)}{key}={_value(value)}")
    line(" ".join(words))


def line(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
    if _copy:
        _copy.write(f"{text}\n".encode("utf-8", "backslashreplace"))


class _Copy:
    """The log in a file of at most KEPT_BYTES. What is left out in its middle, or because the disk was full, is said there."""

    def __init__(self, path: Path) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self._file = os.open(str(path), flags, 0o644)
        self._size = os.lseek(self._file, 0, os.SEEK_END)
        self._head = 0  # where the beginning ends that every cut leaves, once there was one;
        self._gap = 0  # and where the note behind it ends
        self._left_out = 0  # bytes, by the cuts so far
        self._lost = 0  # lines, since the disk is full or away
        self._told_of: Set[str] = set()

    def write(self, content: bytes) -> None:
        """Costs the run nothing but the line where it fails, and the next line is tried again: disks are emptied."""
        try:
            if self._lost:
                content = _note(f"{self._lost} lines are missing here: they could not be written") + content
            if self._size + len(content) > KEPT_BYTES and self._size > HEAD_BYTES + TAIL_BYTES:
                self._cut()
            self._size += _write(self._file, content, self._size)
            self._lost = 0
        except OSError as error:
            self._lost += 1
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, self._size)  # half a line
            if self._is_new("lost"):
                _warn_of(error)
        else:
            if self._left_out and self._is_new("cut"):
                event(
                    "warning",
                    reason=f"the log is longer than {KEPT}: from here on its middle is not kept in the workspace",
                )

    def _is_new(self, what: str) -> bool:
        """Each is told once; asking makes it known."""
        is_new = what not in self._told_of
        self._told_of.add(what)
        return is_new

    def _cut(self) -> None:
        """In place, for a full disk has no room for another file; the end of the file stays whole until all is done."""
        if not self._head:
            self._head = self._gap = _next_line(self._file, HEAD_BYTES)
        begin = _next_line(self._file, self._size - TAIL_BYTES)
        self._left_out += begin - self._gap
        note = _note(
            f"some {self._left_out} bytes are left out here: only the beginning and the end of a log longer than {KEPT} are kept"
        )
        target = self._gap = self._head + _write(self._file, note, self._head)
        while begin < self._size:
            block = os.pread(self._file, 1 << 20, begin)
            if not block:
                break
            begin += len(block)
            target += _write(self._file, block, target)
        os.ftruncate(self._file, target)
        self._size = target


def _write(file: int, content: bytes, place: int) -> int:
    """All of it, from that place on."""
    rest = memoryview(content)
    while rest:
        done = os.pwrite(file, rest, place)
        place, rest = place + done, rest[done:]
    return len(content)


def _next_line(file: int, place: int) -> int:
    """Where the first line begins behind the place."""
    while True:
        block = os.pread(file, 65536, place)
        if not block:
            return place
        if b"\n" in block:
            return place + block.index(b"\n") + 1
        place += len(block)


def _note(words: str) -> bytes:
    return f"trainchart time={utc()} event=warning reason={_value(words)}\n".encode()


def _warn_of(error: OSError) -> None:
    """A disk that is full, or away, is none of the log's affair: the run goes on, and stdout has it all."""
    event("warning", reason=f"the log is not kept in the workspace: {error}")


def utc() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.6g}"
    text = str(value)
    if text and _PLAIN.issuperset(text):
        return text
    quoted = json.dumps(text, ensure_ascii=False)  # escapes quotes, backslashes and ASCII control characters
    return "".join(_escape(c) if (c.isspace() and c != " ") or "\x7f" <= c < "\xa0" else c for c in quoted)


def _escape(character: str) -> str:
    """Line separators that JSON leaves alone (U+0085, U+2028, ...) must not break a line of the log."""
    return f"\\u{ord(character):04x}"
