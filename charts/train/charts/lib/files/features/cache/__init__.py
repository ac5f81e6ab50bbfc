"""The cache volume: each source once per commit, shared by all runs that mount it.

An entry is a folder with a manifest, which says that everything is in it; from then on it is read-only, and whoever reads it needs
no lock. Whoever uses it compares it with its manifest first. Only what is half done or differs is touched again, under the entry's lock.
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
from runner.settings import Cache
from runner.workspace import Room, locked

Fill = Callable[[Path, Path, Room], Tuple[int, Mapping[str, str]]]

OLD_MARK = "complete"  # of an entry that was filled before there were manifests
NO_SPACE = "prepare-no-space"
FULL = "free some of the cache volume, or use a larger one"


def entry(cache: Cache, key: str, source: manifest.Source, fill: Fill) -> Path:
    """The folder of a source; filled by `fill(folder, state, room)` where no run has done so before, or where it is broken."""
    root, location, commit = Path(cache.path), source["location"], source["commit"]
    name = re.sub(r"[^A-Za-z0-9.]+", "-", location.rstrip("/").rsplit("/", 1)[-1])
    place = root / f"{name}-{hashlib.sha256(location.encode()).hexdigest()[:12]}" / commit
    content, record = place / "content", place / "manifest"
    told = key.split(".")[0]
    found = manifest.look(record, content, place, source)
    if found is None and (place / OLD_MARK).exists() and cache.read_only:
        log.event("warning", source=told, reason="the entry of the cache has no manifest, and cannot be checked")
        found = manifest.Difference()
    if found is not None and not found:
        log.event("cache", source=told, hit=True, commit=commit)
        return content
    if cache.read_only:
        has = (
            f"a broken entry for {location} at {commit} ({found})" if found else f"no entry for {location} at {commit}"
        )
        raise RunnerError(
            "prepare-failed",
            f"{key}: the cache has {has}, and cache.readOnly is true",
            "fill it by a run with cache.readOnly: false, or correct the revision",
        )
    room = Room(lambda: shutil.disk_usage(root).free, "the cache volume", FULL)
    try:
        trees.make(place, root)
        with locked(place / "lock", f"another run fetches {location} into the cache"):
            log.event("cache", source=told, hit=False, commit=commit)

            def change() -> None:
                trees.remove(place / OLD_MARK, place)
                if content.is_dir() and not content.is_symlink():
                    trees.unprotect(content)

            manifest.ensure(told, content, record, place, source, partial(fill, content, place / "state", room), change)
            trees.protect(content)  # also where the run that filled it was killed before
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
