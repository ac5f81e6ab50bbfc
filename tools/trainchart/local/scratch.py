"""A folder for what a command needs only while it runs."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trainchart.errors import FileError
from trainchart.units import size

ROOM = 1 << 30
"""Bytes that have to be free: a small training writes a few checkpoints and an export."""


_NEW_SECONDS = 60.0  # another command may be about to lock its folder


def cache() -> Path:
    """Where folders are made: below the home folder by default, for some container engines see no other."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("TRAINCHART_CACHE") or Path(home, "trainchart")).absolute() / "local"


@contextmanager
def scratch_folder(discard: Callable[[Path], object] = lambda _: None) -> Iterator[Path]:
    """A new folder that only this user enters; it is removed at the end, as are those of commands that were killed, for which
    `discard` ends first what still uses them.

    Raises:
        FileError: it cannot be made, or its disk is full.
    """
    parent = cache()
    try:
        parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(parent, discard)
        folder = Path(tempfile.mkdtemp(dir=parent))
    except OSError as error:
        raise FileError(f"{parent} cannot be used: {error.strerror}; name another folder by TRAINCHART_CACHE") from None
    try:
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            check_room(folder, ROOM)
            yield folder
    finally:
        remove(folder)


def check_room(folder: Path, needed: int) -> None:
    """Raise FileError unless so many bytes are free at the folder."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise FileError(
            f"{size(free)} are free at {cache()}, and {size(needed)} are needed; make room, or name another folder by "
            "TRAINCHART_CACHE"
        )


def name_of(inside: Path) -> str:
    """The name of the folder in which a path lies."""
    return inside.relative_to(cache()).parts[0]


def _remove_abandoned(parent: Path, discard: Callable[[Path], object]) -> None:
    for folder in parent.iterdir():
        if time.time() - folder.stat().st_mtime < _NEW_SECONDS:
            continue
        with contextlib.suppress(OSError), (folder / "lock").open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            discard(folder)
            remove(folder)


def remove(folder: Path) -> None:
    """Remove a folder, with folders in it that are read-only. What cannot be removed stays."""

    def again(function: Callable[[str], object], path: str, _: Any) -> None:
        with contextlib.suppress(OSError):
            parent = Path(path).parent
            parent.chmod(parent.stat().st_mode | stat.S_IRWXU)
            function(path)

    shutil.rmtree(folder, onerror=again)
