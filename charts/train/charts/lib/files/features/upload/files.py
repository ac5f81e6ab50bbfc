"""Uploads files: each once, in parts where it is large, and checked by the store as it arrives."""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Callable, Dict, Iterable, List

from features.s3.place import BrokenError
from runner import log
from runner.errors import RunnerError

from .bucket import Bucket, checks, md5

THREADS = 4
PART_BYTES = 64 << 20  # larger files are uploaded in parts
MAX_PARTS = 10_000  # of S3
REPORT_SECONDS = 10.0
_CHUNK = 1 << 20
_SHA256 = "x-amz-meta-sha256"  # by which a later attempt recognizes a file


@dataclass(frozen=True)
class Part:
    offset: int
    size: int
    md5: bytes
    sha256: str


@dataclass(frozen=True)
class File:
    key: str  # below the folder of the result
    source: Path
    size: int
    sha256: str
    parts: List[Part]

    @property
    def entry(self) -> Dict[str, Any]:
        """What the manifest says of it."""
        return {"path": self.key, "bytes": self.size, "sha256": self.sha256}


def measure(key: str, source: Path) -> File:
    """Return a file with the digests of it and its parts. Reads it once."""
    part_bytes, whole = max(PART_BYTES, -(-source.stat().st_size // MAX_PARTS)), hashlib.sha256()
    parts: List[Part] = []
    with source.open("rb") as stream:
        while True:
            part = _measure_part(stream, part_bytes, whole)
            if part.size or not parts:
                parts.append(part)
            if part.size < part_bytes:
                return File(key, source, stream.tell(), whole.hexdigest(), parts)


def _measure_part(stream: IO[bytes], most: int, whole: "hashlib._Hash") -> Part:
    offset, size, sha256, md5_ = stream.tell(), 0, hashlib.sha256(), md5()
    while size < most:
        chunk = stream.read(min(_CHUNK, most - size))
        if not chunk:
            break
        size += len(chunk)
        for digest in (whole, sha256, md5_):
            digest.update(chunk)
    return Part(offset, size, md5_.digest(), sha256.hexdigest())


class Uploader:
    """Uploads files to the folder of a store. `tick` is called about once a second."""

    def __init__(self, bucket: Bucket, tick: Callable[[], None]) -> None:
        self._bucket = bucket
        self._tick = tick
        self._stop = threading.Event()
        self._threads = threading.local()
        self._progress = _Progress()

    def upload(self, files: List[File]) -> None:
        """Upload the files that the store does not have with the same content.

        Raises:
            RunnerError: one cannot be uploaded.
        """
        self._progress.total = sum(file.size for file in files)
        self._progress.report()
        with ThreadPoolExecutor(THREADS) as pool:
            try:
                for file in files:
                    self._tick()
                    self._upload(file, pool)
            finally:
                self._stop.set()  # also on Interrupted: the threads end after their chunk
        self._progress.report()

    def _upload(self, file: File, pool: ThreadPoolExecutor) -> None:
        """Upload a file until the store has it: an answer may be lost after the store has done what was asked."""
        if self._is_there(file):
            self._progress.add(file.size)
            return
        attempt = 0
        while True:
            reason = f"{file.key}: the store does not have what it has just accepted"
            try:
                if len(file.parts) == 1:
                    self._send(self._bucket, file, file.parts[0], {}, {_SHA256: file.sha256})
                else:
                    self._send_parts(file, pool)
            except BrokenError as broken:
                reason = f"{file.key}: {broken}"
            if self._is_there(file):
                return
            if not self._bucket.wait_to_retry(attempt, reason):
                raise self._bucket.unreachable(reason)
            attempt += 1

    def _is_there(self, file: File) -> bool:
        found = self._bucket.metadata(file.key)
        return found is not None and (found["Content-Length"], found[_SHA256]) == (str(file.size), file.sha256)

    def _send(self, bucket: Bucket, file: File, part: Part, query: Dict[str, str], headers: Dict[str, str]) -> str:
        with file.source.open("rb") as stream:
            body = _Slice(stream, file, part, self._progress, self._stop)
            return bucket.send(file.key, query, {**checks(part.size, part.md5, part.sha256), **headers}, body)

    def _send_parts(self, file: File, pool: ThreadPoolExecutor) -> None:
        """Raises BrokenError if all parts have to be sent again."""
        for upload in self._bucket.uploads(file.key):  # of an attempt that was killed
            self._bucket.abort(file.key, upload)
        upload = self._bucket.begin(file.key, {_SHA256: file.sha256})
        sent: List["Future[str]"] = []
        try:
            sent += [pool.submit(self._send_part, file, upload, number) for number in range(1, len(file.parts) + 1)]
            self._wait(sent)
            self._bucket.complete(file.key, upload, [part.result() for part in sent])
        except BaseException as error:
            if not isinstance(error, BrokenError):
                self._stop.set()
            for part in sent:
                part.cancel()
            wait(sent)  # a part that arrives after the end of its upload would stay
            with contextlib.suppress(RunnerError), Bucket(self._bucket.store, self._stop) as bucket:
                bucket.abort(file.key, upload)
            raise

    def _send_part(self, file: File, upload: str, number: int) -> str:
        if not hasattr(self._threads, "bucket"):
            self._threads.bucket = Bucket(self._bucket.store, self._stop)
        query = {"partNumber": str(number), "uploadId": upload}
        return self._send(self._threads.bucket, file, file.parts[number - 1], query, {})

    def _wait(self, sent: Iterable["Future[str]"]) -> None:
        """Return when all are done. Raises what one of them has raised."""
        left = set(sent)
        while left:
            done, left = wait(left, timeout=1, return_when=FIRST_EXCEPTION)
            for part in done:
                part.result()
            self._tick()


class _Slice:
    """A part of a file, as the body of a request."""

    def __init__(self, stream: IO[bytes], file: File, part: Part, progress: "_Progress", stop: threading.Event) -> None:
        self._stream, self._file, self._part, self._progress, self._stop = stream, file, part, progress, stop
        self._left = part.size

    def seek(self, offset: int) -> int:
        self._progress.add(self._left - self._part.size)  # it is sent again
        self._left = self._part.size - offset
        return self._stream.seek(self._part.offset + offset)

    def read(self, size: int = -1) -> bytes:
        if self._stop.is_set():
            raise BrokenError("the run is ending")
        try:
            chunk = self._stream.read(self._left if size < 0 else min(size, self._left))
        except OSError as error:  # of the disk, not of the connection
            raise RunnerError(
                "workspace-lost",
                f"artifacts: {self._file.key} cannot be read: {error}",
                "check the file system of the workspace",
            ) from error
        if not chunk and self._left:
            raise RunnerError(
                "publish-refused",
                f"artifacts: {self._file.key} has changed since it was exported",
                "let no process write to the artifacts after the export",
            )
        self._left -= len(chunk)
        self._progress.add(len(chunk))
        return chunk


class _Progress:
    """Logs how much of the result is in the store."""

    def __init__(self) -> None:
        self.total = 0
        self._done = 0
        self._reported = 0.0
        self._lock = threading.Lock()

    def add(self, count: int) -> None:
        with self._lock:
            self._done += count
            late = time.monotonic() - self._reported >= REPORT_SECONDS
        if late:
            self.report()

    def report(self) -> None:
        self._reported = time.monotonic()
        log.event("upload", total=self.total, uploaded=self._done)
