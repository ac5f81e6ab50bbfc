"""What a git or LFS server may answer, from the first look at a source to the pushed result."""

from __future__ import annotations

import copy
import http.server
import re
import shutil
import ssl
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from features.push import BranchPublisher
from runner import checkout, prepare, verify
from runner.context import Context, Pinned
from runner.errors import RunnerError
from runner.git import Git
from runner.remote import Remote

from .answers import Answer, Fault, corrupted, half, login_page, redirect, reset, slow, stalled, truncated
from .conftest import Case, table
from .git_server import Server, git, push, serving
from .test_repositories import POINTER

JSON = {"Content-Type": "application/vnd.git-lfs+json"}


def refs(answer: Answer | Callable[[Answer], Answer], times: int = 1 << 30) -> Fault:
    """Of the dataset's repository, the first that is asked for it."""
    return Fault("data.git/info/refs", answer, times)


def pack(answer: Answer | Callable[[Answer], Answer], times: int = 1 << 30) -> Fault:
    return Fault("data.git/git-upload-pack", answer, times, authorized=True, body=b"command=fetch")


def batch(answer: Answer | Callable[[Answer], Answer], times: int = 1 << 30) -> Fault:
    return Fault("data.git/info/lfs/objects/batch", answer, times)


def object_(answer: Answer | Callable[[Answer], Answer], times: int = 1 << 30) -> Fault:
    return Fault("GET /storage/", answer, times)


ELSEWHERE = "http://127.0.0.1:9/other"

CASES = [
    Case("an honest server", Fault("nothing", Answer(500)), 0),
    # The refs of the dataset
    Case("503 once", refs(Answer(503), 1), 0, retried=True),
    Case("500 always", refs(Answer(500)), 31, ("cannot be reached", "error: 500"), retried=True),
    Case("429 once", refs(Answer(429, {"Retry-After": "1"}), 1), 0, retried=True),
    Case("429 always", refs(Answer(429)), 31, "limits the rate of requests", retried=True),
    Case("400", refs(Answer(400)), 30, ("rejects the request", "scheme, port and path of dataset.repository")),
    Case("403", refs(Answer(403)), 30, ("access denied", "git.secretName git-credentials to read this repository")),
    Case("404", refs(Answer(404)), 30, "the repository does not exist"),
    Case("407", refs(Answer(407)), 30, ("the proxy requires credentials", "proxy.noProxy")),
    Case("413", refs(Answer(413)), 30, "not accept requests of this size"),
    Case("a login page", refs(login_page()), 30, ("a web page", "check that dataset.repository")),
    Case("a login page of git's type", refs(login_page(type_="application/x-git-upload-pack-advertisement")), 30, "a web page"),
    Case("nothing at all", refs(Answer(200, {"Content-Type": "application/x-git-upload-pack-advertisement"})), 31, "hung up", retried=True),
    Case("a redirect to a login page", refs(redirect("/login")), 30, ("redirects to another address", "/login", "set dataset.repository")),
    Case("a redirect in a circle", refs(redirect("/data.git/info/refs?service=git-upload-pack")), 30, "another address"),
    Case("a redirect to a host that is down", refs(redirect(f"{ELSEWHERE}/info/refs?service=git-upload-pack")), 31, "127.0.0.1 port 9", retried=True),
    # The commit
    Case("a pack that is cut, once", pack(half, 1), 0, retried=True),
    Case("a pack that is cut, always", pack(half), 31, retried=True),
    Case("a pack that is too short", pack(truncated), 31, retried=True),
    Case("a pack with other bytes", pack(corrupted), 31, retried=True),
    Case("a reset in the middle of a pack, once", pack(reset, 1), 0, retried=True),
    Case("a login page instead of a pack", pack(login_page()), 30, "a web page"),
    # LFS
    Case("LFS 500 once", batch(Answer(500), 1), 0, retried=True),
    Case("LFS 403", batch(Answer(403)), 30, "denies access"),
    Case("LFS 400", batch(Answer(400)), 30, "rejects the request"),
    Case("LFS 404", batch(Answer(404)), 30, "Git LFS is disabled for it"),
    Case("LFS 407", batch(Answer(407)), 30, "the proxy requires credentials"),
    Case("LFS 413", batch(Answer(413)), 30, "not accept requests of this size"),
    Case("LFS 429 once, with the time to wait", batch(Answer(429, {"Retry-After": "1"}), 1), 0),
    Case("LFS 429 always", batch(Answer(429, {"Retry-After": "1"})), 31, "limits the rate of requests", retried=True, slow=True),
    Case("LFS 429 with a day to wait", batch(Answer(429, {"Retry-After": "86400"})), 31, "limits the rate of requests", retried=True, slow=True),
    Case("LFS 507", batch(Answer(507)), 31, "the server has no space left", retried=True),
    Case("LFS with a login page", batch(login_page()), 30, "a web page"),
    Case("LFS with an empty answer", batch(Answer(200, JSON, b"{}")), 31, "no progress", retried=True, slow=True),
    Case("LFS with objects that are null", batch(Answer(200, JSON, b'{"objects": [null]}')), 31, retried=True),
    Case("LFS with other bytes than JSON", batch(Answer(200, JSON, b"\xff\xfe")), 31, "Unable to parse", retried=True),
    Case("LFS that leads to a host that is down", batch(redirect(ELSEWHERE, 307)), 31, "127.0.0.1:9, reached by a redirect", retried=True),
    Case("an object that is cut, once", object_(half, 1), 0),
    Case("an object with other bytes, once", object_(corrupted, 1), 0),
    Case("an object with other bytes, always", object_(corrupted), 31, ("incomplete or corrupted", "expected OID", "git lfs push"), retried=True),
    Case("an object that is too short", object_(truncated), 31, "incomplete or corrupted", retried=True),
    Case("a login page instead of an object", object_(login_page()), 31, "incomplete or corrupted", retried=True),
    Case("an object that may not be read", object_(Answer(403)), 30, "access denied"),
    Case("an object that is gone", object_(Answer(404)), 30, "lacks LFS objects"),
    Case("an object that fails", object_(Answer(500)), 31, "cannot be reached", retried=True),
    Case("an object that comes slowly", object_(slow(0.2)), 0, slow=True),
    Case("an object that stops coming", object_(stalled(30)), 31, "no progress", retried=True, slow=True),
    # The result
    Case("a login page where the result is to go", Fault("out.git", login_page()), 60, "a web page"),
    Case("413 for the result", Fault("POST /", Answer(413), body=b"PACK"), 60, ("not accept requests", "client_max_body_size")),
    Case("400 for the result", Fault("POST /", Answer(400), body=b"PACK"), 60, ("rejects the request", "HTTP 400")),
    Case("LFS 413 for the result", Fault("PUT /storage/", Answer(413)), 60, "not accept requests of this size"),
    Case("LFS 507 for the result", Fault("PUT /storage/", Answer(507)), 61, "the server has no space left", retried=True),
    Case("LFS cut off for the result, once", Fault("PUT /storage/", reset, 1), 0),
]  # fmt: skip


