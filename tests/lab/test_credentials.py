"""Whom a token reaches: the server of the URL that it was given for, and nobody whom that server, or the repository, points at."""

from __future__ import annotations

import contextlib
import copy
import http.server
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from features import s3
from runner import checkout
from runner.context import Context
from runner.errors import RunnerError
from runner.git import Git
from runner.remote import Remote
from tests.runner.conftest import Ended

from .answers import Answer, Fault, redirect
from .git_server import TOKEN, USER, Server, push
from .s3_server import ACCESS, SECRET, Bucket
from .test_repositories import POINTER


@dataclass
class Thief:
    """Another server: it asks everybody for a password, and keeps what it gets."""

    url: str = ""
    answer: Answer = field(default_factory=lambda: Answer(401, {"WWW-Authenticate": 'Basic realm="mine"'}))
    seen: list[str | None] = field(default_factory=list)  # the Authorization of each request


@pytest.fixture
def thief() -> Iterator[Thief]:
    thief = Thief()

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def handle_any(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            thief.seen.append(self.headers.get("Authorization"))
            thief.answer.send(self)

        do_GET = do_POST = do_PUT = handle_any  # noqa: N815

    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    thief.url = f"http://127.0.0.1:{httpd.server_port}"
    yield thief
    httpd.shutdown()


def batch_that_leads_to(url: str) -> Callable[[Answer], Answer]:
    """The server's own answer to an LFS batch, with objects that lie elsewhere."""

    def led_away(real: Answer) -> Answer:
        found = json.loads(real.content)
        for one in found["objects"]:
            one["actions"] = {"download": {"href": f"{url}/storage/{one['oid']}"}}
        return replace(real, content=json.dumps(found).encode())

    return led_away


@dataclass(frozen=True)
class Way:
    """How a run is led to the thief, {thief} being its URL: by an answer of its own server, or by a file of its repository."""

    name: str
    fault: Callable[[str], Fault] | None = None
    files: dict[str, str] = field(default_factory=dict)
    lfs: str = ""


REFS = "m.git/info/refs?service=git-upload-pack"
LFSCONFIG = "[lfs]\n\turl = {thief}/m.git/info/lfs\n"
BATCH = "m.git/info/lfs/objects/batch"


def redirected(status: int, thief: str, authorized: bool = False) -> Fault:
    return Fault("m.git/info/refs", redirect(f"{thief}/{REFS}", status), authorized=authorized)


WAYS = [
    *(
        Way(f"redirect {status} of whoever asks", partial(redirected, status))
        for status in (301, 302, 307, 308)
    ),
    *(
        Way(
            f"redirect {status} of whoever has shown the token",
            partial(redirected, status, authorized=True),
        )
        for status in (301, 302, 307, 308)
    ),
    Way("an LFS server in .lfsconfig", files={".lfsconfig": LFSCONFIG, "lost.pt": POINTER}),
    Way(
        "an LFS server in .lfsconfig, with access",
        files={".lfsconfig": LFSCONFIG + '[lfs "{thief}/m.git/info/lfs"]\n\taccess = basic\n', "lost.pt": POINTER},
    ),
    Way(
        "an LFS server of the remote in .lfsconfig",
        files={".lfsconfig": '[remote "origin"]\n\tlfsurl = {thief}/m.git/info/lfs\n', "lost.pt": POINTER},
    ),
    Way("redirect of an LFS batch", lambda thief: Fault("objects/batch", redirect(f"{thief}/{BATCH}", 307), authorized=True), lfs="*.pt"),
    Way("LFS objects that lie elsewhere", lambda thief: Fault("objects/batch", batch_that_leads_to(thief), authorized=True), lfs="*.pt"),
]  # fmt: skip


@pytest.mark.lab
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_nobody_whom_the_server_or_the_repository_points_at_gets_the_token(
    way: Way,
    server: Server,
    thief: Thief,
    tmp_path: Path,
    make_context: Callable[..., Context],
    capfd: pytest.CaptureFixture[str],
) -> None:
    url = f"{server.url}/{tmp_path.name}-m.git"
    server.repository(f"{tmp_path.name}-m.git")
    files = {path: content.replace("{thief}", thief.url) for path, content in way.files.items()}
    push(server, f"{tmp_path.name}-m.git", files or {"a.pt": "a" * 900}, lfs=way.lfs)
    server.faults += [way.fault(thief.url)] if way.fault else []
    fetch(make_context(run_of({"model": url})), "model", url)
    # git-lfs wants the credentials for some before it asks at all.
    led = thief.seen or f"could not read Username for '{thief.url}'" in capfd.readouterr().out
    assert led, "nothing was sent to the thief, so this case proves nothing"
    assert not any(thief.seen)


def test_a_source_on_another_server_does_not_get_the_token_of_the_first(
    server: Server, thief: Thief, make_context: Callable[..., Context]
) -> None:
    """Not even where it redirects to a server for which there is one: that would be for another repository."""
    shown: list[int] = []

    def note(real: Answer) -> Answer:
        shown.append(real.status)
        return real

    urls = {"model": f"{server.url}/m.git", "dataset": f"{thief.url}/d.git"}
    context = make_context(run_of(urls))
    server.faults.append(Fault("", note, authorized=True))
    fetch(context, "dataset", urls["dataset"])
    assert thief.seen
    thief.answer = redirect(f"{server.url}/{REFS}")
    fetch(context, "dataset", urls["dataset"])
    assert (any(thief.seen), shown) == (False, [])
    assert any(" /m.git/info/refs" in request for request in server.requests)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_an_object_store_s_redirect_is_not_followed(status: int, bucket: Bucket, thief: Thief, tmp_path: Path) -> None:
    for name, content in (("ID", ACCESS), ("KEY", SECRET)):
        (tmp_path / name).write_text(content)
    bucket.faults.append(Fault("/datasets", redirect(f"{thief.url}/datasets", status)))
    store = s3.Store("dataset", bucket.url, "datasets", "shapes", "", str(tmp_path), "ID", "KEY", "keys", "")
    with pytest.raises(RunnerError):
        s3.listing(store)
    assert (len(bucket.requests) > 0, thief.seen) == (True, [])


def run_of(urls: dict[str, str]) -> dict[str, Any]:
    """The settings' changes; the chart mounts a Secret for the first of the sources, on whose server nothing else lies."""
    sources = {name: {"type": "git", "repository": url, "revision": "main", "path": name} for name, url in urls.items()}
    changes: dict[str, Any] = {"sources": sources, "publish": {"type": "none", "modelName": "m", "maxBatchSize": 1}}
    if "dataset" in urls:
        changes["run.credentials.dataset"] = "dataset"
    return changes


def fetch(context: Context, name: str, url: str) -> None:
    """As prepare does; that it fails is no matter here."""
    git = Git(context)
    with contextlib.suppress(RunnerError):
        pinned = git.resolve(Remote(name, url), "main", context.folder)
        checkout.fetch(git, name, pinned, context.source_path(name), context.workspace.room)


ODD = {
    "a line break before it": f"\n{TOKEN}\n".encode(),
    "two lines": f"{TOKEN}\nsecond-s3cret-line\n".encode(),
    "two lines of Windows": f"{TOKEN}\r\nsecond-s3cret-line".encode(),
    "latin-1": f"{TOKEN}\xe9\n".encode("latin-1"),
    "a zero": f"{TOKEN}\0tail\n".encode(),
    "a byte order mark": f"\ufeff{TOKEN}\n".encode(),
    "utf-16": TOKEN.encode("utf-16"),
    "a terminal sequence": f"\x1b[31m{TOKEN}\n".encode(),
    "lines of git's own protocol": b"canary\nhost=127.0.0.9\nquit=1",
}


@pytest.mark.parametrize(
    ("key", "content"),
    [
        pytest.param(key, content, id=f"{key}-{name}", marks=[pytest.mark.lab] * (name not in few))
        for key, few in (("GIT_USER", ("latin-1",)), ("GIT_TOKEN", ("two lines", "a byte order mark", "utf-16")))
        for name, content in ODD.items()
    ],
)
def test_a_user_or_token_that_cannot_be_sent_is_refused_by_its_key_and_shown_nowhere(
    key: str, content: bytes, server: Server, secret: Path, make_home: Callable[..., Path], run: Callable[..., Ended]
) -> None:
    (secret / key).write_bytes(content)
    ended = run(make_home({"sources": {}, "publish.repository": f"{server.url}/m.git"}))
    shown = ended.log + json.dumps(ended.message)
    assert (ended.code, f"git.secretName git-credentials: {key} " in ended.last) == (20, True), ended.log
    assert not [word for word in ("canary", "s3cret", "Traceback") if word in shown]


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_newline_at_the_end_is_no_part_of_a_token(
    end: str, server: Server, secret: Path, tmp_path: Path, make_context: Callable[..., Context]
) -> None:
    server.repository(f"{tmp_path.name}.git")
    push(server, f"{tmp_path.name}.git", {"a": "a"})
    for key, value in (("GIT_USER", USER), ("GIT_TOKEN", TOKEN)):
        (secret / key).write_bytes(f"{value}{end}".encode())
    url = f"{server.url}/{tmp_path.name}.git"
    context = make_context(run_of({"model": url}))
    assert Git(context).resolve(Remote("model", url), "main", context.folder).commit


def test_a_secret_with_a_token_alone_is_enough(secret: Path, make_context: Callable[..., Context]) -> None:
    from runner import credential, verify

    (secret / "GIT_USER").unlink()
    context = make_context({})
    verify.check_mounts(context)
    settings = json.loads((context.home / "settings.json").read_text())
    told = credential.answer(settings, "model", str(secret), "", "https", "git.example.com")
    assert told == f"username=oauth2\npassword={TOKEN}\n"


@dataclass(frozen=True)
class Service:
    """A Secret of another service: the settings that mount it, the keys it needs, and the words for one that cannot be sent."""

    name: str
    section: str  # that names the Secret
    changes: dict[str, Any]
    words: dict[str, str]


SERVICES = [
    Service(
        "an object store",
        "dataset",
        {"sources": {"dataset": {
            "type": "s3", "path": "d", "endpoint": "https://s3.example.com", "bucket": "b",
            "secretName": "keys", "accessKeyKey": "ID", "secretKeyKey": "KEY",
        }}},
        {"ID": "dataset.secretName keys: ID ", "KEY": "dataset.secretName keys: KEY "},
    ),
    Service(
        "tracking by a token",
        "mlflow",
        {"sources": {}, "mlflow": {
            "trackingUri": "https://m.example.com", "experiment": "e", "secretName": "ml", "tokenKey": "T",
        }},
        {"T": "mlflow.secretName ml: T "},
    ),
    Service(
        "tracking by a password",
        "mlflow",
        {"sources": {}, "mlflow": {
            "trackingUri": "https://m.example.com", "experiment": "e", "secretName": "ml",
            "userKey": "U", "passwordKey": "P",
        }},
        {"U": "mlflow.secretName ml: U ", "P": "mlflow.secretName ml: P "},
    ),
]  # fmt: skip


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_so_are_the_keys_of_every_other_secret(
    service: Service, tmp_path: Path, make_context: Callable[..., Context]
) -> None:
    from runner import verify

    folder = tmp_path / "secrets" / service.section
    folder.mkdir()
    context = make_context(
        {**copy.deepcopy(service.changes), "publish": {"type": "none", "modelName": "m", "maxBatchSize": 1}}
    )
    for key, words in service.words.items():
        for other in service.words:
            (folder / other).write_text("good\n")
        verify.check_mounts(context)
        for content in ODD.values():
            (folder / key).write_bytes(content)
            with pytest.raises(RunnerError) as caught:
                verify.check_mounts(context)
            assert caught.value.exit.code == 20
            assert words in caught.value.reason
            assert "s3cret" not in caught.value.reason + caught.value.fix
        (folder / key).unlink()
        with pytest.raises(RunnerError, match=f"has no key {key}"):
            verify.check_mounts(context)
