"""What becomes of artifacts in an object store: a folder of the run's own, with a manifest that comes last."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from features.s3 import store as s3_store
from features.upload import MANIFEST, OWNER, BucketPublisher, files
from features.upload.bucket import Bucket as Folder
from runner import check, retry
from runner.context import Context
from runner.errors import RunnerError
from runner.publish import publisher_of
from tests.lab.answers import Answer, Fault
from tests.lab.s3_server import ACCESS, SECRET, Bucket, error, serving

from .conftest import UID, fake_family

OTHER = "ffffffff-1111-2222-3333-444455556666"
FAMILY: Any = fake_family()
PART = 4096


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "PART_BYTES", PART)
    monkeypatch.setattr(s3_store, "RETRY_SECONDS", (0.01, 0.01, 0.01))
    monkeypatch.setattr(retry, "PAUSES", (0.01,))


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    bucket = Bucket({"models/older/model.pt": b"of another run"})
    with serving(bucket) as server:
        bucket.url = f"http://127.0.0.1:{server.server_port}"
        yield bucket


@pytest.fixture
def made(bucket: Bucket, secret: Path, make_context: Callable[..., Context]) -> Callable[..., BucketPublisher]:
    """A publisher with these artifacts."""
    folder = secret.parent / "publish"
    folder.mkdir()
    (folder / "AWS_ACCESS_KEY_ID").write_text(f"{ACCESS}\n")
    (folder / "AWS_SECRET_ACCESS_KEY").write_text(SECRET)

    def make(artifacts: dict[str, bytes] | None = None, shared: bool = True, **changes: Any) -> BucketPublisher:
        patience = changes.pop("patienceSeconds", 0)
        publish = {
            "type": "s3",
            "endpoint": bucket.url,
            "bucket": "datasets",
            "prefix": "/models/",
            "secretName": "store",
        }
        workspace = {"workspace.type": "newClaim" if shared else "emptyDir", "run.patienceSeconds": patience}
        context = make_context({"sources": {}, "publish": {**publish, **changes}, **workspace})
        for path, content in {"model.pt": b"weights", **(artifacts or {})}.items():
            file = context.artifacts / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        publisher = publisher_of(context)
        assert isinstance(publisher, BucketPublisher)
        return publisher

    return make


def published(bucket: Bucket, folder: str = f"run-42-{UID[:8]}") -> dict[str, bytes]:
    """The artifacts of the folder, which are those of its manifest, with the sizes and hashes that this tells."""
    start = f"models/{folder}/"
    found = {key[len(start) :]: content for key, content in bucket.objects.items() if key.startswith(start)}
    manifest = json.loads(found.pop(MANIFEST))
    assert manifest["run"] == json.loads(found.pop(OWNER))["run"] == UID
    listed = [
        {"path": path, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for path, content in sorted(found.items())
    ]
    assert manifest["files"] == listed
    return found


def refused(call: Callable[[], Any], name: str) -> RunnerError:
    with pytest.raises(RunnerError) as caught:
        call()
    assert caught.value.exit.name == name, caught.value.reason
    assert SECRET not in caught.value.reason + caught.value.fix
    return caught.value


def sent(bucket: Bucket) -> list[str]:
    """What was written, in this order: names in the run's folder."""
    return [line.partition("?")[0].rpartition("/")[2] for line in bucket.requests if line.startswith("PUT ")]


# What is in the bucket


def test_the_folder_has_the_artifacts_and_its_manifest_comes_last(
    made: Callable[..., BucketPublisher], bucket: Bucket
) -> None:
    artifacts = {"README.md": b"# model", "deep/ü b+c.txt": b"text", "empty": b"", "big.bin": bytes(range(256)) * 70}
    done = made(artifacts).publish(FAMILY)
    assert published(bucket) == {"model.pt": b"weights", **artifacts}
    assert sent(bucket)[0] == OWNER
    assert sent(bucket)[-1] == MANIFEST
    assert done.branch == f"run-42-{UID[:8]}"
    assert done.commit == hashlib.sha256(bucket.objects[f"models/{done.branch}/{MANIFEST}"]).hexdigest()
    assert not bucket.uploads


def test_the_manifest_tells_where_the_model_comes_from(made: Callable[..., BucketPublisher], bucket: Bucket) -> None:
    made(folder="candidates/first", modelName="shapes").publish(FAMILY)
    manifest = json.loads(bucket.objects[f"models/candidates/first/{MANIFEST}"])
    assert (manifest["version"], manifest["release"], manifest["model"], manifest["sources"]) == (
        1,
        "run-42",
        "shapes",
        {},
    )


