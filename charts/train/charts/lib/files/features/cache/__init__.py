"""The cache volume: each source once per commit, shared by all runs that mount it.

An entry is a folder with a manifest, which says that it is complete; from then on it is read-only, and readers need no
lock. A run compares an entry with its manifest before it uses it. Only an incomplete or changed entry is modified,
under its lock.
"""

from __future__ import annotations

import errno
import hashlib
import re
import shutil
from functools import partial
from pathlib import Path
from typing import Callable, Mapping, Tuple

from runner import log, manifest, trees
from runner.errors import RunnerError
from runner.settings import Settings
from runner.workspace import Room, locked

Fill = Callable[[Path, Path, Room], Tuple[int, Mapping[str, str]]]

OLD_MARK = "complete"  # in entries that were filled before manifests existed
NO_SPACE = "prepare-no-space"
FULL = "free space on the cache volume, or use a larger one"


def entry(settings: Settings, key: str, source: manifest.Source, fill: Fill) -> Path:
    """Return the folder of a source, filled by `fill(folder, state, room)` if it is missing or damaged.

    `key` is the values key, for messages.

    Raises:
        RunnerError: it cannot be filled.
    """
    root, location, commit = Path(settings.cache_folder), source["location"], source["commit"]
    name = re.sub(r"[^A-Za-z0-9.]+", "-", location.rstrip("/").rsplit("/", 1)[-1])
    place = root / f"{name}-{hashlib.sha256(location.encode()).hexdigest()[:12]}" / commit
    content, record = place / "content", place / "manifest"
    section = key.split(".")[0]
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
            "fill it with a run that has cache.readOnly: false, or correct the revision",
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
