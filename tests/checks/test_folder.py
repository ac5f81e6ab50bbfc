"""Whether another run is alive in the folder that this one wants."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.checks.cluster import Object, run, stocked
from tests.checks.test_doctor import found, problems
from tests.fakes.api import FakeApi
from trainchart.checks.finding import Finding
from trainchart.checks.folder import check_folder, folder_of
from trainchart.checks.run_spec import RunSpec
from trainchart.cluster import kinds

CLAIM = {"type": "existingClaim", "claimName": "shared", "accessMode": "ReadWriteMany"}


def on_claim(directory: str = "", claim: str = "shared") -> RunSpec:
    return run(workspace={**CLAIM, "claimName": claim, **({"directory": directory} if directory else {})})


def live(ask: RunSpec, name: str = "run-41", phase: str = "Running", **metadata: Any) -> Object:
    """The Job of a run as the cluster has it."""
    job = copy.deepcopy(ask.job)
    job["metadata"].update(name=name, namespace="training", uid="1", **metadata)
    job["status"] = {"state": {"phase": phase}}
    return job


def judged(ask: RunSpec, *jobs: Object) -> Finding:
    folder = folder_of(ask.job)
    assert folder
    return check_folder(ask, folder, jobs)


def test_a_run_that_is_alive_in_the_same_folder_is_a_problem_that_names_it() -> None:
    check = judged(on_claim("one"), live(on_claim("one")))
    assert check.severity == "problem"
    assert check.subject == "folder one on claim shared"
    assert check.text == "run run-41, which is running, works in one on claim shared; two runs cannot share a folder"
    assert check.fix == (
        "name another workspace.directory; or wait until it has finished, or stop it (`trainchart stop run-41 -n training`)"
    )


@pytest.mark.parametrize(
    ("ours", "theirs"), [("one", "./one/"), ("one", "one//"), ("one/two", "one"), ("one", "one/output")]
)
def test_a_folder_in_another_or_written_otherwise_is_the_same(ours: str, theirs: str) -> None:
    assert judged(on_claim(ours), live(on_claim(theirs))).severity == "problem"


@pytest.mark.parametrize(("directory", "claim"), [("two", "shared"), ("one", "other"), ("one-more", "shared")])
def test_another_folder_or_claim_is_free(directory: str, claim: str) -> None:
    assert judged(on_claim("one"), live(on_claim(directory, claim))).severity == "ok"


@pytest.mark.parametrize("phase", ["Completed", "Failed", "Terminated", "Aborted"])
def test_a_run_that_has_ended_is_in_nobody_s_way(phase: str) -> None:
    assert judged(on_claim("one"), live(on_claim("one"), phase=phase)).severity == "ok"


@pytest.mark.parametrize("phase", ["", "Pending", "Restarting", "Aborting", "Terminating"])
def test_a_run_that_has_not_ended_yet_is(phase: str) -> None:
    assert judged(on_claim("one"), live(on_claim("one"), phase=phase)).severity == "problem"


def test_a_run_that_is_being_deleted_is_waited_for_and_not_stopped() -> None:
    check = judged(on_claim("one"), live(on_claim("one"), deletionTimestamp="2026-11-24T17:11:41Z"))
    assert check.fix == "name another workspace.directory; or wait until it has finished"


def test_the_folder_of_a_run_that_names_none_is_of_its_name() -> None:
    theirs = live(on_claim(), name="run-41")
    assert theirs["metadata"]["annotations"].pop("trainchart.dev/workspace-directory") == "run-42"
    assert judged(on_claim("run-41"), theirs).severity == "problem"
    assert judged(on_claim(), theirs).severity == "ok"


def test_a_job_of_somebody_else_may_be_anything() -> None:
    jobs: list[Any] = [{}, {"metadata": {"name": "x"}, "spec": {"tasks": [{"template": None}]}}]
    assert judged(on_claim("one"), *jobs).severity == "ok"


def with_claim(*jobs: Object) -> FakeApi:
    """A cluster with the claim, and with these runs."""
    api = stocked(FakeApi())
    claim = {"metadata": {"name": "shared"}, "spec": {"accessModes": ["ReadWriteMany"]}, "status": {"phase": "Bound"}}
    api.put(kinds.CLAIMS, claim)
    api.put(kinds.JOBS, *jobs)
    return api


@pytest.mark.parametrize("quick", [False, True])
def test_doctor_and_submit_look_at_it(quick: bool) -> None:
    findings = found(with_claim(live(on_claim("one"))), on_claim("one"), quick=quick)
    assert [one.subject for one in findings if one.severity == "problem"] == ["folder one on claim shared"]
    assert problems(found(with_claim(live(on_claim("one"))), on_claim("two"), quick=quick)) == []


def test_without_the_right_to_list_jobs_it_is_not_checked() -> None:
    server = with_claim()
    server.forbidden = {"jobs"}
    [check] = [check for check in found(server, on_claim("one")) if check.subject.startswith("folder ")]
    assert (check.severity, check.text) == (
        "not-checked",
        "folder one on claim shared: no permission to list jobs.batch.volcano.sh",
    )


def test_a_workspace_that_goes_with_its_pod_costs_no_call() -> None:
    assert folder_of(run().job) is None
