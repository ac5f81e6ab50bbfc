"""What doctor says of a run before it is submitted, and what status says of it afterwards, is one verdict in one wording."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest

from tests.checks.cluster import ROOT, node, stocked
from tests.fakes.api import FakeApi
from tests.fakes.captured import CASES, captured, cluster
from trainchart.chart.render import render
from trainchart.checks.diagnosis import diagnose
from trainchart.checks.doctor import examine
from trainchart.checks.finding import Finding
from trainchart.checks.run_spec import RunSpec, run_spec
from trainchart.cluster import kinds
from trainchart.files import load_values
from trainchart.run import state

# What doctor looks for, and a run of the captured ones has met.
BEFORE = {
    "big-cpu": "above-every-node",
    "big-mem": "above-every-node",
    "close-later": "queue-closed",
    "nearly": "in-use",
    "no-claim": "claim-missing",
    "no-class": "storage-class-missing",
    "no-gpu": "no-such-resource",
    "no-sa": "service-account",
    "no-secret-mount": "secret-missing",
    "no-cm-mount": "configmap-missing",
    "prio": "priority-class",
    "pull-secret": "pull-secret-missing",
    "queue-gone": "queue-missing",
    "queue-small": "queue-too-small",
    "quota": "quota",
    "selector": "no-node-matches",
    "unbound": "claim-unbound",
    "wide": "gang-too-large",
}
JUDGED = ("problem", "warning", "waiting")


def both(name: str) -> tuple[list[Finding], list[Finding]]:
    """The findings of doctor and of status on the same cluster and the same run."""
    api, job = cluster(name), captured(name)["job"]
    held = {"containers": [{"resources": {"requests": {"cpu": "1"}}}]}
    others = [
        {"metadata": {"name": "other"}, "spec": {"nodeName": one["metadata"]["name"], **held}, "status": {}}
        for one in captured(name)["nodes"]
    ]
    api.put(kinds.NAMESPACES, {"metadata": {"name": api.namespace}})
    api.put(kinds.PODS, *others)
    before = RunSpec(name, (job,), api.namespace)
    after = diagnose(api, state.load(api, name))  # type: ignore[arg-type]
    return list(examine(api, before, named=False)), after  # type: ignore[arg-type]


def judged(findings: list[Finding]) -> dict[tuple[str, str], Finding]:
    return {(one.subject, one.key): one for one in findings if one.severity in JUDGED}


@pytest.mark.parametrize("name", CASES)
def test_a_captured_run_is_given_one_verdict(name: str) -> None:
    before, after = map(judged, both(name))
    for where in before.keys() & after.keys():
        doctor, status = before[where], after[where]
        assert doctor.severity == status.severity, (doctor, status)
        if doctor.key != "in-use":  # doctor sees what is free on the nodes, status what Volcano says
            assert doctor.text == status.text, (doctor, status)
    contradicted = {subject for subject, _ in before} & {subject for subject, _ in after}
    assert all(
        {key for about, key in before if about == subject} & {key for about, key in after if about == subject}
        for subject in contradicted
    ), (before, after)


@pytest.mark.parametrize("name", BEFORE)
def test_what_a_captured_run_met_doctor_says_before(name: str) -> None:
    before, after = both(name)
    keys = {finding.key for finding in before if finding.severity in JUDGED}
    assert BEFORE[name] in keys, before
    assert BEFORE[name] in {finding.key for finding in after}, after


def hami() -> tuple[FakeApi, RunSpec]:
    """values/yolov5.yaml as shipped, and a node of HAMi: of a device it lists the number, and neither memory nor cores."""
    api = stocked(FakeApi())
    api.there[kinds.NODES] = [node("gpu-1", cpu="64", memory="512Gi", nvidia_com__gpualloc="10")]
    spec = run_spec(render(load_values(ROOT / "values/yolov5.yaml"), name="run-42", namespace="training"), "run-42")
    return api, replace(spec, namespace="training")


@pytest.mark.parametrize("message", ["overused nvidia.com/gpucores, nvidia.com/gpumem", "overused nvidia.com/gpucores"])
def test_a_device_plugin_that_shares_out_devices_itself_is_judged_alike(message: str) -> None:
    api, spec = hami()
    before = [one for one in examine(api, spec, quick=False) if one.subject == "accelerator"]  # type: ignore[arg-type]
    job: dict[str, Any] = copy.deepcopy(spec.job)
    job["metadata"].update(namespace="training", uid="u1", creationTimestamp="2026-11-24T18:00:00Z")
    group = {"metadata": {"name": "run-42-u1"}, "status": {"phase": "Pending"}}
    event = {
        "involvedObject": {"kind": "PodGroup", "name": "run-42-u1"},
        "reason": "Unschedulable",
        "message": message,
        "lastTimestamp": "2026-11-24T18:00:05Z",
    }
    api.put(kinds.JOBS, job)
    api.put(kinds.POD_GROUPS, group)
    api.put(kinds.EVENTS, event)
    after = diagnose(api, state.load(api, "run-42"))  # type: ignore[arg-type]
    [first], [second, *others] = before, after
    assert (first.key, first.severity) == ("devices-not-listed", "warning")
    assert (first.key, first.severity, first.text, first.fix) == (second.key, second.severity, second.text, second.fix)
    assert second.details == message
    assert others == [], "and nothing says that it will not fit, or that something is in use"
