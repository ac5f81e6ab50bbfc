"""Credentials of the pod's identity, from a token service and an agent that are as strict as AWS documents them."""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from features import identity, s3
from features.s3 import keys as s3_keys
from features.s3 import store as s3_store
from runner.errors import RunnerError
from tests.lab.answers import Answer, Fault
from tests.lab.s3_server import Bucket, error
from tests.lab.s3_server import serving as serving_bucket
from tests.lab.sts_server import AGENT, ROLE, Sts
from tests.lab.sts_server import serving as serving_sts

SUBJECT = "system:serviceaccount:team:trainer"
CLAIMS = base64.urlsafe_b64encode(json.dumps({"sub": SUBJECT}).encode()).decode().rstrip("=")
IDENTITY = f"canary-header.{CLAIMS}.canary-signature"


@pytest.fixture(autouse=True)
def pod(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A pod without an identity."""
    monkeypatch.setattr(s3_store, "RETRY_SECONDS", (0.01, 0.01, 0.01))
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("POD_NAME", "run-42-worker-0")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # which no agent is behind
    (tmp_path / "token").write_text(IDENTITY + "\n")


@pytest.fixture
def sts() -> Iterator[Sts]:
    sts = Sts(IDENTITY)
    with serving_sts(sts):
        yield sts


@pytest.fixture
def bucket(sts: Sts, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    bucket = Bucket({"shapes/a.txt": b"alpha", "shapes/b.txt": b"beta"}, token=sts.session)
    with serving_bucket(bucket) as server:
        bucket.url = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        yield bucket


@pytest.fixture
def store(bucket: Bucket) -> s3.Store:
    none = ("", "ACCESS", "SECRET", "", "")
    return s3.Store("dataset", bucket.url, "datasets", "shapes", "eu-west-1", *none, workload_identity=True)


@pytest.fixture
def role(sts: Sts, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Sts:
    """What the webhook of EKS adds to a pod whose service account has the annotation."""
    monkeypatch.setenv("AWS_ROLE_ARN", ROLE)
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", sts.url)
    return sts


@pytest.fixture
def agent(sts: Sts, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Sts:
    """What EKS Pod Identity adds to a pod."""
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", sts.url + AGENT)
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(tmp_path / "token"))
    return sts


def refusal(store: s3.Store) -> RunnerError:
    with pytest.raises(RunnerError) as caught:
        s3.listing(store)
    told = caught.value.reason + caught.value.fix
    assert "canary" not in told
    return caught.value


def test_a_role_of_the_service_account_signs_requests(store: s3.Store, role: Sts) -> None:
    assert [item.key for item in s3.listing(store)] == ["a.txt", "b.txt"]
    assert role.sessions == ["run-42-worker-0"]


def test_the_agent_of_the_node_gives_out_credentials(store: s3.Store, agent: Sts) -> None:
    assert len(s3.listing(store)) == 2
    assert agent.sessions == ["agent"]


def test_the_role_comes_before_the_agent_as_in_the_sdks(store: s3.Store, role: Sts, agent: Sts) -> None:
    s3.listing(store)
    assert role.sessions == ["run-42-worker-0"]


def test_a_public_bucket_is_never_signed_with_an_identity(store: s3.Store, role: Sts, bucket: Bucket) -> None:
    bucket.public = True
    assert len(s3.listing(replace(store, workload_identity=False))) == 2
    assert role.sessions == []


class Room:
    name, fix = "the workspace", "raise workspace.size"

    @staticmethod
    def free_bytes() -> int:
        return 1 << 40


def test_all_threads_use_the_credentials_of_one_request(
    store: s3.Store, role: Sts, bucket: Bucket, tmp_path: Path
) -> None:
    bucket.objects = {f"shapes/{number}": b"x" for number in range(40)}
    s3.fetch(store, s3.listing(store), tmp_path / "data", tmp_path / "state", Room())
    assert len(role.sessions) == 1


def test_credentials_are_renewed_before_they_expire(
    store: s3.Store, role: Sts, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    role.seconds = s3_keys.RENEW_SECONDS + 60
    items = s3.listing(store)
    role.session = bucket.token = "canary-session-2"
    role.identity = "canary-renewed"
    (tmp_path / "token").write_text("canary-renewed")  # as the kubelet renews it
    now = time.time() + 61
    monkeypatch.setattr(time, "time", lambda: now)
    s3.fetch(store, items, tmp_path / "data", tmp_path / "state", Room())
    assert len(role.sessions) == 2


def test_credentials_that_ended_early_are_renewed_once(store: s3.Store, role: Sts, bucket: Bucket) -> None:
    s3.listing(store)
    role.session = bucket.token = "canary-session-2"
    assert len(s3.listing(store)) == 2
    bucket.token = "canary-of-nobody"
    told = refusal(store)
    assert "dataset.workloadIdentity: the server" in told.reason
    assert "ExpiredToken" in told.reason


@pytest.mark.parametrize("code", ["InvalidTokenId", "InvalidAccessKeyId"])
def test_a_store_that_has_forgotten_a_session_gets_a_new_one(
    store: s3.Store, role: Sts, bucket: Bucket, code: str
) -> None:
    """MinIO removes the keys of sessions that have ended."""
    s3.listing(store)
    role.session = bucket.token = "canary-session-2"
    bucket.faults.append(
        Fault("GET", Answer(403, {}, error(code, "The security token included in the request is invalid")), 1)
    )
    assert len(s3.listing(store)) == 2
    assert len(role.sessions) == 2


def test_a_renewal_that_fails_is_tried_again_while_the_old_credentials_are_valid(
    store: s3.Store, role: Sts, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    role.seconds = s3_keys.RENEW_SECONDS - 60  # to be renewed at once
    s3.listing(store)
    role.refusals = [(500, "InternalFailure", "busy")] * 4
    assert len(s3.listing(store)) == 2
    assert "the old credentials are still valid" in capsys.readouterr().out
    role.refusals = [(500, "InternalFailure", "busy")] * 4
    expired = time.time() + 3600
    monkeypatch.setattr(time, "time", lambda: expired)
    assert refusal(store).exit.name == "prepare-unreachable"


@pytest.mark.parametrize(
    ("status", "code", "message", "fix"),
    [
        (400, "InvalidIdentityToken", "No OpenIDConnect provider found in your account for https://oidc.example", "create the IAM OIDC provider"),
        (400, "InvalidIdentityToken", "Incorrect token audience", "with sts.amazonaws.com as its audience"),
        (400, "ExpiredTokenException", "Token expired: current date/time 2 must be before the expiration 1", "set the clock of the node"),
        (403, "AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity", f"let the trust policy of {ROLE} name {SUBJECT}"),
        (403, "RegionDisabledException", "STS is not activated in this region", "activate STS in this region"),
        (400, "ValidationError", "Request ARN is invalid", f"check the role {ROLE} in the annotation"),
    ],
)  # fmt: skip
def test_a_role_that_is_refused_says_what_to_change(
    store: s3.Store, role: Sts, status: int, code: str, message: str, fix: str
) -> None:
    role.refusals = [(status, code, message)]
    told = refusal(store)
    assert told.exit.name == "prepare-failed"
    assert told.reason == f"dataset.workloadIdentity: {role.url}/: {status} {code}: {message}"
    assert fix in told.fix


def test_a_service_that_is_busy_is_asked_again(store: s3.Store, role: Sts, capsys: pytest.CaptureFixture[str]) -> None:
    role.refusals = [(400, "IDPCommunicationError", "try again"), (503, "ServiceUnavailable", "later"), (429, "", "")]
    assert len(s3.listing(store)) == 2
    assert capsys.readouterr().out.count("event=retry") == 3


def test_an_agent_that_refuses_is_told(store: s3.Store, agent: Sts) -> None:
    agent.refusals = [(404, "ResourceNotFoundException", "no association")]
    told = refusal(store)
    assert "404 ResourceNotFoundException: no association" in told.reason
    assert "associate a role with the service account" in told.fix


def test_a_pod_without_an_identity_says_what_gives_it_one(store: s3.Store) -> None:
    told = refusal(store)
    assert told.reason.startswith("dataset.workloadIdentity: the pod has no identity: ")
    assert "eks.amazonaws.com/role-arn" in told.fix
    assert "dataset.secretName" in told.fix


@pytest.mark.parametrize("problem", ["absent", "", "two\nlines"])
def test_a_token_that_cannot_be_used_is_named(store: s3.Store, role: Sts, tmp_path: Path, problem: str) -> None:
    (tmp_path / "token").unlink()
    if problem != "absent":
        (tmp_path / "token").write_text(problem)
    assert str(tmp_path / "token") in refusal(store).reason


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("http://127.0.0.1:51679/x", True),
        ("http://[::1]/x", True),
        ("http://localhost/x", True),
        ("http://169.254.170.2/v2/credentials/1", True),
        ("http://169.254.170.23/v1/credentials", True),
        ("http://[fd00:ec2::23]/v1/credentials", True),
        ("https://agent.example.com/x", True),
        ("http://agent.example.com/x", False),
        ("http://10.0.0.1/x", False),
        ("http://169.254.169.254/latest/meta-data", False),
        ("http://127.0.0.1.example.com/x", False),
        ("ftp://127.0.0.1/x", False),
        ("", False),
    ],
)
def test_a_token_is_sent_unencrypted_only_to_this_node(url: str, allowed: bool) -> None:
    assert identity._may_be_asked(url) is allowed


@pytest.mark.parametrize(
    ("environment", "url"),
    [
        (
            {"AWS_REGION": "eu-central-1", "AWS_STS_REGIONAL_ENDPOINTS": "regional"},
            "https://sts.eu-central-1.amazonaws.com/",
        ),
        ({"AWS_DEFAULT_REGION": "us-gov-west-1"}, "https://sts.us-gov-west-1.amazonaws.com/"),
        ({"AWS_REGION": "cn-north-1"}, "https://sts.cn-north-1.amazonaws.com.cn/"),
        ({}, "https://sts.eu-west-1.amazonaws.com/"),  # dataset.region
        ({"AWS_ENDPOINT_URL_STS": "http://minio.storage.svc:9000"}, "http://minio.storage.svc:9000/"),
    ],
)
def test_the_token_service_of_the_region_is_asked(store: s3.Store, environment: dict[str, str], url: str) -> None:
    assert identity._sts(store, environment) == url
