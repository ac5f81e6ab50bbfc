"""A run that others may take the resources of is told what it lacks to resume, and no other run is."""

from __future__ import annotations

from typing import Any

import pytest

from tests.checks.cluster import queue, run
from trainchart.checks.preemption import check_preemption, lacking

KEPT = {"type": "existingClaim", "claimName": "data", "accessMode": "ReadWriteMany"}
SHARED = [queue("default"), queue("team")]


def priority(name: str, value: int, **more: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "value": value, **more}


SYSTEM = priority("system-node-critical", 2_000_001_000)


@pytest.mark.parametrize(
    ("values", "lacks"),
    [
        ({}, "no retries"),
        ({"workspace": KEPT}, "no retries"),
        ({"retries": 2}, "start from scratch"),
        ({"retries": 2, "workspace": {"type": "ephemeral", "size": "1Gi"}}, "start from scratch"),
        ({"retries": 2, "workspace": KEPT}, ""),
        ({"retries": 2, "workspace": {"type": "newClaim", "size": "1Gi"}}, ""),
        ({"preemptible": False}, ""),
    ],
)
def test_a_run_resumes_with_retries_and_a_claim(values: dict[str, Any], lacks: str) -> None:
    found = lacking(run(**values))
    assert lacks in found
    assert bool(lacks) == bool(found)


@pytest.mark.parametrize(
    ("queues", "classes", "threat"),
    [
        ([queue("default")], [SYSTEM], ""),
        (SHARED, [SYSTEM], "other queues may reclaim what queue default uses above its share"),
        ([queue("default", reclaimable=False), queue("team")], [], ""),
        ([queue("default"), queue("team", state="Closed")], [], ""),
        ([], [priority("urgent", 10), priority("normal", 5), SYSTEM], "runs of PriorityClass urgent may take"),
        ([], [priority("urgent", 10, preemptionPolicy="Never")], ""),
        ([], [priority("all", 10, globalDefault=True)], ""),
    ],
)
def test_it_is_told_where_a_queue_or_a_priority_threatens_the_run(
    queues: list[Any], classes: list[Any], threat: str
) -> None:
    found = check_preemption(run(), queues, classes)
    assert bool(found) == bool(threat)
    if found:
        assert (found.key, found.severity) == ("would-not-resume", "info")
        assert threat in found.text
        assert "it would end as failed" in found.text
        assert check_preemption(run(retries=1, workspace=KEPT), queues, classes) is None


def test_a_run_is_threatened_by_classes_above_its_own_alone() -> None:
    classes = [priority("urgent", 10), priority("normal", 5)]
    assert check_preemption(run(priorityClassName="normal"), [], classes)
    assert check_preemption(run(priorityClassName="urgent"), [], classes) is None
