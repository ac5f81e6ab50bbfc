"""A small object store that checks every signature by itself, and can be told to misbehave."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.server
import re
import ssl
import threading
from dataclasses import dataclass, field, replace
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
    # Writing
    conditions: bool = True  # whether If-None-Match is known, or ignored
    most: int = 1 << 62  # bytes of one request
    metadata: dict[str, str] = field(default_factory=dict)  # x-amz-meta-sha256 of the objects that have it
    uploads: dict[str, Upload] = field(default_factory=dict)  # that were begun, and neither completed nor aborted
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass
class Upload:
    key: str
    sha256: str | None
    parts: dict[int, bytes] = field(default_factory=dict)


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
        self.answer()

    def do_HEAD(self) -> None:
        self.bucket.requests.append(f"HEAD {self.path}")
        self.answer()

    def do_PUT(self) -> None:
        self.bucket.requests.append(f"{self.command} {self.path}")
        length = int(self.headers.get("Content-Length", "0"))
        self.body = self.rfile.read(length) if length <= self.bucket.most else b""
        if length > self.bucket.most:
            Answer(413, {}, b"<html>Request Entity Too Large</html>").send(self)
            self.close_connection = True
        elif len(self.body) == length:
            self.answer()

    do_POST = do_DELETE = do_PUT  # noqa: N815
    body = b""

    def answer(self) -> None:
        line, authorization = f"{self.command} {self.path}", self.headers.get("Authorization")
        answer = answered(self.bucket.faults, line, authorization, self.honest, self.body)
        # The answer to HEAD has the length of the content, and not the content.
        answer = replace(answer, content=b"", length=len(answer.content)) if self.command == "HEAD" else answer
        answer.send(self)

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
        query = {k: v[0] for k, v in parse_qs(parts.query, keep_blank_values=True).items()}
        with bucket.lock:
            if self.command in ("PUT", "POST", "DELETE"):
                return self.write(key, query)
            if not key:
                return self.list_uploads(query) if "uploads" in query else self.list(query)
            return self.give(key)

    def write(self, key: str, query: dict[str, str]) -> Answer:
        bucket, body, sha256 = self.bucket, self.body, self.headers.get("x-amz-meta-sha256")
        if problem := self.check_body():
            return Answer(400, {}, error(*problem))
        upload = bucket.uploads.get(query.get("uploadId", ""))
        if "uploadId" in query and upload is None:
            return Answer(404, {}, error("NoSuchUpload", "The specified multipart upload does not exist."))
        if self.command == "POST" and upload is None:
            name = f"upload-{len(bucket.requests)}"
            bucket.uploads[name] = Upload(key, sha256)
            return Answer(
                200,
                {},
                f"<InitiateMultipartUploadResult><UploadId>{name}</UploadId></InitiateMultipartUploadResult>".encode(),
            )
        if self.command == "DELETE":
            if upload:
                del bucket.uploads[query["uploadId"]]
            else:
                bucket.objects.pop(key, None)
            return Answer(204)
        if upload and self.command == "PUT":
            upload.parts[int(query["partNumber"])] = body
            return Answer(200, {"ETag": f'"{etag(body)}"'})
        if upload:
            wanted = [
                (int(number), tag)
                for number, tag in re.findall(r'<PartNumber>(\d+)</PartNumber><ETag>"(\w+)"', body.decode())
            ]
            if wanted != [(number, etag(part)) for number, part in sorted(upload.parts.items())]:
                return Answer(400, {}, error("InvalidPart", "One or more of the specified parts could not be found."))
            del bucket.uploads[query["uploadId"]]
            body, sha256 = b"".join(part for _, part in sorted(upload.parts.items())), upload.sha256
        elif bucket.conditions and self.headers.get("If-None-Match") == "*" and key in bucket.objects:
            return Answer(412, {}, error("PreconditionFailed", "At least one of the preconditions did not hold."))
        bucket.objects[key] = body
        bucket.metadata.pop(key, None)
        if sha256:
            bucket.metadata[key] = sha256
        return Answer(200, {"ETag": f'"{etag(body)}"'}, b"<CompleteMultipartUploadResult/>" if upload else b"")

    def check_body(self) -> tuple[str, str] | None:
        """Both digests of the body, which a client need not send."""
        if self.headers.get("Content-MD5") not in (None, base64.b64encode(hashlib.md5(self.body).digest()).decode()):
            return "BadDigest", "The Content-MD5 you specified did not match what we received."
        if self.headers.get("x-amz-content-sha256") not in (None, hashlib.sha256(self.body).hexdigest()):
            return "XAmzContentSHA256Mismatch", "The provided 'x-amz-content-sha256' header does not match."
        return None

    def list_uploads(self, query: dict[str, str]) -> Answer:
        """Like MinIO, only those of exactly this key."""
        rows = "".join(
            f"<Upload><Key>{escape(upload.key)}</Key><UploadId>{name}</UploadId></Upload>"
            for name, upload in self.bucket.uploads.items()
            if upload.key == query.get("prefix")
        )
        return Answer(200, {}, f"<ListMultipartUploadsResult>{rows}</ListMultipartUploadsResult>".encode())

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
        canonical = "\n".join([self.command, path, query, headers, names, self.headers["x-amz-content-sha256"]])
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
        if key in self.bucket.metadata:
            headers["x-amz-meta-sha256"] = self.bucket.metadata[key]
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
