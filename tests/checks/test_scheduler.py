"""A pod that another scheduler than Volcano places: is that scheduler there, has it looked at the pod, and what does it say?"""

from __future__ import annotations

import copy
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from tests.checks.cluster import captured, node, run
from tests.fakes.captured import captured as captured_run
from trainchart.checks import diagnosis
from trainchart.checks.facts import Facts
from trainchart.checks.finding import Finding
from trainchart.checks.nodes import check_nodes
from trainchart.checks.scheduler import check_scheduler
from trainchart.run import state

SPEC = run(accelerator={"profile": "hami", "count": 1, "memory": "4Gi", "corePercent": 50})
NAME = SPEC.scheduler
CREATED = datetime(2026, 11, 26, 11, 0, tzinfo=timezone.utc)


def pod(name: str = "some-pod", **changes: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": changes.get("labels", {})}, "spec": changes.get("spec", {})}


@pytest.mark.parametrize(
    "there",
    [
        pod(f"{NAME}-5d9f"),
        pod(labels={"app.kubernetes.io/component": NAME}),
        pod(spec={"containers": [{"name": "extender", "args": [f"--scheduler-name={NAME}"]}]}),
        pod(spec={"schedulerName": NAME}),
    ],
    ids=["name", "label", "argument", "placed"],
)
def test_a_scheduler_is_recognized_by_its_pod_or_by_what_it_has_placed(there: dict[str, Any]) -> None:
    assert check_scheduler(SPEC, [*captured("pods"), there]).severity == "ok"


def test_a_scheduler_that_no_pod_shows_is_doubtful() -> None:
    found = check_scheduler(SPEC, captured("pods"))
    assert (found.key, found.severity, found.subject) == ("scheduler-missing", "warning", f"scheduler {NAME}")
    assert "accelerator.schedulerName" in found.fix


def test_what_only_the_scheduler_of_the_devices_knows_is_no_doubt() -> None:
    first = check_nodes(SPEC, [node(nvidia_com__gpu="10")])[0]
    assert (first.severity, first.text) == (
        "ok",
        f"nodes have nvidia.com/gpu; nvidia.com/gpucores, nvidia.com/gpumem is up to {NAME}",
    )
    assert check_nodes(SPEC, [node()])[0].key == "no-such-resource"


def diagnosed(waited: float, condition: dict[str, Any] | None = None) -> list[Finding]:
    """Of a run whose pod waits for another scheduler."""
    case = copy.deepcopy(captured_run("reclaimed"))
    case["job"]["spec"]["tasks"][0]["template"]["spec"]["schedulerName"] = NAME
    (waits,) = case["pods"]
    waits["spec"]["schedulerName"] = NAME
    waits["metadata"]["creationTimestamp"] = f"{CREATED:%Y-%m-%dT%H:%M:%SZ}"
    waits["status"] = {"phase": "Pending", "conditions": [condition] if condition else []}
    now = CREATED + timedelta(seconds=waited)
    return diagnosis.explain(state.snapshot_of(case["job"], case["pods"]), Facts(now=now, groups=(case["group"],)))


def test_a_pod_of_which_its_scheduler_says_nothing_waits_for_one_that_does_not_run() -> None:
    first = diagnosed(45)[0]
    assert (first.key, first.severity) == ("scheduler-missing", "problem")
    assert first.text == (
        f"scheduler {NAME} has said nothing about pod reclaimed-train-0 for 45 s: it does not run, or has another name"
    )
    assert diagnosed(5)[0].key == "new"


def test_what_the_scheduler_says_is_told_as_it_says_it() -> None:
    said = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu. preemption: not eligible."
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": said}
    first = diagnosed(45, condition)[0]
    assert (first.key, first.details) == ("no-node", said)
    assert "3 Insufficient nvidia.com/gpu" in first.text


def test_a_run_that_volcano_places_needs_no_other_scheduler() -> None:
    assert not run().is_placed_by_another
    assert SPEC.is_placed_by_another
