"""Writes objects below the prefix of a store. Every request is repeated while it fails temporarily."""

from __future__ import annotations

import base64
import hashlib
import http.client
import io
import sys
import threading
import xml.etree.ElementTree as ElementTree
from email.message import Message
from typing import Dict, List, Optional, Tuple
from xml.sax.saxutils import escape

from features.s3.place import BrokenError, RefusedError
from features.s3.store import Body, Client, Store
from runner.errors import RunnerError


class Bucket:
    """One connection to the folder of a store. Names are relative to it."""

    def __init__(self, store: Store, stop: Optional[threading.Event] = None) -> None:
        self.store = store
        self._client = Client(store, stop)

    def __enter__(self) -> Bucket:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def read(self, name: str, folder: Optional[str] = None) -> Optional[bytes]:
        """Return the content of an object, here or in another folder of the bucket; None if it does not exist. Raises
        RunnerError, as all of these do.
        """
        answer = self._ask("GET", name, accept=(404,), folder=folder)
        return answer[1] if answer else None

    def metadata(self, name: str) -> Optional[Message]:
        """Return the headers of an object; None if it does not exist."""
        answer = self._ask("HEAD", name, accept=(404,))
        return answer[0] if answer else None

    def put(self, name: str, content: bytes, only_new: bool = False) -> None:
        """Write an object. `only_new`: not over another one, in stores that know conditions."""
        headers = {**describe(content), **({"if-none-match": "*"} if only_new else {})}
        answer = self._ask("PUT", name, {}, headers, io.BytesIO(content), accept=(412, 501) if only_new else ())
        if answer is None and self.read(name) is None:
            self.put(name, content)

    def send(self, name: str, query: Dict[str, str], headers: Dict[str, str], body: Body) -> str:
        """Write an object, or a part of one, and return its etag."""
        answer = self._ask("PUT", name, query, headers, body, accept=(404,) if query else ())
        if answer is None:
            raise BrokenError("the upload does not exist any more")
        return answer[0].get("ETag") or ""

    def delete(self, name: str) -> bool:
        """Remove an object. Returns False if the key may not."""
        return self._ask("DELETE", name, accept=(403, 404)) is not None

    def begin(self, name: str, headers: Dict[str, str]) -> str:
        """Begin an upload in parts, and return its identity."""
        answer = self._ask("POST", name, {"uploads": ""}, {**describe(b""), **headers}, io.BytesIO())
        found = self._parse(answer[1] if answer else b"").findtext("{*}UploadId")
        if not found:
            raise self._not_s3("an upload without UploadId")
        return found

    def complete(self, name: str, upload: str, etags: List[str]) -> None:
        """Make the parts an object. Raises BrokenError if the upload does not exist any more, or the store fails."""
        parts = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{escape(etag)}</ETag></Part>"
            for number, etag in enumerate(etags, 1)
        )
        content = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
        answer = self._ask("POST", name, {"uploadId": upload}, describe(content), io.BytesIO(content), accept=(404,))
        # A store answers early, to keep the connection open, and may fail after that.
        if answer is None or b"<Error" in answer[1]:
            raise BrokenError("the upload does not exist any more" if answer is None else "the parts were not joined")

    def abort(self, name: str, upload: str) -> None:
        """Give up an upload, and free its parts. Where the key may not, a lifecycle rule of the bucket has to."""
        self._ask("DELETE", name, {"uploadId": upload}, accept=(403, 404))

    def uploads(self, name: str) -> List[str]:
        """Return the uploads of an object that were begun, and not ended; none where the key may not list them."""
        key = self.store.folder + name
        answer = self._ask("GET", None, {"uploads": "", "prefix": key}, accept=(403, 404, 501))
        rows = self._parse(answer[1]).iterfind("{*}Upload") if answer else iter(())
        return [row.findtext("{*}UploadId") or "" for row in rows if row.findtext("{*}Key") == key]

    def _ask(
        self,
        method: str,
        name: Optional[str],  # None: the bucket
        query: Optional[Dict[str, str]] = None,
        headers: Optional[Dict[str, str]] = None,
        body: Optional[Body] = None,
        accept: Tuple[int, ...] = (),
        folder: Optional[str] = None,
    ) -> Optional[Tuple[Message, bytes]]:
        """Return headers and content of the answer; None if the store refuses with one of the statuses `accept`.

        Raises:
            RunnerError: it refuses otherwise, or cannot be reached.
        """
        client, attempt = self._client, 0
        key = "" if name is None else (self.store.folder if folder is None else folder) + name
        while True:
            try:
                answer = client.request(method, key, query or {}, headers or {}, body)
                return answer.headers, _content(answer)
            except RefusedError as refused:
                if refused.status in accept and refused.code != "NoSuchBucket":
                    return None
                raise client.refused(refused) from refused
            except BrokenError as broken:
                reason, seconds = f"{name or self.store.bucket}: {broken}", broken.seconds
            client.close()
            if not client.wait_to_retry(attempt, reason, seconds):
                raise client.unreachable(reason)
            attempt += 1

    def wait_to_retry(self, attempt: int, reason: str) -> bool:
        return self._client.wait_to_retry(attempt, reason)

    def unreachable(self, reason: str) -> RunnerError:
        return self._client.unreachable(reason)

    def _parse(self, content: bytes) -> ElementTree.Element:
        try:
            return ElementTree.fromstring(content)  # noqa: S314 (from the configured server)
        except ElementTree.ParseError as error:
            raise self._not_s3(f"the answer is not XML: {error}") from error

    def _not_s3(self, problem: str) -> RunnerError:
        key = self.store.key
        reason = f"{key}.endpoint {self.store.endpoint}: the server does not answer like an S3 object store: {problem}"
        return self.store.failure(reason, f"correct {key}.endpoint")


def describe(content: bytes) -> Dict[str, str]:
    """Return the headers of a body, by which the store checks what arrives."""
    return checks(len(content), md5(content).digest(), hashlib.sha256(content).hexdigest())


def checks(size: int, md5_digest: bytes, sha256: str) -> Dict[str, str]:
    # Not every store checks the SHA-256 that belongs to the signature.
    return {
        "content-length": str(size),
        "content-md5": base64.b64encode(md5_digest).decode("ascii"),
        "x-amz-content-sha256": sha256,
    }


def md5(content: bytes = b"") -> "hashlib._Hash":
    """It protects nothing here: also Pythons that follow FIPS have to allow it."""
    return hashlib.md5(content, **({"usedforsecurity": False} if sys.version_info >= (3, 9) else {}))  # noqa: S324


def _content(answer: http.client.HTTPResponse) -> bytes:
    try:
        return answer.read()
    except (OSError, http.client.HTTPException) as error:  # also where less arrives than was announced
        raise BrokenError(str(error) or type(error).__name__) from error
