"""A run that Volcano preempts, or whose resources another queue reclaims, waits for room, and resumes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from e2e import following
from e2e.cases.preemption import AMOUNT, EPOCHS, HELD, HIGH, LOW, RESOURCE
from e2e.cluster import kind, volcano
from e2e.kube import KeptLog, Kube, poll
from e2e.resume import assert_resumed, epochs
from e2e.runs import Session
from e2e.scenario import ROOT

CONFIGURATION = "volcano-scheduler-configmap"
PRIORITIES = {LOW: 10, HIGH: 1000}


@pytest.fixture(scope="module")
def preemption(session: Session) -> Iterator[None]:
    """Two queues and two priorities, a resource to compete for, and a scheduler with the actions preempt and reclaim."""
    admin = session.world.admin
    _offer(admin, AMOUNT)
    for name, value in PRIORITIES.items():
        priority = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}}
        admin.apply({**priority, "value": value})
        following.make_queue(admin, name)
    weight = json.dumps({"spec": {"weight": 3}})
    admin.kubectl("patch", "queues.scheduling.volcano.sh", HIGH, "--type=merge", "-p", weight)
    scheduler = Kube(admin.kubeconfig, volcano.NAMESPACE)
    before = _configuration(scheduler)
    _configure(scheduler, re.sub(r'^actions: ".*"', 'actions: "enqueue, allocate, preempt, reclaim, backfill"', before))
    try:
        yield
    finally:
        _configure(scheduler, before)
        session.remove([run for run in session.releases if run.startswith("preemption-")])
        for name in PRIORITIES:
            following.remove_queue(admin, name)
            admin.kubectl("delete", "priorityclass", name)
        _offer(admin, None)


def _configuration(scheduler: Kube) -> str:
    found = scheduler.get("configmap", CONFIGURATION)
    assert found
    return str(found["data"]["volcano-scheduler.conf"])


def _configure(scheduler: Kube, text: str) -> None:
    """A new pod reads it at once; the one that runs, when the kubelet has renewed its volume."""
    patch = json.dumps({"data": {"volcano-scheduler.conf": text}})
    scheduler.kubectl("patch", "configmap", CONFIGURATION, "--type=merge", "-p", patch)
    scheduler.kubectl("rollout", "restart", "deployment/volcano-scheduler")
    scheduler.kubectl("rollout", "status", "deployment/volcano-scheduler", "--timeout=120s")


def _offer(admin: Kube, amount: int | None) -> None:
    """Let the node have so many of the resource, as a device plugin would; None takes it away."""
    offered = {RESOURCE: None if amount is None else str(amount)}
    patch = json.dumps({"status": {"capacity": offered, "allocatable": offered}})
    admin.kubectl("patch", "node", kind.NODE, "--subresource=status", "--type=merge", "-p", patch)


pytestmark = [pytest.mark.family("preemption"), pytest.mark.usefixtures("preemption")]


@pytest.mark.parametrize(
    ("run", "taker", "why"),
    [
        ("preemption-gang", "preemption-urgent", "preempted by Volcano, for pods of higher priority"),
        ("preemption-lent", "preemption-owner", "stopped by Volcano, which reclaimed its resources for another queue"),
    ],
)
def test_a_run_whose_resources_are_taken_waits_for_room_and_resumes(
    session: Session, run: str, taker: str, why: str
) -> None:
    release = session.release(run)
    log = KeptLog(session.world.admin, f"{release.name}-train-0", session.folder / f"{release.name}.log")
    waiting = subprocess.Popen(
        [sys.executable, "-m", "trainchart", "wait", release.name, "-n", release.kube.namespace],
        env={**os.environ, "KUBECONFIG": str(release.kube.kubeconfig), "PYTHONPATH": str(ROOT / "tools")},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        poll(lambda: "event=checkpoint" in log.text(), 120, f"{release.name} has a checkpoint")
        other = session.release(taker)
        other.wait_for_log(HELD, 120)
        seen = following.cause(session.world.admin, release.name, "preempted", 30)
        assert seen["severity"] == "info"
        assert seen["text"] == f"attempt 1 was {why}; attempt 2 of 4 starts when there is room"
        keys = [finding["key"] for finding in following.status(session.world.admin, release.name)["findings"]]
        assert keys[0] in ("in-use", "no-node")
        assert other.end() == "Completed", other.log()
        release.wait_for_log("event=resume")
        found = following.status(session.world.admin, release.name)["findings"]
        assert [finding["key"] for finding in found] == ["preempted"]
        assert release.end() == "Completed", release.log()
        told, _ = waiting.communicate(timeout=60)
    finally:
        waiting.kill()
    assert waiting.returncode == 0
    assert re.search(r"^  attempt 1 was preempted, in train, after epoch \d$", told, re.MULTILINE)
    assert f"  attempt 1 was {why}; attempt 2 of 4 starts when there is room" in told
    assert "is running, attempt 2 of 4" in told
    assert re.search(r"^  resumes from a checkpoint, after epoch \d$", told, re.MULTILINE)
    # Volcano counts each restart (docs/decisions/0030).
    assert release.job()["status"]["retryCount"] == 1
    assert_resumed(release, epochs(log.text()), EPOCHS)


def test_a_run_that_is_not_preemptible_keeps_its_resources(session: Session) -> None:
    release = session.release("preemption-protected")
    release.wait_for_log("event=checkpoint")
    other = session.release("preemption-patient")
    assert release.end() == "Completed", release.log()
    assert release.job()["status"].get("retryCount", 0) == 0
    assert other.end() == "Completed", other.log()
    first, second = (one.job()["status"]["state"]["lastTransitionTime"] for one in (release, other))
    assert first < second
