"""A real git server with LFS (git-lfs's own test server) behind a proxy that asks for a password and can be told to misbehave."""

from __future__ import annotations

import atexit
import base64
import contextlib
import gzip
import http.client
import http.server
import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from tests.conftest import program

from .answers import Answer, Fault, answered

USER, TOKEN = "robot", "canary-s3cret-t0ken"


@dataclass
class Server:
    """`folder` holds the bare repositories; `url` asks for USER and TOKEN."""

    folder: Path
    url: str = ""
    answers: dict[str, int] = field(default_factory=dict)  # part of a request's path -> status to answer with
    faults: list[Fault] = field(default_factory=list)  # the first that hits a request decides its answer
    no_protocol_v2: bool = False
    signed_objects: bool = False  # an object's URL needs no password, as that of an object store
    requests: list[str] = field(default_factory=list)
    sent: dict[str, int] = field(default_factory=lambda: {"git": 0, "lfs": 0})  # bytes of bodies

    def repository(self, name: str) -> Path:
        """A new one, without a commit."""
        return Path(shutil.copytree(_empty_repository(), self.folder / name))


@cache
def _empty_repository() -> Path:
    """Copied for each test, for a copy takes no process."""
    path = Path(tempfile.mkdtemp(prefix="trainchart-tests-"))
    atexit.register(shutil.rmtree, path)
    git("init", "--quiet", "--bare", "--initial-branch=main", "--template=", str(path))
    (path / "hooks").mkdir()
    with (path / "config").open("a") as config:
        config.write("[http]\n\treceivepack = true\n[uploadpack]\n\tallowFilter = true\n[receive]\n\tautogc = false\n")
    return path


def git(*arguments: str, cwd: Path | None = None) -> str:
    """Git as a user of the tests' servers, with LFS and the right password."""
    header = base64.b64encode(f"{USER}:{TOKEN}".encode()).decode()
    config = {
        "user.name": "tester", "user.email": "tester@example.invalid", "http.extraHeader": f"Authorization: Basic {header}", "init.defaultBranch": "main",
        "filter.lfs.process": "git-lfs filter-process", "filter.lfs.required": "true", "lfs.locksverify": "false",
        "maintenance.auto": "false", "core.hooksPath": os.devnull,
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
    done = subprocess.run(
        ["git", *arguments], cwd=cwd, env=environment, capture_output=True, text=True, errors="replace"
    )
    assert done.returncode == 0, f"git {arguments}: {done.stderr}"
    return done.stdout.strip()


def push(
    server: Server, name: str, files: dict[str, str], branch: str = "main", lfs: str = "", message: str = "files"
) -> str:
    """Commit `files` on top of a branch (made when it does not exist), and push their LFS objects. Returns the commit.

    Only the objects go through the server: the commit is made in the repository itself, without a clone of it.
    """
    repository, work = server.folder / name, server.folder.parent / "work" / f"{name}-{branch.replace('/', '_')}"
    if not work.exists():
        (work / ".git").mkdir(parents=True)
        for shared in ("objects", "refs"):
            (work / ".git" / shared).symlink_to(repository / shared)
        (work / ".git" / "HEAD").write_text(f"ref: refs/heads/{branch}\n")
        (work / ".git" / "config").write_text(f'[remote "origin"]\n\turl = {server.url}/{name}\n')
    if lfs:
        (work / ".gitattributes").write_text(f"{lfs} filter=lfs diff=lfs merge=lfs -text\n")
    for path, content in files.items():
        (work / path).parent.mkdir(parents=True, exist_ok=True)
        (work / path).write_text(content)
    git("add", "--all", cwd=work)
    git("commit", "--quiet", "--allow-empty", "-m", message, cwd=work)
    if lfs:
        stored = [path.name for path in (work / ".git" / "lfs" / "objects").rglob("*") if path.is_file()]
        if stored:
            git("lfs", "push", "--object-id", "origin", *stored, cwd=work)
    return (repository / "refs" / "heads" / branch).read_text().strip()


@contextlib.contextmanager
def serving(base: Path) -> Iterator[Server]:
    """Both servers, with their repositories below `base`, until the end of the block."""
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
        proxy.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients that hang up are part of the game
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        server.url = f"http://127.0.0.1:{proxy.server_port}"
        yield server
        proxy.shutdown()
    finally:
        process.kill()
        process.wait()


def make_handler(server: Server, upstream: str) -> type:
    wanted = "Basic " + base64.b64encode(f"{USER}:{TOKEN}".encode()).decode()
    inner = "Basic " + base64.b64encode(b"user:pass").decode()  # what lfstest-gitserver accepts

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def handle_any(self) -> None:
            line = f"{self.command} {self.path}"
            server.requests.append(line)
            body = self.body()
            answer = answered(
                server.faults, line, self.headers.get("Authorization"), lambda: self.honest(line, body), body
            )
            server.sent["lfs" if self.is_lfs() else "git"] += len(answer.content)
            answer.send(self)

        def honest(self, line: str, body: bytes) -> Answer:
            status = next((code for part, code in server.answers.items() if part in line), 0)
            if status:
                return Answer(status, {}, b"told to fail")
            signed = server.signed_objects and self.path.startswith("/storage/")
            if self.headers.get("Authorization") != wanted and not signed:
                asks = 'Basic realm="tests"'
                return Answer(401, {"WWW-Authenticate": asks, "Lfs-Authenticate": asks})
            return self.lfs(body) if self.is_lfs() else self.git(body)

        def lfs(self, body: bytes) -> Answer:
            headers = {key: value for key, value in self.headers.items() if key.lower() in ("accept", "content-type")}
            connection = http.client.HTTPConnection(upstream[len("http://") :])
            connection.request(self.command, self.path, body, {**headers, "Authorization": inner})
            answer = connection.getresponse()
            # Objects come and go through here too, where they are counted.
            content = answer.read().replace(upstream.encode(), server.url.encode())
            kept = {key: value for key, value in answer.getheaders() if key.lower() == "content-type"}
            return Answer(answer.status, kept, content)

        def git(self, body: bytes) -> Answer:
            """lfstest-gitserver itself ends when git http-backend fails, as it does for a commit that does not exist."""
            path, _, query = self.path.partition("?")
            environment = {
                "PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": str(server.folder), "GIT_HTTP_EXPORT_ALL": "", "PATH_INFO": path, "QUERY_STRING": query,
                "REQUEST_METHOD": self.command, "CONTENT_TYPE": self.headers.get("Content-Type", ""), "CONTENT_LENGTH": str(len(body)),
                "GIT_PROTOCOL": "" if server.no_protocol_v2 else self.headers.get("Git-Protocol", ""), "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull,
            }  # fmt: skip
            done = subprocess.run(["git", "http-backend"], input=body, env=environment, capture_output=True)
            head, _, content = done.stdout.partition(b"\r\n\r\n")
            headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
            return Answer(int(headers.pop("Status", "200").split()[0]), headers, content)

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

        def is_lfs(self) -> bool:
            return "/info/lfs" in self.path or self.path.startswith("/storage/")

        do_GET = do_POST = do_PUT = do_DELETE = handle_any  # noqa: N815

    return Handler
