"""The API client against a small HTTP server: requests, errors and their exit codes, streams, and kubeconfigs."""

from __future__ import annotations

import json
import os
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from trainchart.cli import main as cli
from trainchart.cluster import api as module
from trainchart.cluster import kinds
from trainchart.cluster.api import Api
from trainchart.cluster.connect import connect
from trainchart.cluster.errors import (
    ExpiredError,
    ForbiddenError,
    KubeconfigError,
    NotFoundError,
    RefusedError,
    UnauthorizedError,
    UnreachableError,
)
from trainchart.errors import ExitCode, TrainchartError

Reply = Callable[[BaseHTTPRequestHandler, dict[str, list[str]]], None]


@dataclass
class Server:
    """Answers by method and path, and keeps the requests."""

    url: str = ""
    replies: dict[tuple[str, str], Reply] = field(default_factory=dict)
    requests: list[tuple[str, str, dict[str, list[str]], dict[str, str], Any]] = field(default_factory=list)

    def on(self, path: str, reply: Reply, method: str = "GET") -> None:
        self.replies[method, path] = reply


def sends(body: Any, status: int = 200) -> Reply:
    def reply(handler: BaseHTTPRequestHandler, _: dict[str, list[str]]) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    return reply


def streams(*chunks: bytes, breaks: bool = False) -> Reply:
    """In chunked encoding, as logs and watches are sent; without its end if the connection `breaks`."""

    def reply(handler: BaseHTTPRequestHandler, _: dict[str, list[str]]) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for chunk in chunks:
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
        if not breaks:
            handler.wfile.write(b"0\r\n\r\n")
        handler.close_connection = True

    return reply


def status(code: int, message: str) -> Reply:
    return sends({"kind": "Status", "code": code, "message": message}, code)


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            url = urlsplit(self.path)
            query = parse_qs(url.query)
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            state.requests.append((self.command, url.path, query, dict(self.headers), body))
            reply = state.replies.get((self.command, url.path), sends(b"404 page not found", 404))
            reply(self, query)

        do_GET = do_POST = do_PATCH = do_DELETE = _answer  # noqa: N815

        def log_message(self, *_: Any) -> None:
            return

    class Http(ThreadingHTTPServer):
        def handle_error(self, *_: Any) -> None:
            """Some tests have a client that goes away."""

    http = Http(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{http.server_port}"
    threading.Thread(target=http.serve_forever, daemon=True).start()
    try:
        yield state
    finally:
        http.shutdown()
        http.server_close()


def kubeconfig(folder: Path, url: str, **more: Any) -> str:
    path = folder / "kubeconfig"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": {"token": "a-token"}}],
        "contexts": [
            {"name": "c", "context": {"cluster": "c", "user": "u", "namespace": "training"}},
            {"name": "other", "context": {"cluster": "c", "user": "u"}},
        ],
        "current-context": "c",
        **more,
    }
    path.write_text(yaml.safe_dump(config))
    return str(path)


@pytest.fixture
def api(server: Server, tmp_path: Path) -> Api:
    return connect(kubeconfig=kubeconfig(tmp_path, server.url))


PODS = "/api/v1/namespaces/training/pods"
JOBS = "/apis/batch.volcano.sh/v1alpha1/namespaces/training/jobs"


# -- objects


def test_a_request_carries_the_account_s_token(server: Server, api: Api) -> None:
    server.on(f"{JOBS}/run-42", sends({"metadata": {"name": "run-42"}}))
    assert api.get(kinds.JOBS, "run-42") == {"metadata": {"name": "run-42"}}
    assert api.get(kinds.JOBS, "run-43") is None
    assert api.calls == 2
    assert server.requests[0][3]["authorization"] == "Bearer a-token"


