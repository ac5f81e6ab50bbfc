"""A real MinIO: both ways to address a bucket, temporary keys of its token service, and the identity of a pod."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from features import s3
from features.s3 import store as s3_store
from runner.errors import RunnerError
from tests.runner.stores import fetched

from . import minio
from .minio import DOMAIN, PASSWORD, ROLE, USER, Minio

pytestmark = pytest.mark.lab

OBJECTS = {f"deep/{number}.txt": str(number).encode() for number in range(30)} | {"ä b+c%2e.txt": b"name"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Minio]:
    with minio.running(tmp_path_factory.mktemp("minio")) as server:
        for bucket in ("datasets", "da.ta"):
            server.put(f"/{bucket}")
            for key, content in OBJECTS.items():
                server.put(f"/{bucket}/shapes/{key}", content)
        yield server


@pytest.fixture(autouse=True)
def resolver(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every host of the domain is on this machine. Returns the hosts that were asked for."""
    monkeypatch.setattr(s3_store, "RETRY_SECONDS", (0.01,))
    monkeypatch.setenv("NO_PROXY", "*")
    resolve, asked = socket.getaddrinfo, list[str]()

    def resolved(host: Any, *others: Any, **more: Any) -> Any:
        asked.append(str(host))
        return resolve("127.0.0.1" if str(host).endswith(DOMAIN) else host, *others, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    return asked


@pytest.fixture
def store(server: Minio, tmp_path: Path) -> s3.Store:
    return with_secret(server, tmp_path / "secret", {"ACCESS": USER, "SECRET": PASSWORD})


def with_secret(server: Minio, folder: Path, keys: dict[str, str]) -> s3.Store:
    folder.mkdir()
    for name, value in keys.items():
        (folder / name).write_text(value)
    endpoint = f"http://{DOMAIN}:{server.port}"
    return s3.Store("dataset", endpoint, "datasets", "shapes", "", str(folder), "ACCESS", "SECRET", "robot", "")


def temporary(server: Minio, folder: Path, **changed: str) -> s3.Store:
    """A store with keys of the token service."""
    found = server.temporary_keys()
    keys = {"ACCESS": "AWS_ACCESS_KEY_ID", "SECRET": "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN": "AWS_SESSION_TOKEN"}
    return with_secret(server, folder, {name: found[key] for name, key in keys.items()} | changed)


def refusal(store: s3.Store) -> RunnerError:
    with pytest.raises(RunnerError) as caught:
        s3.listing(store)
    assert PASSWORD not in caught.value.reason + caught.value.fix
    return caught.value


@pytest.mark.parametrize(
    ("addressing", "bucket", "host"),
    [
        ("auto", "datasets", DOMAIN),
        ("path", "datasets", DOMAIN),
        ("virtual", "datasets", f"datasets.{DOMAIN}"),
        ("virtual", "da.ta", f"da.ta.{DOMAIN}"),
    ],
)
def test_a_bucket_is_read_at_either_address(
    store: s3.Store, tmp_path: Path, addressing: str, bucket: str, host: str, resolver: list[str]
) -> None:
    assert fetched(replace(store, addressing=addressing, bucket=bucket), tmp_path / "data") == OBJECTS
    assert set(resolver) == {host}


def test_an_endpoint_that_has_the_bucket_is_taken(store: s3.Store, tmp_path: Path) -> None:
    named = replace(store, endpoint=store.endpoint.replace(DOMAIN, f"datasets.{DOMAIN}"))
    assert fetched(named, tmp_path / "data") == OBJECTS


def test_a_bucket_that_does_not_exist_is_told_at_either_address(store: s3.Store) -> None:
    for addressing in ("path", "virtual"):
        told = refusal(replace(store, addressing=addressing, bucket="datsets"))
        assert "dataset.bucket datsets" in told.reason
        assert "NoSuchBucket" in told.reason


def test_temporary_keys_need_their_session_token(server: Minio, tmp_path: Path) -> None:
    for number, addressing in enumerate(("path", "virtual")):
        store = replace(temporary(server, tmp_path / str(number)), addressing=addressing)
        assert fetched(store, tmp_path / addressing) == OBJECTS
    (tmp_path / "0" / "AWS_SESSION_TOKEN").unlink()
    told = refusal(replace(store, credentials=str(tmp_path / "0")))
    assert "add the session token to that secret as AWS_SESSION_TOKEN" in told.fix
    told = refusal(temporary(server, tmp_path / "wrong", AWS_SESSION_TOKEN="canary"))
    assert "AWS_SESSION_TOKEN in that secret" in told.fix
    assert "canary" not in told.reason


@pytest.fixture
def role(server: Minio, store: s3.Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> s3.Store:
    """The store of a pod whose service account has a role at MinIO."""
    (tmp_path / "token").write_text(server.issuer.token())
    monkeypatch.setenv("AWS_ROLE_ARN", ROLE)
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", server.url)
    temporary(server, tmp_path / "ready")
    return replace(store, credentials="", workload_identity=True)


def test_the_token_of_a_service_account_reads_a_bucket(role: s3.Store, tmp_path: Path) -> None:
    assert fetched(role, tmp_path / "data") == OBJECTS


def test_a_token_that_is_refused_is_told(role: s3.Store, server: Minio, tmp_path: Path) -> None:
    for token, words in ((server.issuer.token(-60), "expired"), (server.issuer.token(audience="vault"), "must match")):
        (tmp_path / "token").write_text(token)
        told = refusal(role)
        assert told.reason.startswith("dataset.workloadIdentity: ")
        assert words in told.reason
        assert ROLE in told.fix
        assert token not in told.reason


def test_a_bucket_is_closed_to_those_without_keys(store: s3.Store) -> None:
    told = refusal(replace(store, credentials=""))
    assert "AccessDenied" in told.reason
    assert "dataset.secretName" in told.fix


def test_https_where_http_is_spoken_is_told(store: s3.Store) -> None:
    told = refusal(replace(store, endpoint=store.endpoint.replace("http:", "https:")))
    assert told.fix == f"set dataset.endpoint to {store.endpoint}, or to the port of its https://"
