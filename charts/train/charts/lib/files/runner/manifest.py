"""The manifest of a fetched tree: it lists the content, so that reusing the tree costs one stat per file, and no
reading.

A file of JSON lines: first the source of the tree and whether it is complete, then `[path, size, mtime_ns, inode,
digest]` for every file and link, in the order of `walk`. A file whose stat differs is read, and counts as unchanged if
its digest is the same. The manifest is written before anything is fetched (incomplete), and after everything is
(complete): a tree that a killed run left is never taken for a complete one.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Tuple

from . import log, trees

Source = Dict[str, str]  # of a tree: type, location, and what identifies its content
Fill = Callable[[], Tuple[int, Mapping[str, str]]]  # fetches what is missing; returns bytes, and digests by path

_SKIPPED = ".git"
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Entry:
    """A file or a link. `digest`: git:<blob>, sha256:<hex>, md5:<hex>, link:<target>, or "" if unknown."""

    path: str
    size: int
    mtime_ns: int
    inode: int
    digest: str = ""

    @property
    def parts(self) -> List[str]:
        return self.path.split("/")

    def line(self) -> str:
        return json.dumps([self.path, self.size, self.mtime_ns, self.inode, self.digest]) + "\n"


@dataclass
class Difference:
    """How a tree differs from its manifest. `touched` counts files whose stat differs, but not their content."""

    changed: List[str] = field(default_factory=list)
    missing: List[str] = field(default_factory=list)
    extra: List[str] = field(default_factory=list)
    touched: int = 0
    bytes: int = 0  # of the unchanged files

    def __bool__(self) -> bool:
        return bool(self.changed or self.missing or self.extra)

    def __str__(self) -> str:
        kinds = (("changed", self.changed), ("missing", self.missing), ("extra", self.extra))
        return ", ".join(f"{len(paths)} {kind} (such as {paths[0]})" for kind, paths in kinds if paths)


def ensure(
    name: str, tree: Path, record: Path, below: Path, source: Source, fill: Fill, before: Callable[[], None]
) -> int:
    """Make `tree` a complete copy of `source`, by `fill`, and return its bytes. Only what differs is removed and
    fetched again.

    `record` is the manifest's file; both lie below `below`. `before` is called once before the first change, if there
    is any.
    """
    recorded, _ = header(record)
    found = check(record, tree, below, source)
    if found is not None:
        if not found:
            if found.touched:
                write(record, tree, below, source, digests(record))
            return found.bytes
        log.event(
            "changed",
            source=name,
            reason=f"files have changed since they were fetched: {found}; they are fetched again",
        )
        before()
        # Remove them before the manifest is marked incomplete: if this attempt dies here, the next one still knows
        # which files differ; in an incomplete tree it would take them for fetched ones.
        for path in [*found.changed, *found.missing, *found.extra]:
            trees.remove(tree / path, below)
        _begin(record, below, source)
    else:
        before()
        if recorded and _location_of(recorded) == _location_of(source):
            _begin(record, below, source)  # what an earlier attempt has fetched stays
        else:
            if recorded:
                log.event("changed", source=name, reason=f"the folder holds {recorded.get('location')}; it is emptied")
            trees.remove(record, below)
            trees.empty(tree, below)
            _begin(record, below, source)
    trees.make(tree, below)
    count, known = fill()
    write(record, tree, below, source, known)
    return count


def check(record: Path, tree: Path, below: Path, source: Source) -> Optional[Difference]:
    """Return how a tree differs from its manifest; None if it is not complete, or not of this source."""
    recorded, whole = header(record)
    if whole and recorded == source and tree.is_dir() and not _behind_link(tree, below):
        return compare(record, tree)
    return None


def write(record: Path, tree: Path, below: Path, source: Source, known: Mapping[str, str]) -> None:
    """Write the manifest of a complete tree."""

    def lines() -> Iterator[str]:
        yield _head(source, whole=True)
        for entry in walk(tree):
            yield Entry(
                entry.path, entry.size, entry.mtime_ns, entry.inode, entry.digest or known.get(entry.path, "")
            ).line()

    trees.write(record, lines(), below)


def compare(record: Path, tree: Path, trusting: bool = True) -> Difference:
    """Return how a tree differs from its manifest. With a manifest that cannot be read, every file is extra.

    Not `trusting`: also read the files whose stat is as recorded.
    """
    found = Difference()
    recorded = entries(record)
    entry = next(recorded, None)
    for present in walk(tree):
        while entry is not None and entry.parts < present.parts:
            found.missing.append(entry.path)
            entry = next(recorded, None)
        if entry is None or entry.path != present.path:
            found.extra.append(present.path)
            continue
        _compare(entry, present, tree, found, trusting)
        entry = next(recorded, None)
    while entry is not None:
        found.missing.append(entry.path)
        entry = next(recorded, None)
    return found


def digests(record: Path) -> Dict[str, str]:
    """Return the digests of a manifest, by path."""
    return {entry.path: entry.digest for entry in entries(record)}


def walk(tree: Path) -> Iterator[Entry]:
    """Yield all files and links of a tree, except in `.git`, sorted by the parts of their paths. Links are not
    followed.
    """
    pending: List[Tuple[str, str]] = [("", str(tree))]
    while pending:
        prefix, path = pending.pop()
        mode = os.lstat(path)
        if stat.S_ISDIR(mode.st_mode):
            with os.scandir(path) as inside:
                names = sorted((entry.name for entry in inside if entry.name != _SKIPPED), reverse=True)
            pending.extend((f"{prefix}/{name}" if prefix else name, f"{path}/{name}") for name in names)
        else:
            link = f"link:{os.readlink(path)}" if stat.S_ISLNK(mode.st_mode) else ""
            yield Entry(prefix, mode.st_size, mode.st_mtime_ns, mode.st_ino, link)


def file_digest(path: Path, kind: str) -> str:
    """Return the digest of a file. `kind` is sha256, md5, or git: the hash of its blob."""
    digest = hashlib.new("sha1" if kind == "git" else kind)
    with path.open("rb") as stream:
        if kind == "git":
            digest.update(b"blob %d\0" % os.fstat(stream.fileno()).st_size)
        for chunk in iter(lambda: stream.read(_CHUNK), b""):
            digest.update(chunk)
    return digest.hexdigest()


def _compare(recorded: Entry, present: Entry, tree: Path, found: Difference, trusting: bool) -> None:
    if recorded.digest.startswith("link:") or present.digest:
        if recorded.digest != present.digest:
            found.changed.append(recorded.path)
        return
    same = (recorded.size, recorded.mtime_ns, recorded.inode) == (present.size, present.mtime_ns, present.inode)
    if same and (trusting or not recorded.digest):
        found.bytes += present.size
    elif recorded.size == present.size and recorded.digest and _has_digest(tree / recorded.path, recorded):
        found.touched += 1
        found.bytes += present.size
    else:
        found.changed.append(recorded.path)


def _has_digest(path: Path, recorded: Entry) -> bool:
    kind, _, wanted = recorded.digest.partition(":")
    try:
        return file_digest(path, kind) == wanted
    except (OSError, ValueError):  # ValueError: of a kind that only later versions know
        return False


def _begin(record: Path, below: Path, source: Source) -> None:
    trees.write(record, _head(source, whole=False), below)


def _head(source: Source, whole: bool) -> str:
    return json.dumps({"version": 1, "source": source, "whole": whole}) + "\n"


def header(record: Path) -> Tuple[Optional[Source], bool]:
    """Return the source of the tree (None if unknown), and whether the tree is complete."""
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError, RecursionError):
        if record.is_file() and not record.is_symlink():
            with record.open(encoding="utf-8") as stream:
                head: Dict[str, Any] = json.loads(stream.readline())
                source = {str(key): str(value) for key, value in dict(head["source"]).items()}
                return source, head["whole"] is True
    return None, False


def entries(record: Path) -> Iterator[Entry]:
    """Yield what a manifest records, up to a line that is none of its own."""
    with contextlib.suppress(OSError, ValueError, TypeError, RecursionError), record.open(encoding="utf-8") as stream:
        stream.readline()
        for line in stream:
            path, size, mtime_ns, inode, digest = json.loads(line)
            entry = Entry(str(path), int(size), int(mtime_ns), int(inode), str(digest))
            if "\0" in entry.path or {"", ".", ".."} & set(entry.parts):
                return  # it would lead out of the tree
            yield entry


def _location_of(source: Source) -> Tuple[str, ...]:
    """Return where a tree comes from, whatever its version."""
    return source.get("type", ""), source.get("location", "")


def _behind_link(tree: Path, below: Path) -> bool:
    return any(path.is_symlink() for path in [tree, *tree.parents] if below in path.parents)
