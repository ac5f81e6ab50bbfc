"""A run is ended in order, and what it said is kept; what earlier attempts said is read from its workspace."""

from __future__ import annotations

import base64
import gzip
import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, cast

import pytest

from tests.run.cluster import NAME, UID, Cluster, stamped
from trainchart.cli import logs as logs_command
from trainchart.cli import main as cli
from trainchart.cli import result as result_command
from trainchart.cli import stop as command
from trainchart.cluster.api import Api
from trainchart.cluster.errors import ForbiddenError, NotFoundError
from trainchart.follow import logs, outcome, record, stop
from trainchart.run import attempts, helper_pod, state

CLAIM = {"name": "workspace", "persistentVolumeClaim": {"claimName": "data"}}
STOPPED = {
    "status": "failed",
    "failure": {"stage": "train", "code": 143, "name": "stopped", "reason": "SIGTERM", "fix": ""},
}


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """Every command reaches it."""
    cluster = Cluster()
    for module in (command, logs_command, result_command):
        monkeypatch.setattr(module, "connect", lambda _: cluster)
    return cluster


def on_a_claim(cluster: Cluster, **spec: Any) -> None:
    assert cluster.job
    container = {"image": "trainer:1", "securityContext": {"readOnlyRootFilesystem": True}}
    cluster.job["spec"]["tasks"][0]["template"] = {"spec": {"volumes": [CLAIM], "containers": [container], **spec}}


def obeys(cluster: Cluster, after: int = 1) -> None:
    """Volcano, once it has seen so many commands: the pod says its last words and is deleted."""

    def run() -> None:
        while len(cluster.created) < after:
            time.sleep(0.01)
        cluster.phase("Aborting")
        uid = "pod-0-0"
        cluster.logs[uid].append(stamped(9, 0, "last words"))
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
        "run-42 is stopped; its release stays; `helm uninstall run-42 -n training` removes it",
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


def test_a_command_that_volcano_has_forgotten_is_sent_again(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stop, "AGAIN_SECONDS", 0.1)
    on_a_claim(cluster)
    cluster.phase("Restarting")
    cluster.pod()
    obeys(cluster, after=2)
    assert cli.main(["stop", NAME]) == 0
    assert len(cluster.created) >= 2


