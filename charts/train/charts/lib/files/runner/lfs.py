"""LFS objects: fetched for one commit and moved into the working tree, so that the data is on disk once."""

from __future__ import annotations

import os
import re
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, List

from . import log
from .errors import RunnerError
from .git import Git
from .remote import Remote
from .workspace import Room

_SPEC = b"version https://git-lfs.github.com/spec/v1\n"
_POINTER = re.compile(rb"oid sha256:([0-9a-f]{64})\nsize ([0-9]+)\n")
_MAX_POINTER_BYTES = 1024


@dataclass(frozen=True)
class Pointer:
    path: Path
    oid: str
    size: int

    def stored_in(self, tree: Path) -> Path:
        return tree / ".git" / "lfs" / "objects" / self.oid[:2] / self.oid[2:4] / self.oid


def files(tree: Path) -> Iterator[Path]:
    """The regular files of a checkout, in a stable order."""
    for folder, folders, names in os.walk(tree):
        folders[:] = sorted(name for name in folders if name != ".git")
        paths = (Path(folder, name) for name in sorted(names))
        yield from (path for path in paths if path.is_file() and not path.is_symlink())


def pointers(tree: Path) -> List[Pointer]:
    """The files of a checkout that are still pointers."""
    found = []
    for path in files(tree):
        if path.stat().st_size <= _MAX_POINTER_BYTES:
            content = path.read_bytes()
            match = _POINTER.search(content) if content.startswith(_SPEC) else None
            if match:
                found.append(Pointer(path, match.group(1).decode("ascii"), int(match.group(2))))
    return found


def download(git: Git, remote: Remote, tree: Path, commit: str, room: Room) -> int:
    """Replace every pointer by its object; what an attempt before has already done stays done. Returns the bytes of data."""
    wanted = pointers(tree)
    if not wanted:
        return 0
    missing = {pointer.oid: pointer.size for pointer in wanted if not pointer.stored_in(tree).exists()}
    copies = sum(pointer.size for pointer in wanted) - sum({pointer.oid: pointer.size for pointer in wanted}.values())
    needed, free = sum(missing.values()) + copies, room.free_bytes()
    if needed > free:
        raise RunnerError(
            "prepare-no-space",
            f"the LFS objects of {remote.key}.repository need {needed} bytes and {room.name} has {free} free",
            room.fix,
        )
    if missing:
        log.event("fetch", source=remote.key, what="lfs", objects=len(missing), bytes=sum(missing.values()))
        _fetch(git, remote, tree, commit)
    uses = Counter(pointer.oid for pointer in wanted)
    for pointer in wanted:
        uses[pointer.oid] -= 1
        if pointer.stored_in(tree).exists():
            _place(pointer, pointer.stored_in(tree), last=uses[pointer.oid] == 0)
    left = [str(pointer.path.relative_to(tree)) for pointer in pointers(tree)]
    if left:
        raise RunnerError(
            "prepare-failed",
            f"{len(left)} files of {remote.key}.repository are LFS pointers without data: {', '.join(left[:3])}",
            "push the missing objects: git lfs push --all <remote>",
        )
    return sum(pointer.size for pointer in wanted)


def _fetch(git: Git, remote: Remote, tree: Path, commit: str) -> None:
    try:
        # Empty patterns: a repository's own .lfsconfig must not leave files out.
        git.run(remote, tree, "lfs", "fetch", "--include=", "--exclude=", "origin", commit)
    except RunnerError as error:
        if error.exit.name == "prepare-failed" and re.search(
            r"does not exist|not found on the server|or object not found|\b(404|410|422)\b", error.reason
        ):
            raise RunnerError(
                "prepare-failed",
                f"the server has not all LFS objects of {remote.key}.repository {remote.url}: {error.reason}",
                "push the missing objects: git lfs push --all <remote>",
            ) from error
        raise


def _place(pointer: Pointer, stored: Path, last: bool) -> None:
    """The last file with this content gets the object itself; those before it get copies."""
    source = stored
    if not last:
        source = stored.with_name(stored.name + ".copy")
        shutil.copyfile(stored, source)
    source.chmod(pointer.path.stat().st_mode)
    source.replace(pointer.path)
