"""A real MinIO with a wildcard domain, an identity provider of our own, and its token service."""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import os
import shutil
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from e2e.servers.client import temporary_keys
from features.s3.signature import Credentials, sign
from tests.conftest import tools_folder

USER, PASSWORD = "admin-of-tests", "canary-password"
DOMAIN = "store.test"
AUDIENCE = "sts.amazonaws.com"
# As MinIO forms it from the identity of its client at the provider.
ROLE = "arn:minio:iam:::role/" + base64.urlsafe_b64encode(hashlib.sha1(AUDIENCE.encode()).digest()).decode().rstrip("=")


@dataclass(frozen=True)
class Minio:
    port: int
    issuer: Issuer

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def put(self, path: str, content: bytes = b"") -> None:
        """A bucket ("/datasets") or an object in it."""
        headers = {"host": f"127.0.0.1:{self.port}", "x-amz-content-sha256": hashlib.sha256(content).hexdigest()}
        target = quote(path, safe="/~")
        signed = sign("PUT", target, {}, headers, Credentials(USER, PASSWORD), "us-east-1", time.gmtime())
        urllib.request.urlopen(urllib.request.Request(self.url + target, content, signed, method="PUT"), timeout=30)

    def temporary_keys(self, policy: str = "") -> dict[str, str]:
        return temporary_keys(self.url, USER, PASSWORD, policy)


class Issuer:
    """An OpenID Connect provider, as a cluster is one for the tokens of its service accounts."""

    def __init__(self, folder: Path) -> None:
        self._key = folder / "issuer.pem"
        self._openssl("genrsa", "-out", str(self._key), "2048")
        modulus = self._openssl("rsa", "-in", str(self._key), "-noout", "-modulus").decode().strip().partition("=")[2]
        key = {
            "kty": "RSA",
            "use": "sig",
            "alg": "RS256",
            "kid": "1",
            "e": "AQAB",
            "n": _encoded(bytes.fromhex(modulus)),
        }
        pages: dict[str, dict[str, Any]] = {"/keys": {"keys": [key]}}

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = json.dumps(pages.get(self.path, {})).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        pages["/.well-known/openid-configuration"] = {
            "issuer": self.url, "jwks_uri": f"{self.url}/keys", "authorization_endpoint": self.url, "token_endpoint": self.url,
            "response_types_supported": ["id_token"], "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }  # fmt: skip
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def token(self, seconds: int = 3600, audience: str = AUDIENCE) -> str:
        """A token of a service account."""
        now = int(time.time())
        claims = {
            "iss": self.url,
            "aud": [audience],
            "sub": "system:serviceaccount:team:trainer",
            "iat": now,
            "exp": now + seconds,
        }
        text = ".".join(_encoded(json.dumps(part).encode()) for part in ({"alg": "RS256", "kid": "1"}, claims))
        proof = subprocess.run(
            ["openssl", "dgst", "-sha256", "-sign", self._key], input=text.encode(), check=True, capture_output=True
        )
        return f"{text}.{_encoded(proof.stdout)}"

    @staticmethod
    def _openssl(*arguments: str) -> bytes:
        return subprocess.run(["openssl", *arguments], check=True, capture_output=True).stdout


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


@contextmanager
def running(folder: Path) -> Iterator[Minio]:
    program = shutil.which("minio", path=f"{tools_folder()}{os.pathsep}{os.environ['PATH']}")
    if not program:
        pytest.skip("there is no minio: `python3 -m e2e.cluster servers` builds it")
    issuer = Issuer(folder)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        "HOME": str(folder), "PATH": os.environ["PATH"], "MINIO_BROWSER": "off", "MINIO_DOMAIN": DOMAIN,
        "MINIO_ROOT_USER": USER, "MINIO_ROOT_PASSWORD": PASSWORD,
        "MINIO_IDENTITY_OPENID_CONFIG_URL": f"{issuer.url}/.well-known/openid-configuration",
        "MINIO_IDENTITY_OPENID_CLIENT_ID": AUDIENCE, "MINIO_IDENTITY_OPENID_ROLE_POLICY": "readwrite",
    }  # fmt: skip
    command = [program, "server", "--quiet", "--address", f"127.0.0.1:{port}", str(folder / "minio")]
    with (
        (folder / "minio.log").open("wb") as log,
        subprocess.Popen(command, env=environment, stdout=log, stderr=log) as server,
    ):
        try:
            while True:
                try:
                    Minio(port, issuer).temporary_keys()  # its users are loaded last
                    break
                except urllib.error.URLError:
                    assert server.poll() is None, (folder / "minio.log").read_text()
                    time.sleep(0.1)
            yield Minio(port, issuer)
        finally:
            server.terminate()
            server.wait()
            issuer.server.shutdown()
            issuer.server.server_close()
