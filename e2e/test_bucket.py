"""A result in a real object store: whole by its manifest, and in a folder that is no other run's."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from e2e.cases.bucket import BUCKET, PREFIX, SECRET, TAKEN, WRONG_SECRET
from e2e.following import trainchart
from e2e.runs import Release, Session
from e2e.scenario import NAMESPACE
from e2e.servers.client import USER, Servers, connect

pytestmark = [pytest.mark.family("bucket"), pytest.mark.usefixtures("store")]

MANIFEST, OWNER = "trainchart.json", "trainchart-run.json"


@pytest.fixture(scope="session")
def store(session: Session) -> Servers:
    """The store with the bucket, a folder of another run in it, and Secrets with a right and a wrong key."""
    store = connect()
    store.create(BUCKET)
    store.put(BUCKET, f"{prefix(session)}/{TAKEN}/{OWNER}", b'{"run": "another"}')
    for name, password in ((SECRET, store.password), (WRONG_SECRET, "wrong-canary")):
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": NAMESPACE}}
        keys = {"AWS_ACCESS_KEY_ID": USER, "AWS_SECRET_ACCESS_KEY": password}
        session.world.admin.apply({**secret, "stringData": keys})
    return store


def prefix(session: Session) -> str:
    return PREFIX.replace("{session}", session.id)


def manifest(store: Servers, session: Session, release: Release) -> dict[str, Any]:
    """The manifest of a run, which is what its result names."""
    result = release.result()
    assert result["repository"] == f"http://minio.servers.svc:9000/{BUCKET}/{prefix(session)}"
    content = store.read(BUCKET, f"{prefix(session)}/{result['branch']}/{MANIFEST}")
    assert hashlib.sha256(content).hexdigest() == result["commit"]
    return dict(json.loads(content))


@pytest.mark.runs("bucket-generated")
@pytest.mark.parametrize(
    "run", ["bucket-generated", pytest.param("bucket-named", marks=pytest.mark.runs("bucket-named"))]
)
def test_the_folder_has_what_its_manifest_lists(session: Session, store: Servers, run: str) -> None:
    release = session.release(run)
    assert release.end() == "Completed", release.log()
    found = manifest(store, session, release)
    assert {file["path"] for file in found["files"]} == {"README.md", "line.json", "report.json"}
    folder = f"{prefix(session)}/{release.result()['branch']}"
    for file in found["files"]:
        content = store.read(BUCKET, f"{folder}/{file['path']}")
        assert (len(content), hashlib.sha256(content).hexdigest()) == (file["bytes"], file["sha256"])
    assert (
        found["run"] == json.loads(store.read(BUCKET, f"{folder}/{OWNER}"))["run"] == release.job()["metadata"]["uid"]
    )
    assert found["sources"] == release.result()["sources"]


@pytest.mark.runs("bucket-generated", "bucket-named")
def test_the_commands_say_where_the_result_is(session: Session) -> None:
    generated, named = session.release("bucket-generated"), session.release("bucket-named")
    uid = generated.job()["metadata"]["uid"]
    for release, folder in ((generated, f"{generated.name}-{uid[:8]}"), (named, "candidates/first")):
        release.end()
        for command in ("result", "status", "wait"):
            code, output, errors = trainchart(session.world.submitter, command, release.name)
            assert code == 0, errors
            assert folder in output
            assert f"{BUCKET}/{prefix(session)}" in output


FAILURES = {
    "bucket-taken": (62, ["publish.folder taken", "belongs to another run (run another)"]),
    "bucket-wrong-key": (60, ["publish.secretName models-wrong", "SignatureDoesNotMatch"]),
    "bucket-no-bucket": (60, ["publish.bucket modles", "NoSuchBucket", "correct publish.bucket"]),
}


@pytest.mark.parametrize("run", [pytest.param(name, marks=pytest.mark.runs(name)) for name in FAILURES])
def test_what_keeps_a_result_out_of_the_bucket_is_told_before_the_training(session: Session, run: str) -> None:
    release = session.release(run)
    assert release.end() in ("Terminated", "Failed")
    code, words = FAILURES[run]
    assert release.exit_code() == code
    failure = release.result()["failure"]
    assert failure["stage"] == "publish"
    for word in words:
        assert word in failure["reason"] + failure["fix"]
    assert "event=start stage=train" not in release.log()
