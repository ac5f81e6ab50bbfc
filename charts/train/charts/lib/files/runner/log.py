"""The run's log, on stdout and in a workspace that is kept: the runner's logfmt lines among the unchanged lines of
subprocesses.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Any, Optional, Set
from urllib.parse import quote

from . import trees

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:+@%,")

_OWN = ("time", "event")

KEPT_BYTES = 32 << 20  # maximum size of the kept log of one rank and attempt
HEAD_BYTES = 4 << 20  # a log that reaches it is cut to this much of its beginning, which says what is run,
TAIL_BYTES = 12 << 20  # and this much of its end, which says why it ended
KEPT = f"{KEPT_BYTES >> 20} MiB"

_copy: Optional[_Copy] = None
HIDDEN_LENGTH = 8  # a shorter text, such as "true" or "1234", is no secret, and would hide half of the log
hidden: Set[str] = set()  # what `hide` was given, in all its forms


def setup() -> None:
    """Write UTF-8 in every locale, and never fail on a character that cannot be written."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)


def keep(file: Path, folder: Path) -> None:
    """From here on, also append the log to a file in the run's folder."""
    global _copy
    try:
        folder.mkdir(parents=True, exist_ok=True)
        trees.make(file.parent, folder)
        _copy = _Copy(file)
    except OSError as error:
        _warn_not_kept(error)


def hide(secret: str) -> None:
    """From here on, the log has *** for each line of a secret; also where it is quoted, in a URL, or in Base64, as in the
    headers of requests.
    """
    for part in map(str.strip, secret.splitlines()):
        if len(part) >= HIDDEN_LENGTH:
            quoted = (json.dumps(part, ensure_ascii=each)[1:-1] for each in (True, False))
            coded = base64.b64encode(part.encode()).decode().rstrip("=")
            hidden.update((part, quote(part, ""), *quoted, coded))


def without_secrets(text: str) -> str:
    """Return a text for others, with *** for every secret in it."""
    for secret in sorted(hidden, key=len, reverse=True):  # one may contain another
        text = text.replace(secret, "***")
    return text


def event(name: str, /, **fields: Any) -> None:
    """Log one line: `trainchart time=... event=... key=value`. Fields that are None are left out. Keys may be any name
    of a trainer's metric: what would break the line, or clash with its own keys, is replaced or prefixed by `_`.
    """
    fields_text = [f"trainchart time={utc()} event={name}"]
    for key, value in fields.items():
        if value is not None:
            key = re.sub(r"[=\x00-\x1f\x7f-\x9f\u2028\u2029]", "_", key)
            fields_text.append(f"{'_' * (key in _OWN)}{key}={_value(value)}")
    line(" ".join(fields_text))


def line(text: str) -> None:
    text = without_secrets(text)
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
    if _copy:
        _copy.write(f"{text}\n".encode("utf-8", "backslashreplace"))


class _Copy:
    """The log in a file of at most KEPT_BYTES. A line says what is missing from its middle, or because the disk was
    full.
    """

    def __init__(self, path: Path) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self._file = os.open(str(path), flags, 0o644)
        self._size = os.lseek(self._file, 0, os.SEEK_END)
        self._head = 0  # end of the beginning that every cut keeps (0: not cut yet),
        self._gap = 0  # and of the note behind it
        self._left_out = 0  # bytes, in all cuts so far
        self._lost = 0  # lines, while the disk is full or unavailable
        self._warned: Set[str] = set()

    def write(self, content: bytes) -> None:
        """Append to the file. A failure loses these lines only: the next write tries again."""
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
                os.ftruncate(self._file, self._size)  # remove half a line
            if self._is_new("lost"):
                _warn_not_kept(error)
        else:
            if self._left_out and self._is_new("cut"):
                event(
                    "warning",
                    reason=f"the log is longer than {KEPT}: from here on its middle is not kept in the workspace",
                )

    def _is_new(self, what: str) -> bool:
        """Whether this is the first call for `what`: each warning is logged once."""
        is_new = what not in self._warned
        self._warned.add(what)
        return is_new

    def _cut(self) -> None:
        """Remove the middle of the file in place (a full disk has no space for another file); its end stays intact
        until all is done.
        """
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
    """Write all of the content at an offset, and return its length."""
    rest = memoryview(content)
    while rest:
        done = os.pwrite(file, rest, place)
        place, rest = place + done, rest[done:]
    return len(content)


def _next_line(file: int, place: int) -> int:
    """Return the offset of the first line that begins after an offset."""
    while True:
        block = os.pread(file, 65536, place)
        if not block:
            return place
        if b"\n" in block:
            return place + block.index(b"\n") + 1
        place += len(block)


def _note(reason: str) -> bytes:
    return f"trainchart time={utc()} event=warning reason={_value(reason)}\n".encode()


def _warn_not_kept(error: OSError) -> None:
    """Warn that the copy fails; the run continues, and stdout has the whole log."""
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
    """Escape line separators that JSON does not escape (U+0085, U+2028, ...): they would break the line."""
    return f"\\u{ord(character):04x}"
