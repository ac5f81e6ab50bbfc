"""What lies below a prefix."""

from __future__ import annotations

import hashlib
import http.client
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from typing import Dict, List
from urllib.parse import unquote_plus

from runner.errors import RunnerError

from .store import BrokenError, Client, RefusedError, Store


@dataclass(frozen=True)
class Item:
    """An object; `key` is its path below the prefix."""

    key: str
    size: int
    etag: str


def listing(store: Store) -> List[Item]:
    """All objects below the prefix, by key. Objects that only stand for a folder are left out."""
    client = Client(store)
    items: List[Item] = []
    try:
        query = {"list-type": "2", "encoding-type": "url", "prefix": store.folder}
        while True:
            page = _page(client, query)
            items += _items(store, page)
            if page.findtext("{*}IsTruncated") != "true":
                break
            token = page.findtext("{*}NextContinuationToken")
            if not token:
                raise _foreign(store, "a cut listing has no NextContinuationToken")
            query = {**query, "continuation-token": token}
    finally:
        client.close()
    if not items:
        fix = f"correct {store.key}.bucket or {store.key}.prefix, or upload the files; a prefix is taken for a folder"
        raise RunnerError(
            "prepare-failed", f"{store.key}.prefix {store.prefix!r}: nothing lies in {store.location}", fix
        )
    return sorted(items, key=lambda item: item.key)


def digest(items: List[Item]) -> str:
    """40 hexadecimal digits that stand for exactly these objects, as a commit does for files."""
    lines = sorted(f"{item.key}\0{item.size}\0{item.etag}\n" for item in items)
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()[:40]


def _page(client: Client, query: Dict[str, str]) -> ElementTree.Element:
    attempt = 0
    while True:
        try:
            try:
                body = client.get("", query, {}).read()
            except (OSError, http.client.HTTPException) as error:  # within the body
                client.close()
                raise BrokenError(str(error) or type(error).__name__) from error
            break
        except BrokenError as broken:
            if not client.again(attempt, str(broken)):
                raise client.unreachable(str(broken)) from broken
            attempt += 1
        except RefusedError as refused:
            raise client.refused(refused) from refused
    try:
        page = ElementTree.fromstring(body)  # noqa: S314 (of the server that the values name)
    except ElementTree.ParseError as error:
        raise _foreign(client.store, f"the listing is no XML: {error}") from error
    if page.tag.rpartition("}")[2] != "ListBucketResult":
        raise _foreign(client.store, f"a listing was asked for, and <{page.tag.rpartition('}')[2]}> came")
    return page


def _items(store: Store, page: ElementTree.Element) -> List[Item]:
    encoded = page.findtext("{*}EncodingType") == "url"  # not every server does what it was asked for
    items = []
    for entry in page.iterfind("{*}Contents"):
        key, size = entry.findtext("{*}Key") or "", entry.findtext("{*}Size") or ""
        key = unquote_plus(key) if encoded else key
        if not key.startswith(store.folder) or not size.isdigit():
            raise _foreign(store, f"object {key!r} of {size!r} bytes in the listing of {store.folder!r}")
        if not key.endswith("/"):
            items.append(Item(key[len(store.folder) :], int(size), (entry.findtext("{*}ETag") or "").strip('"')))
    return items


def _foreign(store: Store, problem: str) -> RunnerError:
    return RunnerError(
        "prepare-failed",
        f"{store.key}.endpoint {store.endpoint}: the server does not answer like an S3 object store: {problem}",
        f"correct {store.key}.endpoint",
    )
