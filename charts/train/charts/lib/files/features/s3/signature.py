"""AWS Signature Version 4."""

from __future__ import annotations

import hashlib
import hmac
import time
from typing import Dict, NamedTuple
from urllib.parse import quote

_EMPTY = hashlib.sha256(b"").hexdigest()


class Credentials(NamedTuple):
    access_key: str
    secret_key: str
    session_token: str = ""  # of temporary ones
    expires: float = 0.0  # seconds since the epoch; 0: nobody has said

    def __repr__(self) -> str:
        return "Credentials(...)"  # never print the keys


def sign(
    method: str,
    path: str,
    query: Dict[str, str],
    headers: Dict[str, str],
    credentials: Credentials,
    region: str,
    now: time.struct_time,
    service: str = "s3",
) -> Dict[str, str]:
    """Return `headers` with the signature. `path` is percent-encoded, `query` is not; the names of headers are lower
    case.

    A request with a body must have its SHA-256 in the header `x-amz-content-sha256`.
    """
    stamp = time.strftime("%Y%m%dT%H%M%SZ", now)
    scope = f"{stamp[:8]}/{region}/{service}/aws4_request"
    headers = {"x-amz-content-sha256": _EMPTY, **headers, "x-amz-date": stamp}
    if credentials.session_token:
        headers["x-amz-security-token"] = credentials.session_token
    names = ";".join(sorted(headers))
    canonical = "\n".join(
        [
            method,
            path,
            "&".join(f"{_quote(key)}={_quote(value)}" for key, value in sorted(query.items())),
            *(f"{name}:{' '.join(headers[name].split())}" for name in sorted(headers)),
            "",
            names,
            headers["x-amz-content-sha256"],
        ]
    )
    digest = hashlib.sha256(canonical.encode("utf-8")).hexdigest()
    key = f"AWS4{credentials.secret_key}".encode("utf-8")
    for part in scope.split("/"):
        key = _hmac(key, part)
    proof = _hmac(key, f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}").hex()
    credential = f"{credentials.access_key}/{scope}"
    headers["authorization"] = f"AWS4-HMAC-SHA256 Credential={credential},SignedHeaders={names},Signature={proof}"
    return headers


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode("utf-8"), hashlib.sha256).digest()


def _quote(text: str) -> str:
    return quote(text, safe="~")
