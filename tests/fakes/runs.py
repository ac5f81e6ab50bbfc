"""Installed runs, as the chart renders them: releases of Helm, or objects that `kubectl create` has made."""

from __future__ import annotations

import base64
import copy
import gzip
import json
import sys
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from functools import cache
from pathlib import Path
from typing import Any

from tests.chart.matrix import ROOT
from tests.conftest import program
from tests.fakes.api import FakeApi
from trainchart.chart.render import render
from trainchart.cluster import kinds
from trainchart.cluster.fields import Object, text
from trainchart.files import Tree, load_values, overlay

NOW = datetime.now(timezone.utc)
CLAIM: Tree = {"workspace": {"type": "newClaim", "size": "1Gi"}}
KEPT: Tree = {"workspace": {"type": "newClaim", "size": "1Gi", "keep": True}}
_NAME = "name-of-the-run"
_FILES = ("values/custom.yaml", "values/accelerators/cpu.yaml", "e2e/values/custom.yaml")
_KINDS = {
    "Job": kinds.JOBS,
    "Pod": kinds.PODS,
    "Service": kinds.SERVICES,
    "NetworkPolicy": kinds.NETWORK_POLICIES,
    "ConfigMap": kinds.CONFIG_MAPS,
    "ServiceAccount": kinds.SERVICE_ACCOUNTS,
    "PersistentVolumeClaim": kinds.CLAIMS,
}


def days_ago(days: float) -> str:
    return f"{NOW - timedelta(days=days):%Y-%m-%dT%H:%M:%SZ}"


@cache
def _rendered(values: str, namespace: str) -> str:
    merged = overlay(load_values(*(ROOT / file for file in _FILES)), json.loads(values))
    return json.dumps(render(merged, name=_NAME, namespace=namespace))


def manifests(name: str, values: Mapping[str, Any], namespace: str = "training") -> list[Object]:
    """The objects of a run, its check by `helm test` included."""
    found: list[Object] = json.loads(_rendered(json.dumps(values), namespace).replace(_NAME, name))
    return found


def put_run(
    api: FakeApi,
    name: str,
    *,
    phase: str = "Completed",
    made: float = 30,
    ended: float = 30,
    release: str = "deployed",
    job: bool = True,
    objects: bool = True,
    values: Mapping[str, Any] | None = None,
    namespace: str = "training",
) -> None:
    """Install a run.

    Args:
        api: where.
        name: of the run.
        phase: Volcano's, of its Job.
        made: how many days ago it was installed.
        ended: how many days ago its Job has entered the phase.
        release: Helm's status of it; empty where Helm has none.
        job: whether the Job exists still.
        objects: whether any of its objects exists.
        values: over those of a small run.
        namespace: of the run.
    """
    rendered = manifests(name, values or {}, namespace)
    for one in copy.deepcopy(rendered) if objects else ():
        metadata = one["metadata"]
        metadata.update(namespace=namespace, uid=f"{name}-{one['kind']}", creationTimestamp=days_ago(made))
        if release:
            metadata.setdefault("annotations", {})["meta.helm.sh/release-name"] = name
        if one["kind"] == "Job":
            one["status"] = {"state": {"phase": phase, "lastTransitionTime": days_ago(ended)}}
        if (one["kind"] != "Job" or job) and one["kind"] != "Pod":
            api.put(_KINDS[one["kind"]], one)
    if release:
        put_release(api, name, release, manifest=rendered, values=values or {}, made=made, namespace=namespace)


def put_release(
    api: FakeApi,
    name: str,
    status: str,
    *,
    manifest: list[Object],
    values: Mapping[str, Any] | None = None,
    made: float = 30,
    namespace: str = "training",
) -> None:
    """Put what Helm keeps of a release."""
    record = {"name": name, "config": values or {}, "manifest": "\n---\n".join(map(json.dumps, manifest))}
    packed = base64.b64encode(base64.b64encode(gzip.compress(json.dumps(record).encode()))).decode()
    api.put(
        kinds.SECRETS,
        {
            "metadata": {
                "name": f"sh.helm.release.v1.{name}.v1",
                "namespace": namespace,
                "creationTimestamp": days_ago(made),
                "labels": {"owner": "helm", "name": name, "status": status, "version": "1"},
            },
            "type": "helm.sh/release.v1",
            "data": {"release": packed},
        },
    )


def left(api: FakeApi) -> list[str]:
    """What is left, as `kind name`, without what Helm keeps."""
    return sorted(
        f"{kind.plural} {text(one, 'metadata', 'name')}"
        for kind, objects in api.there.items()
        for one in objects
        if kind is not kinds.SECRETS
    )


def templates_of_helm() -> str:
    """How a fake helm begins, in Python: it renders and reads values as the real one does."""
    real = program("helm")
    return f"import os, sys\nif sys.argv[1] == 'template':\n    os.execv({real!r}, [{real!r}, *sys.argv[1:]])\n"


def fake_helm(folder: Path, *, fails: Mapping[str, str] | None = None) -> str:
    """A program that records its arguments and values, and fails for some releases with a message."""
    path = folder / "helm"
    path.write_text(
        f"""#!{sys.executable}
{templates_of_helm()}
import json, pathlib
with open({str(folder / "calls")!r}, "a") as log:
    log.write(json.dumps(sys.argv[1:]) + "\\n")
if sys.argv[1] == "install":
    pathlib.Path({str(folder / "values")!r}).write_text(sys.stdin.read())
    print("NOTES: made")
sys.exit({dict(fails or {})!r}.get(sys.argv[2], 0))
"""
    )
    path.chmod(0o755)
    return str(path)


def helm_calls(folder: Path) -> list[list[str]]:
    log = folder / "calls"
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
