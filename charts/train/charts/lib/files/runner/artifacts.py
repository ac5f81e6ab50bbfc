"""Selects the artifacts that are published. What git cannot store is left out with a warning, or refused."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, List

from . import log
from .errors import RunnerError

# Git and git-lfs read these from the root of a clone. The commit has its own attributes, and an artifact that names
# another LFS server would make the objects unreachable.
RESERVED = (b".gitattributes", b".lfsconfig")
FILE, PROGRAM, LINK = "100644", "100755", "120000"


@dataclass(frozen=True)
class Entry:
    """A file, or a symbolic link, of the artifacts."""

    path: bytes  # relative to the artifacts, as git stores it; names need not be valid UTF-8
    mode: str  # git's: FILE, PROGRAM or LINK
    source: Path
    size: int

    @property
    def name(self) -> str:
        """The path for messages."""
        return format_path(self.path)


def entries(artifacts: Path) -> List[Entry]:
    """Return all that is published, sorted as git sorts it.

    Raises:
        RunnerError: publish-refused, if some artifact could not be the same in a clone.
    """
    return sorted(_walk(artifacts), key=lambda entry: entry.path)


def _walk(root: Path) -> Iterator[Entry]:
    left_out: List[str] = []
    for folder, folders, names in os.walk(root, onerror=_unreadable):
        if not folders and not names and Path(folder) != root:
            left_out.append(f"{format_path(os.fsencode(Path(folder).relative_to(root)))}/ (an empty folder)")
        for name in sorted([*folders, *names]):
            source = Path(folder, name)
            path, status = os.fsencode(source.relative_to(root)), source.lstat()
            if name.lower() == ".git":
                folders[:] = [other for other in folders if other != name]
                left_out.append(f"{format_path(path)} (a git repository's own files)")
            elif path in RESERVED:
                left_out.append(f"{format_path(path)} (it would change what a clone gets)")
            elif stat.S_ISLNK(status.st_mode):
                yield _link(root, path, source)
            elif stat.S_ISREG(status.st_mode):
                yield Entry(path, PROGRAM if status.st_mode & stat.S_IXUSR else FILE, source, status.st_size)
            elif not stat.S_ISDIR(status.st_mode):
                left_out.append(f"{format_path(path)} (neither a file nor a folder)")
    if left_out:
        more = f", and {len(left_out) - 5} more" if len(left_out) > 5 else ""
        log.event("warning", reason=f"artifacts that are not published: {', '.join(left_out[:5])}{more}")


def _link(root: Path, path: bytes, source: Path) -> Entry:
    """Return the entry of a symbolic link, which is published as a link.

    Raises: RunnerError: publish-refused, if it leads out of the artifacts: in a clone it would be dangling, and
    publishing its target instead could expose any file that the pod can read.
    """
    target = os.readlink(source)
    inside, real = os.path.normpath(source.relative_to(root).parent / target), source.resolve()
    if target.startswith("/") or inside.split("/")[0] == ".." or root.resolve() not in (real, *real.parents):
        raise RunnerError(
            "publish-refused",
            f"artifacts: {format_path(path)} is a symbolic link that leads out of the artifacts, to {format_path(os.fsencode(target))}",
            "make the export copy the file, or link to it by a relative path inside the artifacts",
        )
    return Entry(path, LINK, source, len(target))


def _unreadable(error: OSError) -> None:
    raise RunnerError(
        "publish-refused",
        f"a folder of the artifacts cannot be read: {error}",
        "make the export set permissions that let it be read",
    )


def format_path(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")
