"""Two pods that train together: torchrun finds its peers through the chart's own Service."""

from __future__ import annotations

import json

import pytest

from e2e.cases import allreduce
from e2e.runs import Session
from e2e.scenario import TEAM


@pytest.mark.parametrize("run", [pytest.param(name, marks=pytest.mark.runs(name)) for name in ("gang", "gang-shared")])
def test_two_replicas_reduce_over_the_chart_s_service(session: Session, run: str) -> None:
    release = session.release(run)
    assert release.end() == "Completed"
    for rank in (0, 1):
        log = release.log(rank)
        assert f"allreduce: rank {rank} of 2 joined at {release.name}-master:23456" in log
        assert f"allreduce: rank {rank} sees the sum 3.0" in log
        assert release.exit_code(rank) == 0
    result = release.result()
    published = session.world.server.read_file(TEAM, allreduce.RESULTS, "1/sum.json", result["commit"])
    assert json.loads(published) == {"sum": 3.0, "world_size": 2}
    assert result["metrics"] == {"epochs": 1, "sum": 3.0, "world_size": 2}


@pytest.mark.runs("gang-shared")
def test_only_one_pod_fetches_into_a_shared_workspace(session: Session) -> None:
    release = session.release("gang-shared")
    release.end()
    fetches = [line for rank in (0, 1) for line in release.log(rank).splitlines() if "event=fetch source=model" in line]
    assert len(fetches) == 1


@pytest.mark.runs("gang")
def test_only_rank_0_publishes(session: Session) -> None:
    release = session.release("gang")
    release.end()
    assert "stage=publish" in release.log(0)
    assert "stage=publish" not in release.log(1)
    assert "branch" not in release.result(1)
