"""Downloads objects to disk: each once, complete, and never outside of its folder."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import http.client
import json
import os
import queue
import shutil
import threading
import time
from pathlib import Path, PurePosixPath
from typing import Callable, Dict, List, Optional, Protocol, Tuple

from runner import log, trees
from runner.errors import RunnerError

from .listing import Item
from .place import BrokenError, RefusedError
from .store import Client, Store

THREADS = 8
REPORT_SECONDS = 10.0
_CHUNK = 1 << 20

Report = Callable[[int, int, int], None]  # total bytes, bytes on disk, and free bytes of the disk


class Room(Protocol):
    """See runner.workspace.Room."""

    @property
    def free_bytes(self) -> Callable[[], int]: ...

    @property
    def name(self) -> str: ...

    @property
    def fix(self) -> str: ...


def fetch(
    store: Store, items: List[Item], folder: Path, state: Path, room: Room, report: Optional[Report] = None
) -> int:
    """Download `items` to `folder`, and return the bytes received.

    `state` is a file beside `folder`, on the same disk: it lists what is on disk, so that objects with the same size
    and etag stay.

    Raises:
        RunnerError: they cannot be fetched, or do not fit.
    """
    _check_keys(store, items)
    return _Transfer(store, items, folder, state, room, report or _logged(store.key)).run()


def _logged(key: str) -> Report:
    def report(total: int, cached: int, available: int) -> None:
        log.event("cache", source=key, total=total, cached=cached, available=available)

    return report


def _check_keys(store: Store, items: List[Item]) -> None:
    """Raise RunnerError for a key that is not a path below the folder, or that makes one name a file and a folder."""
    files = {item.key for item in items}
    for item in items:
        parts = item.key.split("/")
        if {"", ".", ".."} & set(parts) or "\0" in item.key or any(len(os.fsencode(part)) > 255 for part in parts):
            problem = "is not the path of a file below the folder"
        elif any(str(parent) in files for parent in PurePosixPath(item.key).parents):
            problem = "is below a key that is an object too: a name cannot be both a file and a folder"
        else:
            continue
        raise RunnerError(
            "prepare-failed",
            f"{store.key}.prefix {store.prefix!r}: key {store.folder + item.key!r} of bucket {store.bucket} {problem}",
            f"rename the object, or set {store.key}.prefix to a folder without it",
        )


class _Transfer:
    """One call of `fetch`."""

    def __init__(self, store: Store, items: List[Item], folder: Path, state: Path, room: Room, report: Report) -> None:
        self.store, self.items, self.folder, self.state, self.room = store, items, folder, state, room
        self.report = report
        self.parts = state.with_name(f"{state.name}.parts")  # not below `folder`, where a key may have any name
        self.total = sum(item.size for item in items)
        self.present = 0  # bytes on disk, including parts
        self.fetched = 0
        self.free = 0  # at the start
        self.lock = threading.Lock()
        self.stop = threading.Event()
        self.failures: List[BaseException] = []

    def run(self) -> int:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.parts.mkdir(parents=True, exist_ok=True)
        missing = self._missing()
        self._check_room(missing)
        self._report()
        log.event("fetch", source=self.store.key, what="objects", objects=len(missing), bytes=self.total - self.present)
        try:
            self._fetch_all(missing)
        finally:
            self.stop.set()  # also on Interrupted: the threads are daemons, and stop after their chunk
        self._report()
        trees.remove(self.parts, self.parts.parent)
        return self.fetched

    def _missing(self) -> List[Item]:
        """Return the objects to fetch. Removes those of an earlier listing that this one lacks."""
        recorded = self._read_state()
        wanted = {item.key: item for item in self.items}
        for key in set(recorded) - set(wanted):
            trees.remove(self.folder / key, self.folder)
        kept = [
            item for item in self.items if recorded.get(item.key) == (item.size, item.etag) and self._is_whole(item)
        ]
        self._write_state(kept)
        self.present = sum(item.size for item in kept)
        names = {item.key for item in kept}
        missing = [item for item in self.items if item.key not in names]
        part_names = {self._part(item).name: item for item in missing}
        for part in self.parts.iterdir():
            size = part.lstat().st_size
            if part.is_symlink():
                part.unlink()
            elif part.name in part_names and size <= part_names[part.name].size:
                self.present += size
            else:
                part.unlink()
        return missing

    def _check_room(self, missing: List[Item]) -> None:
        self.free = self.room.free_bytes()
        needed = self.total - self.present
        if needed > self.free:
            raise RunnerError(
                "prepare-no-space",
                f"the {len(missing)} objects of {self.store.key} in {self.store.location} need {needed} bytes, and "
                f"{self.room.name} has {self.free} free",
                self.room.fix,
            )

    def _report(self) -> None:
        left = min(shutil.disk_usage(self.folder).free, self.free - self.fetched)
        self.report(self.total, self.present, max(0, left))

    def _fetch_all(self, missing: List[Item]) -> None:
        work: "queue.Queue[Item]" = queue.Queue()
        for item in missing:
            work.put(item)
        threads = [
            threading.Thread(target=self._work, args=(work,), daemon=True) for _ in range(min(THREADS, len(missing)))
        ]
        for thread in threads:
            thread.start()
        reported = time.monotonic()
        while any(thread.is_alive() for thread in threads) and not self.failures:
            if self.stop.wait(0.05):
                break
            if time.monotonic() - reported >= REPORT_SECONDS:
                reported = time.monotonic()
                self._report()
        if self.failures:
            raise self.failures[0]

    def _work(self, work: "queue.Queue[Item]") -> None:
        try:
            client = Client(self.store, self.stop)
            try:
                while not self.stop.is_set():
                    self._fetch(client, work.get_nowait())
            except queue.Empty:
                pass
            finally:
                client.close()
        except Exception as error:
            with self.lock:
                self.failures.append(self._failure(error))
            self.stop.set()

    def _failure(self, error: Exception) -> Exception:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return RunnerError(
                "prepare-no-space", f"{self.store.key}: {self.room.name} is full: {error}", self.room.fix
            )
        return error

    def _fetch(self, client: Client, item: Item) -> None:
        """Fetch one object into its part, which is renamed to the file when it is complete."""
        part, attempt = self._part(item), 0
        while True:
            before = part.stat().st_size if part.exists() else 0
            if before == item.size and part.exists():
                break
            try:
                self._receive(client, item, part, before)
            except RefusedError as refused:
                raise self._refused(client, item, refused) from refused
            except BrokenError as broken:
                client.close()
                # What was received is kept; a server that makes progress each time gets all the time it needs.
                attempt = 0 if part.exists() and part.stat().st_size > before else attempt
                if not client.wait_to_retry(attempt, f"{item.key}: {broken}", broken.seconds):
                    raise client.unreachable(f"{item.key}: {broken}") from broken
                attempt += 1
        target = self.folder / item.key
        trees.make(target.parent, self.folder)  # never through a link left by an earlier source
        if target.is_dir() and not target.is_symlink():
            trees.remove(target, self.folder)
        part.replace(target)
        with self.lock, self.state.open("a", encoding="utf-8") as stream:
            stream.write(_line(item))

    def _receive(self, client: Client, item: Item, part: Path, offset: int) -> None:
        headers = {"range": f"bytes={offset}-"} if offset else {}
        if item.etag:
            headers["if-match"] = f'"{item.etag}"'
        answer = client.get(self.store.folder + item.key, {}, headers)
        if offset and (answer.status != 206 or not _starts_at(answer, offset)):
            self._add(-offset, fetched=False)  # a server without ranges starts from the beginning
            offset = 0
        with part.open("ab" if offset else "wb") as stream:
            while offset < item.size or not item.size:
                try:
                    chunk = answer.read(_CHUNK)
                except (OSError, http.client.HTTPException) as error:
                    raise BrokenError(str(error) or type(error).__name__) from error
                if not chunk:
                    break
                offset += len(chunk)
                if offset > item.size:
                    raise self._changed(item, f"it sent more than the {item.size} bytes of the listing")
                stream.write(chunk)
                self._add(len(chunk))
                if self.stop.is_set():
                    raise BrokenError("the run is ending")
        if offset < item.size:
            raise BrokenError(f"the connection ended after {offset} of {item.size} bytes")
        if answer.read(1):
            raise self._changed(item, f"it sent more than the {item.size} bytes of the listing")

    def _refused(self, client: Client, item: Item, refused: RefusedError) -> RunnerError:
        if refused.status in (404, 412, 416) and refused.code != "NoSuchBucket":
            return self._changed(item, f"the server answered {refused}")
        return client.refused(refused)

    def _changed(self, item: Item, how: str) -> RunnerError:
        key = self.store.key
        return RunnerError(
            "prepare-failed",
            f"{key}.prefix {self.store.prefix!r}: object {self.store.folder + item.key} is not the listed one: {how}",
            f"do not change the objects of {key} while a run starts, and start a new run",
        )

    def _add(self, count: int, fetched: bool = True) -> None:
        with self.lock:
            self.present += count
            self.fetched += count if fetched else 0

    def _part(self, item: Item) -> Path:
        identity = f"{item.key}\0{item.size}\0{item.etag}".encode("utf-8", "surrogateescape")
        return self.parts / hashlib.sha256(identity).hexdigest()[:40]

    def _is_whole(self, item: Item) -> bool:
        path = self.folder / item.key
        return path.is_file() and not path.is_symlink() and path.stat().st_size == item.size

    def _read_state(self) -> Dict[str, Tuple[int, str]]:
        """Read one line per object; a torn last line is ignored."""
        found: Dict[str, Tuple[int, str]] = {}
        with contextlib.suppress(FileNotFoundError):
            for line in self.state.read_text(encoding="utf-8").splitlines():
                with contextlib.suppress(ValueError):
                    key, size, etag = json.loads(line)
                    found[str(key)] = (int(size), str(etag))
        return found

    def _write_state(self, items: List[Item]) -> None:
        trees.write(self.state, map(_line, items), self.state.parent)


def _line(item: Item) -> str:
    return json.dumps([item.key, item.size, item.etag]) + "\n"


def _starts_at(answer: http.client.HTTPResponse, offset: int) -> bool:
    return (answer.getheader("Content-Range") or "").startswith(f"bytes {offset}-")
