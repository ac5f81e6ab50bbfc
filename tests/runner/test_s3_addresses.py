"""Where a bucket is addressed: in the path, in the host, or by a domain of its own, as stores demand it."""

from __future__ import annotations

import re
import socket
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from features import s3
from features.s3 import store as s3_store
from features.s3.address import addresses
from features.s3.place import BrokenError
from runner import network
from runner.errors import RunnerError
from tests.lab.s3_server import ACCESS, SECRET, Bucket, serving
from tests.runner.stores import Room, fetched, store_at

OSS = ("SecondLevelDomainForbidden", "Please use virtual hosted style to access.")
OSS_TOO = (
    "SecondLevelDomainForbidden",
    "The bucket you are attempting to access must be addressed using OSS third level domain.",
)
COS = (
    "PathStyleDomainForbidden",
    "The bucket you are attempting to access must be addressed using COS virtual-styled domain.",
)
OBS = ("VirtualHostDomainRequired", "Virtual host domain is required while accessing a specific bucket.")
TOS = ("InvalidPathAccess", "Forbidden path to access server.")


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """A store at store.test, and at every host below it."""
    monkeypatch.setattr(s3_store, "RETRY_SECONDS", (0.01, 0.01, 0.01))
    monkeypatch.setenv("NO_PROXY", "*")
    resolve = socket.getaddrinfo

    def resolved(host: Any, *others: Any, **more: Any) -> Any:
        if str(host).endswith(".test"):
            host = "127.0.0.1"
        return resolve(host, *others, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    bucket = Bucket({"shapes/a.txt": b"alpha", "shapes/deep/b c.bin": b"b" * 3000})
    bucket.domain = "store.test"
    with serving(bucket) as server:
        bucket.url = f"http://store.test:{server.server_port}"
        yield bucket


@pytest.fixture
def store(bucket: Bucket, tmp_path: Path) -> s3.Store:
    return store_at(bucket.url, tmp_path, ACCESS, SECRET)


def refusal(store: s3.Store) -> RunnerError:
    with pytest.raises(RunnerError) as caught:
        s3.listing(store)
    return caught.value


CONTENT = {"a.txt": b"alpha", "deep/b c.bin": b"b" * 3000}


@pytest.mark.parametrize(
    ("endpoint", "bucket", "addressing", "first", "others"),
    [
        # Nothing but the path works at an address, and where no host can be below the endpoint's.
        ("http://10.0.0.7:9000", "data", "auto", "http://10.0.0.7:9000/data", 0),
        ("http://[fd00::7]:9000", "data", "auto", "http://[fd00::7]:9000/data", 0),
        ("http://minio:9000", "data", "auto", "http://minio:9000/data", 0),
        ("https://s3.example.com", "Data_1", "auto", "https://s3.example.com/Data_1", 0),
        # A certificate for *.s3.example.com does not cover a.b.s3.example.com.
        ("https://s3.example.com", "a.b", "auto", "https://s3.example.com/a.b", 0),
        ("http://s3.example.com", "a.b", "auto", "http://s3.example.com/a.b", 1),
        ("http://minio.storage.svc:9000", "data", "auto", "http://minio.storage.svc:9000/data", 1),
        ("https://oss-cn-hangzhou.aliyuncs.com", "data", "auto", "https://oss-cn-hangzhou.aliyuncs.com/data", 1),
        ("https://storage.googleapis.com", "data", "auto", "https://storage.googleapis.com/data", 1),
        # AWS recommends the host; a name with dots has the path.
        ("https://s3.eu-west-1.amazonaws.com", "data", "auto", "https://data.s3.eu-west-1.amazonaws.com", 0),
        ("https://s3.dualstack.eu-west-1.amazonaws.com", "data", "auto", "https://data.s3.dualstack.eu-west-1.amazonaws.com", 0),
        ("https://s3-fips.us-east-1.amazonaws.com", "data", "auto", "https://data.s3-fips.us-east-1.amazonaws.com", 0),
        ("https://s3-accelerate.amazonaws.com", "data", "auto", "https://data.s3-accelerate.amazonaws.com", 0),
        ("https://s3.cn-north-1.amazonaws.com.cn", "data", "auto", "https://data.s3.cn-north-1.amazonaws.com.cn", 0),
        ("https://bucket.vpce-1a2b-3c4d.s3.us-east-1.vpce.amazonaws.com", "data", "auto",
         "https://data.bucket.vpce-1a2b-3c4d.s3.us-east-1.vpce.amazonaws.com", 0),
        ("https://s3.eu-west-1.amazonaws.com", "a.b", "auto", "https://s3.eu-west-1.amazonaws.com/a.b", 0),
        # An endpoint that has the bucket already.
        ("https://data.s3.eu-west-1.amazonaws.com", "data", "auto", "https://data.s3.eu-west-1.amazonaws.com", 0),
        ("https://data.oss-cn-hangzhou.aliyuncs.com", "data", "virtual", "https://data.oss-cn-hangzhou.aliyuncs.com", 0),
        ("https://data.oss-cn-hangzhou.aliyuncs.com", "data", "auto", "https://data.oss-cn-hangzhou.aliyuncs.com/data", 1),
        # As the values say.
        ("https://s3.example.com:8443", "data", "virtual", "https://data.s3.example.com:8443", 0),
        ("https://s3.eu-west-1.amazonaws.com", "data", "path", "https://s3.eu-west-1.amazonaws.com/data", 0),
        ("https://files.example.com", "data", "domain", "https://files.example.com", 0),
    ],
)  # fmt: skip
def test_the_address_of_a_bucket(endpoint: str, bucket: str, addressing: str, first: str, others: int) -> None:
    found = addresses(endpoint, bucket, addressing)
    assert found[0].endpoint + found[0].folder == first
    assert len(found) == 1 + others


@pytest.mark.parametrize("addressing", ["auto", "path", "virtual"])
def test_a_store_that_understands_both_is_addressed_as_the_values_say(
    store: s3.Store, bucket: Bucket, tmp_path: Path, addressing: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fetched(replace(store, addressing=addressing), tmp_path / "data") == CONTENT
    assert set(bucket.hosts) == {"datasets.store.test" if addressing == "virtual" else "store.test"}
    assert "event=addressing" not in capsys.readouterr().out


@pytest.mark.parametrize("refused", [OSS, OSS_TOO, COS, OBS, TOS], ids=["oss", "oss too", "cos", "obs", "tos"])
def test_a_store_that_refuses_the_path_is_asked_at_its_host_from_then_on(
    store: s3.Store, bucket: Bucket, tmp_path: Path, refused: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    bucket.path_refused = refused
    assert fetched(store, tmp_path / "data") == CONTENT
    assert bucket.hosts == ["store.test", *["datasets.store.test"] * 3]
    (told,) = re.findall("event=addressing .*", capsys.readouterr().out)
    assert "source=dataset addressing=virtual host=datasets.store.test" in told
    assert refused[0] in told


def test_an_endpoint_with_the_bucket_in_its_host_is_taken(
    store: s3.Store, bucket: Bucket, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = replace(store, endpoint=bucket.url.replace("store.test", "datasets.store.test"))
    assert fetched(named, tmp_path / "data") == CONTENT
    assert set(bucket.hosts) == {"datasets.store.test"}
    assert "NoSuchKey" in capsys.readouterr().out


def test_a_bucket_that_is_called_like_its_host_has_the_path(store: s3.Store, bucket: Bucket, tmp_path: Path) -> None:
    bucket.domain = ""
    named = replace(store, endpoint=bucket.url.replace("store.test", "datasets.test"))
    assert fetched(named, tmp_path / "data") == CONTENT
    assert not [request for request in bucket.requests if request.startswith("/?")]


def test_a_refusal_of_the_right_address_is_told_where_the_other_one_was_a_guess(
    store: s3.Store, bucket: Bucket
) -> None:
    bucket.domain = ""
    (Path(store.credentials) / "SECRET").write_text("wrong")
    named = replace(store, endpoint=bucket.url.replace("store.test", "datasets.test"))
    assert "SignatureDoesNotMatch" in refusal(named).reason


def test_a_domain_of_the_bucket_s_own(store: s3.Store, bucket: Bucket, tmp_path: Path) -> None:
    bucket.own_domain = "files.test"
    named = replace(store, endpoint=bucket.url.replace("store.test", "files.test"), addressing="domain")
    assert fetched(named, tmp_path / "data") == CONTENT


def test_a_path_that_is_refused_although_the_values_demand_it(store: s3.Store, bucket: Bucket) -> None:
    bucket.path_refused = COS
    told = refusal(replace(store, addressing="path"))
    assert "dataset.addressing path" in told.reason
    assert "PathStyleDomainForbidden" in told.reason
    assert (
        told.fix == "leave dataset.addressing out, or set it to virtual: the store accepts the bucket in the host only"
    )
    address = refusal(replace(store, endpoint=bucket.url.replace("store.test", "127.0.0.1")))
    assert address.fix.startswith("set dataset.endpoint to the host name of the store")


def test_all_threads_change_over_once(
    store: s3.Store, bucket: Bucket, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bucket.objects = {f"shapes/{number}": b"x" for number in range(40)}
    items = s3.listing(store)
    bucket.path_refused = OSS  # from here on
    anew = replace(store)
    s3.fetch(anew, items, tmp_path / "data", tmp_path / "state", Room())
    assert len(list((tmp_path / "data").iterdir())) == 40
    assert capsys.readouterr().out.count("event=addressing") == 1


def test_other_refusals_do_not_change_the_address(store: s3.Store, bucket: Bucket) -> None:
    bucket.path_refused = (
        "AccessDenied",
        "The bucket you are attempting to access must be addressed using the specified endpoint.",
    )
    refusal(store)
    assert set(bucket.hosts) == {"store.test"}


def test_a_certificate_without_the_host_of_the_bucket_is_told(store: s3.Store, bucket: Bucket, tmp_path: Path) -> None:
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += [
        "-keyout",
        "tls.key",
        "-out",
        "tls.crt",
        "-days",
        "2",
        "-subj",
        "/CN=x",
        "-addext",
        "subjectAltName=DNS:store.test",
    ]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "tls.crt", tmp_path / "tls.key")
    with serving(bucket, tls) as server:
        endpoint = f"https://store.test:{server.server_port}"
        trusting = replace(store, endpoint=endpoint, ca_file=str(tmp_path / "tls.crt"))
        assert len(s3.listing(trusting)) == 2
        told = refusal(replace(trusting, addressing="virtual"))
        assert told.fix == "set dataset.addressing to path: the certificate does not name datasets.store.test"
        bucket.path_refused = OSS
        assert refusal(replace(trusting)).fix == "let the store have a certificate for datasets.store.test"
        other = refusal(replace(trusting, endpoint=endpoint.replace("store.test", "other.test"), addressing="path"))
        assert other.fix == "set dataset.endpoint to a host that the certificate names"
        by_number = refusal(replace(trusting, endpoint=endpoint.replace("store.test", "127.0.0.1")))
        assert by_number.fix == other.fix


@pytest.mark.parametrize(
    ("code", "fix"), [(9, "clock"), (10, "renew"), (18, "caBundle"), (19, "caBundle"), (20, "caBundle")]
)
def test_the_fix_for_a_certificate_depends_on_what_is_wrong_with_it(code: int, fix: str) -> None:
    """By OpenSSL's numbers: not yet valid, expired, self-signed, signed by a CA that is not known."""
    error = ssl.SSLCertVerificationError()
    error.verify_code = code
    assert fix in network.certificate_fix(error, "dataset.endpoint")


def test_a_host_without_a_dns_entry_is_told(store: s3.Store, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    told = refusal(replace(store, addressing="virtual"))
    assert told.exit.name == "prepare-unreachable"
    assert "must know datasets.store.test; without such names, set dataset.addressing to path" in told.fix


def test_the_default_port_is_not_part_of_the_host_that_is_signed(
    store: s3.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []

    def send(self: Any, method: str, target: str, headers: dict[str, str], body: Any) -> Any:
        sent.append(headers["host"])
        raise OSError

    monkeypatch.setattr(s3_store.Client, "_send", send)
    for endpoint in (
        "https://s3.example.com:443",
        "http://s3.example.com:80",
        "http://s3.example.com:443",
        "https://s3.example.com",
    ):
        with pytest.raises(BrokenError):
            s3_store.Client(replace(store, endpoint=endpoint)).get("a", {}, {})
    assert sent == ["s3.example.com", "s3.example.com", "s3.example.com:443", "s3.example.com"]
