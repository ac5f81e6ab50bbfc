"""A run is stopped gracefully, and what its pods reported is kept."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest

from tests.fakes.live import NAME, UID, Cluster, on_a_claim, stamped
from trainchart.cli import main as cli
from trainchart.follow import outcome, stop

STOPPED = {
    "status": "failed",
    "failure": {"stage": "train", "code": 143, "name": "stopped", "reason": "SIGTERM", "fix": ""},
}


def obeys(cluster: Cluster, after: int = 1) -> None:
    """Act as Volcano does, after so many commands: the pod prints its last lines and is deleted."""

    def run() -> None:
        while len(cluster.created) < after:
            time.sleep(0.01)
        cluster.phase("Aborting")
        uid = "pod-0-0"
        cluster.lines[uid].append(stamped(9, 0, "last words"))
        time.sleep(0.1)
        cluster.end(0, 143, STOPPED)
        time.sleep(0.2)
        cluster.pods.clear()
        cluster.phase("Aborted")

    threading.Thread(target=run, daemon=True).start()


def test_a_stopped_run_leaves_its_log_and_its_result(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    cluster.phase("Running")
    cluster.pod(0, 0, stamped(1, 0, "first words"))
    obeys(cluster)
    assert cli.main(["stop", NAME]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "run-42 is stopped; `trainchart delete run-42 -n training` removes it",
        "the logs of its pods are in run-42.log",
    ]
    assert (tmp_path / "run-42.log").read_text() == "first words\nlast words\n"
    ((kind, sent),) = cluster.created
    assert (kind, sent["action"], sent["target"]["uid"]) == ("commands", "AbortJob", UID)
    (patched,) = cluster.patched
    assert json.loads(patched["metadata"]["annotations"][outcome.RESULT_ANNOTATION]) == STOPPED


def test_on_a_claim_the_runner_keeps_the_log(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    on_a_claim(cluster)
    cluster.phase("Running")
    cluster.pod(0, 0, stamped(1, 0, "first words"))
    obeys(cluster)
    assert cli.main(["stop", NAME]) == 0
    assert "in its workspace: trainchart logs run-42 --attempt 1" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_a_command_that_volcano_has_dropped_is_sent_again(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stop, "AGAIN_SECONDS", 0.1)
    on_a_claim(cluster)
    cluster.phase("Restarting")
    cluster.pod()
    obeys(cluster, after=2)
    assert cli.main(["stop", NAME]) == 0
    assert len(cluster.created) >= 2


def test_a_run_that_has_finished_is_left_alone(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    cluster.phase("Completed")
    assert cli.main(["stop", NAME]) == 0
    assert capsys.readouterr().out == "run-42 had finished: completed\n"
    assert cluster.created == []


def test_without_the_right_nothing_is_stopped_and_the_alternative_is_named(
    cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.forbidden = {"create commands.bus.volcano.sh"}
    cluster.phase("Running")
    cluster.pod()
    assert cli.main(["stop", NAME, "--logs", str(tmp_path / "x.log")]) == 6
    said = capsys.readouterr().err
    assert "stopping needs `create commands` in bus.volcano.sh" in said
    assert "`kubectl -n training delete vcjob run-42` ends the run too" in said


def test_a_log_file_that_cannot_be_written_is_refused_before_anything_is_stopped(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.phase("Running")
    cluster.pod()
    assert cli.main(["stop", NAME, "--logs", "/nowhere/x.log"]) == 2
    assert "/nowhere/x.log cannot be written: No such file or directory; nothing was stopped" in capsys.readouterr().err
    assert cluster.created == []


def test_pods_that_do_not_terminate_are_exit_code_3(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    on_a_claim(cluster)
    cluster.phase("Running")
    cluster.pod()
    assert cli.main(["stop", NAME, "--timeout", "0.3"]) == 3
    assert "it continues to stop" in capsys.readouterr().err
