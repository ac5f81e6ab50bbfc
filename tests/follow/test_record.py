"""What is known about a run, from its Job and pods."""

from __future__ import annotations

from typing import cast

import pytest

from tests.fakes.live import NAME, Cluster, stamped
from trainchart.cli import main as cli
from trainchart.cluster.api import Api
from trainchart.cluster.errors import NotFoundError
from trainchart.follow import record


def test_a_record_has_settings_result_and_metrics(cluster: Cluster) -> None:
    cluster.settings = {"run": {"name": NAME}}
    cluster.phase("Completed")
    cluster.pod(0, 0, stamped(1, 0, "trainchart time=2026-11-24T18:00:01Z event=metrics epoch=1 epochs=2 loss=0.5"))
    cluster.end(0, 0, {"status": "completed", "branch": "sft-1"})
    found = record.load(cast(Api, cluster), NAME)
    assert (found.status, found.settings, found.result) == (
        "completed",
        {"run": {"name": NAME}},
        {"status": "completed", "branch": "sft-1"},
    )
    assert found.progress.metrics == [{"epoch": 1, "loss": 0.5}]


def test_a_record_without_a_run_is_not_found(cluster: Cluster) -> None:
    cluster.job, cluster.settings = None, None
    with pytest.raises(NotFoundError):
        record.load(cast(Api, cluster), NAME)


def test_no_result_yet_is_exit_code_4(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    cluster.phase("Running")
    cluster.pod()
    assert cli.main(["result", NAME]) == 4
    assert "is running and has no result yet" in capsys.readouterr().err
