"""What is known about a run, from its Job and pods."""

from __future__ import annotations

from typing import cast

import pytest

from tests.fakes.live import NAME, Cluster, stamped
from trainchart.cli import main as cli
from trainchart.cluster.api import Api
from trainchart.cluster.errors import NotFoundError
from trainchart.follow import record
from trainchart.run.settings import target


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


def test_a_run_tells_the_folder_of_a_bucket_that_it_publishes_to() -> None:
    publish = {"type": "s3", "endpoint": "https://s3/", "bucket": "models", "prefix": "/a/"}
    settings = {"publish": publish, "run": {"name": NAME}}
    assert target(settings) == f"folder {NAME}-<8 characters of the Job's UID> of https://s3/models/a"
    named = {**publish, "prefix": "", "folder": "first"}
    assert target({**settings, "publish": named}) == "folder first of https://s3/models"
    assert not target({**settings, "publish": {**publish, "type": "none"}})


PUBLISHES = {"publish": {"repository": "https://git/x", "branch": "b"}, "workspace": {"type": "emptyDir"}}
PUBLISHED = "was published to branch b of https://git/x"


@pytest.mark.parametrize(
    ("phase", "says"),
    [
        ("Completed", f"its result {PUBLISHED}"),
        (
            "Terminated",
            "run-42 has failed, and the pods that had its result are gone; for the reason, run: trainchart status",
        ),
        ("Aborted", "run-42 was stopped, and the pods that had its result are gone"),
        ("", f"if it completed, its result {PUBLISHED}"),
    ],
)
def test_a_result_that_is_gone_is_published_only_where_the_run_completed(
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
    assert (PUBLISHED in said) == (phase in ("Completed", ""))
