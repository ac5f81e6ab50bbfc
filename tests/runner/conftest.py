"""A real git server with LFS (git-lfs's own test server) behind a proxy that asks for a password and can be told to fail."""

from __future__ import annotations

import base64
import gzip
import http.client
import http.server
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from runner import git as runner_git
from runner import settings as runner_settings
from runner.context import Context
from tests.conftest import program

FILES = Path(__file__).parents[2] / "charts" / "train" / "charts" / "lib" / "files"
USER, TOKEN = "robot", "canary-s3cret-t0ken"
UID = "0a1b2c3d-1111-2222-3333-444455556666"


@dataclass
class Server:
    """`folder` holds the bare repositories; `url` asks for USER and TOKEN."""

    folder: Path
    url: str = ""
    answers: dict[str, int] = field(default_factory=dict)  # part of a request's path -> status to answer with
    no_protocol_v2: bool = False
    requests: list[str] = field(default_factory=list)
    sent: dict[str, int] = field(default_factory=lambda: {"git": 0, "lfs": 0})  # bytes of bodies

    def repository(self, name: str) -> Path:
        path = self.folder / name
        git("init", "--quiet", "--bare", "--initial-branch=main", str(path))
        git("-C", str(path), "config", "http.receivepack", "true")
        git("-C", str(path), "config", "uploadpack.allowFilter", "true")
        return path