def test_large_files_are_sent_in_parts(made: Callable[..., BucketPublisher], bucket: Bucket) -> None:
    content = bytes(range(256)) * 32  # two parts exactly
    made({"two.bin": content, "three.bin": content + b"x", "one.bin": content[:PART]}).publish(FAMILY)
    parts = [line for line in bucket.requests if "partNumber=" in line]
    assert sorted(line.partition("?")[0].rpartition("/")[2] for line in parts) == ["three.bin"] * 3 + ["two.bin"] * 2
    assert published(bucket)["three.bin"] == content + b"x"


def test_a_file_of_any_size_has_no_more_parts_than_a_store_allows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MAX_PARTS", 3)
    file = tmp_path / "file"
    for size in (0, 1, PART, PART + 1, 3 * PART, 3 * PART + 1, 10 * PART):
        file.write_bytes(b"x" * size)
        measured = files.measure("file", file)
        assert len(measured.parts) <= 3
        assert sum(part.size for part in measured.parts) == measured.size == size
        assert [part.offset for part in measured.parts] == [
            sum(part.size for part in measured.parts[:index]) for index in range(len(measured.parts))
        ]


def test_a_link_to_a_file_becomes_that_file(made: Callable[..., BucketPublisher], bucket: Bucket) -> None:
    publisher = made()
    (publisher._context.artifacts / "best.pt").symlink_to("model.pt")
    publisher.publish(FAMILY)
    assert published(bucket) == {"model.pt": b"weights", "best.pt": b"weights"}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (MANIFEST, "has a file of this name itself"),
        (OWNER, "has a file of this name itself"),
        ("\udcff.pt", "its name is not UTF-8"),
        ("/".join(["d" * 200] * 6), "more than 1024 bytes"),
    ],
)
def test_what_cannot_be_an_object_is_refused_before_anything_is_sent(
    made: Callable[..., BucketPublisher], bucket: Bucket, name: str, words: str
) -> None:
    assert words in refused(lambda: made({name: b"x"}).publish(FAMILY), "publish-refused").reason
    assert not sent(bucket)


def test_a_link_to_a_folder_is_refused(made: Callable[..., BucketPublisher]) -> None:
    publisher = made({"deep/a": b"a"})
    (publisher._context.artifacts / "link").symlink_to("deep")
    assert "link cannot be put into a bucket" in refused(lambda: publisher.publish(FAMILY), "publish-refused").reason


# Once, however often it is tried


def test_an_attempt_sends_only_what_an_earlier_one_has_not(
    made: Callable[..., BucketPublisher], bucket: Bucket
) -> None:
    publisher = made({"a.bin": b"a" * 3 * PART, "b.bin": b"b" * 10})
    bucket.faults.append(Fault("/b.bin", Answer(403, {}, error("AccessDenied", "no"))))
    refused(lambda: publisher.publish(FAMILY), "publish-refused")
    bucket.faults.clear()
    bucket.requests.clear()
    made().publish(FAMILY)
    assert sent(bucket) == ["b.bin", "model.pt", MANIFEST]
    assert set(published(bucket)) == {"a.bin", "b.bin", "model.pt"}


def test_what_is_published_is_found_by_every_later_attempt(
    made: Callable[..., BucketPublisher], bucket: Bucket
) -> None:
    assert made().find_published() is None
    done = made().publish(FAMILY)
    bucket.requests.clear()
    assert made({"model.pt": b"trained again"}).find_published() == done
    assert made({"model.pt": b"trained again"}).publish(FAMILY) == done
    assert not sent(bucket)


def test_what_was_trained_anew_takes_the_place_of_what_an_attempt_left(
    made: Callable[..., BucketPublisher], bucket: Bucket, tmp_path: Path
) -> None:
    publisher = made({"step-10.pt": b"of the lost attempt"})
    bucket.faults.append(Fault(f"PUT /datasets/models/run-42-{UID[:8]}/{MANIFEST}", Answer(403)))
    refused(lambda: publisher.publish(FAMILY), "publish-refused")
    bucket.faults.clear()
    (publisher._context.artifacts / "step-10.pt").unlink()
    made({"model.pt": b"WEIGHTS", "step-11.pt": b"new"}).publish(FAMILY)
    assert published(bucket) == {"model.pt": b"WEIGHTS", "step-11.pt": b"new"}


def test_a_key_that_may_not_remove_publishes_nevertheless(
    made: Callable[..., BucketPublisher], bucket: Bucket, capsys: pytest.CaptureFixture[str]
) -> None:
    bucket.objects[f"models/mine/{OWNER}"] = json.dumps({"run": UID}).encode()
    bucket.objects["models/mine/stale.pt"] = b"stale"
    bucket.faults.append(Fault("DELETE ", Answer(403, {}, error("AccessDenied", "no"))))
    made(folder="mine").publish(FAMILY)
    assert f"models/mine/{MANIFEST}" in bucket.objects
    assert "files of an earlier attempt stay in" in capsys.readouterr().out