@pytest.mark.lab
@table(CASES)
def test_a_server_that_misbehaves(
    case: Case,
    server: Server,
    tmp_path: Path,
    make_context: Callable[..., Context],
    capsys: pytest.CaptureFixture[str],
) -> None:
    context = whole_run(server, tmp_path, make_context, {"git.stallSeconds": 5})
    server.faults += copy.deepcopy(case.faults)
    case.check(lambda: attempt(context), capsys)


def whole_run(
    server: Server, tmp_path: Path, make_context: Callable[..., Context], changes: dict[str, Any] | None = None
) -> Context:
    """Repositories of a model, of data in LFS, and of the result, and a run that uses them."""
    urls = {name: f"{server.url}/{tmp_path.name}-{name}.git" for name in ("model", "data", "out")}
    for url in urls.values():
        server.repository(url.rpartition("/")[2])
    push(server, f"{tmp_path.name}-model.git", {"train.py": "pass"})
    push(server, f"{tmp_path.name}-data.git", {"big.bin": "data " * 4000}, lfs="*.bin")
    sources = {
        name: {"type": "git", "repository": url, "revision": "main", "path": name}
        for name, url in (("model", urls["model"]), ("dataset", urls["data"]))
    }
    return make_context(
        {"sources": sources, "publish.repository": urls["out"], "publish.branch": "result", **(changes or {})}
    )


def attempt(context: Context) -> None:
    """All of a run that speaks to the servers."""
    family: Any = SimpleNamespace(probe=lambda *_: {}, has=lambda hook: False)
    publisher = BranchPublisher(context)
    publisher.find_published()
    prepare.prepare(context, family, publisher.check_push_access)
    assert (context.dataset / "big.bin").read_text() == "data " * 4000
    context.artifacts.mkdir(exist_ok=True)
    (context.artifacts / "model.pt").write_text("weights " * 1000)
    publisher.publish(family)


