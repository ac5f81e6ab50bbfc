"""One watcher follows a run for all commands, and notices how it can be gone."""

from __future__ import annotations

import time
from typing import cast

import pytest

from tests.fakes.live import NAME, Cluster
from trainchart.cluster.api import Api
from trainchart.cluster.errors import NotFoundError, UnreachableError
from trainchart.follow.retry import Retry
from trainchart.follow.watcher import RunWatcher, Status
from trainchart.run import state
from trainchart.run.state import State


def watched(cluster: Cluster, retry: Retry | None = None) -> RunWatcher:
    api = cast(Api, cluster)
    watcher = RunWatcher(api, Status(state.load(api, NAME)), retry or Retry(lambda _: None))
    watcher.start()
    return watcher


def states(watcher: RunWatcher) -> list[State]:
    found = [status.run.state for status in watcher.statuses(lambda: time.sleep(0.01))]
    return list(dict.fromkeys(found))


@pytest.fixture
def running() -> Cluster:
    cluster = Cluster()
    cluster.phase("Running")
    cluster.pod()
    return cluster


def test_the_last_status_is_that_of_the_finished_run(running: Cluster) -> None:
    watcher = watched(running)
    running.end()
    running.phase("Completed")
    assert states(watcher)[-1] is State.COMPLETED


def test_a_run_that_has_finished_already_has_one_status() -> None:
    cluster = Cluster()
    cluster.phase("Completed")
    watcher = watched(cluster)
    assert [status.run.state for status in watcher.statuses(lambda: pytest.fail("paused"))] == [State.COMPLETED]


def test_a_job_that_was_removed_ends_in_the_state_no_job(running: Cluster) -> None:
    watcher = watched(running)
    running.job = None
    assert states(watcher)[-1] is State.NO_JOB


def test_a_release_that_was_uninstalled_is_not_found(running: Cluster) -> None:
    watcher = watched(running)
    running.job, running.settings = None, None
    with pytest.raises(NotFoundError, match="run run-42 not found"):
        states(watcher)


def test_another_run_of_the_same_name_is_not_taken_for_this_one(running: Cluster) -> None:
    watcher = watched(running)
    assert running.job
    running.job["metadata"]["uid"] = "another"
    with pytest.raises(NotFoundError, match="run-42 was removed, and another run has its name now"):
        states(watcher)


def test_an_outage_that_is_too_long_is_raised_to_whoever_follows(running: Cluster) -> None:
    watcher = watched(running, Retry(lambda _: None, limit=0.05))
    running.away = True
    with pytest.raises(UnreachableError, match="given up"):
        states(watcher)
