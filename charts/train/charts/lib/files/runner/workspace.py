"""The run's folder: its lock, and the state with which a later attempt continues where an earlier one stopped."""

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

NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)  # errors of flock on file systems without locks


@dataclass(frozen=True)
class Room:
    """A place for data: its free bytes, its name, and what to do if they are too few."""

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

    def check_location(self, base: Path) -> None:
        """Raise RunnerError if the folder is not really below `base`, or lies in another run's folder or in the
        cache.
        """
        for folder in [self.root, *self.root.parents]:
            if folder == base:
                return
            if folder.is_symlink():
                problem, fix = f"{folder} is a symbolic link", "name a folder that is not a link"
            elif folder != self.root and _is_run_folder(folder):
                problem, fix = f"{folder} is another run's folder", "name a folder beside it"
            elif folder != self.root and _is_cache_entry(folder):
                problem, fix = f"{folder} belongs to the cache", "name a folder beside it"
            else:
                continue
            where = self.root.relative_to(base)
            raise RunnerError("verify-failed", f"workspace.directory {str(where)!r}: {problem}", fix)

    def create(self) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        trees.make(self.state, self.root)

    def free_bytes(self) -> int:
        """Return the free bytes of the disk, or fewer: an emptyDir is limited to its size, or the pod is evicted."""
        free = shutil.disk_usage(self.root).free
        if not self.size_bytes:
            return free
        return max(0, min(free, self.size_bytes - bytes_below(self.root)))

    @property
    def previous(self) -> Path:
        """Holds what earlier runs in this folder have trained and exported. The runner never removes it."""
        return self.root / "previous"

    @property
    def room(self) -> Room:
        return Room(self.free_bytes, "the workspace", self.no_space_fix())

    def no_space_fix(self) -> str:
        """Return what to do if the workspace is full."""
        old = bytes_below(self.previous)
        return (
            f"raise workspace.size, or delete what you no longer need in {self.previous} ({old} bytes of earlier runs)"
            if old
            else "raise workspace.size"
        )

    def move_aside(self, uid: str, paths: Sequence[Path]) -> Optional[Path]:
        """Rename `paths` to previous/<uid>/ (or <uid>-2/ ...). Nothing is copied, or lost if the run is killed
        meanwhile.

        Returns the new folder; None if there were only empty folders.
        """
        existing = [
            path for path in paths if path.is_symlink() or (any(path.iterdir()) if path.is_dir() else path.exists())
        ]
        if not existing:
            return None
        name, number = uid if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.-]*", uid) else "unknown", 1
        place = self.previous / name
        while any(os.path.lexists(place / path.name) for path in existing):
            number += 1
            place = self.previous / f"{name}-{number}"
        for path in existing:
            trees.move_aside(path, self.root, place / path.name)
        return place

    def discard(self, path: Path, failure: str) -> None:
        """Remove a path, or move it to previous/ if some of it cannot be removed, such as another user's files.

        Raises:
            RunnerError: with the name `failure`, if neither is possible.
        """
        try:
            if trees.discard(path, self.root, self.previous / "not-removable" / path.name):
                where = path.relative_to(self.root)
                reason = "some of it cannot be removed; it is now in previous/not-removable"
                log.event("moved-aside", path=where, reason=reason)
        except OSError as error:
            raise RunnerError(
                failure,
                f"{path} was left by another attempt or run, and can be neither removed nor moved: {error}",
                "remove it as the user who owns the files, or use another workspace.directory",
            ) from error

    def clear(self, folder: Path, failure: str) -> None:
        """Discard a folder, and create an empty one in its place."""
        self.discard(folder, failure)
        trees.make(folder, self.root)

    def lock(self) -> ContextManager[None]:
        """Return the lock that one pod at a time holds while it prepares the workspace."""
        return locked(self.state / "lock", "another pod of this run is preparing the shared workspace")

    def write(self, name: str, text: str) -> None:
        """Write a state file atomically."""
        trees.write(self.state / name, text, self.root)

    def read(self, name: str) -> Optional[str]:
        try:
            return (self.state / name).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None

    def remove(self, name: str) -> None:
        trees.remove(self.state / name, self.root)

    def mark(self, stage: str, depends_on: Any) -> None:
        """Record that the stage has finished with exactly these settings."""
        self.write(f"{stage}.json", json.dumps({"fingerprint": fingerprint(depends_on), "finished": log.utc()}) + "\n")

    def is_marked(self, stage: str, depends_on: Any) -> bool:
        """Whether the stage has finished with exactly these settings. An unreadable mark does not count."""
        try:
            mark: Dict[str, str] = json.loads(self.read(f"{stage}.json") or "{}")
        except ValueError:
            return False
        return mark.get("fingerprint") == fingerprint(depends_on)

    def unmark(self, *stages: str) -> None:
        """Remove marks before what they cover is changed. Flushed to the disk, so that none reappears after a crash."""
        for stage in stages:
            self.remove(f"{stage}.json")
        trees.sync(self.state)


@contextmanager
def locked(file: Path, reason: str, seconds: float = float("inf")) -> Iterator[None]:
    """Hold a lock that the kernel releases if the process dies. While others wait for it, they log `reason`.

    Raises:
        TimeoutError: it could not be taken within `seconds`.
        RunnerError: the file system has no locks.
    """
    with file.open("w") as handle:
        logged, until = 0.0, time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= until:
                    raise TimeoutError(f"{reason}, for {seconds:g} seconds") from None
                if time.monotonic() - logged > 10:
                    logged = time.monotonic()
                    log.event("waiting", reason=reason)
                time.sleep(0.2)
            except OSError as error:
                if error.errno not in NO_LOCKS:
                    raise
                raise no_locks("prepare-failed", file.parent, error) from error
        yield


def no_locks(code: str, folder: Path, error: OSError) -> RunnerError:
    """Return the failure for a file system without flock, on which pods cannot exclude each other."""
    return RunnerError(
        code,
        f"the file system at {folder} does not support file locks (flock: {error}), which a run needs",
        "mount it with locks (Lustre: -o flock; NFS: version 4, or version 3 without nolock), or use a claim of another StorageClass",
    )


def _is_run_folder(folder: Path) -> bool:
    return (folder / "state" / "lock").exists()


def _is_cache_entry(folder: Path) -> bool:
    """Entries of the cache have their files in the folder `content`; see features/cache."""
    return (folder / "content").is_dir()


def bytes_below(root: Path) -> int:
    """Return the bytes of all files below a folder. Links are not followed; files that disappear meanwhile do not
    count.
    """
    total = 0
    for folder, _, names in os.walk(root):
        for name in names:
            with contextlib.suppress(OSError):
                total += Path(folder, name).lstat().st_size
    return total


def is_temporary(path: Path, workspace: Path) -> bool:
    """Whether a path is in the folder for temporary files, which is on the node's disk, not in the workspace."""
    parents = (path.absolute(), *path.absolute().parents)
    return Path(tempfile.gettempdir()).absolute() in parents and workspace.absolute() not in parents


def fingerprint(value: Any) -> str:
    """Return a hash of a JSON value that does not depend on the order of keys."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()