def test_the_parts_that_a_killed_attempt_left_are_removed(made: Callable[..., BucketPublisher], bucket: Bucket) -> None:
    publisher = made({"big.bin": b"x" * 3 * PART})
    publisher.check_push_access()
    bucket.faults.append(Fault("partNumber=2", Answer(403)))
    bucket.faults.append(Fault("DELETE ", Answer(403)))  # as if it had died before
    refused(lambda: publisher.publish(FAMILY), "publish-refused")
    assert len(bucket.uploads) == 1
    bucket.faults.clear()
    made({"big.bin": b"x" * 3 * PART}).publish(FAMILY)
    assert not bucket.uploads


# Whose folder it is


@pytest.mark.parametrize("conditions", [True, False])
@pytest.mark.parametrize("name", [OWNER, MANIFEST])
def test_the_folder_of_another_run_stays_as_it_is(
    made: Callable[..., BucketPublisher], bucket: Bucket, name: str, conditions: bool
) -> None:
    bucket.conditions = conditions
    bucket.objects[f"models/mine/{name}"] = json.dumps({"run": OTHER}).encode()
    before = dict(bucket.objects)
    for call in (lambda: made(folder="mine").publish(FAMILY), lambda: made(folder="mine").check_push_access()):
        failure = refused(call, "branch-taken")
        assert (
            f"publish.folder mine of {bucket.url}/datasets/models belongs to another run (run {OTHER})"
            in failure.reason
        )
    assert bucket.objects == before


def test_a_folder_with_files_of_nobody_stays_as_it_is(made: Callable[..., BucketPublisher], bucket: Bucket) -> None:
    before = dict(bucket.objects)
    for call in (lambda: made(folder="older").publish(FAMILY), lambda: made(folder="older").check_push_access()):
        assert "has files that no run has put there" in refused(call, "branch-taken").reason
    assert bucket.objects == before


@pytest.mark.parametrize("owned", ["models", "models/a", "models/a/b"])
def test_a_folder_inside_of_another_run_s_is_refused(
    made: Callable[..., BucketPublisher], bucket: Bucket, owned: str
) -> None:
    bucket.objects[f"{owned}/{OWNER}"] = json.dumps({"run": OTHER}).encode()
    before = dict(bucket.objects)
    for call in (lambda: made(folder="a/b/c").publish(FAMILY), lambda: made(folder="a/b/c").check_push_access()):
        assert f"is inside of {owned}/, which belongs to a run" in refused(call, "branch-taken").reason
    assert bucket.objects == before