def git(*arguments: str, cwd: Path | None = None) -> str:
    """Git as a user of the tests' servers, with LFS and the right password."""
    header = base64.b64encode(f"{USER}:{TOKEN}".encode()).decode()
    config = {
        "user.name": "tester", "user.email": "tester@example.invalid", "http.extraHeader": f"Authorization: Basic {header}", "init.defaultBranch": "main",
        "filter.lfs.clean": "git-lfs clean -- %f", "filter.lfs.smudge": "git-lfs smudge -- %f", "filter.lfs.required": "true", "lfs.locksverify": "false",
    }  # fmt: skip
    environment = {
        **os.environ,
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CONFIG_COUNT": str(len(config)),
    }
    for index, (key, value) in enumerate(config.items()):
        environment.update({f"GIT_CONFIG_KEY_{index}": key, f"GIT_CONFIG_VALUE_{index}": value})
    done = subprocess.run(["git", *arguments], cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"git {arguments}: {done.stderr}"
    return done.stdout.strip()


def push(
    server: Server, name: str, files: dict[str, str], branch: str = "main", lfs: str = "", message: str = "files"
) -> str:
    """Commit `files` on top of a branch (made when it is not there) and push it, with its LFS objects. Returns the commit."""
    work = server.folder.parent / "work" / f"{name}-{branch.replace('/', '_')}"
    if not work.exists():
        work.mkdir(parents=True)
        git("init", "--quiet", cwd=work)
        git("symbolic-ref", "HEAD", f"refs/heads/{branch}", cwd=work)
        git("remote", "add", "origin", f"{server.url}/{name}", cwd=work)
    if lfs:
        (work / ".gitattributes").write_text(f"{lfs} filter=lfs diff=lfs merge=lfs -text\n")
    for path, content in files.items():
        (work / path).parent.mkdir(parents=True, exist_ok=True)
        (work / path).write_text(content)
    git("add", "--all", cwd=work)
    git("commit", "--quiet", "--allow-empty", "-m", message, cwd=work)
    if lfs:
        git("lfs", "push", "origin", branch, cwd=work)
    git("push", "--quiet", "origin", f"HEAD:refs/heads/{branch}", cwd=work)
    return git("rev-parse", "HEAD", cwd=work)


@pytest.fixture(scope="session", autouse=True)
def tools() -> Iterator[None]:
    """git-lfs on PATH for this process and the runner's."""
    before = os.environ["PATH"]
    os.environ["PATH"] = os.pathsep.join([str(Path(program("git-lfs")).parent), before])
    yield
    os.environ["PATH"] = before


@pytest.fixture(scope="session")
def lfs_server(tmp_path_factory: pytest.TempPathFactory, tools: None) -> Iterator[Server]:
    base = tmp_path_factory.mktemp("server")
    server = Server(base / "repositories")
    server.folder.mkdir()
    names = ("URL", "SSL_URL", "CLIENT_CERT_URL", "CERT", "CLIENT_CERT", "CLIENT_KEY", "CLIENT_KEY_ENCRYPTED")
    environment = {
        **os.environ,
        "LFSTEST_DIR": str(server.folder),
        **{f"LFSTEST_{name}": str(base / name) for name in names},
    }
    with (base / "log").open("w") as log:
        process = subprocess.Popen([program("lfstest-gitserver")], env=environment, stdout=log, stderr=log, cwd=base)
    try:
        until = time.monotonic() + 20
        while not (base / "CLIENT_KEY_ENCRYPTED").exists():
            assert process.poll() is None, (base / "log").read_text()
            assert time.monotonic() < until, "lfstest-gitserver did not start"
            time.sleep(0.02)
        upstream = (base / "URL").read_text().strip()
        proxy = http.server.ThreadingHTTPServer(("127.0.0.1", 0), make_handler(server, upstream))
        proxy.daemon_threads = True
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        server.url = f"http://127.0.0.1:{proxy.server_port}"
        yield server
        proxy.shutdown()
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def server(lfs_server: Server) -> Server:
    lfs_server.answers.clear()
    lfs_server.requests.clear()
    lfs_server.no_protocol_v2 = False
    return lfs_server


def make_handler(server: Server, upstream: str) -> type:
    wanted = "Basic " + base64.b64encode(f"{USER}:{TOKEN}".encode()).decode()
    inner = "Basic " + base64.b64encode(b"user:pass").decode()  # what lfstest-gitserver accepts

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def handle_any(self) -> None:
            server.requests.append(f"{self.command} {self.path}")
            body = self.body()
            status = next((code for part, code in server.answers.items() if part in f"{self.command} {self.path}"), 0)
            if status:
                return self.answer(status, {}, b"told to fail")
            if self.headers.get("Authorization") != wanted:
                return self.answer(
                    401, {"WWW-Authenticate": 'Basic realm="tests"', "Lfs-Authenticate": 'Basic realm="tests"'}, b""
                )
            if not self.is_lfs():
                return self.answer(*self.git_backend(body))
            headers = {key: value for key, value in self.headers.items() if key.lower() in ("accept", "content-type")}
            connection = http.client.HTTPConnection(upstream[len("http://") :])
            connection.request(self.command, self.path, body, {**headers, "Authorization": inner})
            answer = connection.getresponse()
            # Objects come and go through here too, where they are counted.
            content = answer.read().replace(upstream.encode(), server.url.encode())
            self.answer(
                answer.status,
                {key: value for key, value in answer.getheaders() if key.lower() == "content-type"},
                content,
            )
            return None

        def git_backend(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
            """lfstest-gitserver itself ends when git http-backend fails, as it does for a commit that is not there."""
            path, _, query = self.path.partition("?")
            environment = {
                "PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": str(server.folder), "GIT_HTTP_EXPORT_ALL": "", "PATH_INFO": path, "QUERY_STRING": query,
                "REQUEST_METHOD": self.command, "CONTENT_TYPE": self.headers.get("Content-Type", ""), "CONTENT_LENGTH": str(len(body)),
                "GIT_PROTOCOL": "" if server.no_protocol_v2 else self.headers.get("Git-Protocol", ""), "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull,
            }  # fmt: skip
            done = subprocess.run(["git", "http-backend"], input=body, env=environment, capture_output=True)
            head, _, content = done.stdout.partition(b"\r\n\r\n")
            headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
            return int(headers.pop("Status", "200").split()[0]), headers, content

        def body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") == "chunked":
                parts = []
                while size := int(self.rfile.readline(), 16):
                    parts.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                data = b"".join(parts)
            else:
                data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            return gzip.decompress(data) if self.headers.get("Content-Encoding") == "gzip" else data

        def answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
            server.sent["lfs" if self.is_lfs() else "git"] += len(content)

        def is_lfs(self) -> bool:
            return "/info/lfs" in self.path or self.path.startswith("/storage/")

        do_GET = do_POST = do_PUT = do_DELETE = handle_any  # noqa: N815

    return Handler


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    folder = tmp_path / "secret"
    folder.mkdir()
    (folder / "GIT_USER").write_text(USER + "\n")
    (folder / "GIT_TOKEN").write_text(TOKEN + "\n")
    return folder


def sample_settings() -> dict[str, Any]:
    """The example of docs/runner.md, so that the two cannot drift apart."""
    text = (FILES.parents[4] / "docs" / "runner.md").read_text(encoding="utf-8")
    sample: dict[str, Any] = json.loads(text.split("## Settings", 1)[1].split("```json", 1)[1].split("```", 1)[0])
    return sample


@pytest.fixture
def make_home(tmp_path: Path, secret: Path) -> Callable[..., Path]:
    """/trainchart of one run: the real runner, a family, and settings with the given changes (`"git.caBundle": "..."`)."""

    def make(changes: dict[str, Any], family: Path | None = None, name: str = "home") -> Path:
        settings = sample_settings()
        settings["workspace"].update(path=str(tmp_path / "workspace"))
        settings["git"].update(credentials=str(secret), caBundle="", allowPlainHttp=True)
        settings["sharedMemoryBytes"] = 0
        settings["family"].update(features=[], libraries=[])  # the tests' families train without a framework
        for key, value in changes.items():
            *path, last = key.split(".")
            target = settings
            for part in path:
                target = target[part]
            target[last] = value
        home = tmp_path / name
        home.mkdir(exist_ok=True)
        for link, target_path in (
            ("runner", FILES / "runner"),
            ("features", FILES / "features"),
            ("family", family or FILES / "families" / "yolov5"),
        ):
            if not (home / link).is_symlink():
                (home / link).symlink_to(target_path)
        (home / "settings.json").write_text(json.dumps(settings))
        return home

    return make


@pytest.fixture
def make_context(make_home: Callable[..., Path], tmp_path: Path) -> Callable[..., Context]:
    def make(changes: dict[str, Any], **environment: str) -> Context:
        home = make_home(changes)
        context = Context.create(
            runner_settings.load(home / "settings.json"), home, {"JOB_GROUP": f"run-42-{UID}", **environment}
        )
        context.workspace.create()
        return context

    return make


@pytest.fixture(autouse=True)
def short_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner_git, "RETRY_SECONDS", (0.01,))


@dataclass
class Ended:
    code: int
    log: str
    message: dict[str, Any]

    @property
    def last(self) -> str:
        return self.log.rstrip().splitlines()[-1]

    def events(self, name: str) -> list[str]:
        return [line for line in self.log.splitlines() if line.startswith("trainchart ") and f" event={name}" in line]


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """`python -m runner` as the container starts it."""

    def go(home: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        keep = {key: os.environ[key] for key in ("PATH", "LANG") if key in os.environ}
        defaults = {
            "HOME": str(tmp_path / "home-folder"), "TERMINATION_LOG": str(tmp_path / "termination-log"), "JOB_GROUP": f"run-42-{UID}", "JOB_ATTEMPT": "0",
            "VC_TASK_INDEX": "0", "PYTHONDONTWRITEBYTECODE": "1",
        }  # fmt: skip
        command = [sys.executable, "-m", "runner", *arguments]
        return subprocess.Popen(
            command,
            cwd=home,
            env={**keep, **defaults, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    return go


@pytest.fixture
def run(start: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> Callable[..., Ended]:
    def go(home: Path, *arguments: str, **environment: str) -> Ended:
        process = start(home, *arguments, **environment)
        return finish(process, tmp_path / "termination-log")

    return go


def finish(process: subprocess.Popen[str], message: Path) -> Ended:
    output, _ = process.communicate(timeout=60)
    return Ended(process.returncode, output, json.loads(message.read_text()) if message.exists() else {})
