"""The WorkflowTemplates of charts/platform in a real Argo Workflows: how a Workflow ends, is stopped and deleted."""

from __future__ import annotations

import pytest

from e2e.cases import Values, custom
from e2e.cases.follow import KEEPS_RUNNING
from e2e.engines import (
    Argo,
    assert_completed,
    assert_prints_every_rank,
    assert_published,
    assert_stopped,
    assert_trained_as_asked,
    evict,
    reference_parameters,
)
from e2e.kube import poll
from e2e.runs import Session, objects_of
from e2e.scenario import World

pytestmark = pytest.mark.family("argo")

LONG: Values = {"replicas": 2, "train": {"command": ["python3", "-c", KEEPS_RUNNING], "exportCommand": []}}


@pytest.fixture(scope="module")
def argo(session: Session, platform: World) -> Argo:
    """All Workflows, started at once: they mostly wait."""
    argo = Argo(session, platform)
    runs: dict[str, tuple[Values, str]] = {
        "completes": ({"replicas": 2, "publish": {"branch": argo.named("argo")}}, ""),
        "fails": ({"replicas": 2, "train": {"command": ["python3", "-c", "raise SystemExit(3)"]}}, ""),
        "evicted": ({"env": {"EPOCH_SECONDS": "6"}}, ""),
        "stopped": (LONG, ""),
        "terminated": (LONG, ""),
        "too-long": (LONG, "60"),
    }
    for name, (values, timeout) in runs.items():
        argo.run(name, values, timeout=timeout)
    return argo


def test_a_run_whose_step_is_evicted_continues_and_is_adopted_by_the_next_attempt(argo: Argo) -> None:
    release = argo.release("evicted")
    argo.wait_for_log("evicted", "after epoch 1")
    before = release.job()["metadata"]["uid"]
    (step,) = argo.pods("evicted")
    evict(argo.kube, step["metadata"]["name"])
    ended = argo.end("evicted")
    assert ended.succeeded, argo.logs("evicted")
    assert release.job()["metadata"]["uid"] == before
    assert_published(argo, custom.RESULTS, ended.results)
    assert [node["phase"] for node in argo.attempts("evicted")] == ["Error", "Succeeded"]


@pytest.mark.parametrize(("run", "strategy"), [("stopped", "Stop"), ("terminated", "Terminate")])
def test_a_workflow_that_is_stopped_stops_its_run(argo: Argo, run: str, strategy: str) -> None:
    argo.wait_for_log(run, "still running")
    argo.cancel(run, strategy)
    assert_stopped(argo, run)
    ended = argo.end(run)
    assert not ended.succeeded
    assert f"Stopped with strategy '{strategy}'" in ended.reason


def test_a_deadline_stops_the_run(argo: Argo) -> None:
    ended = argo.end("too-long")
    assert not ended.succeeded
    assert_stopped(argo, "too-long")


def test_the_results_are_those_on_the_git_server(argo: Argo) -> None:
    assert_completed(argo, "completes", branch=argo.named("argo"))


def test_the_log_of_the_step_has_the_lines_of_every_rank(argo: Argo) -> None:
    assert_prints_every_rank(argo, "completes", ranks=2)


def test_a_step_ends_with_the_exit_code_of_the_run_and_is_not_repeated(argo: Argo) -> None:
    ended = argo.end("fails")
    assert not ended.succeeded
    (attempt,) = argo.attempts("fails")
    assert attempt["outputs"]["exitCode"] == "40"
    assert ended.results["exit-code"] == "40"


@pytest.mark.parametrize("run", ["completes", "fails", "stopped", "evicted"])
def test_a_deleted_workflow_leaves_nothing(argo: Argo, run: str) -> None:
    name = argo.named(run)
    made = {f"vcjob/{name}", f"secret/sh.helm.release.v1.{name}.v1"}
    poll(lambda: made <= objects_of(argo.kube, name), 90, f"{name} is installed")
    argo.delete(run)
    poll(lambda: not objects_of(argo.kube, name), 90, f"everything of {name} is gone")


def test_the_parameters_of_the_reference_train_yolov5(argo: Argo) -> None:
    argo.start("yolov5", "yolov5-training", reference_parameters(argo))
    ended = argo.end("yolov5")
    assert ended.succeeded, argo.logs("yolov5")
    assert_trained_as_asked(argo, "yolov5", ended.results)
