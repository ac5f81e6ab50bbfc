"""Sources in an object store, against a small one that checks every signature by itself."""

from __future__ import annotations

import re
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from features import s3
from features.s3 import store as s3_store
from features.s3 import transfer
from features.s3.signature import Credentials, sign
from runner import prepare, verify
from runner.context import Context
from runner.errors import RunnerError
from runner.git import Git
from tests.lab.answers import Fault, login_page
from tests.lab.s3_server import ACCESS, SECRET, Bucket, etag, serving

MANY = 1 << 40


@dataclass(frozen=True)
class Room:
    free: int = MANY
    name: str = "the workspace"
    fix: str = "raise workspace.size"

    def free_bytes(self) -> int:
        return self.free


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_store, "RETRY_SECONDS", (0.01, 0.01, 0.01))


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    bucket = Bucket({"shapes/a.txt": b"alpha", "shapes/deep/b.bin": b"b" * 3000, "shapes-old/c": b"c"})
    with serving(bucket) as server:
        bucket.url = f"http://127.0.0.1:{server.server_port}"
        yield bucket


@pytest.fixture
def store(bucket: Bucket, tmp_path: Path) -> s3.Store:
    secret = tmp_path / "s3-secret"
    secret.mkdir()
    (secret / "ACCESS").write_text(ACCESS + "\n")
    (secret / "SECRET").write_text(SECRET + "\n")
    return s3.Store("dataset", bucket.url, "datasets", "shapes", "", str(secret), "ACCESS", "SECRET", "robot", "")


@pytest.fixture
def fetch(store: s3.Store, tmp_path: Path) -> Callable[..., int]:
    def go(changed: s3.Store | None = None, room: Room | None = None, report: transfer.Report | None = None) -> int:
        used = changed or store
        state = tmp_path / ".data.s3.json"
        return s3.fetch(used, s3.listing(used), tmp_path / "data", state, room or Room(), report)

    return go


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(call: Callable[[], Any]) -> RunnerError:
    with pytest.raises(RunnerError) as caught:
        call()
    assert SECRET not in caught.value.reason + caught.value.fix
    return caught.value


# Signatures


