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


PUBLISHES = {"publish": {"repository": "https://git/x", "branch": "b"}, "workspace": {"type": "emptyDir"}}
PUSHED = "was pushed to branch b of https://git/x"


@pytest.mark.parametrize(
    ("phase", "says"),
    [
        ("Completed", f"its result {PUSHED}"),
        (
            "Terminated",
            "run-42 has failed, and the pods that had its result are gone; for the reason, run: trainchart status",
        ),
        ("Aborted", "run-42 was stopped, and the pods that had its result are gone"),
        ("", f"if it completed, its result {PUSHED}"),
    ],
)
def test_a_result_that_is_gone_is_on_a_branch_only_where_the_run_completed(
    phase: str, says: str, cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.settings = PUBLISHES
    if phase:
        cluster.phase(phase)
    else:
        cluster.job = None
    assert cli.main(["result", NAME]) == 4
    said = capsys.readouterr().err
    assert says in said
    assert (PUSHED in said) == (phase in ("Completed", ""))
