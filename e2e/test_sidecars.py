"""Runs end as they would alone beside containers that a webhook injects into their pods, native sidecars and ordinary ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.cases.sidecars import RESULTS
from e2e.following import cause, status, trainchart
from e2e.injector import injecting
from e2e.kube import Object
from e2e.runs import Release, Session
from e2e.scenario import TEAM


@pytest.fixture(scope="module")
def injector(session: Session) -> Iterator[None]:
    with injecting(session.world.admin):
        yield
        session.remove([run for run in session.releases if run.startswith("sidecars-")])


pytestmark = [pytest.mark.family("sidecars"), pytest.mark.usefixtures("injector")]


def exit_codes(release: Release, rank: int = 0) -> dict[str, int]:
    """Of the containers of a pod, in the order in which Volcano sees them."""
    release.exit_code(rank)
    statuses: list[Object] = release.pod(rank)["status"]["containerStatuses"]
    return {one["name"]: one["state"]["terminated"]["exitCode"] for one in statuses}


@pytest.mark.runs("sidecars-native")
def test_a_run_with_a_native_sidecar_completes(session: Session) -> None:
    release = session.release("sidecars-native")
    assert release.end() == "Completed"
    (sidecar,) = release.pod()["status"]["initContainerStatuses"]
    assert sidecar["name"] == "istio-proxy"
    assert "terminated" in sidecar["state"]
    assert session.world.server.branch_commit(TEAM, RESULTS, release.result()["branch"])


@pytest.mark.runs("sidecars-classic")
def test_a_gang_with_sidecars_that_are_ordinary_containers_completes(session: Session) -> None:
    release = session.release("sidecars-classic")
    assert release.end() == "Completed"
    for rank in (0, 1):
        assert exit_codes(release, rank) == {"0-runner": 0, "aaa": 0, "istio-proxy": 0}
        assert release.log(rank).splitlines()[-1].endswith("event=sidecar mesh=Istio ended=true")
    code, log, errors = trainchart(session.world.submitter, "logs", release.name, "--rank", "0")
    assert (code, log) == (0, release.log()), errors


@pytest.mark.runs("sidecars-user-error")
def test_a_user_s_error_is_not_retried_beside_other_containers(session: Session) -> None:
    release = session.release("sidecars-user-error")
    assert release.end() in ("Terminated", "Failed")
    assert exit_codes(release) == {"0-runner": 40, "aaa": 0, "istio-proxy": 0}
    assert release.job()["status"].get("retryCount", 0) == 0


@pytest.mark.runs("sidecars-killed")
def test_a_killed_trainer_is_retried_beside_other_containers(session: Session) -> None:
    release = session.release("sidecars-killed")
    assert release.end() == "Completed"
    assert release.job()["status"]["retryCount"] == 1
    assert "begins after epoch 2 from " in release.log()


@pytest.mark.runs("sidecars-endless")
def test_a_container_that_keeps_a_run_from_finishing_is_named_before_and_after(
    session: Session, tmp_path: Path
) -> None:
    release = session.release("sidecars-endless")
    submitter = session.world.submitter
    values = submitter.helm("get", "values", release.name, "-o", "json")
    code, output, errors = trainchart(submitter, "doctor", "-f", "-", "--output", "json", text=values)
    assert code == 0, errors
    (before,) = [one for one in json.loads(output)["findings"] if one["key"] == "sidecar"]
    assert (before["severity"], "injects aaa into the pods" in before["text"]) == ("warning", True)
    release.wait_for_log("event=completed", seconds=120)
    found = cause(submitter, release.name, "sidecar")
    assert "rank 0 has ended with exit code 0, but aaa, which the cluster has injected" in found["text"]
    assert trainchart(submitter, "stop", release.name, "--logs", str(tmp_path / "log"), timeout=180)[0] == 0
    assert status(submitter, release.name)["state"] == "stopped"
    code, output, errors = trainchart(submitter, "result", release.name, "--output", "json")
    assert code == 0, errors
    assert session.world.server.branch_commit(TEAM, RESULTS, json.loads(output)["branch"])