@pytest.mark.parametrize(
    ("path", "query", "headers", "signature"),
    [
        ("/test.txt", {}, {"range": "bytes=0-9"}, "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"),
        ("/", {"lifecycle": ""}, {}, "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
        (
            "/",
            {"max-keys": "2", "prefix": "J"},
            {},
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
    ],
)
def test_signs_as_in_the_examples_that_amazon_has_published(
    path: str, query: dict[str, str], headers: dict[str, str], signature: str
) -> None:
    key = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
    headers = {"host": "examplebucket.s3.amazonaws.com", **headers}
    now = time.strptime("20130524T000000Z", "%Y%m%dT%H%M%SZ")
    assert sign("GET", path, query, headers, key, "us-east-1", now)["authorization"].endswith(f"={signature}")


def test_credentials_do_not_show_the_secret_when_printed() -> None:
    assert SECRET not in repr(Credentials(ACCESS, SECRET))


# Listing


def test_lists_the_prefix_as_a_folder(store: s3.Store, bucket: Bucket) -> None:
    bucket.objects["shapes/"] = bucket.objects["shapes/empty/"] = b""  # as web consoles make folders
    assert [(item.key, item.size, item.etag) for item in s3.listing(store)] == [
        ("a.txt", 5, etag(b"alpha")),
        ("deep/b.bin", 3000, etag(b"b" * 3000)),
    ]


@pytest.mark.parametrize("prefix", ["", "/"])
def test_lists_the_whole_bucket_without_a_prefix(store: s3.Store, prefix: str) -> None:
    keys = [item.key for item in s3.listing(replace(store, prefix=prefix))]
    assert keys == ["shapes-old/c", "shapes/a.txt", "shapes/deep/b.bin"]


@pytest.mark.parametrize("encodes", [True, False])
def test_lists_page_by_page_and_takes_any_name(
    store: s3.Store, bucket: Bucket, fetch: Callable[..., int], tmp_path: Path, encodes: bool
) -> None:
    names = ["ä b+c.txt", "100%.txt", "a&b=<c>.txt", "~x'(1)*!.txt", "日本/語.txt", "p?q#r.txt", "%2e.txt"]
    bucket.objects = {f"shapes/{name}": name.encode() for name in names}
    bucket.page, bucket.encodes = 2, encodes
    fetch()
    assert content(tmp_path / "data") == {name: name.encode() for name in names}


def test_the_digest_stands_for_keys_sizes_and_etags(store: s3.Store, bucket: Bucket) -> None:
    first = s3.digest(s3.listing(store))
    assert re.fullmatch("[0-9a-f]{40}", first)
    assert s3.digest(list(reversed(s3.listing(store)))) == first
    bucket.objects["shapes-old/d"] = b"elsewhere"
    assert s3.digest(s3.listing(store)) == first
    bucket.objects["shapes/a.txt"] = b"ALPHA"
    assert s3.digest(s3.listing(store)) != first


def test_reads_a_public_bucket_without_credentials(store: s3.Store, bucket: Bucket) -> None:
    bucket.public = True
    assert len(s3.listing(replace(store, credentials="", secret_name=""))) == 2


def test_a_session_token_of_the_secret_is_sent_and_signed(store: s3.Store, bucket: Bucket, tmp_path: Path) -> None:
    bucket.token = "canary-session"
    told = refused(lambda: s3.listing(store))
    assert "dataset.secretName robot: the server" in told.reason
    assert "ExpiredToken" in told.reason
    assert told.fix == "put new keys with a new AWS_SESSION_TOKEN into that secret: their session has ended"
    (tmp_path / "s3-secret" / "AWS_SESSION_TOKEN").write_text("canary-session\n")
    assert len(s3.listing(replace(store))) == 2


def test_a_secret_that_is_renewed_during_a_run_is_read_again(
    store: s3.Store, bucket: Bucket, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    token = tmp_path / "s3-secret" / "AWS_SESSION_TOKEN"
    token.write_text("first-session")
    bucket.token = "first-session"
    items = s3.listing(store)
    bucket.token = "second-session"
    token.write_text("second-session")
    s3.fetch(store, items, tmp_path / "data", tmp_path / "state", Room())
    assert content(tmp_path / "data") == {"a.txt": b"alpha", "deep/b.bin": b"b" * 3000}
    assert "session" not in capsys.readouterr().out


def test_speaks_tls_with_the_given_authority_only(bucket: Bucket, store: s3.Store, tmp_path: Path) -> None:
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-keyout", "tls.key", "-out", "tls.crt", "-days", "2", "-subj", "/CN=x"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "tls.crt", tmp_path / "tls.key")
    with serving(bucket, tls) as server:
        trusting = replace(store, endpoint=f"https://127.0.0.1:{server.server_port}", ca_file=str(tmp_path / "tls.crt"))
        assert len(s3.listing(trusting)) == 2
        failure = refused(lambda: s3.listing(replace(trusting, ca_file="")))
    assert (failure.exit.name, failure.fix) == ("prepare-failed", "set caBundle to the CA that signed it")


# What is wrong, and with which key


def test_says_which_key_of_the_values_is_wrong(store: s3.Store, tmp_path: Path) -> None:
    (tmp_path / "s3-secret" / "OTHER").write_text("other")
    absent = replace(store, bucket="datsets")
    assert "dataset.bucket datsets" in refused(lambda: s3.listing(absent)).reason
    assert "NoSuchBucket: The specified bucket does not exist" in refused(lambda: s3.listing(absent)).reason
    wrong_secret = refused(lambda: s3.listing(replace(store, secret_key_name="OTHER")))
    assert "dataset.secretName robot" in wrong_secret.reason
    assert "SignatureDoesNotMatch" in wrong_secret.reason
    assert "correct OTHER in that secret" in wrong_secret.fix
    wrong_key = refused(lambda: s3.listing(replace(store, access_key_name="OTHER")))
    assert "InvalidAccessKeyId" in wrong_key.reason
    assert "correct OTHER in that secret" in wrong_key.fix
    anonymous = refused(lambda: s3.listing(replace(store, credentials="", secret_name="")))
    assert "AccessDenied" in anonymous.reason
    assert "set dataset.secretName" in anonymous.fix
    empty = refused(lambda: s3.listing(replace(store, prefix="shape")))
    assert "dataset.prefix 'shape': " in empty.reason
    assert "/shape/ is empty" in empty.reason
    lacking = refused(lambda: s3.listing(replace(store, secret_key_name="MISSING")))
    assert "secret robot of dataset.secretName has no readable key MISSING" in lacking.reason
    for failure in (wrong_secret, wrong_key, anonymous, empty, lacking):
        assert failure.exit.name == "prepare-failed"


def test_tells_an_object_store_from_another_server(store: s3.Store, bucket: Bucket) -> None:
    bucket.faults.append(Fault("GET /datasets?", login_page()))
    assert refused(lambda: s3.listing(store)).fix == "correct dataset.endpoint"


@pytest.mark.parametrize("status", [500, 503, 429])
def test_tries_again_what_fails_for_the_moment(store: s3.Store, bucket: Bucket, status: int) -> None:
    bucket.failures = [status] * 3
    assert len(s3.listing(store)) == 2
    bucket.failures = [status] * 4
    failure = refused(lambda: s3.listing(store))
    assert failure.exit.name == "prepare-unreachable"
    assert f"{status} SlowDown: Reduce your request rate." in failure.reason


def test_a_server_that_is_not_there_is_unreachable(store: s3.Store) -> None:
    failure = refused(lambda: s3.listing(replace(store, endpoint="http://127.0.0.1:9")))
    assert failure.exit.name == "prepare-unreachable"
    assert "dataset.endpoint http://127.0.0.1:9" in failure.reason


# Fetching


def test_fetches_each_object_once(fetch: Callable[..., int], bucket: Bucket, tmp_path: Path) -> None:
    assert fetch() == 3005
    assert content(tmp_path / "data") == {"a.txt": b"alpha", "deep/b.bin": b"b" * 3000}
    assert not (tmp_path / ".data.s3.json.parts").exists()
    bucket.requests.clear()
    assert fetch() == 0
    assert len(bucket.requests) == 1  # the listing


def test_fetches_what_changed_and_removes_what_went(fetch: Callable[..., int], bucket: Bucket, tmp_path: Path) -> None:
    fetch()
    (tmp_path / "data" / "labels.cache").write_text("made by a trainer")
    bucket.objects["shapes/a.txt"] = b"ALPHA"
    del bucket.objects["shapes/deep/b.bin"]
    assert fetch() == 5
    assert content(tmp_path / "data") == {"a.txt": b"ALPHA", "labels.cache": b"made by a trainer"}


def test_fetches_again_what_was_cut_on_disk(fetch: Callable[..., int], tmp_path: Path) -> None:
    fetch()
    (tmp_path / "data" / "a.txt").write_text("alp")
    assert fetch() == 5
    assert (tmp_path / "data" / "a.txt").read_text() == "alpha"


def test_a_torn_line_of_the_state_counts_for_nothing(fetch: Callable[..., int], tmp_path: Path) -> None:
    fetch()
    state = tmp_path / ".data.s3.json"
    state.write_text(state.read_text()[:-8])
    assert fetch() in (5, 3000)
    assert content(tmp_path / "data") == {"a.txt": b"alpha", "deep/b.bin": b"b" * 3000}


def test_a_fetch_resumes_where_a_connection_broke(fetch: Callable[..., int], bucket: Bucket, tmp_path: Path) -> None:
    data = bytes(range(256)) * 40
    bucket.objects = {"shapes/big": data}
    bucket.cut = [2000, 1, 1, 1, 1, 1, 3000]  # more breaks than attempts: each brought something
    assert fetch() == len(data)
    assert content(tmp_path / "data") == {"big": data}
    starts = [line.split("bytes=")[1] for line in bucket.requests if "bytes=" in line]
    assert starts == ["2000-", "2001-", "2002-", "2003-", "2004-", "2005-", "5005-"]


def test_a_fetch_resumes_where_an_attempt_was_killed(
    fetch: Callable[..., int], bucket: Bucket, store: s3.Store, tmp_path: Path
) -> None:
    data = bytes(range(256)) * 40
    bucket.objects = {"shapes/big": data}
    bucket.cut = [2500, 0, 0, 0]
    with pytest.raises(RunnerError, match="the connection ended after 2500 of 10240 bytes"):
        fetch()
    assert not (tmp_path / "data" / "big").exists()
    assert fetch() == len(data) - 2500
    assert content(tmp_path / "data") == {"big": data}


def test_begins_at_the_start_where_the_server_knows_no_ranges(
    fetch: Callable[..., int], bucket: Bucket, tmp_path: Path
) -> None:
    data = bytes(range(256)) * 40
    bucket.objects, bucket.ranges, bucket.cut = {"shapes/big": data}, False, [2000]
    reports: list[tuple[int, ...]] = []
    fetch(report=lambda *numbers: reports.append(numbers))
    assert content(tmp_path / "data") == {"big": data}
    assert reports[-1][:2] == (len(data), len(data))


def test_does_not_mix_two_versions_of_an_object(store: s3.Store, bucket: Bucket, tmp_path: Path) -> None:
    items = s3.listing(store)
    bucket.objects["shapes/a.txt"] = b"ALPHA"
    failure = refused(lambda: s3.fetch(store, items, tmp_path / "data", tmp_path / "state", Room()))
    assert failure.exit.name == "prepare-failed"
    assert "object shapes/a.txt is not the listed one: the server answered 412 PreconditionFailed" in failure.reason


@pytest.mark.parametrize("key", ["../out", "a/../../out", "/etc/passwd", "a//b", "./a", "a/..", "x" * 256])
def test_refuses_keys_that_are_no_files_below_the_folder(
    fetch: Callable[..., int], bucket: Bucket, tmp_path: Path, key: str
) -> None:
    bucket.objects[f"shapes/{key}"] = b"out"
    failure = refused(fetch)
    assert failure.exit.name == "prepare-failed"
    assert repr(f"shapes/{key}") in failure.reason
    assert not (tmp_path / "data").exists()


def test_refuses_a_name_that_is_a_file_and_a_folder(fetch: Callable[..., int], bucket: Bucket) -> None:
    bucket.objects["shapes/a.txt/b"] = b"b"
    assert "a name cannot be both a file and a folder" in refused(fetch).reason


def test_looks_at_the_room_before_it_fetches(fetch: Callable[..., int], bucket: Bucket) -> None:
    failure = refused(lambda: fetch(room=Room(3004)))
    assert (failure.exit.name, failure.fix) == ("prepare-no-space", "raise workspace.size")
    assert "need 3005 bytes, and the workspace has 3004 free" in failure.reason
    assert len(bucket.requests) == 1
    assert fetch(room=Room(3005)) == 3005


def test_reports_total_cached_and_available_bytes(
    fetch: Callable[..., int], bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.pause = 0.3
    monkeypatch.setattr(transfer, "REPORT_SECONDS", 0.1)
    reports: list[tuple[int, ...]] = []
    fetch(room=Room(10_000), report=lambda *numbers: reports.append(numbers))
    assert reports[0] == (3005, 0, 10_000)
    assert reports[-1] == (3005, 3005, 10_000 - 3005)
    assert len(reports) > 3


def test_logs_the_state_of_the_cache(fetch: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    fetch(room=Room(10_000))
    printed = capsys.readouterr().out
    assert "event=cache source=dataset total=3005 cached=0 available=10000\n" in printed
    assert "event=cache source=dataset total=3005 cached=3005 available=6995\n" in printed
    assert SECRET not in printed


def test_fetches_many_objects_on_few_connections(fetch: Callable[..., int], bucket: Bucket, tmp_path: Path) -> None:
    bucket.objects = {f"shapes/{number}.txt": str(number).encode() for number in range(300)}
    fetch()
    assert len(content(tmp_path / "data")) == 300
    assert bucket.connections <= 1 + transfer.THREADS


# As a source of a run


@pytest.fixture
def source(store: s3.Store, tmp_path: Path) -> dict[str, Any]:
    """The section of the values; its Secret is mounted."""
    (tmp_path / "secrets").mkdir(exist_ok=True)
    (tmp_path / "secrets" / "dataset").symlink_to(store.credentials)
    return {
        "type": "s3",
        "path": "datasets/shapes",
        "endpoint": store.endpoint,
        "bucket": store.bucket,
        "prefix": store.prefix,
        "accessKeyKey": store.access_key_name,
        "secretKeyKey": store.secret_key_name,
        "secretName": store.secret_name,
    }


def placed(context: Context) -> int:
    git = Git(context)
    context.sources = prepare.pin(context, git)
    return prepare.place(context, git, "dataset", context.settings.sources["dataset"])


def test_a_source_is_pinned_by_what_the_store_has(
    make_context: Callable[..., Context], source: dict[str, Any], bucket: Bucket
) -> None:
    context = make_context({"sources": {"dataset": source}})
    assert placed(context) == 3005
    assert content(context.dataset) == {"a.txt": b"alpha", "deep/b.bin": b"b" * 3000}
    assert re.fullmatch("[0-9a-f]{40}", context.sources["dataset"].commit)
    bucket.objects["shapes/new"] = b"new"
    assert placed(context) == 3005  # what the run has pinned is here
    (context.dataset / "a.txt").unlink()
    assert "they have changed since" in refused(lambda: placed(context)).reason


def test_a_session_token_is_checked_where_the_secret_has_one(
    make_context: Callable[..., Context], source: dict[str, Any], store: s3.Store
) -> None:
    context = make_context({"sources": {"dataset": source}})
    verify.check_secrets(context)
    (Path(store.credentials) / "AWS_SESSION_TOKEN").write_text("canary\nof two lines")
    told = refused(lambda: verify.check_secrets(context))
    assert told.reason.startswith("dataset.secretName robot: AWS_SESSION_TOKEN holds a control character")
    assert "dataset.sessionTokenKey" in told.fix
    assert "canary" not in told.reason


def test_a_cached_source_is_fetched_once_for_all_runs(
    make_context: Callable[..., Context], source: dict[str, Any], bucket: Bucket, tmp_path: Path
) -> None:
    (tmp_path / "cache").mkdir()
    cache = {"claimName": "cache"}
    context = make_context({"sources": {"dataset": {**source, "cached": True}}, "cache": cache})
    for fetched in (True, False):
        bucket.requests.clear()
        placed(context)
        assert content(context.dataset.resolve()) == {"a.txt": b"alpha", "deep/b.bin": b"b" * 3000}
        assert any("a.txt" in request for request in bucket.requests) is fetched
        context.dataset.unlink()
