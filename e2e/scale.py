"""Hundreds of runs in one namespace: real Jobs as the chart renders them; finished ones get their status by hand, because
training them would take hours.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

from e2e.kube import Kube, Object, phase, poll
from e2e.runs import Session
from trainchart.cluster import kinds
from trainchart.cluster.api import Api
from trainchart.cluster.connect import connect
from trainchart.cluster.kinds import Kind

AT = "2026-01-02T03:04:05Z"


@dataclass
class Crowd:
    """A namespace with the Job of a run of the catalog, again and again under other names."""

    admin: Kube  # in the namespace
    job: Object

    @cached_property
    def api(self) -> Api:
        return connect(kubeconfig=str(self.admin.kubeconfig), namespace=self.admin.namespace)

    def named(self, name: str, **spec: object) -> Object:
        job = copy.deepcopy(self.job)
        job["metadata"]["name"] = name
        job["metadata"]["labels"]["app.kubernetes.io/instance"] = name
        job["spec"] |= spec
        pod = job["spec"]["tasks"][0]["template"]
        pod["metadata"]["labels"]["app.kubernetes.io/instance"] = name
        # Of the chart's pod only the container has to run, and only for a while.
        pod["spec"]["serviceAccountName"] = "default"
        container = pod["spec"]["containers"][0]
        container["command"] = ["sleep", "3600"]
        container["workingDir"] = "/"
        container["resources"] = {
            "requests": {"cpu": "5m", "memory": "8Mi"},
            "limits": {"cpu": "100m", "memory": "32Mi"},
        }
        for volume in pod["spec"]["volumes"]:
            if "configMap" in volume:
                volume["configMap"]["optional"] = True
        pod["spec"]["terminationGracePeriodSeconds"] = 1
        return job

    def finish(self, count: int, queue: str) -> None:
        """Runs that have ended, each with its pod. The queue has no room: Volcano makes no pods of its own for them."""
        names = [f"finished-{number:03}" for number in range(count)]
        with ThreadPoolExecutor(4) as pool:
            list(
                pool.map(self.create, [[self.named(name, queue=queue) for name in part] for part in _parts(names, 50)])
            )
            jobs = {job["metadata"]["name"]: job for job in self.admin.objects("vcjob")}
            list(pool.map(self.create, [[self._pod(jobs[name]) for name in part] for part in _parts(names, 50)]))
            list(pool.map(self._end, names))
        poll(lambda: self._count("Completed", "Failed") >= count, 120, "all have finished")

    def run(self, first: int, count: int) -> None:
        """Up to so many runs that run."""
        self.create([self.named(f"running-{number:02}") for number in range(first, count)])
        poll(lambda: self._count("Running") >= count, 300, f"{count} runs are running", every=2)

    def create(self, objects: list[Object]) -> None:
        self.admin.kubectl("create", "-f", "-", text=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))

    def _end(self, name: str) -> None:
        ended = "Failed" if name.endswith("7") else "Completed"
        state = {"phase": ended, "lastTransitionTime": AT}
        status = {"state": state, "conditions": [{"status": "Running", "lastTransitionTime": AT}], "minAvailable": 1}
        self._status(kinds.JOBS, name, status)
        container = {
            "name": self.job["spec"]["tasks"][0]["template"]["spec"]["containers"][0]["name"],
            "image": "x",
            "imageID": "",
            "ready": False,
            "restartCount": 0,
            "state": {"terminated": {"exitCode": 0 if ended == "Completed" else 40, "finishedAt": AT, "reason": "x"}},
        }
        pod = {"phase": "Succeeded" if ended == "Completed" else "Failed", "containerStatuses": [container]}
        self._status(kinds.PODS, f"{name}-train-0", pod)

    def _status(self, kind: Kind, name: str, status: Object) -> None:
        # Four hundred processes of kubectl would take minutes.
        self.api.patch(kind, f"{name}/status", {"status": status})

    def _pod(self, job: Object) -> Object:
        metadata, template = job["metadata"], job["spec"]["tasks"][0]["template"]
        spec = copy.deepcopy(template["spec"]) | {"schedulerName": "nobody"}
        spec["containers"][0]["env"] = []
        labels = {
            **template["metadata"]["labels"],
            "volcano.sh/job-name": metadata["name"],
            "volcano.sh/task-index": "0",
        }
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": f"{metadata['name']}-train-0", "labels": labels},
            "spec": spec,
        }

    def _count(self, *phases: str) -> int:
        return sum(phase(job) in phases for job in self.admin.objects("vcjob"))


def _parts(names: list[str], size: int) -> Iterator[list[str]]:
    for start in range(0, len(names), size):
        yield names[start : start + size]


@contextmanager
def crowd(session: Session, like: str) -> Iterator[Crowd]:
    """A namespace of its own; it goes with all that is in it."""
    admin = Kube(session.world.admin.kubeconfig, f"scale{session.id}")
    admin.run("kubectl", "create", "namespace", admin.namespace)
    job = session.release(like).job()
    metadata = {key: job["metadata"][key] for key in ("name", "labels")}
    body = {"apiVersion": job["apiVersion"], "kind": "Job", "metadata": metadata, "spec": job["spec"]}
    try:
        yield Crowd(admin, body)
    finally:
        admin.run("kubectl", "delete", "namespace", admin.namespace, "--wait=false")
