"""Fetches the LFS objects of one commit, and moves them into the working tree, so that the data is on disk once."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import AbstractSet, Dict, Iterator, List, Optional

from . import log
from .errors import RunnerError
from .git import Git
from .remote import Remote
from .workspace import Room

# A pointer, in every form that git-lfs reads or has ever written, with any line ending; extensions add lines.
_VERSION = re.compile(
    rb"version https?://(git-lfs\.github\.com/spec/v1|hawser\.github\.com/spec/v1|git-media\.io/v/2)\s"
)
_OID = re.compile(rb"^oid sha256:([0-9a-f]{64})\s*$", re.MULTILINE)
_SIZE = re.compile(rb"^size ([0-9]+)\s*$", re.MULTILINE)
_EXTENSION = re.compile(rb"^ext-[0-9]+-(\S+) ", re.MULTILINE)
# git-lfs writes at most 1024; larger ones were made by hand, and are not data either.
_POINTER_BYTES = range(100, 8193)
_BLANK = b"\xef\xbb\xbf \t\r\n"
_THREADS = 16  # on a network file system most of the time is spent waiting


@dataclass(frozen=True)
class Pointer:
    path: Path
    oid: str
    size: int
    extension: str = ""  # the first one that the data was stored through

    def stored_in(self, tree: Path) -> Path:
        return tree / ".git" / "lfs" / "objects" / self.oid[:2] / self.oid[2:4] / self.oid


def files(tree: Path, apart: AbstractSet[Path] = frozenset()) -> Iterator[Path]:
    """Yield the regular files of a checkout, in a stable order, but not those in the folders `apart`."""
    return (path for path in _listed(tree, apart) if path.is_file() and not path.is_symlink())


def _listed(tree: Path, apart: AbstractSet[Path] = frozenset()) -> Iterator[Path]:
    """Yield whatever is no folder, but nothing of git's own."""
    for folder, folders, names in os.walk(tree):
        folders[:] = sorted(name for name in folders if name != ".git" and not (apart and Path(folder, name) in apart))
        yield from (Path(folder, name) for name in sorted(names))


def pointers(tree: Path, apart: AbstractSet[Path] = frozenset()) -> List[Pointer]:
    """Return the files of a tree that are still pointers, without the folders `apart`."""
    small = [path for path in files(tree, apart) if path.stat().st_size in _POINTER_BYTES]
    if len(small) < 10 * _THREADS:
        return _read_pointers(small)
    with ThreadPoolExecutor(_THREADS) as pool:
        shares = pool.map(_read_pointers, (small[first::_THREADS] for first in range(_THREADS)))
        return sorted((pointer for share in shares for pointer in share), key=lambda pointer: pointer.path)


def _read_pointers(paths: List[Path]) -> List[Pointer]:
    return [pointer for pointer in map(_read_pointer, paths) if pointer]


def _read_pointer(path: Path) -> Optional[Pointer]:
    with path.open("rb", buffering=0) as stream:
        content = stream.read(100)
        if not _VERSION.match(content.lstrip(_BLANK)):
            return None
        content = (content + stream.read()).lstrip(_BLANK)
    oid, size, extension = _OID.search(content), _SIZE.search(content), _EXTENSION.search(content)
    if not oid or not size:
        return None
    through = extension.group(1).decode("utf-8", "replace") if extension else ""
    return Pointer(path, oid.group(1).decode("ascii"), int(size.group(1)), through)


def refuse_unusable(name: str, tree: Path) -> None:
    """Raise RunnerError if a tree that git did not fetch has pointers, which nothing can replace, or what is no file and
    would let its reader wait forever, such as a FIFO.
    """
    for file in _listed(tree):
        if not (file.is_file() or file.is_symlink()):
            raise RunnerError(
                "prepare-failed",
                f"{name}: {str(file.relative_to(tree))!r} is a FIFO, a socket or a device, and no file",
                "remove it, or copy the file itself there",
            )
    left = pointers(tree)
    if left:
        raise RunnerError(
            "prepare-failed",
            f"{name}: {len(left)} files are LFS pointers without data: {_examples(left, tree)}",
            "copy the data itself there (after git lfs pull), or leave these files out",
        )


