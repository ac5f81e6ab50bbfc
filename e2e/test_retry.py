"""A pod that dies after its push: the next attempt finds the pushed commit and completes."""

from __future__ import annotations

import pytest

from e2e import branches
from e2e.cases import allreduce
from e2e.runs import Session
from e2e.scenario import TEAM


@pytest.mark.runs("killed")
def test_a_run_that_is_killed_after_its_push_does_not_push_again(session: Session) -> None:
    release, server = session.release("killed"), session.world.server
    repository = allreduce.KILLED_RESULTS
    assert release.end() == "Completed"
    assert session.killer
    said = session.killer.said()
    assert said.startswith("killed ")
    assert said.endswith("other processes then: 0")
    assert release.job()["status"]["retryCount"] == 1
    result = release.result()
    assert server.branches(TEAM, repository) == [result["branch"]]
    assert server.branch_commit(TEAM, repository, result["branch"]) == result["commit"]
    message = server.commit_message(TEAM, repository, result["commit"])
    assert branches.trailers(message)["Run"] == release.job()["metadata"]["uid"]
    log = release.log()
    assert "attempt=1" in log
    assert "allreduce: rank" not in log
