"""Everything that is known about one run, wherever it was read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from trainchart.errors import FileError
from trainchart.files import read_bytes
from trainchart.run.events import Progress

MAX_BYTES = 256 << 20
"""More than any node or runner keeps of a log."""


@dataclass(frozen=True)
class Record:
    name: str
    namespace: str
    settings: Mapping[str, Any]  # settings.json; empty where it is not known
    result: Mapping[str, Any] | None  # result.json, or the termination message
    progress: Progress
    status: str  # completed, failed, stopped, running, ...
    started: datetime | None
    ended: datetime | None


def load_files(name: str, namespace: str, *, log: Path, result: Path | None, settings: Path | None) -> Record:
    """Return the record of a run by files that were kept: its log, and maybe its result and settings.

    Raises:
        FileError: one of them cannot be read; the text names it.
    """
    progress = Progress()
    for line in _text(log).splitlines():  # a progress bar's carriage returns end lines as well
        progress.feed(line)
    found = _object(result) if result else None
    return Record(
        name=name,
        namespace=namespace,
        settings=_object(settings) if settings else {},
        result=found,
        progress=progress,
        status=status_of(progress, found),
        started=moment(progress.began),
        ended=moment(progress.latest),
    )


def status_of(progress: Progress, result: Mapping[str, Any] | None) -> str:
    """Return the status that the run itself reported: `unfinished` where its log just ends, as that of a killed pod."""
    failure = (result or {}).get("failure")
    name = progress.failed.name if progress.failed else failure.get("name") if isinstance(failure, dict) else None
    if name:
        return "stopped" if name == "stopped" else "failed"
    if progress.completed or (result or {}).get("status") == "completed":
        return "completed"
    return "unfinished"


def moment(text: str) -> datetime | None:
    """Return a time as the runner and Kubernetes write it; None for anything else."""
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None


def _object(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(_text(path))
    except (ValueError, RecursionError):
        raise FileError(f"{path} is not JSON; name the file as the run wrote it") from None
    if not isinstance(found, dict):
        raise FileError(f"{path} does not hold a JSON object; name the file as the run wrote it")
    return found


def _text(path: Path) -> str:
    try:
        content = read_bytes(str(path), MAX_BYTES + 1)
    except FileError as error:
        raise FileError(f"{path}: {error}") from None
    if len(content) > MAX_BYTES:
        raise FileError(f"{path} is larger than {MAX_BYTES >> 20} MiB; is it the right file?")
    return content.decode("utf-8", "replace")
