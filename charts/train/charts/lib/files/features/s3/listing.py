"""Lists the objects below a prefix."""

from __future__ import annotations

import hashlib
import http.client
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from typing import Dict, List, Set
from urllib.parse import unquote_plus

from runner.errors import RunnerError

from .place import BrokenError, RefusedError
from .store import Client, Store

MAX_OBJECTS = 5_000_000
MAX_PAGE_BYTES = 16 << 20  # a page of 1000 keys has at most about 4 MiB
_MAX_IDLE_PAGES = 100  # in a row, without a new key


@dataclass(frozen=True)
class Item:
    """An object; `key` is its path below the prefix."""

    key: str
    size: int
    etag: str


def listing(store: Store, may_be_empty: bool = False) -> List[Item]:
    """Return all objects below the prefix, sorted by key, without those that only represent a folder. Raises
    RunnerError.
    """
    client = Client(store)
    items: Dict[str, Item] = {}
    tokens: Set[str] = set()
    idle = 0
    try:
        query = {"list-type": "2", "encoding-type": "url", "prefix": store.folder}
        while True:
            page = _page(client, query)
            before = len(items)
            items.update((item.key, item) for item in _items(store, page))
            if len(items) > MAX_OBJECTS:
                raise store.failure(
                    f"{store.key}.prefix {store.prefix!r}: more than {MAX_OBJECTS} objects are in {store.location}",
                    "pack them into archives, or choose a prefix with fewer",
                )
            if page.findtext("{*}IsTruncated") != "true":
                break
            token = page.findtext("{*}NextContinuationToken") or ""
            if token:
                query = {**query, "continuation-token": token}
            else:  # a store, such as Huawei OBS, that knows only the first version of listings
                token = _last_key(page)
                query = {"encoding-type": "url", "prefix": store.folder, "marker": token}
            idle = 0 if len(items) > before else idle + 1
            if token in tokens or idle > _MAX_IDLE_PAGES:
                raise _not_s3(store, "the listing does not end: it repeats")
            tokens.add(token)
    finally:
        client.close()
    if not items and not may_be_empty:
        fix = f"correct {store.key}.bucket or {store.key}.prefix, or upload the files; a prefix names a folder"
        raise store.failure(f"{store.key}.prefix {store.prefix!r}: {store.location} is empty", fix)
    return sorted(items.values(), key=lambda item: item.key)


def digest(items: List[Item]) -> str:
    """Return 40 hexadecimal digits that identify exactly these objects, as a commit does files."""
    lines = sorted(f"{item.key}\0{item.size}\0{item.etag}\n" for item in items)
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()[:40]


def content_digest(item: Item) -> str:
    """Return the digest for a manifest: the etag, if it is the MD5 of the content (not for multipart uploads), else
    "".
    """
    etag = item.etag.lower()  # Aliyun OSS has capitals
    return f"md5:{etag}" if re.fullmatch(r"[0-9a-f]{32}", etag) else ""


def _page(client: Client, query: Dict[str, str]) -> ElementTree.Element:
    attempt = 0
    while True:
        try:
            try:
                answer = client.get("", query, {})
                body = answer.read(MAX_PAGE_BYTES + 1)
            except (OSError, http.client.HTTPException) as error:  # while the body is read
                client.close()
                raise BrokenError(str(error) or type(error).__name__) from error
            if len(body) > MAX_PAGE_BYTES:
                client.close()
                raise _not_s3(client.store, f"one page of the listing has more than {MAX_PAGE_BYTES} bytes")
            if answer.length or _is_cut(body):  # `length`: the rest of the Content-Length
                client.close()
                raise BrokenError("the listing is truncated")
            break
        except BrokenError as broken:
            if not client.wait_to_retry(attempt, str(broken), broken.seconds):
                raise client.unreachable(str(broken)) from broken
            attempt += 1
        except RefusedError as refused:
            raise client.refused(refused) from refused
    try:
        page = ElementTree.fromstring(body)  # noqa: S314 (from the configured server)
    except ElementTree.ParseError as error:
        raise _not_s3(client.store, f"the listing is not XML: {error}") from error
    if page.tag.rpartition("}")[2] != "ListBucketResult":
        raise _not_s3(client.store, f"the answer to a listing is <{page.tag.rpartition('}')[2]}>")
    return page


def _is_cut(body: bytes) -> bool:
    """Whether a listing has a beginning but no end, although it has the announced length."""
    return b"<ListBucketResult" in body[:1000] and b"</ListBucketResult" not in body[-100:] and b"/>" not in body[-10:]


def _items(store: Store, page: ElementTree.Element) -> List[Item]:
    items = []
    for entry in page.iterfind("{*}Contents"):
        key, size = _key(page, entry), entry.findtext("{*}Size") or ""
        if not key.startswith(store.folder) or not size.isdigit():
            raise _not_s3(store, f"object {key!r} of {size!r} bytes in the listing of {store.folder!r}")
        if not key.endswith("/"):
            items.append(Item(key[len(store.folder) :], int(size), (entry.findtext("{*}ETag") or "").strip('"')))
    return items


def _key(page: ElementTree.Element, entry: ElementTree.Element) -> str:
    encoded = page.findtext("{*}EncodingType") == "url"  # not every server does what is requested
    key = entry.findtext("{*}Key") or ""
    return unquote_plus(key) if encoded else key


def _last_key(page: ElementTree.Element) -> str:
    entries = page.findall("{*}Contents")
    return _key(page, entries[-1]) if entries else ""


def _not_s3(store: Store, problem: str) -> RunnerError:
    return store.failure(
        f"{store.key}.endpoint {store.endpoint}: the server does not answer like an S3 object store: {problem}",
        f"correct {store.key}.endpoint",
    )
