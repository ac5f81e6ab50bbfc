"""What an object store may answer to a result, and whole runs that publish to one and are killed at random moments."""

from __future__ import annotations

import copy
import hashlib
import json
import random
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from features.s3.store import Client
from features.upload import MANIFEST, OWNER, BucketPublisher, files
from runner import retry
from runner.context import Context
from runner.errors import Interrupted, RunnerError
from runner.publish import publisher_of
from tests.runner.conftest import UID, Ended, fake_family

from . import minio
from . import test_kills as kills
from .answers import Answer, Fault, half, login_page, reset
from .conftest import Case, table
from .minio import PASSWORD, USER, Minio
from .s3_server import ACCESS, SECRET, Bucket, error
from .test_kills import KILLS, RUNS, SEED, TRAIN, kill_attempts

pytestmark = pytest.mark.lab

FOLDER = f"run-42-{UID[:8]}"
LIST, POST = "GET /datasets?", "POST /datasets/models/"
MODEL, PARTS, LAST = (f"PUT /datasets/models/{FOLDER}/{name}" for name in ("model.pt", "big.bin?", MANIFEST))
CLAIM, HEAD = f"PUT /datasets/models/{FOLDER}/{OWNER}", "HEAD /datasets/"
JOIN = f"POST /datasets/models/{FOLDER}/big.bin?uploadId"


def refusal(status: int, code: str) -> Answer:
    return Answer(status, {}, error(code, "said the store"))


def swallowed(real: Answer) -> Answer:
    """What was asked is done, and the answer lost."""
    return replace(real, content=b"", length=100)


CASES = [
    Case("an honest server", Fault("nothing", Answer(500)), 0),
    # Before the training
    Case("403 for the list", Fault(LIST, refusal(403, "AccessDenied")), 60, ("publish.bucket", "list, read and write")),
    Case("403 for an upload", Fault(POST, refusal(403, "AccessDenied")), 60, "list, read and write"),
    Case("a login page for an upload", Fault(POST, login_page()), 60, "correct publish.endpoint"),
    Case("an upload without identity", Fault(POST, Answer(200, {}, b"<Hello/>")), 60, "without UploadId"),
    Case("503 for an upload, once", Fault(POST, refusal(503, "SlowDown"), 1), 0, retried=True),
    Case("503 for an upload, always", Fault(POST, refusal(503, "SlowDown")), 61, "publish.endpoint", retried=True),
    Case("a clock that is wrong", Fault(LIST, refusal(403, "RequestTimeTooSkewed")), 60, "set the clock"),
    Case("uploads that cannot be given up", Fault("DELETE ", refusal(403, "AccessDenied")), 0),
    Case("uploads that cannot be listed", Fault("GET /datasets?prefix", refusal(403, "AccessDenied")), 0),
    # The files
    Case("403 for a file", Fault(MODEL, refusal(403, "AccessDenied")), 60, "list, read and write"),
    Case("a quota", Fault(MODEL, refusal(403, "QuotaExceeded")), 60, "raise the quota"),
    Case("MinIO's quota", Fault(MODEL, refusal(400, "XMinioAdminBucketQuotaExceeded")), 60, "raise the quota"),
    Case("a full disk", Fault(MODEL, refusal(507, "XMinioStorageFull")), 61, "XMinioStorageFull", retried=True),
    Case("a proxy that takes small requests only", Fault(MODEL, Answer(413)), 60, "client_max_body_size"),
    Case("500 for a file, once", Fault(MODEL, Answer(500), 1), 0, retried=True),
    Case("500 for a file, always", Fault(MODEL, Answer(500)), 61, retried=True),
    Case("bytes that were flipped on the way, once", Fault(MODEL, refusal(400, "BadDigest"), 1), 0, retried=True),
    Case("bytes that are flipped always", Fault(MODEL, refusal(400, "BadDigest")), 61, "BadDigest", retried=True),
    Case("an answer that is lost", Fault(MODEL, swallowed, 1), 0, retried=True),
    Case("a key whose session ends", Fault(MODEL, refusal(400, "ExpiredToken")), 60, "publish.secretName"),
    Case("a store that keeps no metadata", Fault(HEAD, Answer(200)), 61, "does not have what it has just accepted", retried=True),
    # Parts
    Case("a part that is cut, once", Fault(PARTS, half, 1), 0),
    Case("a part that is reset, once", Fault(PARTS, reset, 1), 0),
    Case("a part whose answer is lost", Fault(PARTS, swallowed, 1), 0, retried=True),
    Case("503 for a part, twice", Fault(PARTS, refusal(503, "SlowDown"), 2), 0, retried=True),
    Case("503 for parts, always", Fault(PARTS, refusal(503, "SlowDown")), 61, "big.bin", retried=True),
    Case("an upload that goes away, once", Fault(PARTS, refusal(404, "NoSuchUpload"), 1), 0, retried=True),
    Case("an upload that goes away, always", Fault(PARTS, refusal(404, "NoSuchUpload")), 61, retried=True),
    Case("parts that are joined, and the answer lost", Fault(JOIN, swallowed, 1), 0, retried=True),
    Case("200 with an error, once", Fault(JOIN, Answer(200, {}, error("InternalError", "no")), 1), 0, retried=True),
    Case("200 with an error, always", Fault(JOIN, Answer(200, {}, error("InternalError", "no"))), 61, retried=True),
    # The end
    Case("403 for the manifest", Fault(LAST, refusal(403, "AccessDenied")), 60, "list, read and write"),
    Case("500 for the manifest, once", Fault(LAST, Answer(500), 1), 0, retried=True),
    Case("a manifest whose answer is lost", Fault(LAST, swallowed, 1), 0, retried=True),
    Case("a claim whose answer is lost", Fault(CLAIM, swallowed, 1), 0, retried=True),
]  # fmt: skip


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "PART_BYTES", 4096)
    monkeypatch.setattr(retry, "PAUSES", (0.01,))