@pytest.mark.parametrize("how", ["token", "tokenFile"])
def test_a_line_break_after_a_token_is_ignored(how: str, server: Server, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("a-token\n")
    user = {"tokenFile": str(tmp_path / "token")} if how == "tokenFile" else {"token": "a-token\n"}
    connect(kubeconfig=kubeconfig(tmp_path, server.url, users=[{"name": "u", "user": user}])).get(kinds.PODS, "a")
    assert server.requests[0][3]["authorization"] == "Bearer a-token"


@pytest.mark.parametrize("token", ["a-secret\nin-two-lines", "ein-gehëimnis", "a\tsecret"])
def test_a_token_that_cannot_be_sent_is_in_no_message(
    token: str, server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = kubeconfig(tmp_path, server.url, users=[{"name": "u", "user": {"token": token}}])
    assert cli.main(["list", "--kubeconfig", config, "--output", "json"]) == 2
    said = "".join(capsys.readouterr())
    assert "the account's token cannot be sent" in said
    assert not any(part in said for part in ("a-secret", "in-two-lines", "gehëimnis", "secret\\"))
    assert server.requests == []


@pytest.mark.parametrize(
    "words",
    [
        'pods "a" is forbidden: exceeded quota: tight',
        'pods "a" is forbidden: violates PodSecurity "restricted:latest": ...',
    ],
)
def test_a_rejection_by_admission_is_no_missing_permission(words: str, server: Server, api: Api) -> None:
    server.on(PODS, status(403, words), "POST")
    with pytest.raises(RefusedError, match="is forbidden"):
        api.create(kinds.PODS, {})
    server.on(PODS, status(403, 'pods is forbidden: User "u" cannot create resource "pods"'), "POST")
    with pytest.raises(ForbiddenError, match="no permission to create pods"):
        api.create(kinds.PODS, {})
    server.on(PODS, status(403, "this gateway says no"))
    with pytest.raises(ForbiddenError, match="no permission to list pods"):
        api.objects(kinds.PODS)


def test_a_login_page_is_not_taken_for_an_api_server(server: Server, api: Api) -> None:
    server.on(PODS, sends(b"<html>log in</html>"))
    with pytest.raises(UnreachableError, match="does not answer with JSON"):
        api.objects(kinds.PODS)


def test_cluster_scoped_kinds_have_no_namespace_in_their_path(server: Server, api: Api) -> None:
    api.get(kinds.QUEUES, "default")
    api.get(kinds.PODS, "a")
    assert [request[1] for request in server.requests] == [
        "/apis/scheduling.volcano.sh/v1beta1/queues/default",
        "/api/v1/namespaces/training/pods/a",
    ]


def test_a_long_list_is_read_page_by_page(server: Server, api: Api) -> None:
    def page(handler: BaseHTTPRequestHandler, query: dict[str, list[str]]) -> None:
        if "continue" in query:
            assert query["continue"] == ["next"]
            sends({"items": [{"n": 2}], "metadata": {"resourceVersion": "7"}})(handler, query)
        else:
            sends({"items": [{"n": 1}], "metadata": {"resourceVersion": "7", "continue": "next"}})(handler, query)

    server.on("/api/v1/pods", page)
    assert api.objects(kinds.PODS, selector="a=b", fields="status.phase!=Failed", all_namespaces=True) == (
        [{"n": 1}, {"n": 2}],
        "7",
    )
    assert server.requests[1][2]["labelSelector"] == ["a=b"]
    assert server.requests[1][2]["fieldSelector"] == ["status.phase!=Failed"]
    assert server.requests[1][2]["limit"] == ["500"]


def test_a_list_whose_next_page_has_expired_is_read_at_once(server: Server, api: Api) -> None:
    def pages(handler: BaseHTTPRequestHandler, query: dict[str, list[str]]) -> None:
        if "continue" in query:
            status(410, "The provided continue parameter is too old")(handler, query)
        elif "limit" in query:
            sends({"items": [{"n": 1}], "metadata": {"continue": "x"}})(handler, query)
        else:
            sends({"items": [{"n": 1}, {"n": 2}], "metadata": {"resourceVersion": "7"}})(handler, query)

    server.on(PODS, pages)
    assert api.objects(kinds.PODS) == ([{"n": 1}, {"n": 2}], "7")
    server.on(PODS, status(410, "gone"))
    with pytest.raises(ExpiredError):
        api.objects(kinds.PODS)


def test_a_kind_that_does_not_exist_has_no_objects(api: Api) -> None:
    assert api.objects(kinds.QUEUES) == ([], "")


@pytest.mark.parametrize("date", ["Thu, 26 Nov 2026 05:00:41 GMT", ""])
def test_the_time_is_that_of_the_server(date: str, server: Server, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BaseHTTPRequestHandler, "date_time_string", lambda _: date)
    before = datetime.now(timezone.utc)
    api.get(kinds.PODS, "a")
    assert api.now() == datetime(2026, 11, 26, 5, 0, 41, tzinfo=timezone.utc) if date else api.now() >= before


def test_metadata_can_be_requested_without_contents(server: Server, api: Api) -> None:
    server.on(JOBS, sends({"items": [{"metadata": {"name": "run-42"}}], "metadata": {}}))
    assert api.objects(kinds.JOBS, metadata_only=True) == ([{"metadata": {"name": "run-42"}}], "")
    api.metadata(kinds.JOBS, "run-42")
    assert [request[3]["Accept"].partition(";g=")[0] for request in server.requests] == [
        "application/json;as=PartialObjectMetadataList",
        "application/json;as=PartialObjectMetadata",
    ]


def test_a_dry_run_is_sent_as_one(server: Server, api: Api) -> None:
    server.on(PODS, sends({"metadata": {}}, 201), "POST")
    api.create(kinds.PODS, {"metadata": {"name": "a"}}, dry_run=True)
    api.create(kinds.PODS, {"metadata": {"name": "a"}})
    assert server.requests[0][2] == {"dryRun": ["All"]}
    assert server.requests[1][2] == {}
    assert server.requests[0][4] == {"metadata": {"name": "a"}}


def test_a_patch_is_a_merge_patch_and_deleting_a_missing_object_succeeds(server: Server, api: Api) -> None:
    server.on(f"{JOBS}/run-42", sends({}), "PATCH")
    api.patch(kinds.JOBS, "run-42", {"metadata": {"annotations": {"a": "b"}}})
    assert server.requests[0][3]["Content-Type"] == "application/merge-patch+json"
    api.delete(kinds.JOBS, "run-43")


def test_permissions_are_reviewed_by_the_server(server: Server, api: Api) -> None:
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    server.on(path, sends({"status": {"allowed": True}}, 201), "POST")
    assert api.may("get", kinds.PODS, subresource="log")
    assert server.requests[0][4]["spec"]["resourceAttributes"] == {
        "verb": "get",
        "group": "",
        "resource": "pods",
        "subresource": "log",
        "namespace": "training",
    }


# -- errors

ANSWERS: list[tuple[int, str, type[TrainchartError], int]] = [
    (401, "Unauthorized", UnauthorizedError, 6),
    (403, 'jobs is forbidden: User "a" cannot create resource "jobs"', ForbiddenError, 6),
    (403, 'admission webhook "a" denied the request: no', RefusedError, 2),
    (404, "the server could not find the requested resource", NotFoundError, 4),
    (409, 'jobs "a" already exists', RefusedError, 2),
    (410, "too old resource version", ExpiredError, 1),
    (422, "spec: Invalid value", RefusedError, 2),
    (429, "too many requests", UnreachableError, 5),
    (500, "etcdserver: leader changed", UnreachableError, 5),
    (503, "apiserver is shutting down", UnreachableError, 5),
]


@pytest.mark.parametrize(("code", "message", "error", "exit_code"), ANSWERS)
def test_each_http_status_is_an_error_with_its_exit_code(
    server: Server, api: Api, code: int, message: str, error: type[TrainchartError], exit_code: int
) -> None:
    server.on(JOBS, status(code, message), "POST")
    with pytest.raises(error) as raised:
        api.create(kinds.JOBS, {})
    assert type(raised.value) is error
    assert raised.value.exit_code == exit_code
    assert code == 401 or message in str(raised.value)


def test_an_error_that_is_not_json_becomes_one_line(server: Server, api: Api) -> None:
    server.on(JOBS, sends(b"<html>\n<h1>502 Bad Gateway</h1>\n" + b"x" * 9000, 502), "POST")
    with pytest.raises(UnreachableError, match="502 Bad Gateway") as raised:
        api.create(kinds.JOBS, {})
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 500


def test_an_unreachable_server_is_named(tmp_path: Path) -> None:
    away = connect(kubeconfig=kubeconfig(tmp_path, "http://127.0.0.1:9"))
    with pytest.raises(UnreachableError, match=r"http://127\.0\.0\.1:9 is unreachable: Connection refused"):
        away.raw("/version")


def test_a_host_name_that_does_not_resolve_is_named(tmp_path: Path) -> None:
    away = connect(kubeconfig=kubeconfig(tmp_path, "http://no-such-cluster.invalid:6443"))
    with pytest.raises(UnreachableError, match="no-such-cluster"):
        away.raw("/version")


def test_a_silent_server_times_out(server: Server, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "READ_SECONDS", 0.2)
    over = threading.Event()

    def say_nothing(*_: Any) -> None:
        over.wait(60)

    server.on("/version", say_nothing)
    try:
        with pytest.raises(UnreachableError, match="does not respond"):
            api.raw("/version")
    finally:
        over.set()


def test_a_server_without_tls_becomes_one_line(server: Server, tmp_path: Path) -> None:
    tls = connect(kubeconfig=kubeconfig(tmp_path, server.url.replace("http:", "https:")))
    with pytest.raises(UnreachableError) as raised:
        tls.raw("/version")
    assert "\n" not in str(raised.value)
    assert ssl.SSLError.__name__ not in str(raised.value)


# -- streams


def test_a_log_is_split_into_lines_whatever_its_chunks(server: Server, api: Api) -> None:
    server.on(f"{PODS}/a/log", streams(b"one\ntw", b"o\n\nthr", b"ee"))
    assert list(api.log("a", follow=True, since="2026-11-24T00:00:00Z", timestamps=True, tail=5)) == [
        b"one",
        b"two",
        b"",
        b"three",
    ]
    assert server.requests[0][2] == {
        "follow": ["true"],
        "sinceTime": ["2026-11-24T00:00:00Z"],
        "timestamps": ["true"],
        "tailLines": ["5"],
    }


def test_a_log_that_breaks_off_yields_its_complete_lines_and_then_fails(server: Server, api: Api) -> None:
    server.on(f"{PODS}/a/log", streams(b"one\ntwo\nthr", breaks=True))
    seen = []
    with pytest.raises(UnreachableError, match="broke"):  # noqa: PT012
        for line in api.log("a", follow=True):
            seen.append(line)  # noqa: PERF402
    assert seen == [b"one", b"two"]


def test_the_log_of_a_container_that_has_not_started_is_refused(server: Server, api: Api) -> None:
    server.on(f"{PODS}/a/log", status(400, 'container "train" in pod "a" is waiting to start: ContainerCreating'))
    with pytest.raises(RefusedError, match="waiting to start"):
        list(api.log("a"))


def change(kind: str, **fields: Any) -> bytes:
    return json.dumps({"type": kind, "object": fields}).encode() + b"\n"


def test_a_watch_yields_changes_until_the_server_ends_it(server: Server, api: Api) -> None:
    server.on(JOBS, streams(change("ADDED", n=1), change("MODIFIED", n=2)))
    assert [(one["type"], one["object"]["n"]) for one in api.watch(kinds.JOBS, since="7", selector="a=b")] == [
        ("ADDED", 1),
        ("MODIFIED", 2),
    ]
    assert server.requests[0][2]["resourceVersion"] == ["7"]


def test_a_watch_from_an_old_version_has_expired(server: Server, api: Api) -> None:
    server.on(JOBS, streams(change("ERROR", code=410, message="too old")))
    with pytest.raises(ExpiredError):
        list(api.watch(kinds.JOBS, since="1"))


def test_a_stream_that_is_left_early_does_not_disturb_later_requests(server: Server, api: Api) -> None:
    server.on(f"{PODS}/a/log", streams(*[b"line\n"] * 1000))
    server.on("/version", sends({"major": "1"}))
    lines = api.log("a", follow=True)
    assert next(lines) == b"line"
    lines.close()  # type: ignore[attr-defined]
    assert api.raw("/version") == {"major": "1"}


# -- kubeconfig


def test_namespace_and_context_are_chosen_as_by_kubectl(tmp_path: Path) -> None:
    file = kubeconfig(tmp_path, "http://127.0.0.1:9")
    assert connect(kubeconfig=file).namespace == "training"
    assert connect(kubeconfig=file, context="other").namespace == "default"
    assert connect(kubeconfig=file, context="other", namespace="mine").namespace == "mine"
    assert (connect(kubeconfig=file).context, connect(kubeconfig=file, context="other").context) == ("c", "other")


def test_the_first_current_context_of_several_files_counts_as_for_kubectl_and_helm(tmp_path: Path) -> None:
    files = []
    for name, more in (("none", {"current-context": ""}), ("first", {}), ("second", {"current-context": "other"})):
        (tmp_path / name).mkdir()
        files.append(kubeconfig(tmp_path / name, "http://127.0.0.1:9", **more))
    assert connect(kubeconfig=os.pathsep.join([*files, str(tmp_path / "absent")])).context == "c"


def test_an_empty_kubeconfig_variable_counts_as_unset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(KubeconfigError, match=r"the kubeconfig: ~/\.kube/config does not exist"):
        connect()


def test_the_password_of_a_server_is_in_no_message(tmp_path: Path) -> None:
    entries = {
        "current-context": "a",
        "contexts": [{"name": "a", "context": {"cluster": "a"}}],
        "clusters": [{"name": "a", "cluster": {"server": "https://me:sesame@127.0.0.1:1"}}],
    }
    (tmp_path / "config").write_text(json.dumps(entries))
    with pytest.raises(UnreachableError, match=r"https://\*\*\*@127\.0\.0\.1:1 is unreachable") as raised:
        connect(kubeconfig=str(tmp_path / "config")).get(kinds.PODS, "a")
    assert "sesame" not in str(raised.value)


def test_a_missing_kubeconfig_is_reported_with_how_to_name_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KubeconfigError, match=r"--kubeconfig: .*/none does not exist; name one by") as raised:
        connect(kubeconfig=str(tmp_path / "none"))
    assert raised.value.exit_code == ExitCode.REFUSED


def test_a_missing_context_is_reported(tmp_path: Path) -> None:
    with pytest.raises(
        KubeconfigError, match=r"has no context 'nope'; `kubectl --kubeconfig .* config get-contexts` lists them"
    ):
        connect(kubeconfig=kubeconfig(tmp_path, "http://127.0.0.1:9"), context="nope")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "clusters: 5\n", "\0", "current-context: x\ncontexts: []\nclusters: []\nusers: []\n"]
)
def test_an_invalid_kubeconfig_is_reported_in_one_line(tmp_path: Path, text: str) -> None:
    file = tmp_path / "kubeconfig"
    file.write_text(text)
    with pytest.raises(KubeconfigError, match=r"the kubeconfig .* cannot be used") as raised:
        connect(kubeconfig=str(file))
    assert "\n" not in str(raised.value)