@pytest.mark.parametrize(
    ("words", "revision"),
    [
        ("ERR want {} not valid", "main"),
        pytest.param("ERR want {} not valid", "", marks=pytest.mark.lab),
        pytest.param("", "main", marks=pytest.mark.lab),
        pytest.param("", "", marks=pytest.mark.lab),
        pytest.param("", "gone", marks=pytest.mark.lab),
    ],
)
def test_a_server_that_gives_no_commit_by_its_hash_is_asked_for_its_branches(
    words: str, revision: str, server: Server, tmp_path: Path, make_context: Callable[..., Context]
) -> None:
    """As JGit does (Gerrit, and others), in its words, once a branch has moved on from what the run has pinned; and git itself
    by its old protocol. Without a revision the values name the commit; the branch may be gone.
    """
    context = whole_run(server, tmp_path, make_context)
    url = context.settings.sources["model"].repository
    pinned = git("-C", str(server.folder / f"{tmp_path.name}-model.git"), "rev-parse", "main")
    for number in range(3):
        push(server, f"{tmp_path.name}-model.git", {"train.py": f"{number}"})
    server.no_protocol_v2 = not words
    if words:
        said = words.format(pinned)
        refusal = Answer(
            200, {"Content-Type": "application/x-git-upload-pack-result"}, f"{len(said) + 4:04x}{said}".encode()
        )
        server.faults.append(Fault("git-upload-pack", refusal, body=f"want {pinned}".encode()))
    source = Pinned(url, revision or pinned, pinned)
    checkout.fetch(Git(context), "model", source, context.model, context.workspace.room)
    assert (context.model / "train.py").read_text() == "pass"


def test_an_lfs_server_that_the_repository_names_is_named_when_it_fails(
    server: Server, tmp_path: Path, make_context: Callable[..., Context]
) -> None:
    context = whole_run(server, tmp_path, make_context)
    name = f"{tmp_path.name}-model.git"
    files = {".lfsconfig": "[lfs]\n\turl = http://localhost:9/elsewhere\n", "a.pt": POINTER}
    commit = push(server, name, files)
    with pytest.raises(RunnerError) as caught:
        checkout.fetch(
            Git(context), "model", Pinned(f"{server.url}/{name}", "main", commit), context.model, context.workspace.room
        )
    assert caught.value.exit.name == "prepare-unreachable"
    assert "localhost:9, reached by a redirect, a proxy or the repository's .lfsconfig" in caught.value.reason


@pytest.mark.lab
@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (None, "requires credentials, and none are configured for it"),
        (Answer(403), "its LFS storage denies access"),
        (Answer(404), "Git LFS is disabled for it, or the credentials have no access to it"),
    ],
)
def test_another_lfs_server_that_wants_credentials_was_sent_none(
    answer: Answer | None, words: str, server: Server, tmp_path: Path, make_context: Callable[..., Context]
) -> None:
    context = whole_run(server, tmp_path, make_context)
    name = f"{tmp_path.name}-model.git"
    (tmp_path / "other").mkdir()
    with serving(tmp_path / "other") as other:
        other.faults += [Fault("/", answer)] if answer else []
        url = f"{other.url}/x.git/info/lfs"
        commit = push(server, name, {".lfsconfig": f"[lfs]\n\turl = {url}\n", "a.pt": POINTER})
        pinned = Pinned(f"{server.url}/{name}", "main", commit)
        with pytest.raises(RunnerError) as caught:
            checkout.fetch(Git(context), "model", pinned, context.model, context.workspace.room)
    assert f"{words} ({other.url[7:]}, reached by" in caught.value.reason
    assert (
        "has credentials for model.repository only; for LFS data on another server set model.lfs.url"
        in caught.value.fix
    )