def secret_of(folder: Path, access: str, key: str) -> None:
    folder.mkdir(parents=True)
    (folder / "AWS_ACCESS_KEY_ID").write_text(access)
    (folder / "AWS_SECRET_ACCESS_KEY").write_text(key)


def target(url: str, **changes: Any) -> dict[str, Any]:
    return {"type": "s3", "endpoint": url, "bucket": "datasets", "prefix": "models", "secretName": "store", **changes}


@pytest.fixture
def made(bucket: Bucket, secret: Path, make_context: Callable[..., Context]) -> BucketPublisher:
    secret_of(secret.parent / "publish", ACCESS, SECRET)
    changes = {"sources": {}, "publish": target(bucket.url), "workspace.type": "newClaim", "run.patienceSeconds": 0}
    return publisher_with(make_context(changes))


def publisher_with(context: Context, size: int = 3 * 4096 + 1) -> BucketPublisher:
    context.artifacts.mkdir(parents=True, exist_ok=True)
    (context.artifacts / "model.pt").write_bytes(b"weights")
    (context.artifacts / "big.bin").write_bytes(random.Random(1).randbytes(size))
    publisher = publisher_of(context)
    assert isinstance(publisher, BucketPublisher)
    return publisher


@table(CASES)
def test_a_store_that_misbehaves(
    case: Case, bucket: Bucket, made: BucketPublisher, capsys: pytest.CaptureFixture[str]
) -> None:
    bucket.faults += copy.deepcopy(case.faults)

    def attempt() -> None:
        made.find_published()
        made.check_push_access()
        made.publish(fake_family())

    case.check(attempt, capsys)
    complete = f"models/{FOLDER}/{MANIFEST}" in bucket.objects
    assert complete == (case.code == 0)
    if complete:
        check(bucket.objects, made._context.artifacts)


def check(objects: dict[str, bytes], artifacts: Path) -> None:
    """The folder has what the manifest lists, and that is the artifacts."""
    manifest = json.loads(objects[f"models/{FOLDER}/{MANIFEST}"])
    listed = {entry["path"]: (entry["bytes"], entry["sha256"]) for entry in manifest["files"]}
    content = {path.name: path.read_bytes() for path in artifacts.iterdir()}
    assert listed == {name: (len(data), hashlib.sha256(data).hexdigest()) for name, data in content.items()}
    assert {name: objects[f"models/{FOLDER}/{name}"] for name in listed} == content


class Killed(BaseException):
    """Nothing of the pod runs any more: it sends nothing, and cleans up nothing."""


