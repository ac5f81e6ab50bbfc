"""Helm's code in this process, where it takes long: it can be interrupted, and prints nothing by itself."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from trainchart.chart import helm_library
from trainchart.chart.engine import Engine, HelmError, NewRelease, Target
from trainchart.chart.helm_library import HelmLibrary
from trainchart.chart.helm_program import HelmProgram
from trainchart.chart.paths import CHART
from trainchart.checks.refusals import explain
from trainchart.errors import UsageError

NO_SERVER = """
apiVersion: v1
kind: Config
current-context: lab
clusters: [{name: lab, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: lab, user: {token: secret}}]
contexts: [{name: lab, context: {cluster: lab, user: lab}}]
"""


@pytest.fixture
def no_server(tmp_path: Path) -> Target:
    file = tmp_path / "kubeconfig"
    file.write_text(NO_SERVER, encoding="utf-8")
    return Target("training", "lab", str(file))


@pytest.mark.parametrize("name", ["library", "helm", "helm3"])
def test_a_server_that_cannot_be_reached_is_explained_alike(
    name: str, no_server: Target, request: pytest.FixtureRequest, capfd: pytest.CaptureFixture[str]
) -> None:
    engine: Engine = HelmLibrary() if name == "library" else HelmProgram(request.getfixturevalue(name))

    def install() -> None:
        engine.install(NewRelease("run-42", CHART, {}, {"a": "b"}), no_server)

    for work in (install, lambda: engine.uninstall("run-42", no_server)):
        with pytest.raises(HelmError) as caught:
            work()
        finding = explain(str(caught.value))
        assert finding.key == "unreachable"
        assert finding.text.endswith("dial tcp 127.0.0.1:1: connect: connection refused")
    assert capfd.readouterr() == ("", "")


def test_a_context_that_does_not_exist_is_an_error_of_helm(no_server: Target) -> None:
    with pytest.raises(HelmError, match='context "other" does not exist'):
        HelmLibrary().uninstall("run-42", Target("training", "other", no_server.kubeconfig))


def interrupted(work: Callable[[], object], cancel: Callable[[], None]) -> None:
    """Ctrl-C a moment after `work` has begun."""

    def begin() -> object:
        os.kill(os.getpid(), signal.SIGINT)
        return work()

    with pytest.raises(KeyboardInterrupt):
        helm_library._in_thread(begin, 60, cancel)


def test_an_interrupted_installation_finishes_before_it_is_removed() -> None:
    finished = threading.Event()
    cancelled: list[bool] = []
    interrupted(finished.set, lambda: cancelled.append(True))
    assert finished.is_set()
    assert not cancelled


def test_one_that_hangs_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(helm_library, "_FINISH_SECONDS", 0.05)
    cancelled = threading.Event()
    interrupted(lambda: cancelled.wait(60), cancelled.set)
    assert cancelled.is_set()


def test_one_that_takes_too_long_is_cancelled_and_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(helm_library, "_FINISH_SECONDS", 0.05)
    cancelled = threading.Event()
    with pytest.raises(HelmError, match=r"Helm took more than 0\.05 s") as caught:
        helm_library._in_thread(lambda: cancelled.wait(60), 0.05, cancelled.set)
    assert cancelled.is_set()
    assert explain(str(caught.value)).key == "too-slow"


def test_several_threads_leave_the_standard_error_as_it_was(capfd: pytest.CaptureFixture[str]) -> None:
    def quiet() -> None:
        with helm_library._QUIET:
            os.write(2, b"noise")

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(quiet) for _ in range(200)]:
            done.result()
    os.write(2, b"heard")
    assert capfd.readouterr().err == "heard"


def test_a_library_for_another_machine_is_named_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "helm_python"
    package.mkdir()
    (package / "__init__.py").write_text("raise OSError('wrong ELF class:\\n ELFCLASS32')\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "helm_python", raising=False)
    with pytest.raises(
        UsageError, match="cannot be loaded: wrong ELF class: ELFCLASS32; install it again, or `pip uninstall"
    ):
        HelmLibrary()