def test_a_context_whose_cluster_is_missing_is_reported(tmp_path: Path) -> None:
    with pytest.raises(KubeconfigError, match="cannot be used"):
        connect(kubeconfig=kubeconfig(tmp_path, "http://127.0.0.1:9", clusters=[]))


def test_an_anonymous_request_is_not_taken_for_a_missing_permission(server: Server, tmp_path: Path) -> None:
    server.on(f"{JOBS}/a", status(403, 'jobs is forbidden: User "system:anonymous" cannot get resource "jobs"'))
    with pytest.raises(UnauthorizedError, match="does not accept this account"):
        connect(kubeconfig=kubeconfig(tmp_path, server.url, users=[])).get(kinds.JOBS, "a")


def test_a_missing_exec_plugin_is_reported(tmp_path: Path) -> None:
    plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": "no-such-plugin", "interactiveMode": "Never"}
    file = kubeconfig(tmp_path, "http://127.0.0.1:9", users=[{"name": "u", "user": {"exec": plugin}}])
    with pytest.raises(KubeconfigError, match=r"its authentication fails: .*no-such-plugin"):
        connect(kubeconfig=file)


def test_several_kubeconfigs_are_merged_and_the_first_entry_of_a_name_counts(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
    one = kubeconfig(first, "http://first:1", contexts=[], users=[], **{"current-context": ""})
    two = kubeconfig(second, "http://second:1")
    for files, url in ((f"{one}:{two}", "http://first:1"), (f"{tmp_path}/none:{two}:{one}", "http://second:1")):
        api = connect(kubeconfig=files)
        assert (api.server, api.namespace) == (url, "training")


def test_paths_are_relative_to_the_kubeconfig_that_has_them(server: Server, tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "token").write_text("from-a-file")
    plugin = tmp_path / "keys" / "plugin"
    said = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": "from-a-plugin"},
    }
    plugin.write_text(f"#!/bin/sh\necho '{json.dumps(said)}'\n")
    plugin.chmod(0o755)
    by_plugin = {"apiVersion": said["apiVersion"], "command": "keys/plugin", "interactiveMode": "Never"}
    server.on(f"{JOBS}/a", sends({}))
    for user in ({"tokenFile": "keys/token"}, {"exec": by_plugin}):
        connect(kubeconfig=kubeconfig(tmp_path, server.url, users=[{"name": "u", "user": user}])).get(kinds.JOBS, "a")
    sent = [
        {key.lower(): value for key, value in headers.items()}["authorization"] for *_, headers, _ in server.requests
    ]
    assert sent == ["Bearer from-a-file", "Bearer from-a-plugin"]


