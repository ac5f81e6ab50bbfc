"""The cache volume: each source once per commit, shared by all runs that mount it.

An entry is a folder with a manifest, which says that it is complete; from then on it is read-only. A run compares an
entry with its manifest before it uses it. Only an incomplete or changed entry is modified, under its lock `lock`.
Whoever uses an entry shares the lock `used` as long as it lives, and is named in that file: nothing else keeps
`trainchart cache prune` from removing it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
from functools import partial
from pathlib import Path
from typing import Callable, List, Mapping, Optional, Tuple

from runner import log, manifest, trees
from runner.errors import RunnerError
from runner.settings import Settings
from runner.workspace import Room, locked

Fill = Callable[[Path, Path, Room], Tuple[int, Mapping[str, str]]]

OLD_MARK = "complete"  # in entries that were filled before manifests existed
USED = "used"
NO_SPACE = "prepare-no-space"
FULL = "free space on the cache volume (trainchart cache prune), or use a larger one"

_held: List[int] = []  # locks, to the end of this process


def folder_of(location: str) -> str:
    """Return the name of the folder that has the entries of a source. No program takes it for an option."""
    name = re.sub(r"[^A-Za-z0-9.]+", "-", location.rstrip("/").rsplit("/", 1)[-1])
    return f"{name}-{hashlib.sha256(location.encode()).hexdigest()[:12]}".lstrip("-")


def entry(settings: Settings, key: str, source: manifest.Source, fill: Fill, user: Optional[str] = None) -> Path:
    """Return the folder of a source, filled by `fill(folder, state, room)` if it is missing or damaged.

    `key` is the values key, for messages; `user` is recorded as its last user, by default this run.

    Raises:
        RunnerError: it cannot be filled.
    """
    root, location, commit = Path(settings.cache_folder), source["location"], source["commit"]
    place = root / folder_of(location) / commit
    content, record = place / "content", place / "manifest"
    section = key.split(".")[0]
    by = f"{settings.run.namespace}/{settings.run.name}" if user is None else user
    hold(place, None if settings.cache.read_only else root, by)
    found = manifest.check(record, content, place, source)
    if found is None and (place / OLD_MARK).exists() and settings.cache.read_only:
        log.event("warning", source=section, reason="the cache entry has no manifest, so it cannot be checked")
        found = manifest.Difference()
    if found is not None and not found:
        log.event("cache", source=section, hit=True, commit=commit)
        return content
    if settings.cache.read_only:
        problem = (
            f"a damaged entry for {location} at {commit} ({found})" if found else f"no entry for {location} at {commit}"
        )
        raise RunnerError(
            "prepare-failed",
            f"{key}: the cache has {problem}, and cache.readOnly is true",
            "fill it by `trainchart cache fill` with the same values, or correct the revision",
        )
    room = Room(lambda: shutil.disk_usage(root).free, "the cache volume", FULL)
    try:
        trees.make(place, root)
        with locked(place / "lock", f"another run is fetching {location} into the cache"):
            log.event("cache", source=section, hit=False, commit=commit)

            def change() -> None:
                trees.remove(place / OLD_MARK, place)
                if content.is_dir() and not content.is_symlink():
                    trees.unprotect(content)

            manifest.ensure(
                section, content, record, place, source, partial(fill, content, place / "state", room), change
            )
            trees.protect(content)  # also if the run that filled it was killed before this
    except (OSError, RunnerError) as error:
        full = (
            error.errno in (errno.ENOSPC, errno.EDQUOT) if isinstance(error, OSError) else error.exit.name == NO_SPACE
        )
        if full:  # git cannot tell which disk is
            raise RunnerError(NO_SPACE, f"{key}: the cache volume is full: {error}", FULL) from error
        if isinstance(error, RunnerError):
            raise
        raise RunnerError(
            "prepare-failed",
            f"{key}: the cache volume cannot be written: {error}",
            "set cache.readOnly: true for a cache filled beforehand, or allow the pod's user or fsGroup to write to the claim",
        ) from error
    return content


def hold(place: Path, root: Optional[Path], user: str) -> None:
    """Share the lock of an entry from here on, and record its user ("": it is only filled).

    With `root` a missing entry is made. On a volume that can only be read the user is not recorded; on one without
    locks nothing can be pruned.
    """
    while True:
        if root:
            with contextlib.suppress(OSError):  # told by who fills it
                trees.make(place, root)
        try:
            handle = _open(place / USED)
        except OSError:  # there is no entry, and none can be made
            return
        try:
            fcntl.flock(handle, fcntl.LOCK_SH)  # waits while it is being pruned, which takes a moment
            if os.path.samestat(os.fstat(handle), (place / USED).stat()):
                break
        except FileNotFoundError:
            ...  # it has just been pruned
        except OSError:
            os.close(handle)
            return
        os.close(handle)
    _held.append(handle)
    with contextlib.suppress(OSError):
        if user:
            os.ftruncate(handle, 0)
            os.pwrite(handle, json.dumps({"user": user}).encode(), 0)
        else:
            os.utime(handle)


def _open(file: Path) -> int:
    """Open an entry's lock, for writing if possible: NFS has exclusive locks for such files alone."""
    flags = os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(str(file), os.O_RDWR | os.O_CREAT | flags, 0o666)
    except OSError:
        return os.open(str(file), os.O_RDONLY | flags)
