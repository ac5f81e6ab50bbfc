"""How requests name the bucket: as the first label of the host, as the first part of the path, or not at all."""

from __future__ import annotations

import ipaddress
import re
import threading
from typing import List, NamedTuple
from urllib.parse import urlsplit

from runner import log

from .place import RefusedError

# What stores that require virtual-hosted requests answer to others: Aliyun OSS SecondLevelDomainForbidden, Tencent COS
# PathStyleDomainForbidden, Huawei OBS "Virtual host domain is required", Volcengine TOS InvalidPathAccess.
_VIRTUAL_ONLY = re.compile(r"second.?level.?domain|virtual.?(host|style)|path.?(style|access)", re.IGNORECASE)
_LABEL = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")


class Address(NamedTuple):
    addressing: str  # virtual, path or domain
    endpoint: str  # scheme, host and port that requests go to
    folder: str  # what the path has before the key: "/bucket" or ""


def addresses(endpoint: str, bucket: str, addressing: str) -> List[Address]:
    """Return the addresses of a bucket, the first of which is used. `auto` may have a second one: see `Addresses`."""
    parts = urlsplit(endpoint)
    host = parts.hostname or ""
    named = host.startswith(f"{bucket}.")  # the host as a web console shows it, with the bucket
    virtual = Address("virtual", endpoint if named else f"{parts.scheme}://{bucket}.{parts.netloc}", "")
    path = Address("path", endpoint, f"/{bucket}")
    if addressing != "auto":
        return [{"virtual": virtual, "path": path, "domain": Address("domain", endpoint, "")}[addressing]]
    # A certificate for *.host does not cover a bucket whose name has dots.
    fits = bool(_LABEL.fullmatch(bucket)) or (parts.scheme == "http" and _are_labels(bucket))
    if not fits or _is_address(host) or "." not in host:
        return [path]
    if host.endswith((".amazonaws.com", ".amazonaws.com.cn")):  # where new buckets may be without the other one
        return [virtual]
    return [path, virtual]


class Addresses:
    """The address that is used for a bucket, by all threads that fetch from it.

    `auto` begins with the path, which all stores on one's own servers understand, and goes over to the host where the
    store demands it, or says that it has taken the bucket's name for a key's.
    """

    def __init__(self, section: str, endpoint: str, bucket: str, addressing: str) -> None:
        self._section = section
        self._left = addresses(endpoint, bucket, addressing)
        self._named = (urlsplit(endpoint).hostname or "").startswith(f"{bucket}.")
        self._lock = threading.Lock()

    @property
    def current(self) -> Address:
        return self._left[0]

    def change(self, used: Address, of_bucket: bool, refused: RefusedError) -> bool:
        """Whether a request that was refused at the address `used` should be sent again, to another one.

        `of_bucket`: the request was for the bucket, not for an object in it.
        """
        with self._lock:
            if used != self.current:
                return True  # another thread was faster
            taken_for_key = self._named and of_bucket and (refused.code == "NoSuchKey" or refused.status == 403)
            if len(self._left) < 2 or not (taken_for_key or demands_virtual(refused)):
                return False
            self._left.pop(0)
            host = urlsplit(self.current.endpoint).netloc
            log.event("addressing", source=self._section, addressing="virtual", host=host, reason=str(refused))
            return True


def demands_virtual(refused: RefusedError) -> bool:
    """Whether a store says that it accepts only requests that have the bucket in the host."""
    return 400 <= refused.status < 500 and bool(_VIRTUAL_ONLY.search(str(refused)))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _are_labels(bucket: str) -> bool:
    return all(re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", part) for part in bucket.split("."))
