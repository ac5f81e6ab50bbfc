"""The guard stops a run that nobody follows any more, and leaves every other alone."""

from __future__ import annotations

import threading
import time

import pytest

from tests.fakes.live import NAME, UID, Cluster
from trainchart.cluster import kinds
from trainchart.cluster.fields import Object
from trainchart.follow import guard
from trainchart.run.state import FOLLOWER


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "POLL_SECONDS", 0.01)


@pytest.fixture
def followed(cluster: Cluster) -> Cluster:
    """A run that the pod step-1 follows."""
    cluster.phase("Running")
    assert cluster.job
    cluster.job["metadata"]["annotations"] = {FOLLOWER: "step-1"}
    pod(cluster, "step-1", "Running")
    return cluster


def pod(cluster: Cluster, name: str, phase: str) -> Object:
    cluster.pods[name] = {"metadata": {"name": name}, "status": {"phase": phase}}
    return cluster.pods[name]


def watch(cluster: Cluster, seconds: float) -> tuple[threading.Thread, list[str]]:
    said: list[str] = []
    api: object = cluster
    thread = threading.Thread(
        target=lambda: guard.guard(api, NAME, said.append, seconds=seconds), daemon=True  # type: ignore[arg-type]
    )  # fmt: skip
    thread.start()
    return thread, said


def wait_for_abort(cluster: Cluster) -> None:
    deadline = time.monotonic() + 30
    while not cluster.created:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("end", ["Succeeded", "Failed", "gone"])
def test_a_run_whose_follower_has_ended_is_stopped(end: str, followed: Cluster) -> None:
    thread, said = watch(followed, 0.1)
    if end == "gone":
        followed.pods.clear()
    else:
        pod(followed, "step-1", end)
    wait_for_abort(followed)
    ((kind, sent),) = followed.created
    assert (kind, sent["action"], sent["target"]["uid"]) == ("commands", "AbortJob", UID)
    assert said == [f"pod step-1 no longer follows {NAME}, and no other does: stopping it"]
    followed.phase("Aborted")
    thread.join(10)
    assert not thread.is_alive()


def test_a_run_that_another_attempt_takes_up_is_left(followed: Cluster) -> None:
    thread, said = watch(followed, 0.3)
    followed.pods.clear()
    time.sleep(0.1)
    pod(followed, "step-2", "Running")
    assert followed.job
    followed.job["metadata"]["annotations"][FOLLOWER] = "step-2"
    time.sleep(0.5)
    assert followed.created == []
    followed.phase("Completed")
    thread.join(10)
    assert not thread.is_alive()
    assert said == []


@pytest.mark.parametrize("end", ["Completed", "Aborted", "removed"])
def test_it_ends_with_the_run(end: str, followed: Cluster) -> None:
    thread, _ = watch(followed, 60)
    if end == "removed":
        followed.job = None
    else:
        followed.phase(end)
    thread.join(10)
    assert not thread.is_alive()
    assert followed.created == []


def test_a_follower_whose_node_does_not_answer_still_follows(followed: Cluster) -> None:
    pod(followed, "step-1", "Unknown")
    thread, _ = watch(followed, 0.05)
    time.sleep(0.3)
    assert followed.created == []
    assert f"get {kinds.PODS} step-1" in followed.asked
    followed.phase("Completed")
    thread.join(10)
