"""YOLOv5 on a dataset in a real object store, tracked by a real MLflow that keeps its artifacts in the same store."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from e2e.cases.servers import BUCKET, CASE, EXPERIMENT, PREFIX, SECRET, SESSION_SECRET
from e2e.fixtures import yolov5
from e2e.following import trainchart
from e2e.kube import poll
from e2e.resume import kill_after
from e2e.runs import Release, Session
from e2e.scenario import NAMESPACE
from e2e.servers.client import USER, Servers, connect

pytestmark = [pytest.mark.family("servers"), pytest.mark.usefixtures("servers")]

WRONG = "wrong-s3-canary"
MAP = "metrics/mAP_0.5"


@pytest.fixture(scope="session")
def servers(session: Session) -> Servers:
    """The servers, with the dataset in the store and its key in the namespace."""
    servers = connect()
    servers.upload(yolov5.dataset_repository(CASE.image_name), BUCKET, PREFIX)
    secrets = {
        SECRET: {"AWS_ACCESS_KEY_ID": USER, "AWS_SECRET_ACCESS_KEY": servers.password},
        "s3-wrong": {"AWS_ACCESS_KEY_ID": USER, "AWS_SECRET_ACCESS_KEY": WRONG},
        SESSION_SECRET: servers.temporary_keys(),
    }
    for name, keys in secrets.items():
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": NAMESPACE}}
        session.world.admin.apply({**secret, "stringData": keys})
    return servers


@pytest.fixture(scope="session")
def happy(session: Session, servers: Servers) -> Release:
    assert servers.answer()
    release = session.release("servers-happy")
    assert release.end() == "Completed", release.log()
    return release


def tracked(servers: Servers, release: Release) -> dict[str, Any]:
    """The only MLflow run of a release."""
    (run,) = servers.runs(EXPERIMENT, release.job()["metadata"]["uid"])
    return run


def entries(run: dict[str, Any], kind: str) -> dict[str, Any]:
    return {entry["key"]: entry["value"] for entry in run["data"].get(kind, [])}


@pytest.mark.runs("servers-happy")
def test_the_dataset_comes_from_the_store_and_its_state_is_in_the_log(happy: Release) -> None:
    states = re.findall(r"event=cache source=dataset total=(\d+) cached=(\d+) available=(\d+)", happy.log())
    (total, before, _), (_, after, _) = states[0], states[-1]
    assert int(before) == 0
    assert int(after) == int(total) > 0


@pytest.mark.runs("servers-happy")
def test_the_result_says_what_was_in_the_store(happy: Release) -> None:
    dataset = happy.result()["sources"]["dataset"]
    assert dataset["repository"] == f"http://minio.servers.svc:9000/{BUCKET}/{PREFIX}"
    assert re.fullmatch("[0-9a-f]{40}", dataset["commit"])


@pytest.mark.runs("servers-happy")
def test_the_run_is_tracked_until_it_finishes(happy: Release, servers: Servers) -> None:
    run = tracked(servers, happy)
    assert (run["info"]["status"], run["info"]["run_name"]) == ("FINISHED", happy.name)
    assert servers.history(run, MAP) == [1, 2]
    parameters, result = entries(run, "params"), happy.result()
    assert parameters["train.epochs"] == "2"
    assert parameters["sources.model.commit"] == result["sources"]["model"]["commit"]
    assert parameters["image"] == CASE.image_name
    assert entries(run, "metrics")[MAP] == pytest.approx(result["metrics"][MAP], rel=1e-4)


@pytest.mark.runs("servers-happy")
def test_the_result_is_an_artifact_in_the_store(happy: Release, servers: Servers) -> None:
    uri = tracked(servers, happy)["info"]["artifact_uri"]
    assert uri.startswith("mlflow-artifacts:/")
    key = "mlflow/" + uri.removeprefix("mlflow-artifacts:/") + "/result.json"
    result = json.loads(servers.read("artifacts", key))
    assert (result["status"], result["uid"]) == ("completed", happy.job()["metadata"]["uid"])


@pytest.mark.runs("servers-session")
def test_temporary_keys_read_a_bucket_at_its_own_host(session: Session) -> None:
    release = session.release("servers-session")
    assert release.end() == "Completed", release.log()
    assert "event=addressing" not in release.log()  # as the values say, and not for an answer of the store
    for line in release.log().splitlines():
        assert "eyJ" not in line  # how MinIO's session tokens begin


@pytest.mark.runs("servers-killed")
def test_a_killed_attempt_and_the_next_one_are_one_run(session: Session, servers: Servers) -> None:
    release = session.release("servers-killed")
    kill_after(session, release, "event=metrics epoch=1")
    assert tracked(servers, release)["info"]["status"] == "RUNNING"  # nobody could say otherwise
    assert release.end() == "Completed"
    run = tracked(servers, release)
    assert run["info"]["status"] == "FINISHED"
    assert entries(run, "tags")["trainchart.attempt"] == "1"
    assert set(servers.history(run, MAP)) == {1, 2}


@pytest.mark.runs("servers-killed-for-good")
def test_what_a_killed_runner_left_running_is_closed_by_wait(session: Session, servers: Servers) -> None:
    release = session.release("servers-killed-for-good")
    kill_after(session, release, "event=metrics epoch=1")
    assert release.end() == "Failed"
    assert tracked(servers, release)["info"]["status"] == "RUNNING"
    code, output, errors = trainchart(session.world.submitter, "wait", release.name, timeout=120)
    assert code == 7, (output, errors)
    assert "tracking       its MLflow run is closed as FAILED" in output
    assert tracked(servers, release)["info"]["status"] == "FAILED"


@pytest.mark.runs("servers-stopped")
def test_a_run_that_is_stopped_is_tracked_as_killed(session: Session, servers: Servers) -> None:
    release = session.release("servers-stopped")
    release.wait_for_log("event=metrics epoch=1")
    uid = release.job()["metadata"]["uid"]
    session.world.submitter.helm("uninstall", release.name)

    def status() -> str:
        (run,) = servers.runs(EXPERIMENT, uid)
        return str(run["info"]["status"])

    poll(lambda: status() == "KILLED", 60, f"{release.name} is KILLED for MLflow")


@pytest.mark.runs("servers-failing-trainer")
def test_a_run_that_fails_is_tracked_as_failed(session: Session, servers: Servers) -> None:
    release = session.release("servers-failing-trainer")
    assert release.end() in ("Terminated", "Failed")
    assert release.result()["failure"]["name"] == "train-failed"
    assert tracked(servers, release)["info"]["status"] == "FAILED"


@pytest.mark.runs("servers-no-tracking")
def test_a_missing_tracking_server_costs_nothing(session: Session) -> None:
    release = session.release("servers-no-tracking")
    assert release.end() == "Completed"
    warnings = [line for line in release.log().splitlines() if "event=warning" in line and "mlflow" in line]
    assert 1 <= len(warnings) <= 2


FAILURES = {
    "servers-wrong-key": ["dataset.secretName s3-wrong", "SignatureDoesNotMatch", "AWS_SECRET_ACCESS_KEY"],
    "servers-no-bucket": ["dataset.bucket datsets", "NoSuchBucket", "correct dataset.bucket"],
    "servers-no-session": ["dataset.secretName s3-session", "add the session token to that secret as ANOTHER_TOKEN"],
    "servers-no-identity": ["dataset.workloadIdentity", "the pod has no identity", "eks.amazonaws.com/role-arn"],
    "servers-no-prefix": ["dataset.prefix 'shape'", "is empty", "correct dataset.bucket or dataset.prefix"],
}


@pytest.mark.parametrize("run", [pytest.param(name, marks=pytest.mark.runs(name)) for name in FAILURES])
def test_errors_of_the_store_end_the_run_with_a_reason_and_a_fix(session: Session, run: str) -> None:
    release = session.release(run)
    assert release.end() in ("Terminated", "Failed")
    assert release.exit_code() == 30
    failure = release.result()["failure"]
    for word in FAILURES[run]:
        assert word in failure["reason"] + failure["fix"]


@pytest.mark.runs("servers-happy", "servers-wrong-key")
def test_no_key_of_the_store_is_in_a_log(session: Session, servers: Servers) -> None:
    session.release("servers-happy").end()
    for release in session.releases.values():
        if release.case == "servers" and session.world.submitter.pods(release.name):
            assert servers.password not in release.log()
            assert WRONG not in release.log()
