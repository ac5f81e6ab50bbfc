"""The cache volume: each source once per commit, shared by all runs that mount it.

An entry is a folder that is marked complete when everything is in it, and never changed or removed after that: whoever reads it
needs no lock. Only what a killed run left half done is touched again, under the entry's lock, by the next run that wants it.
"""

from __future__ import annotations

import errno
import hashlib
import re
import shutil
from pathlib import Path
from typing import Callable

from runner import log
from runner.context import Pinned
from runner.errors import RunnerError
from runner.settings import Cache
from runner.workspace import Room, locked

NO_SPACE = "prepare-no-space"
FULL = "free some of the cache volume, or use a larger one"


def entry(cache: Cache, key: str, pinned: Pinned, fill: Callable[[Path, Room], int]) -> Path:
    """The folder of a source; filled by `fill(folder, room)` where no run has done so before."""
    root = Path(cache.path)
    name = re.sub(r"[^A-Za-z0-9.]+", "-", pinned.repository.rstrip("/").rsplit("/", 1)[-1])
    place = root / f"{name}-{hashlib.sha256(pinned.repository.encode()).hexdigest()[:12]}" / pinned.commit
    content, complete = place / "content", place / "complete"
    if complete.exists():
        log.event("cache", source=key.split(".")[0], hit=True, commit=pinned.commit)
        return content
    if cache.read_only:
        raise RunnerError(
            "prepare-failed",
            f"{key}: the cache has no entry for {pinned.repository} at {pinned.commit}, and cache.readOnly is true",
            "fill it by a run with cache.readOnly: false, or correct the revision",
        )
    try:
        place.mkdir(parents=True, exist_ok=True)
        with locked(place / "lock", f"another run fetches {pinned.repository} into the cache"):
            if not complete.exists():
                log.event("cache", source=key.split(".")[0], hit=False, commit=pinned.commit)
                fill(content, Room(lambda: shutil.disk_usage(root).free, "the cache volume", FULL))
                complete.touch()
    except (OSError, RunnerError) as error:
        full = (
            error.errno in (errno.ENOSPC, errno.EDQUOT) if isinstance(error, OSError) else error.exit.name == NO_SPACE
        )
        if full:  # git knows only that some disk is
            raise RunnerError(NO_SPACE, f"{key}: the cache volume is full: {error}", FULL) from error
        if isinstance(error, RunnerError):
            raise
        raise RunnerError(
            "prepare-failed",
            f"{key}: the cache volume cannot be written: {error}",
            "set cache.readOnly: true for a cache filled beforehand, or let the pod's user or fsGroup write to the claim",
        ) from error
    return content
