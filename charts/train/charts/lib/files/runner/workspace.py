"""The run's folder: its lock, and the state that lets a later attempt go on where an earlier one stopped."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, ContextManager, Dict, Iterator, Optional, Sequence

from . import log, trees
from .errors import RunnerError

NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)  # what flock says where a file system has none


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

    def check_place(self, base: Path) -> None:
        """Refuses a folder that is not really below `base`, or that lies in another run's or in an entry of the cache."""
        for folder in [self.root, *self.root.parents]:
            if folder == base:
                return
            if folder.is_symlink():
                problem, fix = f"{folder} is a symbolic link", "name a folder that is none"
            elif folder != self.root and any((folder / name).exists() for name in ("state/lock", "content/.")):
                problem, fix = f"{folder} is another run's, or of the cache", "name a folder beside it"
            else:
                continue
            where = self.root.relative_to(base)
            raise RunnerError("verify-failed", f"workspace.directory {str(where)!r}: {problem}", fix)

    def create(self) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        trees.make(self.state, self.root)

    def free_bytes(self) -> int:
        """The disk's, or less: a pod that fills its emptyDir beyond the size limit is evicted, and the disk does not know it."""
        free = shutil.disk_usage(self.root).free
        if not self.size_bytes:
            return free
        return max(0, min(free, self.size_bytes - bytes_below(self.root)))

    @property
    def previous(self) -> Path:
        """What earlier runs in this folder have trained and exported; never removed by the runner."""
        return self.root / "previous"

    @property
    def room(self) -> Room:
        return Room(self.free_bytes, "the workspace", self.more_room())

    def more_room(self) -> str:
        """What to do where the workspace is full."""
        old = bytes_below(self.previous)
        return (
            f"raise workspace.size, or delete what nobody needs of {self.previous} ({old} bytes of earlier runs)"
            if old
            else "raise workspace.size"
        )

    def move_aside(self, uid: str, paths: Sequence[Path]) -> Optional[Path]:
        """Rename what lies at `paths` to previous/<uid>/ (or <uid>-2/ ...): nothing is copied, and nothing lost if this is killed.

        Returns where it lies now; None where there was nothing but empty folders.
        """
        there = [
            path for path in paths if path.is_symlink() or (any(path.iterdir()) if path.is_dir() else path.exists())
        ]
        if not there:
            return None
        name, number = uid if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.-]*", uid) else "unknown", 1
        place = self.previous / name
        while any(os.path.lexists(place / path.name) for path in there):
            number += 1
            place = self.previous / f"{name}-{number}"
        for path in there:
            trees.move_aside(path, self.root, place / path.name)
        return place

    def discard(self, path: Path, failure: str) -> None:
        """Remove it. What cannot be removed (another user's files) is moved to previous/ whole, and never counts as this run's.

        Raises:
            RunnerError: neither can be done; `failure` is its name.
        """
        try:
            if trees.discard(path, self.root, self.previous / "not-removable" / path.name):
                where = path.relative_to(self.root)
                reason = "some of it cannot be removed; it is in previous/not-removable now"
                log.event("moved-aside", path=where, reason=reason)
        except OSError as error:
            raise RunnerError(
                failure,
                f"{path} holds what another attempt or run has left, and can be neither removed nor moved: {error}",
                "remove it as the user who owns the files, or use another workspace.directory",
            ) from error

    def clear(self, folder: Path, failure: str) -> None:
        """`discard`, and an empty folder in its place."""
        self.discard(folder, failure)
        trees.make(folder, self.root)

    def lock(self) -> ContextManager[None]:
        """One pod at a time."""
        return locked(self.state / "lock", "another pod of this run prepares the shared workspace")

    def write(self, name: str, text: str) -> None:
        """Whole or not at all: written aside, then renamed."""
        trees.write(self.state / name, text, self.root)

    def read(self, name: str) -> Optional[str]:
        try:
            return (self.state / name).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None

    def remove(self, name: str) -> None:
        trees.remove(self.state / name, self.root)

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
        """Before anything is changed that a mark vouches for; on the disk, so that no mark comes back after a crash."""
        for stage in stages:
            self.remove(f"{stage}.json")
        trees.sync(self.state)


@contextmanager
def locked(file: Path, reason: str, seconds: float = float("inf")) -> Iterator[None]:
    """One holder at a time; `reason` tells the others' logs why they wait. The kernel drops the lock when its holder dies.

    Raises:
        TimeoutError: it could not be taken within `seconds`.
    """
    with file.open("w") as handle:
        told, until = 0.0, time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= until:
                    raise TimeoutError(f"{reason}, for {seconds:g} seconds") from None
                if time.monotonic() - told > 10:
                    told = time.monotonic()
                    log.event("waiting", reason=reason)
                time.sleep(0.2)
            except OSError as error:
                if error.errno not in NO_LOCKS:
                    raise
                raise no_locks("prepare-failed", file.parent, error) from error
        yield


def no_locks(code: str, folder: Path, error: OSError) -> RunnerError:
    """For a file system without flock, on which pods cannot keep out of each other's way."""
    return RunnerError(
        code,
        f"the file system at {folder} has no file locks (flock: {error}), and a run needs them",
        "mount it with locks (Lustre: -o flock; NFS: version 4, or version 3 without nolock), or use a claim of another StorageClass",
    )


def bytes_below(root: Path) -> int:
    """Of all files, links not followed. What goes while this looks is not counted."""
    total = 0
    for folder, _, names in os.walk(root):
        for name in names:
            with contextlib.suppress(OSError):
                total += Path(folder, name).lstat().st_size
    return total


def is_temporary(path: Path, workspace: Path) -> bool:
    """Whether a path lies in the folder for temporary files, which is on the node's disk and not on the workspace's."""
    parents = (path.absolute(), *path.absolute().parents)
    return Path(tempfile.gettempdir()).absolute() in parents and workspace.absolute() not in parents


def fingerprint(value: Any) -> str:
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()
