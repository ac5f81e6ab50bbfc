"""The manifest of a tree that was fetched: what lies in it, so that using it again costs one stat per file, and no reading.

A file of lines of JSON: first what the tree is of and whether it is whole, then `[path, size, mtime_ns, inode, digest]` for every file and
link, in the order of the walk. A file whose stat differs is read, and counts as unchanged where it has its digest. The manifest is
written before anything is fetched (not whole) and after everything is there (whole): a tree that a killed run left is never taken for one.
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

Source = Dict[str, str]  # what a tree is of: type, location, and what identifies the content
Fill = Callable[[], Tuple[int, Mapping[str, str]]]  # brings what is missing; returns bytes, and digests by path

_SKIPPED = ".git"
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Entry:
    """A file or a link. `digest`: git:<blob>, sha256:<hex>, md5:<hex>, link:<target>, or "" where it is not known."""

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
    """Of a tree from its manifest. `touched` are files whose stat differs and whose content does not."""

    changed: List[str] = field(default_factory=list)
    missing: List[str] = field(default_factory=list)
    extra: List[str] = field(default_factory=list)
    touched: int = 0
    bytes: int = 0  # of the files that are as they were

    def __bool__(self) -> bool:
        return bool(self.changed or self.missing or self.extra)

    def __str__(self) -> str:
        kinds = (("changed", self.changed), ("missing", self.missing), ("extra", self.extra))
        return ", ".join(f"{len(paths)} {kind} (such as {paths[0]})" for kind, paths in kinds if paths)


def ensure(
    name: str, tree: Path, record: Path, below: Path, source: Source, fill: Fill, before: Callable[[], None]
) -> int:
    """Make `tree` what `source` says, by `fill`, unless it is; only what differs is removed before. Returns its bytes.

    `record` is the manifest's file; both lie below `below`. `before` is called once before the first change, and not where there is none.
    """
    noted, _ = _header(record)
    found = look(record, tree, below, source)
    if found is not None:
        if not found:
            if found.touched:
                write(record, tree, below, source, digests(record))
            return found.bytes
        log.event(
            "changed", source=name, reason=f"files are not those that were fetched: {found}; they are fetched again"
        )
        before()
        # While the manifest still tells what differs: an attempt that dies here, or cannot remove a file, leaves the rest of them,
        # and in a tree that is not whole the next one would take them for what was fetched.
        for path in [*found.changed, *found.missing, *found.extra]:
            trees.remove(tree / path, below)
        _begin(record, below, source)
    else:
        before()
        if noted and _place_of(noted) == _place_of(source):
            _begin(record, below, source)  # what an attempt before has fetched stays
        else:
            if noted:
                log.event("changed", source=name, reason=f"the folder holds {noted.get('location')}; it is emptied")
            trees.remove(record, below)
            trees.empty(tree, below)
            _begin(record, below, source)
    trees.make(tree, below)
    count, known = fill()
    write(record, tree, below, source, known)
    return count


def look(record: Path, tree: Path, below: Path, source: Source) -> Optional[Difference]:
    """How a tree differs from its manifest; None where it is not one of `source`, or not whole."""
    noted, whole = _header(record)
    if whole and noted == source and tree.is_dir() and not _behind_link(tree, below):
        return compare(record, tree)
    return None


def write(record: Path, tree: Path, below: Path, source: Source, known: Mapping[str, str]) -> None:
    """The manifest of a tree that is whole."""

    def lines() -> Iterator[str]:
        yield _head(source, whole=True)
        for entry in walk(tree):
            yield Entry(
                entry.path, entry.size, entry.mtime_ns, entry.inode, entry.digest or known.get(entry.path, "")
            ).line()

    trees.write(record, lines(), below)


def compare(record: Path, tree: Path) -> Difference:
    """How a tree differs from its manifest; a manifest that cannot be read has nothing, so that all is extra."""
    found = Difference()
    noted = _entries(record)
    entry = next(noted, None)
    for there in walk(tree):
        while entry is not None and entry.parts < there.parts:
            found.missing.append(entry.path)
            entry = next(noted, None)
        if entry is None or entry.path != there.path:
            found.extra.append(there.path)
            continue
        _compare(entry, there, tree, found)
        entry = next(noted, None)
    while entry is not None:
        found.missing.append(entry.path)
        entry = next(noted, None)
    return found


def digests(record: Path) -> Dict[str, str]:
    """Those of a manifest, by path."""
    return {entry.path: entry.digest for entry in _entries(record)}


def walk(tree: Path) -> Iterator[Entry]:
    """All files and links of a tree but git's own, in the order of their paths' parts. Links are not followed."""
    pending: List[Tuple[str, str]] = [("", str(tree))]
    while pending:
        prefix, path = pending.pop()
        mode = os.lstat(path)
        if stat.S_ISDIR(mode.st_mode):
            with os.scandir(path) as inside:
                names = sorted((entry.name for entry in inside if entry.name != _SKIPPED), reverse=True)
            pending.extend((f"{prefix}/{name}" if prefix else name, f"{path}/{name}") for name in names)
        else:
            link = f"link:{os.readlink(path)}" if stat.S_ISLNK(mode.st_mode) else ""  # noqa: PTH115 (Path's is newer than 3.8)
            yield Entry(prefix, mode.st_size, mode.st_mtime_ns, mode.st_ino, link)


def file_digest(path: Path, kind: str) -> str:
    """`kind` is sha256, md5, or git: the hash that git has for the file's content."""
    digest = hashlib.new("sha1" if kind == "git" else kind)
    with path.open("rb") as stream:
        if kind == "git":
            digest.update(b"blob %d\0" % os.fstat(stream.fileno()).st_size)
        for chunk in iter(lambda: stream.read(_CHUNK), b""):
            digest.update(chunk)
    return digest.hexdigest()


def _compare(noted: Entry, there: Entry, tree: Path, found: Difference) -> None:
    if noted.digest.startswith("link:") or there.digest:
        if noted.digest != there.digest:
            found.changed.append(noted.path)
        return
    if (noted.size, noted.mtime_ns, noted.inode) == (there.size, there.mtime_ns, there.inode):
        found.bytes += there.size
    elif noted.size == there.size and noted.digest and _has_digest(tree / noted.path, noted):
        found.touched += 1
        found.bytes += there.size
    else:
        found.changed.append(noted.path)


def _has_digest(path: Path, noted: Entry) -> bool:
    kind, _, wanted = noted.digest.partition(":")
    try:
        return file_digest(path, kind) == wanted
    except OSError:
        return False


def _begin(record: Path, below: Path, source: Source) -> None:
    trees.write(record, _head(source, whole=False), below)


def _head(source: Source, whole: bool) -> str:
    return json.dumps({"version": 1, "source": source, "whole": whole}) + "\n"


def _header(record: Path) -> Tuple[Optional[Source], bool]:
    """What the tree is of, None where nobody knows, and whether it is whole."""
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        if not record.is_symlink():
            with record.open(encoding="utf-8") as stream:
                head: Dict[str, Any] = json.loads(stream.readline())
                return dict(head["source"]), head["whole"] is True
    return None, False


def _entries(record: Path) -> Iterator[Entry]:
    with contextlib.suppress(OSError, ValueError, TypeError), record.open(encoding="utf-8") as stream:
        stream.readline()
        for line in stream:
            yield Entry(*json.loads(line))


def _place_of(source: Source) -> Tuple[str, ...]:
    """Where it comes from, whatever its version."""
    return source.get("type", ""), source.get("location", "")


def _behind_link(tree: Path, below: Path) -> bool:
    return any(path.is_symlink() for path in [tree, *tree.parents] if below in path.parents)