# -- impersonation, which the official client ignores and Helm does not


def test_an_impersonated_account_is_sent_with_every_request(server: Server, tmp_path: Path) -> None:
    user = {
        "token": "a-token",
        "as": "jane",
        "as-uid": "7",
        "as-groups": ["ml", "system:authenticated"],
        "as-user-extra": {"example.com/scopes": ["a", "b"]},
    }
    sent: list[tuple[str, str]] = []

    def reply(handler: BaseHTTPRequestHandler, query: dict[str, list[str]]) -> None:
        sent.extend(handler.headers.items())
        sends({})(handler, query)

    server.on(f"{JOBS}/a", reply)
    connect(kubeconfig=kubeconfig(tmp_path, server.url, users=[{"name": "u", "user": user}])).get(kinds.JOBS, "a")
    assert [header for header in sent if header[0].startswith("Impersonate-")] == [
        ("Impersonate-User", "jane"),
        ("Impersonate-Uid", "7"),
        ("Impersonate-Group", "ml"),
        ("Impersonate-Group", "system:authenticated"),
        ("Impersonate-Extra-example.com%2Fscopes", "a"),
        ("Impersonate-Extra-example.com%2Fscopes", "b"),
    ]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"as": "jane\nAuthorization: x"}, "Impersonate-User cannot be"),
        ({"as": 5}, "Impersonate-User cannot be 5"),
        ({"as": "jane", "as-groups": "ml"}, "as-groups is not a list"),
        ({"as": "jane", "as-user-extra": {"scopes": "a"}}, "as-user-extra.scopes is not a list"),
        ({"as-groups": ["ml"]}, "without as"),
    ],
)
def test_an_impersonation_that_cannot_be_sent_is_refused(fields: dict[str, Any], message: str, tmp_path: Path) -> None:
    users = [{"name": "u", "user": {"token": "t", **fields}}]
    with pytest.raises(KubeconfigError, match=f"cannot be used: .*{message}") as raised:
        connect(kubeconfig=kubeconfig(tmp_path, "http://127.0.0.1:9", users=users))
    assert "\n" not in str(raised.value)
