"""The run's folder: its lock, and the state that lets a later attempt go on where an earlier one stopped."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, ContextManager, Dict, Iterator, Optional

from . import log


@dataclass(frozen=True)
class Room:
    """Where data goes: how many bytes fit, what the place is called, and what to do where they are too few."""

    free_bytes: Callable[[], int]
    name: str
    fix: str


@dataclass(frozen=True)
class Workspace:
    root: Path
    size_bytes: int = 0  # 0: as much as the disk has

    @property
    def state(self) -> Path:
        return self.root / "state"

    def create(self) -> None:
        self.state.mkdir(parents=True, exist_ok=True)

    def free_bytes(self) -> int:
        """The disk's, or less: a pod that fills its emptyDir beyond the size limit is evicted, and the disk does not know it."""
        free = shutil.disk_usage(self.root).free
        if not self.size_bytes:
            return free
        used = sum(Path(folder, name).lstat().st_size for folder, _, names in os.walk(self.root) for name in names)
        return max(0, min(free, self.size_bytes - used))

    @property
    def room(self) -> Room:
        return Room(self.free_bytes, "the workspace", "raise workspace.size")

    def lock(self) -> ContextManager[None]:
        """One pod at a time."""
        return locked(self.state / "lock", "another pod of this run prepares the shared workspace")

    def write(self, name: str, text: str) -> None:
        """Whole or not at all: written aside, then renamed."""
        scratch = self.state / f".{name}.{os.getpid()}"
        scratch.write_text(text, encoding="utf-8")
        scratch.replace(self.state / name)

    def read(self, name: str) -> Optional[str]:
        try:
            return (self.state / name).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None

    def mark(self, stage: str, depends_on: Any) -> None:
        self.write(f"{stage}.json", json.dumps({"fingerprint": fingerprint(depends_on), "finished": log.utc()}) + "\n")

    def is_marked(self, stage: str, depends_on: Any) -> bool:
        """Whether the stage finished with exactly these settings. A mark that cannot be read is no mark."""
        try:
            mark: Dict[str, str] = json.loads(self.read(f"{stage}.json") or "{}")
        except ValueError:
            return False
        return mark.get("fingerprint") == fingerprint(depends_on)

    def unmark(self, *stages: str) -> None:
        for stage in stages:
            (self.state / f"{stage}.json").unlink(missing_ok=True)


@contextmanager
def locked(file: Path, reason: str) -> Iterator[None]:
    """One holder at a time; `reason` tells the others' logs why they wait. The kernel drops the lock when its holder dies."""
    with file.open("w") as handle:
        told = 0.0
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() - told > 10:
                    told = time.monotonic()
                    log.event("waiting", reason=reason)
                time.sleep(0.2)
        yield


def fingerprint(value: Any) -> str:
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()