class Pod:
    """The requests of a pod that is killed at one of them: before it is sent, or after the store has done it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left, self.before, real = 1 << 30, True, Client.request

        def request(client: Client, *arguments: Any) -> Any:
            self.left -= 1
            if self.left < 0 or (self.left == 0 and self.before):
                raise Killed
            answer = real(client, *arguments)
            if self.left <= 0:
                raise Killed
            return answer

        monkeypatch.setattr(Client, "request", request)


@pytest.mark.parametrize("workspace", ["kept", "lost"])
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_an_attempt_that_is_killed_at_any_request_leaves_a_whole_result_or_none(
    workspace: str, before: bool, bucket: Bucket, made: BucketPublisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    pod, context, kills = Pod(monkeypatch), made._context, 0
    while True:
        bucket.objects.clear()
        bucket.uploads.clear()
        pod.left, pod.before = kills + 1, before
        try:
            publisher_with(context).publish(fake_family())
        except Killed:
            kills += 1
        else:
            break
        complete = f"models/{FOLDER}/{MANIFEST}" in bucket.objects
        if complete:
            check(bucket.objects, context.artifacts)
        if workspace == "lost" and not complete:
            (context.artifacts / "model.pt").write_bytes(b"trained again")
            (context.artifacts / "sum.txt").write_bytes(b"and exported with another name")
        pod.left = 1 << 30
        BucketPublisher(context).publish(fake_family())
        check(bucket.objects, context.artifacts)
        assert not bucket.uploads
        (context.artifacts / "sum.txt").unlink(missing_ok=True)
    assert kills > 15


def test_a_run_that_is_stopped_while_it_uploads_gives_up_its_parts(bucket: Bucket, made: BucketPublisher) -> None:
    stop = Interrupted(RunnerError("stopped", "the pod received SIGTERM", "resume it"))

    def stopped(*_: object) -> None:
        raise stop

    def slow(answer: Answer) -> Answer:
        if not signal.getitimer(signal.ITIMER_REAL)[0]:
            signal.setitimer(signal.ITIMER_REAL, 0.1)
        return replace(answer, wait=0.4)

    bucket.faults.append(Fault(PARTS, slow))
    before = signal.signal(signal.SIGALRM, stopped)
    try:
        with pytest.raises(Interrupted):
            made.publish(fake_family())
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert not bucket.uploads
    assert f"models/{FOLDER}/{MANIFEST}" not in bucket.objects
    bucket.faults.clear()
    made.publish(fake_family())
    check(bucket.objects, made._context.artifacts)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Minio]:
    with minio.running(tmp_path_factory.mktemp("minio")) as server:
        server.put("/datasets")
        yield server


def test_minio_accepts_a_result_in_parts_and_refuses_the_folder_to_another_run(
    real: Minio,
    secret: Path,
    make_context: Callable[..., Context],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(files, "PART_BYTES", 5 << 20)  # the least that S3 allows
    monkeypatch.setenv("NO_PROXY", "*")
    secret_of(secret.parent / "publish", USER, PASSWORD)
    context = make_context({"sources": {}, "publish": target(real.url), "workspace.type": "newClaim"})
    publisher = publisher_with(context, (11 << 20) + 7)
    publisher.check_push_access()
    assert publisher.find_published() is None
    published = publisher.publish(fake_family())
    assert publisher.find_published() == published
    names = [*json.loads(read(real, MANIFEST))["files"]]
    for entry in names:
        assert hashlib.sha256(read(real, entry["path"])).hexdigest() == entry["sha256"]
    assert hashlib.sha256(read(real, MANIFEST)).hexdigest() == published.commit
    other = replace(context, uid="ffffffff-1111-2222-3333-444455556666")
    other.settings = replace(context.settings, publish=replace(context.settings.publish, folder=FOLDER))
    Case("another run", (), 62, f"publish.folder {FOLDER}").check(BucketPublisher(other).check_push_access, capsys)


def limited_to_a_prefix(policy: dict[str, Any]) -> None:
    policy["Statement"][0]["Action"] = "s3:ListBucket"  # the other one knows no such condition
    policy["Statement"][0]["Condition"] = {"StringLike": {"s3:prefix": ["models/*"]}}


def without_optional_rights(policy: dict[str, Any]) -> None:
    policy["Statement"][0]["Action"] = "s3:ListBucket"
    policy["Statement"][1]["Action"] = ["s3:GetObject", "s3:PutObject"]


def reads_only(policy: dict[str, Any]) -> None:
    policy["Statement"][1]["Action"] = ["s3:GetObject"]


def writes_only(policy: dict[str, Any]) -> None:
    policy["Statement"][1]["Action"] = ["s3:PutObject"]


@pytest.mark.parametrize("change", [None, limited_to_a_prefix, without_optional_rights, reads_only, writes_only])
def test_the_rights_that_the_documentation_lists_are_enough_and_asked_for_before_the_training(
    change: Callable[[dict[str, Any]], None] | None,
    real: Minio,
    secret: Path,
    make_context: Callable[..., Context],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = (
        (Path(__file__).parents[2] / "docs/results.md")
        .read_text()
        .split("on AWS:\n\n```json\n", 1)[1]
        .split("```", 1)[0]
    )
    policy = json.loads(text.replace(":::models/detectors/", ":::datasets/models/").replace(":::models", ":::datasets"))
    if change:
        change(policy)
    monkeypatch.setattr(files, "PART_BYTES", 5 << 20)
    monkeypatch.setenv("NO_PROXY", "*")
    folder = secret.parent / "publish"
    folder.mkdir()
    for key, value in real.temporary_keys(json.dumps(policy)).items():
        (folder / key).write_text(value)
    place = target(real.url, folder=f"rights-{getattr(change, '__name__', 'all')}")
    context = make_context({"sources": {}, "publish": place, "workspace.type": "newClaim", "run.patienceSeconds": 0})
    publisher = publisher_with(context, (6 << 20) + 7)
    if change in (reads_only, writes_only):
        with pytest.raises(RunnerError, match="403 AccessDenied") as caught:
            publisher.check_push_access()
        assert "list, read and write" in caught.value.fix
        return
    publisher.check_push_access()
    assert publisher.publish(fake_family()) == publisher.find_published()


def read(real: Minio, name: str) -> bytes:
    from features.s3.signature import Credentials, sign

    path = f"/datasets/models/{FOLDER}/{name}"
    headers = sign(
        "GET", path, {}, {"host": f"127.0.0.1:{real.port}"}, Credentials(USER, PASSWORD), "us-east-1", time.gmtime()
    )
    with urllib.request.urlopen(urllib.request.Request(real.url + path, headers=headers), timeout=30) as reply:
        return bytes(reply.read())


# Whole runs

HOOKS = (
    kills.HOOKS
    + """
