"""A small object store that checks every signature by itself, and can be told to misbehave."""

from __future__ import annotations

import hashlib
import hmac
import http.server
import re
import ssl
import threading
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, quote_plus, unquote, urlsplit
from xml.sax.saxutils import escape

from .answers import Answer, Fault, answered

ACCESS, SECRET = "AKIDROBOT", "canary/s3cret+key"


@dataclass
class Bucket:
    """`objects` of bucket `datasets`, for whoever signs with SECRET, or for everyone."""

    objects: dict[str, bytes] = field(default_factory=dict)
    url: str = ""
    public: bool = False
    token: str = ""  # of a session, which requests must have too
    domain: str = ""  # the bucket is also at datasets.<domain>, as with MINIO_DOMAIN
    own_domain: str = ""  # a host that is the bucket
    path_refused: tuple[str, str] | None = None  # code and message for requests that have the bucket in the path
    page: int = 1000
    versions: tuple[int, ...] = (1, 2)  # of listings
    encodes: bool = True  # keys in listings, as the client asks
    ranges: bool = True
    faults: list[Fault] = field(default_factory=list)  # the first that hits a request decides its answer
    failures: list[int] = field(default_factory=list)  # statuses of the next answers
    cut: list[int] = field(default_factory=list)  # of the next objects only so many bytes are sent
    pause: float = 0.0  # before each object
    requests: list[str] = field(default_factory=list)
    hosts: list[str] = field(default_factory=list)  # of these requests
    connections: int = 0


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    bucket: Bucket

    def setup(self) -> None:
        self.bucket.connections += 1
        super().setup()

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        bucket = self.bucket
        bucket.hosts.append(self.headers["Host"].partition(":")[0])
        bucket.requests.append(f"{self.path} {self.headers.get('Range', '')}".strip())
        line, authorization = f"GET {self.path}", self.headers.get("Authorization")
        answered(bucket.faults, line, authorization, self.honest).send(self)

    def honest(self) -> Answer:
        bucket, parts = self.bucket, urlsplit(self.path)
        if bucket.failures:
            return Answer(bucket.failures.pop(0), {}, error("SlowDown", "Reduce your request rate."))
        if not bucket.public and (problem := self.check_signature()):
            return Answer(403, {}, error(*problem))
        host, path = self.headers["Host"].partition(":")[0], unquote(parts.path).lstrip("/")
        if bucket.domain and host.endswith(f".{bucket.domain}"):
            name, key = host[: -len(bucket.domain) - 1], path
        elif bucket.own_domain and host == bucket.own_domain:
            name, key = "datasets", path
        else:
            name, _, key = path.partition("/")
            if bucket.path_refused:
                return Answer(403, {}, error(*bucket.path_refused))
        if not name:
            return Answer(200, {}, b"<ListAllMyBucketsResult><Buckets/></ListAllMyBucketsResult>")
        if name != "datasets":
            return Answer(404, {}, error("NoSuchBucket", "The specified bucket does not exist"))
        return self.give(key) if key else self.list({k: v[0] for k, v in parse_qs(parts.query).items()})

    def check_signature(self) -> tuple[str, str] | None:
        """By the text of the specification, from the bytes of the request."""
        header = self.headers.get("Authorization", "")
        found = re.fullmatch(r"AWS4-HMAC-SHA256 Credential=([^/]+)/(.+), ?SignedHeaders=(.+), ?Signature=(.+)", header)
        if not found:
            return "AccessDenied", "Access Denied."
        access, scope, names, signature = found.groups()
        if access != ACCESS:
            return "InvalidAccessKeyId", "The Access Key Id you provided does not exist in our records."
        if self.bucket.token and self.headers.get("x-amz-security-token") != self.bucket.token:
            return "ExpiredToken", "The provided token has expired."
        path, _, query = self.path.partition("?")
        headers = "".join(f"{name}:{self.headers[name].strip()}\n" for name in names.split(";"))
        query = "&".join(sorted(query.split("&"))) if query else ""
        canonical = "\n".join(["GET", path, query, headers, names, self.headers["x-amz-content-sha256"]])
        text = "\n".join(
            ["AWS4-HMAC-SHA256", self.headers["x-amz-date"], scope, hashlib.sha256(canonical.encode()).hexdigest()]
        )
        secret = b"AWS4" + SECRET.encode()
        for part in [*scope.split("/"), text]:
            secret = hmac.digest(secret, part.encode(), "sha256")
        demanded = {"host", "x-amz-date"} | {"x-amz-security-token"} & {name.lower() for name in self.headers}
        if demanded - set(names.split(";")) or secret.hex() != signature:
            return "SignatureDoesNotMatch", "The request signature we calculated does not match yours."
        return None

    def list(self, query: dict[str, str]) -> Answer:
        bucket, encode = self.bucket, quote_plus if self.bucket.encodes else escape
        keys = sorted(key for key in bucket.objects if key.startswith(query.get("prefix", "")))
        second = query.get("list-type") == "2" and 2 in bucket.versions
        if second:
            start = int(query.get("continuation-token", "0"))
        else:
            start = sum(key <= query.get("marker", "") for key in keys)
        page, more = keys[start : start + bucket.page], len(keys) > start + bucket.page
        rows = "".join(
            f"<Contents><Key>{encode(key)}</Key><ETag>&quot;{etag(bucket.objects[key])}&quot;</ETag>"
            f"<Size>{len(bucket.objects[key])}</Size></Contents>"
            for key in page
        )
        token = f"<NextContinuationToken>{start + bucket.page}</NextContinuationToken>" if more and second else ""
        kind = "<EncodingType>url</EncodingType>" if bucket.encodes else ""
        xmlns = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
        truncated = f"<IsTruncated>{str(more).lower()}</IsTruncated>"
        return Answer(200, {}, f"<ListBucketResult {xmlns}>{kind}{truncated}{token}{rows}</ListBucketResult>".encode())

    def give(self, key: str) -> Answer:
        content = self.bucket.objects.get(key)
        if content is None:
            return Answer(404, {}, error("NoSuchKey", "The specified key does not exist."))
        if self.headers.get("If-Match") not in (None, f'"{etag(content)}"'):
            return Answer(412, {}, error("PreconditionFailed", "At least one of the preconditions did not hold."))
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")) if self.bucket.ranges else None
        start = int(found.group(1)) if found else 0
        headers = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if found else {}
        cut = self.bucket.cut.pop(0) if self.bucket.cut else None
        return Answer(206 if found else 200, headers, content[start:], wait=self.bucket.pause, cut=cut)


def error(code: str, message: str) -> bytes:
    return f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()


def etag(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


class serving:  # noqa: N801
    """The bucket's server, until the end of the block."""

    def __init__(self, bucket: Bucket, tls: ssl.SSLContext | None = None) -> None:
        handler = type("Bound", (Handler,), {"bucket": bucket})
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients hang up, and may
        if tls:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)

    def __enter__(self) -> http.server.ThreadingHTTPServer:
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        return self.server

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
