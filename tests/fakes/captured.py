"""Runs captured from a cluster with Volcano 1.15.1 and Kubernetes 1.35 (captured_runs/), with all that a diagnosis reads."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from tests.fakes.api import FakeApi
from trainchart.cluster import kinds

FOLDER = Path(__file__).parent / "captured_runs"
CASES = sorted(path.stem for path in FOLDER.glob("*.json"))


@cache
def _text(name: str) -> str:
    return (FOLDER / f"{name}.json").read_text(encoding="utf-8")


def captured(name: str) -> Any:
    """Return a new copy."""
    return json.loads(_text(name))


def cluster(name: str, *, forbidden: set[str] | None = None) -> FakeApi:
    """Return an API server that has the run, and nothing else."""
    case = captured(name)
    api = FakeApi(namespace=case["job"]["metadata"]["namespace"], forbidden=forbidden or set())
    api.put(kinds.JOBS, case["job"])
    api.put(kinds.PODS, *case["pods"])
    api.put(kinds.EVENTS, *case["events"], *case.get("claimEvents", []))
    for kind, key in ((kinds.POD_GROUPS, "group"), (kinds.QUEUES, "queue")):
        api.put(kind, *([case[key]] if case[key] else []))
    for kind, key in (
        (kinds.NODES, "nodes"),
        (kinds.RESOURCE_QUOTAS, "quotas"),
        (kinds.CLAIMS, "claims"),
        (kinds.STORAGE_CLASSES, "classes"),
    ):
        api.put(kind, *case[key])
    return api
