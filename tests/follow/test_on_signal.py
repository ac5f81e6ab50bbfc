"""What becomes of a run when a signal comes to the command that follows it: real processes, and real signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.live import NAME, UID, Cluster, on_a_claim
from tests.fakes.server import serving
from tests.follow.test_stop import obeys
from tests.values.checks import ROOT
from trainchart.cluster import kinds

POD = "step-1"


@pytest.fixture
def running(cluster: Cluster) -> Cluster:
    on_a_claim(cluster)
    cluster.phase("Running")
    cluster.pod()
    return cluster


@pytest.fixture
def kubeconfig(running: Cluster, tmp_path: Path) -> Iterator[Path]:
    with serving(running, tmp_path) as file:
        yield file


def follow(kubeconfig: Path, *more: str, **environment: str) -> subprocess.Popen[str]:
    """Start `trainchart wait`, and return when it follows the run."""
    command = [sys.executable, "-m", "trainchart", "wait", NAME, "--kubeconfig", str(kubeconfig), *more]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT / "tools",
        env={**os.environ, **environment}, start_new_session=True,
    )  # fmt: skip
    assert process.stdout
    assert process.stdout.readline() == f"{NAME} is running\n"
    return process


def after(process: subprocess.Popen[str], *numbers: int) -> tuple[int, str]:
    """Send the signals to the process group, as engines do; return the exit code and what was printed since."""
    for number in numbers:
        os.killpg(process.pid, number)
        time.sleep(0.05)
    said, _ = process.communicate(timeout=30)
    assert "Traceback" not in said
    return process.returncode, said


def aborts(cluster: Cluster) -> list[Any]:
    return [body["target"]["uid"] for kind, body in cluster.created if kind == "commands"]


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), pytest.param(signal.SIGINT, 130, marks=pytest.mark.lab)]
)
def test_a_signal_stops_the_run(running: Cluster, kubeconfig: Path, number: int, code: int) -> None:
    process = follow(kubeconfig, "--on-signal", "stop")
    obeys(running)
    returned, said = after(process, number)
    assert returned == code
    assert said.startswith(f"trainchart: stopping {NAME}\n")
    uninstall = f"trainchart delete {NAME} -n training --kubeconfig {kubeconfig}"
    assert f"trainchart: {NAME} is stopped; its release stays; `{uninstall}` removes it\n" in said
    assert aborts(running) == [UID]


@pytest.mark.lab
def test_a_job_that_is_no_run_is_not_stopped(running: Cluster, kubeconfig: Path) -> None:
    """The signal may come before anybody has looked at it."""
    process = follow(kubeconfig, "--on-signal", "stop")
    assert running.job
    running.job["metadata"]["labels"] = {}
    code, said = after(process, signal.SIGTERM)
    assert code == 143
    assert f"Job {NAME} in namespace training is not a run of trainchart" in said
    assert aborts(running) == []


@pytest.mark.lab
def test_a_second_signal_does_not_keep_the_first_from_its_work(running: Cluster, kubeconfig: Path) -> None:
    process = follow(kubeconfig, "--on-signal", "stop")
    obeys(running)
    code, said = after(process, signal.SIGTERM, signal.SIGTERM, signal.SIGTERM)
    assert code == 143
    assert f"{NAME} is stopped" in said
    assert aborts(running) == [UID]


@pytest.mark.lab
def test_a_run_whose_pods_take_longer_than_the_grace_is_told_and_left(running: Cluster, kubeconfig: Path) -> None:
    process = follow(kubeconfig, "--on-signal", "stop", "--stop-timeout", "1s")
    code, said = after(process, signal.SIGTERM)
    assert code == 143
    assert "has not stopped after 1 s" in said
    assert "the run continues" not in said
    assert aborts(running) == [UID]


def test_by_default_the_run_continues(running: Cluster, kubeconfig: Path) -> None:
    code, said = after(follow(kubeconfig), signal.SIGTERM)
    assert (code, said) == (
        130,
        f"trainchart: stopped following; the run continues: trainchart wait {NAME} --kubeconfig {kubeconfig}\n",
    )
    assert aborts(running) == []


def pod(cluster: Cluster, status: str, kind: str = "DisruptionTarget") -> None:
    """The pod of the step, with a condition."""
    conditions = [{"type": kind, "status": status, "reason": "EvictionByEvictionAPI"}]
    cluster.pods[POD] = {"metadata": {"name": POD, "namespace": "training"}, "status": {"conditions": conditions}}


@pytest.mark.lab
def test_a_run_whose_step_is_evicted_continues(running: Cluster, kubeconfig: Path) -> None:
    process = follow(kubeconfig, "--on-signal", "stop", POD_NAME=POD, POD_NAMESPACE="training")
    pod(running, "True")
    code, said = after(process, signal.SIGTERM)
    assert code == 130
    assert "the cluster evicts this pod; the run continues: trainchart wait" in said
    assert aborts(running) == []


@pytest.mark.lab
@pytest.mark.parametrize("why", ["another condition", "no permission", "no pod"])
def test_a_step_of_which_nobody_says_that_it_is_evicted_stops_the_run(
    why: str, running: Cluster, kubeconfig: Path
) -> None:
    process = follow(kubeconfig, "--on-signal", "stop", POD_NAME=POD, POD_NAMESPACE="training")
    obeys(running)
    if why == "another condition":
        pod(running, "True", "Ready")
    elif why == "no permission":
        pod(running, "True")
        running.forbidden = {f"get {kinds.PODS}"}
    code, said = after(process, signal.SIGTERM)
    assert code == 143
    assert f"{NAME} is stopped" in said
    assert aborts(running) == [UID]


@pytest.mark.lab
def test_a_run_that_may_not_be_stopped_says_so(running: Cluster, kubeconfig: Path) -> None:
    process = follow(kubeconfig, "--on-signal", "stop")
    running.forbidden = {f"create {kinds.COMMANDS}"}
    code, said = after(process, signal.SIGTERM)
    assert code == 6
    assert "stopping needs `create commands` in bus.volcano.sh" in said


@pytest.mark.lab
def test_volcano_is_told_before_the_pods_are_looked_at(running: Cluster, kubeconfig: Path) -> None:
    """The process may have no more than a moment."""
    process = follow(kubeconfig, "--on-signal", "stop")
    running.forbidden = {"pods"}
    code, said = after(process, signal.SIGTERM)
    assert (code, aborts(running)) == (6, [UID])
    assert "no permission to list pods" in said
