"""Objects as a real cluster gave them (captured from Kubernetes 1.35 with Volcano 1.15.1), and runs to judge against them."""

from __future__ import annotations

import base64
import copy
import json
from pathlib import Path
from typing import Any

from tests.fakes.api import FakeApi
from trainchart.chart.paths import CHART
from trainchart.chart.render import render
from trainchart.checks.run_spec import RunSpec, run_spec
from trainchart.cluster import kinds
from trainchart.files import load_values, overlay

Object = dict[str, Any]
CA = (Path(__file__).parents[1] / "data/ca.crt").read_text(encoding="ascii")
CANARY = "canary-6b1f2c"  # no Secret of a test is shown, as it is or in Base64
CODED = base64.b64encode(CANARY.encode()).decode()
OBJECTS = Path(__file__).parent / "objects"
ROOT = CHART.parents[1]


def captured(name: str) -> list[Object]:
    """`nodes`, `pods`, `queues` or `storageclasses`."""
    objects: list[Object] = json.loads((OBJECTS / f"{name}.json").read_text())
    return objects


def run(**values: Any) -> RunSpec:
    """What the small example of a program asks for, on CPU, with other values over it."""
    files = ("values/custom.yaml", "values/accelerators/cpu.yaml", "e2e/values/custom.yaml")
    below = load_values(*(ROOT / file for file in files))
    return run_spec(render(overlay(below, values), name="run-42"), "run-42")


def stocked(api: FakeApi) -> FakeApi:
    """With all that the small run needs to be submitted."""
    for kind in (kinds.NODES, kinds.PODS, kinds.QUEUES, kinds.STORAGE_CLASSES):
        api.put(kind, *captured(kind.plural))
    api.put(kinds.NAMESPACES, {"metadata": {"name": api.namespace}})
    data = {"GIT_USER": CODED, "GIT_TOKEN": CODED}
    api.put(kinds.SECRETS, {"metadata": {"name": "git-credentials"}, "type": "Opaque", "data": data})
    api.put(kinds.CONFIG_MAPS, {"metadata": {"name": "git-ca"}, "data": {"ca.crt": f"# {CANARY}\n{CA}"}})
    return api


def requesting(resources: Object, *, replicas: int = 1, queue: str = "default", **pod: Any) -> RunSpec:
    """A run whose pods request these resources, and nothing else."""
    spec = {"containers": [{"resources": {"requests": resources}}], **pod}
    task = {"name": "train", "replicas": replicas, "template": {"spec": spec}}
    job = {"apiVersion": "batch.volcano.sh/v1alpha1", "kind": "Job", "spec": {"queue": queue, "tasks": [task]}}
    return RunSpec("run-42", (job,))


def node(
    name: str = "n1", labels: Object | None = None, taints: list[Object] | None = None, **allocatable: str
) -> Object:
    """The captured node under another name, with more or other resources."""
    made = copy.deepcopy(captured("nodes")[0])
    made["metadata"] = {"name": name, "labels": {**made["metadata"]["labels"], **(labels or {})}}
    made["spec"]["taints"] = taints or []
    made["status"]["allocatable"].update(
        {key.replace("__", "/").replace("_", "."): value for key, value in allocatable.items()}
    )
    return made


def queue(name: str, state: str = "Open", parent: str = "root", **spec: Any) -> Object:
    made = copy.deepcopy(captured("queues")[0])
    made["metadata"]["name"] = name
    made["spec"].update({"parent": parent, **spec})
    made["status"]["state"] = state
    return made


def quota(hard: Object, used: Object | None = None, **spec: Any) -> Object:
    status = {"hard": hard, "used": {**dict.fromkeys(hard, "0"), **(used or {})}}
    return {"metadata": {"name": "tight"}, "spec": {"hard": hard, **spec}, "status": status}
