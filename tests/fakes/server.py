"""A fake API behind HTTP, for tests of `trainchart` as a process: what a child does to it is seen here."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.fakes.api import FakeApi
from trainchart.cluster import kinds
from trainchart.cluster.errors import ForbiddenError, NotFoundError, RefusedError, UnreachableError
from trainchart.cluster.fields import Object
from trainchart.cluster.kinds import Kind

_KINDS = {(kind.group, kind.plural): kind for kind in vars(kinds).values() if isinstance(kind, Kind)}
_STATUSES = {ForbiddenError: 403, NotFoundError: 404, RefusedError: 422, UnreachableError: 503}


@contextmanager
def serving(api: FakeApi, folder: Path) -> Iterator[Path]:
    """Yield the kubeconfig of a server that answers as `api` does."""

    class Handler(_Handler):
        fake, lock = api, threading.RLock()

    with http_server(Handler, folder, api.namespace) as kubeconfig:
        yield kubeconfig


@contextmanager
def http_server(handler: type[BaseHTTPRequestHandler], folder: Path, namespace: str) -> Iterator[Path]:
    """Yield the kubeconfig of a server in this process."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            """A client that has gone away."""

    server = Server(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    file = folder / "kubeconfig"
    file.write_text(
        f"clusters: [{{name: c, cluster: {{server: 'http://127.0.0.1:{server.server_port}'}}}}]\n"
        "users: [{name: u, user: {token: t}}]\ncurrent-context: lab\n"
        f"contexts: [{{name: lab, context: {{cluster: c, user: u, namespace: {namespace}}}}}]\n"
    )
    try:
        yield file
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    fake: FakeApi
    lock: threading.RLock

    def log_message(self, *_: Any) -> None:
        return

    def _handle(self) -> None:
        url = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        try:
            with self.lock:
                status, answer = 200, self._answer(url.path, query, body)
        except tuple(_STATUSES) as error:
            status, answer = _STATUSES[type(error)], _as_json({"message": str(error)})
            if status == 403:  # as RBAC writes it, and admission does not
                answer = _as_json({"message": f'User "tester" cannot do it: {error}'})
        if "watch" in query:
            time.sleep(0.05)
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST = do_PATCH = do_DELETE = _handle  # noqa: N815

    def _answer(self, path: str, query: dict[str, str], body: Object) -> bytes:
        parts = path.strip("/").split("/")
        group, rest = (
            ("", parts[2:]) if parts[0] == "api" else (parts[1], parts[3:]) if parts[0] == "apis" else ("", [])
        )
        api = self.fake
        if len(rest) > 2 and rest[0] == "namespaces":
            api, rest = api.in_namespace(rest[1]), rest[2:]
        kind = _KINDS.get((group, rest[0])) if rest else None
        if kind is None:
            return _as_json(api.raw(path))
        name = rest[1] if len(rest) > 1 else ""
        if rest[2:] == ["log"]:
            lines = list(api.log(name, timestamps="timestamps" in query))
            return b"".join(line + b"\n" for line in lines)
        if "watch" in query:
            return b""
        found: Object | None = {}
        if self.command == "POST":
            found = api.create(kind, body, dry_run="dryRun" in query)
        elif self.command == "PATCH":
            found = api.patch(kind, name, body)
        elif self.command == "DELETE":
            api.delete(kind, name)
        elif name:
            found = api.get(kind, name)
        else:
            selector, fields = query.get("labelSelector", ""), query.get("fieldSelector", "")
            listed, version = api.objects(kind, selector=selector, fields=fields)
            found = {"items": listed, "metadata": {"resourceVersion": version}}
        if found is None:
            raise NotFoundError(f'{kind} "{name}" not found')
        return _as_json(found)


def _as_json(found: Object) -> bytes:
    return json.dumps(found).encode()
