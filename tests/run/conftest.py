"""Pauses are shorter here than for a real cluster."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fakes.live import Cluster
from trainchart.cli import logs as logs_command
from trainchart.cli import result as result_command
from trainchart.cli import stop as stop_command
from trainchart.follow import logs, pods, retry, stop, watcher
from trainchart.run import helper_pod


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(logs, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(logs, "LONGEST_PAUSE", 0.01)
    monkeypatch.setattr(retry, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(retry, "LONGEST_PAUSE", 0.02)
    monkeypatch.setattr(pods, "BETWEEN_SECONDS", 0.02)
    monkeypatch.setattr(watcher, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(stop, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(helper_pod, "POLL_SECONDS", 0.01)
    yield
    Cluster.close_all()


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """Return a fake API server that the commands are connected to."""
    cluster = Cluster()
    for module in (stop_command, logs_command, result_command):
        monkeypatch.setattr(module, "connect", lambda _: cluster)
    return cluster
