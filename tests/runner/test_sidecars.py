"""`sidecars: allow`: the sidecars of a mesh that are ordinary containers are ended with the run, however it ends."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from features import sidecars
from tests.conftest import rows

from .conftest import FILES
from .test_init import PENDING, ended, home, runner_of, started

__all__ = ["home", "started"]


class Sidecar(BaseHTTPRequestHandler):
    status = 200
    asked: list[str]

    def do_POST(self) -> None:
        self.asked.append(f"{self.command} {self.path}")
        self.send_response(self.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def sidecar(status: int = 200) -> Iterator[tuple[int, list[str]]]:
    """The port of a sidecar, and what it is asked."""
    asked: list[str] = []
    handler = type("Handler", (Sidecar,), {"status": status, "asked": asked})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port, asked
        server.shutdown()


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def test_only_the_sidecar_that_is_there_is_ended(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with sidecar() as (port, asked):
        endpoints = (("Istio", closed_port(), "/quitquitquit"), ("Linkerd", port, "/shutdown"))
        monkeypatch.setattr(sidecars, "ENDPOINTS", endpoints)
        sidecars.end()
    assert asked == ["POST /shutdown"]
    (line,) = capsys.readouterr().out.splitlines()
    assert line.endswith("event=sidecar mesh=Linkerd ended=true")


def test_a_sidecar_that_does_not_end_is_named_with_the_fix(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with sidecar(404) as (port, _), socket.create_server(("127.0.0.1", 0)) as silent:
        endpoints = (("Linkerd", port, "/shutdown"), ("Istio", silent.getsockname()[1], "/quitquitquit"))
        monkeypatch.setattr(sidecars, "ENDPOINTS", endpoints)
        monkeypatch.setattr(sidecars, "SECONDS", 0.1)
        sidecars.end()
    refused, unanswered = capsys.readouterr().out.splitlines()
    assert "event=warning" in refused
    assert f"sidecar of Linkerd may keep the pod running: POST /shutdown to port {port} failed: HTTP 404" in refused
    assert "sidecar of Istio may keep the pod running" in unanswered
    assert all("sidecars: disable" in line for line in (refused, unanswered))


@pytest.fixture
def meshed(home: Callable[[str], Path]) -> Iterator[tuple[Callable[[str], Path], list[str]]]:
    """/trainchart with the feature, whose sidecar listens on a port of the test's own; and what that is asked."""
    with sidecar() as (port, asked):

        def make(train: str) -> Path:
            made = home(train)
            (made / "features/sidecars").mkdir()
            program = (FILES / "features/sidecars/__init__.py").read_text()
            assert "15020" in program
            (made / "features/sidecars/__init__.py").write_text(program.replace("15020", str(port)))
            return made

        yield make, asked


@pytest.mark.parametrize("code", rows([0, 40], 40))
def test_sidecars_end_with_a_run_and_leave_its_exit_code(
    code: int, meshed: Any, started: Callable[..., Any], tmp_path: Path
) -> None:
    make, asked = meshed
    train = f"import pathlib; pathlib.Path('../output/left').touch(); raise SystemExit({code})"
    run = ended(started(make(train)), tmp_path)
    assert (run.code, asked) == (code, ["POST /quitquitquit"]), run.log
    assert run.last.endswith("event=sidecar mesh=Istio ended=true")


@pytest.mark.parametrize("arguments", rows([(), ("--check",)], ("--check",)))
def test_sidecars_end_with_a_pod_that_is_stopped(
    arguments: tuple[str, ...], meshed: Any, started: Callable[..., Any], tmp_path: Path
) -> None:
    make, asked = meshed
    words = ", ".join(f'"{word}"' for word in ("runner", *arguments))
    pending = PENDING.replace('"runner"]', f"{words}]")
    run = ended(started(make("pass"), command=("-c", pending, str(int(signal.SIGTERM)))), tmp_path)
    assert (run.code, asked) == (143, ["POST /quitquitquit"]), run.log


@pytest.mark.lab
def test_sidecars_end_with_a_runner_that_is_killed(meshed: Any, started: Callable[..., Any], tmp_path: Path) -> None:
    make, asked = meshed
    process = started(make("import time; print('training', flush=True); time.sleep(60)"))
    os.kill(runner_of(process), signal.SIGKILL)
    process.communicate(timeout=20)
    assert (process.returncode, asked) == (137, ["POST /quitquitquit"])
