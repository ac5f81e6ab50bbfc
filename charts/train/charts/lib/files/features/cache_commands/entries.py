"""The entries of a cache volume: what they are, whether they are whole, and which may go.

Nothing is removed but entries as features/cache makes them, and only those whose lock `used` nobody has. An entry is
renamed before it is removed: one that runs can find is never half there. It is renamed beside itself, as a full disk has
no room for a folder. What cannot be read keeps nobody from the others.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import re
import shutil
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence

from features import cache
from runner import manifest, trees
from runner.errors import RunnerError
from runner.workspace import NO_LOCKS, bytes_below, no_locks

Found = Dict[str, Any]

_REMOVED = re.compile(r"\.removed-[0-9a-f]{32}")  # what was pruned, until it is gone
_OF_PROGRAMS = (".manifest.", ".nfs")  # files that are being written, and those that NFS keeps as they are still open
_FOLDER = re.compile(r"(.*-)?[0-9a-f]{12}")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_PARTS = {"content", "manifest", "lock", "state", cache.USED, cache.OLD_MARK}


@dataclass(frozen=True)
class Entry:
    """One commit of a source, as far as its files say."""

    place: Path
    source: manifest.Source  # type and location; empty if no manifest says so
    state: str  # complete, incomplete, or unchecked: from before there were manifests
    filled: Optional[float]  # when it became complete
    used: float  # when a run last began to use it, or it was made
    user: str  # that run, as namespace/name; "" if it is not known

    @property
    def name(self) -> str:
        return f"{self.place.parent.name}/{self.place.name}"

    @property
    def record(self) -> Path:
        return self.place / "manifest"

    @property
    def content(self) -> Path:
        return self.place / "content"

    @property
    def as_object(self) -> Found:
        return {
            "entry": self.name,
            "type": self.source.get("type", ""),
            "location": self.source.get("location", ""),
            "commit": self.place.name,
            "state": self.state,
            "filled": self.filled,
            "used": self.used,
            "user": self.user,
        }


def entries(root: Path) -> List[Entry]:
    """Return the entries of a volume, the last used first. What is not one is left out."""
    found: List[Entry] = []
    for place in _places(root):
        with contextlib.suppress(FileNotFoundError, PermissionError):  # pruned meanwhile; or another user's
            if _is_entry(place):
                found.append(_entry(place))
    return sorted(found, key=lambda entry: (-entry.used, entry.name))


def _places(root: Path) -> List[Path]:
    """Return the folders in those of sources."""
    sources = [folder for folder in _folders(root) if _FOLDER.fullmatch(folder.name) and os.access(folder, os.R_OK)]
    return [place for source in sources for place in _folders(source)]


def _folders(folder: Path) -> List[Path]:
    with os.scandir(str(folder)) as inside:
        return [Path(one.path) for one in inside if one.is_dir(follow_symlinks=False)]


def _unreadable(root: Path) -> int:
    """Return how many folders that entries may be in cannot be read by this user."""
    places = [place for place in _places(root) if _COMMIT.fullmatch(place.name)]
    sources = [folder for folder in _folders(root) if _FOLDER.fullmatch(folder.name)]
    return sum(folder.exists() and not os.access(folder, os.R_OK | os.X_OK) for folder in [*sources, *places])


def _is_entry(place: Path) -> bool:
    names = {path.name for path in place.iterdir() if not path.name.startswith(_OF_PROGRAMS)}
    source, _ = manifest.header(place / "manifest")
    belongs = source is None or cache.folder_of(source.get("location", "")) == place.parent.name.lstrip("-")
    return bool(_COMMIT.fullmatch(place.name)) and names <= _PARTS and belongs


def _entry(place: Path) -> Entry:
    source, whole = manifest.header(place / "manifest")
    is_old = source is None and (place / cache.OLD_MARK).exists()
    state = "unchecked" if is_old else "complete" if whole else "incomplete"
    filled = _modified(place / (cache.OLD_MARK if is_old else "manifest"))
    used = _modified(place / cache.USED) or filled or place.lstat().st_mtime
    return Entry(place, source or {}, state, None if state == "incomplete" else filled, used, _user(place))


def _again(entry: Entry) -> Optional[Entry]:
    """Return what an entry is now, None if it was pruned meanwhile."""
    with contextlib.suppress(FileNotFoundError):
        return _entry(entry.place)
    return None


def _modified(path: Path) -> Optional[float]:
    with contextlib.suppress(OSError):
        return path.lstat().st_mtime
    return None


def _user(place: Path) -> str:
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        handle = os.open(str(place / cache.USED), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(handle, encoding="utf-8") as stream:
            return str(json.loads(stream.read(4096))["user"])
    return ""


@contextlib.contextmanager
def _taken(entry: Entry) -> Iterator[bool]:
    """Hold the locks of an entry, and yield True; yield False while a run uses it, or fills it.

    Raises:
        OSError: a lock cannot be opened.
        RunnerError: the file system has no locks.
    """
    used, flags = entry.place / cache.USED, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
    is_new = not used.exists()  # runs of older charts know the other lock alone
    with contextlib.ExitStack() as stack:
        try:
            for name, more in ((cache.USED, os.O_CREAT), ("lock", 0)):
                if more or (entry.place / name).exists():
                    handle = os.open(str(entry.place / name), flags | more, 0o666)
                    stack.callback(os.close, handle)
                    if is_new and more:
                        os.utime(handle, (entry.used, entry.used))
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in NO_LOCKS:
                raise no_locks("prepare-failed", entry.place, error) from error
            if error.errno != errno.EAGAIN:
                raise
            yield False
            return
        yield True


def _is_used(entry: Entry) -> Optional[bool]:
    """Whether somebody uses it now; None if that cannot be found out."""
    if not (entry.place / cache.USED).exists():
        return False
    try:
        with _taken(entry) as free:
            return not free
    except (OSError, RunnerError):
        return None


# -- list


def listed(root: Path) -> Iterator[Found]:
    """Yield every entry with its bytes on the disk, what is wrong at first sight, and whether it is in use.

    No file is read.
    """
    for entry in entries(root):
        problem = _at_first_sight(entry) if entry.state == "complete" else ""
        now = _again(entry)
        if now is None:
            continue
        is_damaged = problem and now.filled == entry.filled  # else it is just filled again
        more = {"state": "damaged", "problem": problem} if is_damaged else {}
        size = bytes_below(entry.place)
        yield {**now.as_object, **more, "bytes": size, "inUse": _is_used(entry)}
    usage = shutil.disk_usage(str(root))
    left = sum(map(bytes_below, _left(root)))
    yield {"done": "list", "free": usage.free, "size": usage.total, "removed": left, "unreadable": _unreadable(root)}


def _at_first_sight(entry: Entry) -> str:
    found = manifest.Difference()
    for recorded in manifest.entries(entry.record):
        try:
            status = (entry.content / recorded.path).lstat()
        except OSError:
            found.missing.append(recorded.path)
            continue
        if status.st_size != recorded.size:
            found.changed.append(recorded.path)
    return str(found)


# -- verify


def verified(root: Path, names: Sequence[str] = ()) -> Iterator[Found]:
    """Yield every entry twice: before all of its files are read, and with what is wrong with it."""
    chosen = _chosen(root, names)
    for entry in chosen:
        is_whole = entry.state == "complete"
        total = sum(recorded.size for recorded in manifest.entries(entry.record)) if is_whole else 0
        yield {**entry.as_object, "bytes": total, "begins": True}
        problem, unread = "", 0
        if is_whole:
            problem = _compared(entry)
            unread = sum(not recorded.digest for recorded in manifest.entries(entry.record))
        now = _again(entry)
        if now is None:
            continue
        state = "damaged" if problem and now.state == "complete" else now.state  # it may just be filled again
        yield {**now.as_object, "state": state, "bytes": total, "problem": problem, "unread": unread}
    yield {"done": "verify"}


def _compared(entry: Entry) -> str:
    """Return what is wrong with the files of an entry, "" for nothing."""
    if not entry.content.is_dir() or entry.content.is_symlink():
        return "it has no folder of files"
    try:
        return str(manifest.compare(entry.record, entry.content, trusting=False))
    except OSError as error:
        return f"it cannot be read: {error}"


# -- prune


def pruned(
    root: Path,
    names: Sequence[str] = (),
    unused_seconds: float = 0,
    keep: int = 0,
    wanted: Sequence[Found] = (),
    dry_run: bool = False,
) -> Iterator[Found]:
    """Remove entries that nobody uses, and yield each that is chosen: removed, or why it stays.

    Args:
        root: of the volume.
        names: the entries to remove; without them, all that no run has begun to use for `unused_seconds`.
        unused_seconds: how long an entry stays after its last use.
        keep: how many entries of each source stay anyway, the last used first.
        wanted: the sources of runs that have not finished: `location`, `commit` ("": not known yet) and `run`.
        dry_run: remove nothing.
    """
    if not dry_run:
        yield from _swept(root)
    newest = _newest(entries(root))
    for entry in _due(root, names, unused_seconds, keep):
        found = {**entry.as_object, "bytes": bytes_below(entry.place)}
        reason = _wanted_by(entry, newest, wanted) or _removed(entry, root, dry_run)
        yield {**found, "stays": reason} if reason else {**found, "removed": True}
    yield {"done": "prune", "free": shutil.disk_usage(str(root)).free}


def _due(root: Path, names: Sequence[str], unused_seconds: float, keep: int) -> List[Entry]:
    if names:
        return _chosen(root, names)
    kept: Dict[str, int] = {}
    due = []
    for entry in entries(root):
        folder = entry.place.parent.name
        if entry.state != "incomplete":
            kept[folder] = kept.get(folder, 0) + 1
        is_spare = entry.state == "incomplete" or kept[folder] > keep
        unused = max(0.0, time.time() - entry.used)  # the clock of a file server may be ahead
        if is_spare and unused >= unused_seconds:
            due.append(entry)
    return due


def _newest(everything: Sequence[Entry]) -> Dict[str, Entry]:
    """Return the entry of each source that was filled last, by the folder of the source."""
    filled = sorted((entry for entry in everything if entry.filled), key=lambda entry: entry.filled or 0)
    return {entry.place.parent.name: entry for entry in filled}


def _wanted_by(entry: Entry, newest: Dict[str, Entry], wanted: Sequence[Found]) -> str:
    """Return that a run that has not finished needs an entry, "" if none does.

    It may still wait, or only be able to read the volume. Which commit of a branch it uses is not known before it
    runs: the one that was filled last, or the one that it has used already.
    """
    location = entry.source.get("location", "")
    is_newest = entry.place in [one.place for one in newest.values()]
    is_locked = (entry.place / cache.USED).exists()  # by those that use it
    for need in wanted:
        if location in (need["location"], f"{need['location']} with its submodules"):
            is_commit = entry.place.name == need["commit"] if need["commit"] else is_newest
            if is_commit or entry.user == need["run"] or not is_locked:
                return f"run {need['run']}, which has not finished, needs it"
    return ""


def _removed(entry: Entry, root: Path, dry_run: bool) -> str:
    """Remove an entry; return why it stays, "" if it does not."""
    try:
        with _taken(entry) as free:
            if not free:
                return "it is in use" + (f" by {entry.user}" if entry.user else "")
            if _entry(entry.place).used > entry.used:
                return "it has just been used"
            if dry_run:
                return ""
            aside = trees.move_aside(entry.place, root, entry.place.with_name(f".removed-{uuid.uuid4().hex}"))
    except FileNotFoundError:
        return ""  # another process has removed it
    except OSError as error:
        return f"it cannot be removed: {error}"
    try:
        trees.remove(aside, root)
    except OSError as error:
        return f"no run finds it any more, but some of it cannot be removed: {error}"
    return ""


def _swept(root: Path) -> Iterator[Found]:
    """Remove what an earlier call that was killed has left."""
    for place in _left(root):
        left = bytes_below(place)
        with contextlib.suppress(OSError):
            trees.remove(place, root)
        yield {"swept": left}


def _left(root: Path) -> List[Path]:
    return [place for place in _places(root) if _REMOVED.fullmatch(place.name)]


class UnknownEntryError(Exception):
    """A name is that of no entry, or of several; the text says so."""


def _chosen(root: Path, names: Sequence[str]) -> List[Entry]:
    """Return the entries of these names or commits, or all. Raises UnknownEntryError."""
    everything = entries(root)
    chosen: List[Entry] = []
    for name in names:
        is_commit = re.fullmatch(r"[0-9a-f]{7,40}", name)
        found = [one for one in everything if name == one.name or (is_commit and one.place.name.startswith(name))]
        if not found:
            raise UnknownEntryError(f"the cache has no entry {name!r}")
        if len(found) > 1:
            raise UnknownEntryError(
                f"{name!r} is the commit of {len(found)} entries: {', '.join(one.name for one in found)}"
            )
        chosen += [one for one in found if one not in chosen]
    return chosen if names else everything


ACTIONS = {"list": listed, "verify": verified, "prune": pruned}
