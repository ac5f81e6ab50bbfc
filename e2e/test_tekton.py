"""The Pipelines of charts/platform in a real Tekton: what they train, and how a PipelineRun ends, is cancelled and deleted.

The default timeout of a PipelineRun is one minute here (e2e/cluster/engines.py), and an hour elsewhere.
"""

from __future__ import annotations

import pytest

from e2e.cases import Values, custom
from e2e.cases.follow import KEEPS_RUNNING
from e2e.engines import (
    Tekton,
    assert_completed,
    assert_prints_every_rank,
    assert_published,
    assert_stopped,
    assert_trained_as_asked,
    evict,
    install_platform,
    reference_parameters,
)
from e2e.kube import phase, poll
from e2e.runs import Session, objects_of
from e2e.scenario import World

pytestmark = pytest.mark.family("tekton")

LONG: Values = {"replicas": 2, "train": {"command": ["python3", "-c", KEEPS_RUNNING], "exportCommand": []}}
NO_TIMEOUT = "0"


@pytest.fixture(scope="module")
def tekton(session: Session, platform: World) -> Tekton:
    """All PipelineRuns but the one of YOLOv5, started at once: they mostly wait."""
    tekton = Tekton(session, platform)
    runs: dict[str, tuple[Values, str]] = {
        "completes": ({"replicas": 2, "publish": {"branch": tekton.named("tekton")}}, NO_TIMEOUT),
        "fails": ({"replicas": 2, "train": {"command": ["python3", "-c", "raise SystemExit(3)"]}}, NO_TIMEOUT),
        "evicted": ({"env": {"EPOCH_SECONDS": "6"}}, NO_TIMEOUT),
        "cancelled": (LONG, NO_TIMEOUT),
        "by-default": (LONG, ""),
        "patient": ({"env": {"EPOCH_SECONDS": "13"}}, NO_TIMEOUT),
    }
    for name, (values, timeout) in runs.items():
        tekton.run(name, values, timeout=timeout)
    return tekton


def test_a_run_whose_step_is_evicted_continues_and_is_adopted_by_the_retry(tekton: Tekton) -> None:
    release = tekton.release("evicted")
    tekton.wait_for_log("evicted", "after epoch 1")
    before = release.job()["metadata"]["uid"]
    (step,) = tekton.pods("evicted")
    evict(tekton.kube, step["metadata"]["name"])
    ended = tekton.end("evicted")
    assert ended.succeeded, tekton.logs("evicted")
    assert release.job()["metadata"]["uid"] == before
    assert_published(tekton, custom.RESULTS, ended.results)
    (task,) = tekton.task_runs("evicted")
    assert len(task["status"]["retriesStatus"]) == 1
    # The second attempt has printed the log from its beginning.
    assert "rank 0 of 1 begins after epoch 0" in tekton.logs("evicted")


def test_a_cancelled_pipeline_run_stops_its_run(tekton: Tekton) -> None:
    tekton.wait_for_log("cancelled", "still running")
    tekton.cancel("cancelled")
    assert_stopped(tekton, "cancelled")
    ended = tekton.end("cancelled")
    assert (ended.succeeded, ended.reason) == (False, "Cancelled")


def test_a_run_in_a_pipeline_run_that_says_no_timeout_is_cut_at_the_default(tekton: Tekton) -> None:
    assert tekton.object("by-default")["spec"]["timeouts"]["pipeline"] == "1m0s"
    ended = tekton.end("by-default")
    assert (ended.succeeded, ended.reason) == (False, "PipelineRunTimeout")
    assert_stopped(tekton, "by-default")


def test_a_training_that_is_longer_than_the_default_completes_where_the_pipeline_run_says_so(tekton: Tekton) -> None:
    ended = tekton.end("patient")
    assert ended.succeeded, tekton.logs("patient")
    assert tekton.seconds("patient") > 60
    assert_published(tekton, custom.RESULTS, ended.results)


def test_the_results_are_those_on_the_git_server(tekton: Tekton) -> None:
    assert_completed(tekton, "completes", branch=tekton.named("tekton"))


def test_the_log_of_the_step_has_the_lines_of_every_rank(tekton: Tekton) -> None:
    assert_prints_every_rank(tekton, "completes", ranks=2)


def test_a_step_ends_with_the_exit_code_of_the_run(tekton: Tekton) -> None:
    ended = tekton.end("fails")
    assert not ended.succeeded
    *_, last = tekton.task_runs("fails")
    (step,) = last["status"]["steps"]
    assert step["terminated"]["exitCode"] == 40
    results = {result["name"]: result["value"] for result in last["status"]["results"]}
    assert results["exit-code"] == "40"
    # Tekton repeats whatever fails; the run is adopted as it is, and not trained once more.
    assert tekton.release("fails").job()["status"].get("retryCount", 0) == 0
    log = tekton.logs("fails")
    assert "failed in train" in log


def test_the_steps_have_the_rights_of_a_submitter_and_no_more(tekton: Tekton) -> None:
    submitter = tekton.world.submitter
    assert submitter.run("kubectl", "auth", "whoami", "-o", "jsonpath={.status.userInfo.username}").endswith(
        ":platform:trainchart"
    )
    assert {pod["spec"]["serviceAccountName"] for pod in tekton.pods("completes")} == {"trainchart"}
    for verb, resource in (("get", "nodes"), ("delete", "pipelineruns"), ("create", "deployments")):
        code, said = submitter.call("kubectl", "-n", submitter.namespace, "auth", "can-i", verb, resource)
        assert (code, said.splitlines()[-1]) == (1, "no")


@pytest.mark.parametrize("run", ["completes", "fails", "cancelled", "evicted"])
def test_a_deleted_pipeline_run_leaves_nothing(tekton: Tekton, run: str) -> None:
    name = tekton.named(run)
    made = {f"vcjob/{name}", f"secret/sh.helm.release.v1.{name}.v1"}
    poll(lambda: made <= objects_of(tekton.kube, name), 90, f"{name} is installed")
    tekton.delete(run)
    poll(lambda: not objects_of(tekton.kube, name), 90, f"everything of {name} is gone")


def test_the_parameters_of_the_reference_train_yolov5(tekton: Tekton) -> None:
    given = reference_parameters(tekton)
    tekton.start("yolov5", "yolov5-training", given, timeout=NO_TIMEOUT)
    ended = tekton.end("yolov5")
    assert ended.succeeded, tekton.logs("yolov5")
    assert_trained_as_asked(tekton, "yolov5", ended.results)


def test_every_rank_has_a_task_that_prints_its_log(tekton: Tekton) -> None:
    install_platform(tekton.kube, {"tekton": {"logs": "perRank"}})
    try:
        release = tekton.run("per-rank", {"replicas": 2}, timeout=NO_TIMEOUT)
        ended = tekton.end("per-rank")
    finally:
        install_platform(tekton.kube, {"tekton": {"logs": "combined"}})
    assert ended.succeeded, tekton.logs("per-rank")
    assert_published(tekton, custom.RESULTS, ended.results)
    name = tekton.named("per-rank")
    for rank in (0, 1):
        log = tekton.kube.kubectl("logs", f"{name}-log-{rank}-pod", "-c", "step-log")
        assert log == release.log(rank)
    assert phase(release.job()) == "Completed"