def test_a_run_that_claimed_a_folder_inside_at_the_same_time_keeps_its_files(
    made: Callable[..., BucketPublisher], bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = {f"models/a/b/{OWNER}": json.dumps({"run": OTHER}).encode(), "models/a/b/model.pt": b"theirs"}
    claim = BucketPublisher._claim

    def late(self: BucketPublisher, folder: Folder) -> None:
        claim(self, folder)
        bucket.objects.update({**inside, "models/a/stale.pt": b"of a lost attempt"})

    monkeypatch.setattr(BucketPublisher, "_claim", late)
    made(folder="a").publish(FAMILY)
    assert inside.items() <= bucket.objects.items()
    assert "models/a/stale.pt" not in bucket.objects


def test_of_two_runs_that_claim_a_folder_at_once_one_has_it(
    made: Callable[..., BucketPublisher], bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = BucketPublisher._check_free

    def late(self: BucketPublisher, folder: Folder) -> None:
        look(self, folder)
        bucket.objects[f"models/mine/{OWNER}"] = json.dumps({"run": OTHER}).encode()

    monkeypatch.setattr(BucketPublisher, "_check_free", late)
    refused(lambda: made(folder="mine").publish(FAMILY), "branch-taken")
    assert json.loads(bucket.objects[f"models/mine/{OWNER}"]) == {"run": OTHER}


@pytest.mark.parametrize("answer", [Answer(501, {}, error("NotImplemented", "If-None-Match")), None])
def test_a_store_without_conditions_can_be_used(
    made: Callable[..., BucketPublisher], bucket: Bucket, answer: Answer | None
) -> None:
    if answer:
        bucket.faults.append(Fault(f"PUT /datasets/models/mine/{OWNER}", answer, times=1))
    else:
        bucket.conditions = False
    made(folder="mine").publish(FAMILY)
    assert f"models/mine/{MANIFEST}" in bucket.objects


# What is asked before the training


def test_nothing_is_left_by_the_question_whether_the_key_may_write(
    made: Callable[..., BucketPublisher], bucket: Bucket
) -> None:
    before = dict(bucket.objects)
    made().check_push_access()
    assert bucket.objects == before
    assert not bucket.uploads


def test_the_question_of_an_attempt_that_was_killed_meanwhile_leaves_nothing_beside_the_result(
    made: Callable[..., BucketPublisher], bucket: Bucket
) -> None:
    bucket.faults.append(Fault("DELETE ", Answer(403)))  # as if it had died before
    made().check_push_access()
    assert len(bucket.uploads) == 1
    bucket.faults.clear()
    publisher = made()
    publisher.check_push_access()
    publisher.publish(FAMILY)
    assert not bucket.uploads


def test_helm_test_asks_it_too(
    made: Callable[..., BucketPublisher],
    bucket: Bucket,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    publisher = made()
    monkeypatch.setenv("JOB_GROUP", f"run-42-{UID}")
    bucket.faults.append(Fault("POST ", Answer(403, {}, error("AccessDenied", "Access Denied."))))
    check.main(publisher._context.home)
    said = capsys.readouterr().out
    assert "item=publish ok=false code=60" in said
    assert "to list, read and write this bucket" in said


def test_a_key_that_may_only_read_is_refused_before_the_training(
    made: Callable[..., BucketPublisher], bucket: Bucket
) -> None:
    bucket.faults.append(Fault("POST ", Answer(403, {}, error("AccessDenied", "Access Denied."))))
    failure = refused(lambda: made().check_push_access(), "publish-refused")
    assert failure.fix == "allow the key of secret store to list, read and write this bucket, or correct publish.bucket"


def test_a_bucket_that_does_not_exist_is_told_before_the_training(made: Callable[..., BucketPublisher]) -> None:
    failure = refused(lambda: made(bucket="modles").check_push_access(), "publish-refused")
    assert "publish.bucket modles" in failure.reason
    assert failure.fix == "correct publish.bucket and publish.endpoint"


# Patience


def test_waits_while_the_store_is_away(
    made: Callable[..., BucketPublisher], bucket: Bucket, capsys: pytest.CaptureFixture[str]
) -> None:
    publisher = made({"big.bin": b"x" * 3 * PART}, patienceSeconds=3600)
    bucket.faults.append(Fault("partNumber=2", Answer(503, {}, error("ServiceUnavailable", "later")), times=10))
    publisher.publish(FAMILY)
    assert published(bucket)["big.bin"] == b"x" * 3 * PART
    assert "event=waiting stage=publish" in capsys.readouterr().out


def test_a_refusal_is_waited_for_only_where_the_model_would_be_lost(
    made: Callable[..., BucketPublisher], bucket: Bucket
) -> None:
    fault = Fault(f"{MANIFEST}", Answer(403, {}, error("QuotaExceeded", "full")), times=3)
    bucket.faults.append(replace(fault, on=f"PUT /datasets/models/kept/{MANIFEST}"))
    failure = refused(lambda: made(folder="kept", patienceSeconds=3600).publish(FAMILY), "publish-refused")
    assert "raise the quota" in failure.fix
    bucket.faults.append(replace(fault, on=f"PUT /datasets/models/lost/{MANIFEST}"))
    made(folder="lost", shared=False, patienceSeconds=3600).publish(FAMILY)
    assert published(bucket, "lost") == {"model.pt": b"weights"}


def test_says_where_the_artifacts_are_when_the_time_is_up(made: Callable[..., BucketPublisher], bucket: Bucket) -> None:
    bucket.faults.append(Fault("PUT ", Answer(500)))
    failure = refused(lambda: made().publish(FAMILY), "publish-unreachable")
    assert "publish.endpoint" in failure.fix
    assert "the artifacts stay in run-42/artifacts of the workspace's claim" in failure.reason


def test_tells_how_much_is_uploaded(
    made: Callable[..., BucketPublisher], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "REPORT_SECONDS", 0.0)
    made({"big.bin": b"x" * 3 * PART}).publish(FAMILY)
    told = [line.split("uploaded=")[1] for line in capsys.readouterr().out.splitlines() if "event=upload " in line]
    assert told[0] == "0"
    assert told[-1] == str(3 * PART + 7)
    assert len(told) > 3


def test_a_file_that_changes_while_it_is_sent_is_not_published(
    made: Callable[..., BucketPublisher], bucket: Bucket
) -> None:
    publisher = made({"a.bin": b"a" * 100})
    claim = BucketPublisher._claim

    def change(self: BucketPublisher, where: Folder) -> None:
        claim(self, where)
        (publisher._context.artifacts / "a.bin").write_bytes(b"b" * 50)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(BucketPublisher, "_claim", change)
        assert "a.bin has changed" in refused(lambda: publisher.publish(FAMILY), "publish-refused").reason
    assert f"models/run-42-{UID[:8]}/{MANIFEST}" not in bucket.objects
