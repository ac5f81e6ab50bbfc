"""A security token service and an agent of the node that are as strict as AWS documents them, and can be told to refuse."""

from __future__ import annotations

import http.server
import json
import threading
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from .s3_server import ACCESS, SECRET

ROLE = "arn:aws:iam::111122223333:role/training"
AGENT = "/v1/credentials"


@dataclass
class Sts:
    """Credentials of the object store of `s3_server`, for whoever has `identity`, the projected token."""

    identity: str
    session: str = "canary-session-1"  # token of the credentials that it gives out
    seconds: float = 3600.0  # for which they are valid
    refusals: list[tuple[int, str, str]] = field(default_factory=list)  # status, code and message of the next answers
    url: str = ""
    sessions: list[str] = field(default_factory=list)  # names of those that were given out


class Handler(http.server.BaseHTTPRequestHandler):
    sts: Sts

    def log_message(self, *_: Any) -> None:
        pass

    def do_POST(self) -> None:
        text = self.rfile.read(int(self.headers["Content-Length"])).decode()
        asked = {name: values[0] for name, values in parse_qs(text, strict_parsing=True).items()}
        fixed = {"Action": "AssumeRoleWithWebIdentity", "Version": "2011-06-15", "RoleArn": ROLE}
        if self.sts.refusals:
            return self.refuse(*self.sts.refusals.pop(0))
        if {name: asked.get(name) for name in fixed} != fixed or not 2 <= len(asked["RoleSessionName"]) <= 64:
            return self.refuse(400, "ValidationError", "1 validation error detected")
        if asked["WebIdentityToken"] != self.sts.identity or "Authorization" in self.headers:
            return self.refuse(
                400, "InvalidIdentityToken", "Couldn't retrieve verification key from your identity provider"
            )
        self.sts.sessions.append(asked["RoleSessionName"])
        rows = {**self.keys("SecretAccessKey", "SessionToken")}
        inner = "".join(f"<{name}>{value}</{name}>" for name, value in rows.items())
        space = 'xmlns="https://sts.amazonaws.com/doc/2011-06-15/"'
        found = f"<AssumeRoleWithWebIdentityResult><Credentials>{inner}</Credentials></AssumeRoleWithWebIdentityResult>"
        return self.reply(
            200, f"<AssumeRoleWithWebIdentityResponse {space}>{found}</AssumeRoleWithWebIdentityResponse>"
        )

    def do_GET(self) -> None:
        """The agent."""
        if self.sts.refusals:
            status, code, message = self.sts.refusals.pop(0)
            return self.reply(status, json.dumps({"code": code, "message": message}))
        if self.path != AGENT:
            return self.reply(404, "404 page not found")
        if self.headers.get("Authorization") != self.sts.identity:
            return self.reply(400, "Service account token cannot be empty")
        self.sts.sessions.append("agent")
        return self.reply(200, json.dumps({**self.keys("SecretAccessKey", "Token"), "AccountId": "111122223333"}))

    def keys(self, secret: str, token: str) -> dict[str, str]:
        expires = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + self.sts.seconds))
        return {"AccessKeyId": ACCESS, secret: SECRET, token: self.sts.session, "Expiration": expires}

    def refuse(self, status: int, code: str, message: str) -> None:
        error = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>"
        space = 'xmlns="https://sts.amazonaws.com/doc/2011-06-15/"'
        self.reply(status, f"<ErrorResponse {space}>{error}<RequestId>1</RequestId></ErrorResponse>")

    def reply(self, status: int, body: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body.encode())))
        self.end_headers()
        self.wfile.write(body.encode())


class serving:  # noqa: N801
    """Both services, until the end of the block."""

    def __init__(self, sts: Sts) -> None:
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"sts": sts}))
        sts.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> None:
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
