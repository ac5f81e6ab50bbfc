"""The result in a folder of a bucket.

Two objects lie there besides the artifacts. OWNER says which run the folder belongs to: it is made before anything else,
and only where there is none. MANIFEST lists every file with its size and SHA-256: it is made last, so whoever sees it
sees the whole result.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from typing import Any, Dict, List, Optional

from features.s3 import Store, listing
from runner import artifacts, log
from runner.context import Context
from runner.errors import RunnerError
from runner.family import Family
from runner.publish import Published
from runner.retry import Retry

from .bucket import Bucket
from .files import File, Uploader, measure

OWNER, MANIFEST = "trainchart-run.json", "trainchart.json"
MAX_KEY_BYTES = 1024  # of S3


class BucketPublisher:
    """Uploads the artifacts to the run's folder. An attempt sends only what an earlier one has not."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._publish = context.settings.publish
        # The Job's UID stays the same in every attempt, so nothing has to remember the name.
        self._name = self._publish.folder or f"{context.settings.run.name}-{context.uid[:8]}"
        store = Store.of(context.settings, "publish")
        self._prefix = store.folder
        self._store = replace(store, prefix=f"{self._prefix}{self._name}")
        self._retry = Retry(context)

    def find_published(self) -> Optional[Published]:
        """Return what an earlier attempt has published. Raises RunnerError if the folder is another run's."""
        with Bucket(self._store) as bucket:
            return self._find(bucket)

    def wrong_branch_error(self, published: Published) -> None:
        """Return None: a result is in the folder that was requested, or nowhere."""

    def check_push_access(self) -> None:
        """Check, before hours of training, that the folder is this run's or nobody's, and that the key may write to it.

        An upload of the manifest is begun and given up, which leaves nothing. Quotas are not covered: servers check
        them when the files arrive.

        Raises:
            RunnerError: the result could not be published.
        """
        log.event("check", location=self._store.location, what="the rights to list, read and write")
        with Bucket(self._store) as bucket:
            self._find(bucket)
            if not self._is_owner(bucket):
                self._check_free(bucket)
            bucket.abort(MANIFEST, bucket.begin(MANIFEST, {}))

    def publish(self, _: Family) -> Published:
        """Upload the artifacts, with retries for publish.patience.

        Raises:
            RunnerError: they cannot be published.
        """
        files = [self._file(entry) for entry in artifacts.entries(self._context.artifacts)]
        return self._retry.call(lambda: self._deliver(files))

    def _deliver(self, files: List[File]) -> Published:
        self._store = replace(self._store)  # a new one reads the Secret again
        with Bucket(self._store) as bucket:
            found = self._find(bucket)
            if found:
                log.event("already-published", branch=found.branch, commit=found.commit)
                return found
            self._claim(bucket)
            Uploader(bucket, self._retry.tick).upload(files)
            self._remove_others(bucket, files)
            manifest = _json({**self._run(), **self._origin(), "files": [file.entry for file in files]})
            self._context.lease.check()
            if not self._is_owner(bucket):  # in a store that knows no conditions, two runs may have claimed it at once
                raise self._taken("belongs to no run any more")
            bucket.put(MANIFEST, manifest)
            return Published(self._name, hashlib.sha256(manifest).hexdigest())

    def _file(self, entry: artifacts.Entry) -> File:
        """Return an artifact as the object that it becomes. A link to a file is that file: object stores have no links.

        Raises: RunnerError: publish-refused, if it cannot be an object.
        """
        try:
            key = entry.path.decode("utf-8")
        except UnicodeDecodeError:
            raise _impossible(entry, "its name is not UTF-8", "rename it") from None
        if key in (OWNER, MANIFEST):
            raise _impossible(entry, "the folder of the result has a file of this name itself", "rename it")
        if len(f"{self._store.folder}{key}".encode()) > MAX_KEY_BYTES:
            reason = f"its path has more than {MAX_KEY_BYTES} bytes, publish.prefix and publish.folder included"
            raise _impossible(entry, reason, "shorten it")
        if not entry.source.is_file():
            raise _impossible(entry, "it is a link to no file", "make the export copy the folder")
        return measure(key, entry.source)

    def _find(self, bucket: Bucket) -> Optional[Published]:
        # The list comes first: by the answer the client knows how the store wants its buckets addressed.
        names = [item.key for item in listing(self._store, may_be_empty=True)]
        manifest = bucket.read(MANIFEST) if MANIFEST in names else None
        if manifest is None:
            return None
        self._check_run(manifest)
        return Published(self._name, hashlib.sha256(manifest).hexdigest())

    def _is_owner(self, bucket: Bucket) -> bool:
        """Return False if the folder has no owner. Raises RunnerError if that is another run."""
        owner = bucket.read(OWNER)
        if owner is not None:
            self._check_run(owner)
        return owner is not None

    def _claim(self, bucket: Bucket) -> None:
        """Make the folder this run's. Raises RunnerError if it is another's, or has files that no run has put there."""
        if not self._is_owner(bucket):
            self._check_free(bucket)
            bucket.put(OWNER, _json(self._run()), only_new=True)
            self._is_owner(bucket)

    def _check_free(self, bucket: Bucket) -> None:
        """Raise RunnerError unless the folder is empty, and in no folder of a run."""
        above = self._prefix
        for part in self._name.split("/"):
            if bucket.read(OWNER, above) is not None:
                raise self._taken(f"is inside of {above or 'the bucket'}, which belongs to a run")
            above += f"{part}/"
        if listing(self._store, may_be_empty=True):
            raise self._taken("has files that no run has put there")

    def _check_run(self, content: bytes) -> None:
        try:
            run = json.loads(content)["run"]
        except (ValueError, TypeError, KeyError):
            raise self._taken("belongs to another run (unknown)") from None
        if run != self._context.uid:
            raise self._taken(f"belongs to another run (run {run})")

    def _taken(self, reason: str) -> RunnerError:
        return RunnerError(
            "branch-taken",
            f"publish.folder {self._name} of {self._publish.location} {reason}",
            "choose another publish.folder, or leave it empty for a new one",
        )

    def _remove_others(self, bucket: Bucket, files: List[File]) -> None:
        """Remove what an earlier attempt has uploaded, and this one has not. It is never required: the manifest tells
        what belongs to the result.
        """
        wanted = {OWNER, *(file.key for file in files)}
        found = [item.key for item in listing(self._store)]
        # Two runs may have claimed a folder and one inside of it at the same time.
        runs = tuple(key[: -len(OWNER)] for key in found if key.endswith(f"/{OWNER}"))
        removed = [bucket.delete(key) for key in found if key not in wanted and not key.startswith(runs)]
        for upload in bucket.uploads(MANIFEST):  # of an attempt that was killed while it checked its rights
            bucket.abort(MANIFEST, upload)
        if not all(removed):
            reason = f"files of an earlier attempt stay in {self._store.location}: the key may not remove them"
            log.event("warning", reason=reason)

    def _run(self) -> Dict[str, Any]:
        return {"version": 1, "run": self._context.uid, "release": self._context.settings.run.name}

    def _origin(self) -> Dict[str, Any]:
        sources = {name: asdict(pinned) for name, pinned in self._context.sources.items()}
        return {"model": self._context.settings.model_name, "sources": sources}


def _json(content: Dict[str, Any]) -> bytes:
    return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode("utf-8", "surrogateescape")


def _impossible(entry: artifacts.Entry, reason: str, fix: str) -> RunnerError:
    return RunnerError("publish-refused", f"artifacts: {entry.name} cannot be put into a bucket: {reason}", fix)
