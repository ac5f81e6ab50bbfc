"""The run's log on stdout, and in a kept workspace: logfmt lines of our own between the unchanged lines of subprocesses."""

from __future__ import annotations

import io
import json
import sys
import time
from pathlib import Path
from typing import IO, Any, Optional

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:+@%,")

_copy: Optional[IO[bytes]] = None


def setup() -> None:
    """Write UTF-8 in every locale, and never fail on a character that cannot be written."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)


def keep(file: Path) -> None:
    """From here on the log also goes to a file, behind what is in it."""
    global _copy
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        _copy = file.open("ab", buffering=0)
    except OSError as error:
        _lost(error)


def event(event: str, **fields: Any) -> None:
    """One line: `trainchart time=... event=... key=value`. A field that is None is left out; `/` and `.` may occur in keys."""
    fields = {"time": utc(), "event": event, **fields}
    line("trainchart " + " ".join(f"{key}={_value(value)}" for key, value in fields.items() if value is not None))


def line(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
    if _copy:
        try:
            _copy.write(f"{text}\n".encode("utf-8", "backslashreplace"))
        except OSError as error:
            _lost(error)


def _lost(error: OSError) -> None:
    """A disk that is full, or away, is none of the log's affair: the run goes on, and stdout has it all."""
    global _copy
    _copy = None
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
