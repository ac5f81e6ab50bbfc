"""What the run trusts, and which way it takes: the same for git, git-lfs, object stores and MLflow, by their real clients."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from features.mlflow import run as mlflow_run
from features.mlflow.api import Api, ApiError
from runner import checkout, prepare, process
from runner.context import Context, Pinned
from runner.errors import RunnerError
from runner.git import Git
from tests.lab.git_server import Server, push
from tests.lab.network import Authority, ForwardProxy, forward_proxy, with_tls
from tests.lab.s3_server import Bucket
from tests.runner.test_mlflow import Tracking
from tests.runner.test_mlflow import server as tracking  # noqa: F401 - a fixture

PLACES = ("git", "s3", "mlflow")
Use = Callable[..., None]


@pytest.fixture(scope="module")
def authorities(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Authority]:
    folder = tmp_path_factory.mktemp("authorities")
    return {name: Authority.create(folder / name) for name in ("company", "public")}


@pytest.fixture
def use(
    server: Server,
    bucket: Bucket,
    tracking: Tracking,  # noqa: F811
    tmp_path: Path,
    make_context: Callable[..., Context],
    monkeypatch: pytest.MonkeyPatch,
) -> Use:
    """Fetch from the git server with LFS, or the bucket, or ask MLflow: at its address, with `caBundle`."""
    name = f"{tmp_path.name}.git"
    server.repository(name)
    commit = push(server, name, {"data.bin": "x" * 200}, lfs="*.bin")
    bucket.public = True

    def use_git(context: Context, url: str) -> None:
        monkeypatch.setattr(server, "url", url)  # which it names in the answers of LFS
        shutil.rmtree(context.model, ignore_errors=True)
        checkout.fetch(
            Git(context), "model", Pinned(f"{url}/{name}", "main", commit), context.model, context.workspace.room
        )
        assert (context.model / "data.bin").read_text() == "x" * 200

    def use_s3(context: Context, url: str) -> None:
        source = context.settings.sources["dataset"]
        assert prepare.look_up(context, Git(context), "dataset", source, tmp_path).commit

    def use_mlflow(context: Context, url: str) -> None:
        assert Api(mlflow_run._config(context)).experiment()

    def used(place: str, url: str, trusted: Path | None = None) -> None:
        if place == "identity":  # a bucket whose keys come from the token service at that address
            token = tmp_path / "token"
            token.write_text("a.b.c")
            for key, value in {
                "ROLE_ARN": "arn:x",
                "WEB_IDENTITY_TOKEN_FILE": str(token),
                "ENDPOINT_URL_STS": url,
            }.items():
                monkeypatch.setenv(f"AWS_{key}", value)
        changes: dict[str, dict[str, Any]] = {
            "git": {"model.repository": f"{url}/{name}"},
            "s3": {"sources": {"dataset": {"type": "s3", "endpoint": url, "bucket": "datasets"}}},
            "identity": {
                "sources": {"dataset": {"type": "s3", "endpoint": url, "bucket": "datasets", "workloadIdentity": True}}
            },
            "mlflow": {"mlflow.trackingUri": url},
        }
        context = make_context({**changes[place], "caBundle.configMapName": "ca" if trusted else ""})
        if trusted:
            file = Path(context.settings.ca_file)
            file.parent.mkdir(exist_ok=True)
            shutil.copy(trusted, file)
        {"git": use_git, "s3": use_s3, "identity": use_s3, "mlflow": use_mlflow}[place](context, url)

    return used


@pytest.fixture
def plain(server: Server, bucket: Bucket, tracking: Tracking) -> dict[str, str]:  # noqa: F811
    return {"git": server.url, "s3": bucket.url, "mlflow": tracking.url}


@pytest.mark.lab
@pytest.mark.parametrize("place", PLACES)
def test_the_authorities_of_the_values_are_joined_to_those_of_the_image(
    place: str, use: Use, plain: dict[str, str], authorities: dict[str, Authority], monkeypatch: pytest.MonkeyPatch
) -> None:
    company, public = authorities["company"], authorities["public"]
    monkeypatch.setenv("SSL_CERT_FILE", str(public.certificate))
    with (
        with_tls(plain[place], company.server()) as at_company,
        with_tls(plain[place], public.server()) as in_public,
    ):
        if place != "git":  # which has the system's own store without caBundle
            use(place, in_public)
        with pytest.raises((RunnerError, ApiError), match="certificate"):
            use(place, at_company)
        use(place, at_company, company.certificate)
        use(place, in_public, company.certificate)


@pytest.mark.lab
def test_the_programs_of_the_run_trust_the_same(
    make_context: Callable[..., Context], authorities: dict[str, Authority], tmp_path: Path
) -> None:
    context = make_context({"caBundle.configMapName": "ca", "env": {"REQUESTS_CA_BUNDLE": "/own"}})
    Path(context.settings.ca_file).parent.mkdir()
    shutil.copy(authorities["company"].certificate, context.settings.ca_file)
    assert context.environment["REQUESTS_CA_BUNDLE"] == "/own", "the values' env has the last word"
    with with_tls("http://127.0.0.1:9", authorities["company"].server()) as url:
        port = url.rpartition(":")[2]
        code = f"import socket, ssl; ssl.create_default_context().wrap_socket(socket.create_connection(('127.0.0.1', {port})), server_hostname='127.0.0.1')"
        assert process.run(["python3", "-c", code], tmp_path, context.environment).code == 0


@pytest.fixture
def proxy(plain: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[ForwardProxy]:
    """The only way to `*.example.invalid`, which are the servers of this test."""
    ports = {f"{place}.example.invalid": url.rpartition(":")[2] for place, url in plain.items()}

    def resolve(place: str) -> str:
        return f"127.0.0.1:{ports[place.rpartition(':')[0] or place]}"

    with forward_proxy(resolve) as started:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY"):
            monkeypatch.setenv(name, started.url)
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        yield started


@pytest.mark.lab
@pytest.mark.parametrize("place", PLACES)
def test_everything_goes_through_the_proxy(place: str, use: Use, plain: dict[str, str], proxy: ForwardProxy) -> None:
    url = f"http://{place}.example.invalid:{plain[place].rpartition(':')[2]}"
    use(place, url)
    assert {asked.partition(":")[0] for asked in proxy.asked} == {f"{place}.example.invalid"}


FAILURES = {
    403: (30, "proxy does not let the run through", r"allow .* in the proxy, or add .* to proxy.noProxy"),
    407: (30, "407", r"use a proxy that requires (none|no credentials), or add .* to proxy.noProxy"),
    502: (31, "502", r"proxy.*proxy.noProxy"),
}


@pytest.mark.lab
@pytest.mark.parametrize("place", ["git", "s3", "identity"])
@pytest.mark.parametrize("status", FAILURES)
def test_a_proxy_that_does_not_let_the_run_through_is_named(
    status: int, place: str, use: Use, proxy: ForwardProxy
) -> None:
    code, reason, fix = FAILURES[status]
    proxy.refuses = status
    with pytest.raises(RunnerError) as caught:
        use(place, f"https://{place}.example.invalid")
    assert (caught.value.exit.code, reason in caught.value.reason) == (code, True), caught.value.reason
    assert re.search(fix, caught.value.fix), caught.value.fix


@pytest.mark.lab
def test_a_proxy_that_may_have_answered_for_the_server_is_named(use: Use, proxy: ForwardProxy) -> None:
    """Without a tunnel, its refusal looks like one of the server."""
    proxy.refuses = 403
    with pytest.raises(RunnerError) as caught:
        use("git", "http://git.example.invalid")
    assert caught.value.exit.code == 30
    assert (
        f"if the proxy {urlsplit(proxy.url).netloc.rpartition('@')[2]} on the way there has refused it, allow git."
        in caught.value.fix
    )
    assert caught.value.fix.endswith("add it to proxy.noProxy")


@pytest.mark.lab
@pytest.mark.parametrize("place", ["git", "s3", "identity"])
def test_a_proxy_that_is_not_there_is_named(
    place: str, use: Use, proxy: ForwardProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://me:sesame@127.0.0.1:9")
    with pytest.raises(RunnerError, match=r"refused|Couldn't connect") as caught:
        use(place, f"http://{place}.example.invalid")
    assert "the proxy 127.0.0.1:9 on the way there, or proxy.noProxy" in caught.value.fix


@pytest.mark.lab
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("direct", ["127.0.0.1", "10.0.0.0/8, 127.0.0.0/8", "*"])
def test_what_no_proxy_names_is_reached_directly(
    place: str, direct: str, use: Use, plain: dict[str, str], proxy: ForwardProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, direct)
    use(place, plain[place])
    assert proxy.asked == []


@pytest.mark.lab
@pytest.mark.parametrize(
    "content", ["", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "\x30\x82", None]
)
def test_a_bundle_without_certificates_is_refused_before_anything_is_fetched(
    content: str | None, make_context: Callable[..., Context]
) -> None:
    from runner import network

    context = make_context({"caBundle.configMapName": "ca"})
    file = Path(context.settings.ca_file)
    file.parent.mkdir()
    if content is not None:
        file.write_text(content)
    with pytest.raises(RunnerError) as caught:
        network.check_bundle(context.settings.ca_file)
    assert caught.value.reason.startswith("caBundle: ")
    with contextlib.suppress(FileNotFoundError):
        assert "key" in caught.value.fix or "-----BEGIN CERTIFICATE-----" in caught.value.fix