@pytest.mark.lab
def test_another_lfs_server_has_credentials_of_its_own_and_an_lfsconfig_cannot_lead_elsewhere(
    server: Server, secret: Path, tmp_path: Path, make_context: Callable[..., Context]
) -> None:
    context = whole_run(server, tmp_path, make_context)
    name, content = f"{tmp_path.name}-model.git", "data " * 4000
    own = secret.parent / "model-lfs"
    shutil.copytree(secret, own)
    (tmp_path / "other").mkdir()
    with serving(tmp_path / "other") as other:
        other.repository(name)
        push(other, name, {"a.pt": content}, lfs="*.pt")
        pointer = git("cat-file", "blob", "main:a.pt", cwd=other.folder / name) + "\n"
        files = {".lfsconfig": f"[lfs]\n\turl = {ELSEWHERE}\n", "a.pt": pointer}
        pinned = Pinned(f"{server.url}/{name}", "main", push(server, name, files))

        def fetch(**lfs: str) -> Path:
            given = {"model": {"repository": pinned.repository, "lfs": {"url": f"{other.url}/{name}/info/lfs", **lfs}}}
            context = make_context({"sources": given, "publish": {"type": "none"}})
            verify.check_secrets(context)
            checkout.fetch(Git(context), "model", pinned, context.model, context.workspace.room)
            return context.model

        with pytest.raises(RunnerError, match=r"access needs credentials|none are configured") as caught:
            fetch()
        assert "set model.lfs.secretName to a Secret with user and token" in caught.value.fix
        (own / "GIT_TOKEN").write_text("another")
        with pytest.raises(RunnerError, match=r"refused the credentials of model.lfs.secretName lfs-key"):
            fetch(secretName="lfs-key")
        (own / "GIT_TOKEN").unlink()
        with pytest.raises(RunnerError, match=r"git.tokenKey: the secret lfs-key has no key GIT_TOKEN"):
            fetch(secretName="lfs-key")
        shutil.copy(secret / "GIT_TOKEN", own)
        assert (fetch(secretName="lfs-key") / "a.pt").read_text() == content
    assert not context.settings.lfs("model").url


@pytest.mark.parametrize(
    ("names", "days", "words"),
    [
        ("127.0.0.1", 2, "set caBundle to the CA"),  # signed by itself
        ("127.0.0.2", 2, "use the name in the certificate"),
        ("127.0.0.1", -1, "has expired|valid now"),  # GnuTLS says no more than that it is not valid
    ],
)
def test_a_certificate_says_what_is_wrong_with_it(
    names: str, days: int, words: str, tmp_path: Path, make_context: Callable[..., Context]
) -> None:
    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "key"]
    (tmp_path / "names").write_text(f"subjectAltName=IP:{names}")
    for command in (
        ["req", "-new", *new_key, "-subj", "/CN=x", "-out", "csr"],
        ["x509", "-req", "-in", "csr", "-signkey", "key", "-days", str(days), "-extfile", "names", "-out", "crt"],
    ):
        subprocess.run(["openssl", *command], cwd=tmp_path, capture_output=True, check=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "crt", tmp_path / "key")
    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    httpd.handle_error = lambda *_: None  # type: ignore[method-assign]
    httpd.socket = tls.wrap_socket(httpd.socket, server_side=True)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    trusted = words != "set caBundle to the CA"
    context = make_context({"caBundle.configMapName": "ca" if trusted else ""})
    if trusted:
        Path(context.settings.ca_file).parent.mkdir()
        shutil.copy(tmp_path / "crt", context.settings.ca_file)
    with pytest.raises(RunnerError) as caught:
        Git(context).refs(Remote("model", f"https://127.0.0.1:{httpd.server_port}/x.git"), tmp_path)
    httpd.shutdown()
    assert caught.value.exit.name == "prepare-failed"
    assert re.search(words, f"{caught.value.reason} {caught.value.fix}")


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [(407, "prepare-failed", "requires credentials"), (403, "prepare-failed", "through to this host"), (502, "prepare-unreachable", "HTTPS_PROXY")],
)  # fmt: skip
def test_a_proxy_is_told_from_the_server(
    status: int, code: str, words: str, tmp_path: Path, make_context: Callable[..., Context], monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    class Proxy(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def do_CONNECT(self) -> None:
            Answer(status).send(self)

    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{httpd.server_port}")
    with pytest.raises(RunnerError) as caught:
        Git(make_context({})).refs(Remote("model", "https://git.example.invalid/x.git"), tmp_path)
    httpd.shutdown()
    assert caught.value.exit.name == code
    assert words in f"{caught.value.reason} {caught.value.fix}"


def test_a_server_without_credentials_configured_says_so(
    server: Server, tmp_path: Path, make_context: Callable[..., Context]
) -> None:
    """The Secret of the run is for the server of its own repositories, which is another."""
    context = make_context({})
    remote = Remote("model", f"{server.url}/x.git")
    with pytest.raises(RunnerError) as caught:
        Git(context).refs(remote, tmp_path)
    assert "the server requires credentials, and none are configured for it" in caught.value.reason