def objects(git: Git, remote: Remote, tree: Path) -> Dict[str, str]:
    """Return the LFS objects of the checkout's files, by path."""
    listed = git.run(remote, tree, "lfs", "ls-files", "--long", capture=True).splitlines()
    found = (re.fullmatch(r"([0-9a-f]{64}) [*-] (.+)", line) for line in listed)
    return {match.group(2): match.group(1) for match in found if match}


def download(
    git: Git,
    remote: Remote,
    tree: Path,
    commit: str,
    room: Room,
    resumed: bool = False,
    apart: AbstractSet[Path] = frozenset(),
) -> List[Pointer]:
    """Replace every pointer by its object, and return the pointers. `resumed`: an earlier attempt may have replaced
    some. `apart` are folders of other repositories in it.

    Raises:
        RunnerError: an object is missing, or does not fit.
    """
    wanted = pointers(tree, apart)
    if not wanted:
        return []
    extended = [pointer for pointer in wanted if pointer.extension]
    if extended:
        raise RunnerError(
            "prepare-failed",
            f"{remote.key}.repository: {len(extended)} files were stored through the LFS extension "
            f"{extended[0].extension}, which a run cannot undo: {_examples(extended, tree)}",
            "store them without the extension, and push",
        )
    for pointer in wanted:  # a truncated object that a crash may have left
        stored = pointer.stored_in(tree)
        if stored.exists() and stored.stat().st_size != pointer.size:
            stored.unlink()
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
        linked = _link_existing(git, remote, tree, missing) if resumed else []
        try:
            _fetch(git, remote, tree, commit)
        finally:
            for path in linked:
                path.unlink()
    uses = Counter(pointer.oid for pointer in wanted)
    for pointer in wanted:
        uses[pointer.oid] -= 1
        if pointer.stored_in(tree).exists():
            _place(pointer, pointer.stored_in(tree), last=uses[pointer.oid] == 0)
    left = pointers(tree, apart)
    if left:
        raise RunnerError(
            "prepare-failed",
            f"{len(left)} files of {remote.key}.repository are LFS pointers without data: {_examples(left, tree)}",
            "push the missing objects: git lfs push --all <remote>",
        )
    return wanted


def _examples(found: List[Pointer], tree: Path) -> str:
    return ", ".join(str(pointer.path.relative_to(tree)) for pointer in found[:3])


def _link_existing(git: Git, remote: Remote, tree: Path, missing: Dict[str, int]) -> List[Path]:
    """Hard-link the objects that are already in place into git-lfs's storage, so that it does not fetch them again."""
    linked = []
    for path, oid in objects(git, remote, tree).items():
        stored = Pointer(tree / path, oid, 0).stored_in(tree)
        if oid in missing or stored.exists():
            continue
        with contextlib.suppress(OSError):  # without hard links they are fetched again
            stored.parent.mkdir(parents=True, exist_ok=True)
            os.link(str(tree / path), str(stored))
            linked.append(stored)
    return linked


def _fetch(git: Git, remote: Remote, tree: Path, commit: str) -> None:
    try:
        # Empty patterns: a repository's own .lfsconfig must not leave files out.
        git.run(remote, tree, "lfs", "fetch", "--include=", "--exclude=", "origin", commit)
    except RunnerError as error:
        if error.exit.name == "prepare-failed" and re.search(
            r"^(?!.*batch response).*(does not exist|not found on the server|or object not found|\b(404|410|422)\b)",
            error.reason,
        ):
            raise RunnerError(
                "prepare-failed",
                f"the server lacks LFS objects of {remote.key}.repository {remote.url}: {error.reason}",
                "push the missing objects: git lfs push --all <remote>",
            ) from error
        raise


def _place(pointer: Pointer, stored: Path, last: bool) -> None:
    """Move the object to the last file with this content; those before it get copies."""
    source = stored
    if not last:
        source = stored.with_name(stored.name + ".copy")
        shutil.copyfile(stored, source)
    source.chmod(pointer.path.stat().st_mode)
    source.replace(pointer.path)