def test_one_that_has_ended_is_left_alone(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    cluster.phase("Completed")
    assert cli.main(["stop", NAME]) == 0
    assert capsys.readouterr().out == "run-42 had finished: completed\n"
    assert cluster.created == []


def test_without_the_right_nothing_is_stopped_and_the_way_out_is_told(
    cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.forbidden = {"create commands.bus.volcano.sh"}
    cluster.phase("Running")
    cluster.pod()
    assert cli.main(["stop", NAME, "--logs", str(tmp_path / "x.log")]) == 6
    said = capsys.readouterr().err
    assert "stopping needs `create commands` in bus.volcano.sh" in said
    assert "`helm uninstall run-42 -n training` ends the run too" in said


def test_a_log_that_cannot_be_written_is_told_before_anything_is_stopped(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.phase("Running")
    cluster.pod()
    assert cli.main(["stop", NAME, "--logs", "/nowhere/x.log"]) == 2
    assert "/nowhere/x.log cannot be written: No such file or directory; nothing was stopped" in capsys.readouterr().err
    assert cluster.created == []


def test_pods_that_do_not_end_are_a_time_limit(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    on_a_claim(cluster)
    cluster.phase("Running")
    cluster.pod()
    assert cli.main(["stop", NAME, "--timeout", "0.3"]) == 3
    assert "it continues to stop" in capsys.readouterr().err


# -- earlier attempts


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    kept = tmp_path / NAME / "logs" / UID
    for attempt, ranks in ((0, 2), (1, 1)):
        (kept / f"attempt-{attempt}").mkdir(parents=True)
        for rank in range(ranks):
            (kept / f"attempt-{attempt}" / f"rank-{rank}.log").write_text(f"attempt {attempt}, rank {rank}, ü\n" * 5000)
    (kept / "attempt-1" / "result.json").write_text('{"status": "completed"}')
    return tmp_path


def reads(cluster: Cluster, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that runs the reader's very program, on this machine."""
    on_a_claim(cluster)
    cluster.phase("Completed")
    cluster.settings = {"workspace": {"path": str(workspace), "directory": NAME}}
    create = cluster.create

    def run(kind: Any, body: dict[str, Any], **_: Any) -> dict[str, Any]:
        create(kind, body)
        _, *arguments = body["spec"]["containers"][0]["command"]
        done = subprocess.run([sys.executable, *arguments], capture_output=True, check=True)
        name = body["metadata"]["name"]
        cluster.pods[name] = {"metadata": {"name": name, "uid": name}, "status": {"phase": "Succeeded"}}
        cluster.logs[name] = [b"2026-11-24T18:00:00.000000000Z " + line for line in done.stdout.splitlines()]
        return body

    monkeypatch.setattr(cluster, "create", run)


def test_an_earlier_attempt_is_read_from_the_workspace_and_the_reader_removed(
    cluster: Cluster, workspace: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    reads(cluster, workspace, monkeypatch)
    assert cli.main(["logs", NAME, "--attempt", "1"]) == 0
    printed = capfdbinary.readouterr().out.decode().splitlines()
    assert printed == [f"[{rank}] attempt 0, rank {rank}, ü" for rank in (0, 1) for _ in range(5000)]
    ((_, pod),) = cluster.created
    assert cluster.deleted == [pod["metadata"]["name"]]
    spec = pod["spec"]
    assert spec["volumes"] == [{"name": "workspace", "persistentVolumeClaim": {"claimName": "data", "readOnly": True}}]
    assert spec["containers"][0]["securityContext"] == {"readOnlyRootFilesystem": True}
    assert spec["automountServiceAccountToken"] is False
    assert pod["metadata"]["ownerReferences"][0]["uid"] == UID


def test_one_rank_and_the_last_lines_of_it(
    cluster: Cluster, workspace: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    reads(cluster, workspace, monkeypatch)
    assert cli.main(["logs", NAME, "--attempt", "1", "--rank", "1", "--tail", "2"]) == 0
    assert capfdbinary.readouterr().out.decode() == "attempt 0, rank 1, ü\n" * 2


def test_an_attempt_that_is_not_kept_is_told_with_those_that_are(
    cluster: Cluster, workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reads(cluster, workspace, monkeypatch)
    assert cli.main(["logs", NAME, "--attempt", "5"]) == 4
    assert "attempt 5 of run-42 was not kept; kept are 1, 2" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main(["logs", NAME, "--attempt", "0"])
    assert "attempts count from 1" in capsys.readouterr().err


def test_the_whole_result_of_a_run_whose_job_is_gone(
    cluster: Cluster, workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The workspace is known from Helm's release."""
    reads(cluster, workspace, monkeypatch)
    assert cluster.job
    manifest = json.dumps({"apiVersion": "batch.volcano.sh/v1alpha1", "kind": "Job", **cluster.job})
    packed = base64.b64encode(base64.b64encode(gzip.compress(json.dumps({"manifest": manifest}).encode())))
    secret = {"metadata": {"labels": {"version": "1"}}, "data": {"release": packed.decode()}}
    objects = cluster.objects
    monkeypatch.setattr(
        cluster, "objects", lambda kind, **more: ([secret], "") if kind.plural == "secrets" else objects(kind, **more)
    )
    cluster.job = None
    assert cli.main(["result", NAME]) == 4
    assert "to read its workspace, run: trainchart result run-42 --whole" in capsys.readouterr().err
    assert cli.main(["result", NAME, "--whole", "--output", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"status": "completed"}


def test_an_empty_dir_has_kept_nothing(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    assert cluster.job
    volumes = [{"name": "workspace", "emptyDir": {}}]
    cluster.job["spec"]["tasks"][0]["template"] = {"spec": {"volumes": volumes}}
    assert cli.main(["logs", NAME, "--attempt", "1"]) == 4
    assert "run-42 keeps nothing: its workspace is an emptyDir" in capsys.readouterr().err
    assert cluster.created == []


def test_the_reader_goes_however_the_command_ends(
    cluster: Cluster, workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reads(cluster, workspace, monkeypatch)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(helper_pod, "_await_end", interrupted)
    assert cli.main(["logs", NAME, "--attempt", "1"]) == 130
    assert len(cluster.deleted) == 1
    cluster.forbidden = {"create pods"}
    monkeypatch.setattr(cluster, "create", Cluster.create.__get__(cluster))
    assert cli.main(["logs", NAME, "--attempt", "1"]) == 6
    assert "a pod that reads the workspace of run-42 needs `create pods`" in capsys.readouterr().err


def test_a_claim_that_one_node_may_mount_is_read_there(cluster: Cluster) -> None:
    on_a_claim(cluster, nodeSelector={"zone": "a"})
    cluster.pod()
    api = cast(Api, cluster)
    cluster.other["persistentvolumeclaims", "data"] = {"spec": {"accessModes": ["ReadWriteOnce"]}}
    spec = attempts._reader(api, state.load(api, NAME), [], 0)["spec"]
    terms = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert terms == [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node-1"]}]}]
    assert spec["nodeSelector"] == {"zone": "a"}
    cluster.other["persistentvolumeclaims", "data"] = {"spec": {"accessModes": ["ReadWriteMany"]}}
    assert "affinity" not in attempts._reader(api, state.load(api, NAME), [], 0)["spec"]


def test_what_the_node_has_thrown_away_is_noticed() -> None:
    with pytest.raises(helper_pod.HelperPodError, match=r"rank-0\.log was not read completely"):
        attempts._parsed([b'{"uid": "x", "attempts": {"0": ["rank-0.log"]}}', b'{"file": "rank-0.log"}', b"eJw="])
    with pytest.raises(helper_pod.HelperPodError, match="the workspace was not read completely"):
        attempts._parsed([b"AAAA"])


# -- records


def test_the_record_of_a_run_has_all_that_is_known(cluster: Cluster) -> None:
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


def test_a_result_that_is_not_there_yet_is_4(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    cluster.phase("Running")
    cluster.pod()
    assert cli.main(["result", NAME]) == 4
    assert "is running and has no result yet" in capsys.readouterr().err


def test_ctrl_c_leaves_a_followed_run_alone(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.phase("Running")
    cluster.pod()

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(logs, "follow", interrupted)
    assert cli.main(["logs", "-f", NAME]) == 130
    assert capsys.readouterr().err == "trainchart: stopped following; the run continues: trainchart logs -f run-42\n"


@pytest.mark.parametrize(("options", "prefix"), [([], "[0] "), (["--no-prefix"], ""), (["--rank", "0"], "")])
def test_the_rank_stands_before_the_lines_of_several(
    monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes], options: list[str], prefix: str
) -> None:
    two = Cluster(replicas=2)
    two.pod(0, 0, stamped(1, 5, "a line"))
    two.pod(1, 0)
    monkeypatch.setattr(logs_command, "connect", lambda _: two)
    assert cli.main(["logs", NAME, *options]) == 0
    assert capfdbinary.readouterr().out.decode() == f"{prefix}a line\n"
    assert cli.main(["logs", NAME, "--timestamps", *options]) == 0
    assert capfdbinary.readouterr().out.decode() == f"{prefix}2026-11-24T18:00:01.000000005Z a line\n"


def test_a_rank_that_there_is_not_is_refused(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    cluster.phase("Running")
    cluster.pod()
    assert cli.main(["logs", NAME, "--rank", "3"]) == 2
    assert "--rank: run-42 has ranks 0 to 0" in capsys.readouterr().err


def test_no_logs_yet_is_4_and_says_where_to_look(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["logs", NAME]) == 4
    assert "run-42 is pending and has no pods yet; `trainchart status run-42` says why" in capsys.readouterr().err


def test_rights_that_are_missing_are_named(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    cluster.phase("Running")
    cluster.pod()
    cluster.forbidden = {"get pods/log"}
    assert cli.main(["logs", NAME]) == ForbiddenError.exit_code
    assert "no permission to get pods/log" in capsys.readouterr().err