def train_arguments(context):
    return [str(context.home / "train.py"), str(context.home), str(context.output)]
"""
)


@pytest.mark.parametrize("seed", range(SEED, SEED + RUNS))
@pytest.mark.parametrize("workspace", ["kept", "lost"])
def test_a_run_that_is_killed_at_any_moment_ends_with_one_complete_folder(
    workspace: str,
    seed: int,
    bucket: Bucket,
    tmp_path: Path,
    secret: Path,
    make_home: Callable[..., Path],
    start: Callable[..., subprocess.Popen[str]],
    run: Callable[..., Ended],
) -> None:
    family = tmp_path / "family"
    family.mkdir()
    (family / "hooks.py").write_text(HOOKS)
    secret_of(secret.parent / "publish", ACCESS, SECRET)
    home = make_home({"sources": {}, "publish": target(bucket.url)}, family)
    (home / "train.py").write_text(TRAIN)
    (home / "big.bin").write_bytes(b"data")
    # So that some moments fall between the files.
    bucket.faults.append(Fault(f"datasets/models/{FOLDER}/", lambda answer: replace(answer, wait=0.15)))
    kill_attempts(random.Random(f"bucket {workspace} {seed}"), workspace, home, tmp_path, start)
    ended = run(home, JOB_ATTEMPT=str(KILLS))
    assert ended.code == 0, ended.log
    assert (ended.message["branch"], ended.message["repository"]) == (FOLDER, f"{bucket.url}/datasets/models")
    manifest = bucket.objects[f"models/{FOLDER}/{MANIFEST}"]
    assert ended.message["commit"] == hashlib.sha256(manifest).hexdigest()
    for entry in json.loads(manifest)["files"]:
        content = bucket.objects[f"models/{FOLDER}/{entry['path']}"]
        assert (len(content), hashlib.sha256(content).hexdigest()) == (entry["bytes"], entry["sha256"])
    assert {"model.pt", "sum.txt", "README.md"} <= {entry["path"] for entry in json.loads(manifest)["files"]}
    assert not bucket.uploads
