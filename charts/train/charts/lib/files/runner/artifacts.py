"""What of the artifacts goes into the commit. Git cannot hold all that a folder can: what it cannot is told, or refused."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, List

from . import log
from .errors import RunnerError

# Read from the root of a clone by git and git-lfs themselves. The commit has its own attributes, and another LFS server named
# here would keep whoever clones from the objects.
RESERVED = (b".gitattributes", b".lfsconfig")
FILE, PROGRAM, LINK = "100644", "100755", "120000"


@dataclass(frozen=True)
class Entry:
    """A file, or a symbolic link, of the artifacts."""

    path: bytes  # below the artifacts, as git has it; a name need not be text
    mode: str  # git's: FILE, PROGRAM or LINK
    source: Path
    size: int

    @property
    def name(self) -> str:
        """For people."""
        return shown(self.path)


def entries(artifacts: Path) -> List[Entry]:
    """All that is published, sorted as git sorts it.

    Raises:
        RunnerError: publish-refused where something of it could not be the same in a clone.
    """
    return sorted(_walk(artifacts), key=lambda entry: entry.path)


def _walk(root: Path) -> Iterator[Entry]:
    left_out: List[str] = []
    for folder, folders, names in os.walk(root, onerror=_unreadable):
        if not folders and not names and Path(folder) != root:
            left_out.append(f"{shown(os.fsencode(Path(folder).relative_to(root)))}/ (git keeps no empty folders)")
        for name in sorted([*folders, *names]):
            source = Path(folder, name)
            path, status = os.fsencode(source.relative_to(root)), source.lstat()
            if name.lower() == ".git":
                folders[:] = [other for other in folders if other != name]
                left_out.append(f"{shown(path)} (a git repository's own files)")
            elif path in RESERVED:
                left_out.append(f"{shown(path)} (it would change what a clone gets)")
            elif stat.S_ISLNK(status.st_mode):
                yield _link(root, path, source)
            elif stat.S_ISREG(status.st_mode):
                yield Entry(path, PROGRAM if status.st_mode & stat.S_IXUSR else FILE, source, status.st_size)
            elif not stat.S_ISDIR(status.st_mode):
                left_out.append(f"{shown(path)} (neither a file nor a folder)")
    if left_out:
        more = f", and {len(left_out) - 5} more" if len(left_out) > 5 else ""
        log.event("warning", reason=f"artifacts that are not published: {', '.join(left_out[:5])}{more}")


def _link(root: Path, path: bytes, source: Path) -> Entry:
    """Published as the link it is. One that leads out of the artifacts would lead nowhere in a clone; what lies there is not
    published in its place, for it could be anything that the pod can read.
    """
    target = os.readlink(source)  # noqa: PTH115 (as bytes it would be longer)
    inside, real = os.path.normpath(source.relative_to(root).parent / target), source.resolve()
    if target.startswith("/") or inside.split("/")[0] == ".." or root.resolve() not in (real, *real.parents):
        raise RunnerError(
            "publish-refused",
            f"artifacts: {shown(path)} is a symbolic link that leads out of the artifacts, to {shown(os.fsencode(target))}",
            "let the export copy the file, or link to it by a relative path inside the artifacts",
        )
    return Entry(path, LINK, source, len(target))


def _unreadable(error: OSError) -> None:
    raise RunnerError(
        "publish-refused", f"a folder of the artifacts cannot be read: {error}", "let the export make it readable"
    )


def shown(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")
