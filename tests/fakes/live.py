"""A fake API server for one run: its Job, its pods, and logs whose connections break where a test wants it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from typing import Any, ClassVar

from tests.fakes.api import FakeApi
from trainchart.cluster import kinds
from trainchart.cluster.errors import NotFoundError, RefusedError, UnreachableError
from trainchart.cluster.kinds import Kind

Object = dict[str, Any]
NAME, UID = "run-42", "5f0c0000-0000-4000-8000-000000000001"


def stamped(second: int, nanos: int, text: str) -> bytes:
    return f"2026-11-24T18:{second // 60:02}:{second % 60:02}.{nanos:09}Z {text}".encode()


class Cluster(FakeApi):
    all: ClassVar[list[Cluster]] = []

    @classmethod
    def close_all(cls) -> None:
        """End the threads that still read from one after its test has finished."""
        for cluster in cls.all:
            cluster.closed = True
        cls.all.clear()
        for thread in threading.enumerate():
            if thread.name.startswith((NAME, "pods", "run")):
                thread.join(2)

    def __init__(self, replicas: int = 1, retries: int = 0) -> None:
        super().__init__()
        self.closed = False
        self.all.append(self)
        self.lock = threading.RLock()
        self.job: Object | None = {
            "metadata": {
                "name": NAME,
                "namespace": "training",
                "uid": UID,
                "labels": {"trainchart.dev/family": "any"},
                "creationTimestamp": "2026-11-24T18:00:00Z",
            },
            "spec": {"maxRetry": retries + 1, "tasks": [{"name": "train", "replicas": replicas}]},
            "status": {"state": {"phase": "Pending", "lastTransitionTime": "2026-11-24T18:00:00Z"}},
        }
        self.pods: dict[str, Object] = {}
        self.lines: dict[str, list[bytes]] = {}  # by the pods' UIDs
        self.breaks: list[int] = []  # after how many lines each connection breaks
        self.away = False
        self.settings: Object | None = {}
        self.created: list[tuple[str, Object]] = []
        self.patched: list[Object] = []
        self.deleted: list[str] = []
        self.connections = 0

    # -- what happens in it

    def phase(self, name: str) -> None:
        assert self.job
        self.job["status"]["state"] = {"phase": name, "lastTransitionTime": "2026-11-24T18:05:00Z"}

    def pod(self, rank: int = 0, attempt: int = 0, *lines: bytes) -> str:
        """Create a running pod, in place of the one of its name; return its UID."""
        name, uid = f"{NAME}-train-{rank}", f"pod-{rank}-{attempt}"
        with self.lock:
            self.pods[name] = {
                "metadata": {
                    "name": name,
                    "uid": uid,
                    "labels": {"volcano.sh/task-index": str(rank), "volcano.sh/job-name": NAME},
                    "annotations": {"volcano.sh/job-retry-count": str(attempt)},
                },
                "spec": {"nodeName": "node-1"},
                "status": {
                    "phase": "Running",
                    "containerStatuses": [
                        {"name": "train", "state": {"running": {"startedAt": "2026-11-24T18:00:10Z"}}}
                    ],
                },
            }
            self.lines[uid] = list(lines)
        return uid

    def end(self, rank: int = 0, code: int = 0, result: Object | None = None, reason: str = "") -> None:
        with self.lock:
            status = self.pods[f"{NAME}-train-{rank}"]["status"]
            status["phase"] = "Failed" if code else "Succeeded"
            ended = {
                "exitCode": code,
                "reason": reason or ("Error" if code else "Completed"),
                "message": json.dumps(result) if result else "",
                "finishedAt": f"2026-11-24T18:04:{rank:02}Z",
            }
            status["containerStatuses"][0]["state"] = {"terminated": ended}

    def evict(self, rank: int, reason: str) -> None:
        """Mark a pod as one that is taken away, as the API server has it from then on."""
        with self.lock:
            status = self.pods[f"{NAME}-train-{rank}"]["status"]
            status["conditions"] = [{"type": "DisruptionTarget", "status": "True", "reason": reason}]

    # -- what an Api answers

    def _call(self, verb: str, kind: Kind, what: str = "") -> None:
        if self.closed:
            raise NotFoundError("the test is over")
        if self.away:
            self.calls += 1
            raise UnreachableError("the API server cannot be reached: Connection refused")
        super()._call(verb, kind, what)

    def _of(self, kind: Kind, **options: Any) -> list[Object]:
        settings = {"metadata": {"name": f"{NAME}-run"}, "data": {"settings.json": json.dumps(self.settings)}}
        live = {
            kinds.JOBS: [self.job] if self.job else [],
            kinds.PODS: list(self.pods.values()),
            kinds.CONFIG_MAPS: [] if self.settings is None else [settings],
        }
        with self.lock:
            found: list[Object] = json.loads(json.dumps(live.get(kind, super()._of(kind, **options))))
            return found

    def watch(self, kind: Kind, **_: Any) -> Iterator[Object]:
        """End at once, as a watch that the server ends: the next list follows."""
        self._call("watch", kind)
        time.sleep(0.01)
        return iter(())

    def log(
        self,
        pod: str,
        *,
        container: str = "",
        follow: bool = False,
        since: str = "",
        timestamps: bool = False,
        tail: int | None = None,
    ) -> Iterator[bytes]:
        """Yield whole lines since a second, as the kubelet does, then what comes, until the container has finished."""
        self._call("get", Kind("pods/log"), pod)
        self.connections += 1
        with self.lock:
            if pod not in self.pods:
                raise NotFoundError(f'pods "{pod}" not found')
            uid = self.pods[pod]["metadata"]["uid"]
            if self.pods[pod]["status"]["phase"] == "Pending":
                raise RefusedError("container is waiting to start: ContainerCreating")
        left = self.breaks.pop(0) if self.breaks else -1
        sent, begin = 0, max(len(self.lines[uid]) - tail, 0) if tail is not None else 0
        while True:
            with self.lock:
                there = self.pods.get(pod)
                over = there is None or there["metadata"]["uid"] != uid or there["status"]["phase"] != "Running"
                lines = self.lines[uid][begin + sent :]
            for line in lines:
                sent += 1
                if line[:20] < since[:19].encode():
                    continue
                if left == 0:
                    raise UnreachableError("the connection to the API server broke: ProtocolError")
                left -= 1
                yield line if timestamps else line.partition(b" ")[2]
            if left == 0:
                raise UnreachableError("the connection to the API server broke: ProtocolError")
            if over or not follow or self.closed:
                return
            time.sleep(0.005)

    def create(self, kind: Kind, body: Object, *, dry_run: bool = False) -> Object:
        self._call("create", kind)
        self.created.append((kind.plural, body))
        return body

    def patch(self, kind: Kind, name: str, change: Object) -> Object:
        self._call("patch", kind, name)
        self.patched.append(change)
        return change

    def delete(self, kind: Kind, name: str) -> None:
        self._call("delete", kind, name)
        self.deleted.append(name)
        self.pods.pop(name, None)


CLAIM = {"name": "workspace", "persistentVolumeClaim": {"claimName": "data"}}


def on_a_claim(cluster: Cluster, **spec: Any) -> None:
    assert cluster.job
    container = {"image": "trainer:1", "securityContext": {"readOnlyRootFilesystem": True}}
    cluster.job["spec"]["tasks"][0]["template"] = {"spec": {"volumes": [CLAIM], "containers": [container], **spec}}
