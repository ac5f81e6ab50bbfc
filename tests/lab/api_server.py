"""An API server with one run that answers whatever a test puts in the place of an honest answer."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.fakes.server import http_server

Object = dict[str, Any]

JOB: Object = {
    "metadata": {
        "name": "run-42", "namespace": "training", "uid": "u1", "creationTimestamp": "2026-11-24T18:00:00Z",
        "labels": {"trainchart.dev/family": "yolov5", "app.kubernetes.io/part-of": "trainchart"},
    },
    "spec": {
        "maxRetry": 1, "queue": "default",
        "tasks": [{
            "name": "train", "replicas": 1,
            "template": {"spec": {
                "containers": [{"name": "train", "image": "x/y:1", "resources": {"requests": {"cpu": "1"}}}],
                "volumes": [{"name": "workspace", "emptyDir": {}}],
            }},
        }],
    },
    "status": {"state": {"phase": "Completed", "lastTransitionTime": "2026-11-24T18:05:00Z"}},
}  # fmt: skip
POD: Object = {
    "metadata": {
        "name": "run-42-train-0", "uid": "p1", "ownerReferences": [{"uid": "u1"}],
        "labels": {"volcano.sh/task-index": "0", "volcano.sh/job-name": "run-42"},
        "annotations": {"volcano.sh/job-retry-count": "0"},
    },
    "spec": {"nodeName": "node-1", "containers": [{"name": "train", "image": "x/y:1"}]},
    "status": {
        "phase": "Succeeded",
        "containerStatuses": [{"name": "train", "state": {"terminated": {
            "exitCode": 0, "reason": "Completed", "message": '{"version": 1, "status": "completed"}',
            "startedAt": "2026-11-24T18:01:00Z", "finishedAt": "2026-11-24T18:04:00Z",
        }}}],
    },
}  # fmt: skip


def changed(what: Object, path: str, value: Any) -> Object:
    """A copy with another value at `spec/tasks/0/replicas`."""
    made = copy.deepcopy(what)
    *way, last = (int(step) if step.isdecimal() else step for step in path.split("/"))
    target: Any = made
    for step in way:
        target = target[step]
    target[last] = value
    return made


@dataclass
class ApiServer:
    kubeconfig: str = ""
    job: Any = field(default_factory=lambda: copy.deepcopy(JOB))
    pods: list[Any] = field(default_factory=lambda: [copy.deepcopy(POD)])
    settings: Any = field(default_factory=dict)
    log: bytes = b""
    others: Any = field(default_factory=lambda: {"items": [], "metadata": {}})
    everything: bytes | None = None
    """In the place of any answer."""

    def answer(self, path: str, query: Object) -> Any:
        if self.everything is not None:
            return self.everything
        if path.endswith("/log"):
            lines = self.log.split(b"\n")[:-1]
            stamp = b"2026-11-24T18:01:00.000000000Z " if "timestamps" in query else b""
            return b"".join(stamp + line + b"\n" for line in lines)
        if "watch" in query:
            return b""
        if path.endswith("/jobs"):
            return {"items": [self.job], "metadata": {"resourceVersion": "1"}}
        if path.endswith("/pods"):
            return {"items": self.pods, "metadata": {"resourceVersion": "1"}}
        for part, found in (("/jobs/", self.job), ("/pods/", self.pods[0]), ("/configmaps/", self.settings)):
            if part in path:
                return found
        return {"major": "1", "minor": "35", "gitVersion": "v1.35.0"} if path == "/version" else self.others


@contextmanager
def serving(folder: Path) -> Iterator[ApiServer]:
    server = ApiServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            return

        def _answer(self) -> None:
            url = urlsplit(self.path)
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = server.answer(url.path, parse_qs(url.query))
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PATCH = do_DELETE = _answer  # noqa: N815

    with http_server(Handler, folder, "training") as kubeconfig:
        server.kubeconfig = str(kubeconfig)
        yield server
