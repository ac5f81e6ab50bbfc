"""What earlier attempts left in the workspace of a run is read by a helper pod."""

from __future__ import annotations

import base64
import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest

from tests.fakes.live import NAME, UID, Cluster, on_a_claim
from trainchart.cli import main as cli
from trainchart.cluster import kinds
from trainchart.cluster.api import Api
from trainchart.run import attempts, helper_pod, state


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
    """Act as a node: run the program of the helper pod on this machine."""
    on_a_claim(cluster)
    cluster.phase("Completed")
    cluster.settings = {"workspace": {"type": "existingClaim"}}
    monkeypatch.setattr(attempts, "_MOUNT", str(workspace))
    create = cluster.create

    def run(kind: Any, body: dict[str, Any], **_: Any) -> dict[str, Any]:
        create(kind, body)
        _, *arguments = body["spec"]["containers"][0]["command"]
        done = subprocess.run([sys.executable, *arguments], capture_output=True, check=True)
        name = body["metadata"]["name"]
        cluster.pods[name] = {"metadata": {"name": name, "uid": name}, "status": {"phase": "Succeeded"}}
        cluster.lines[name] = [b"2026-11-24T18:00:00.000000000Z " + line for line in done.stdout.splitlines()]
        return body

    monkeypatch.setattr(cluster, "create", run)


def test_an_earlier_attempt_is_read_by_a_helper_pod_that_is_removed(
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


def test_rank_and_tail_apply_to_an_earlier_attempt(
    cluster: Cluster, workspace: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    reads(cluster, workspace, monkeypatch)
    assert cli.main(["logs", NAME, "--attempt", "1", "--rank", "1", "--tail", "2"]) == 0
    assert capfdbinary.readouterr().out.decode() == "attempt 0, rank 1, ü\n" * 2


def test_an_attempt_that_was_not_kept_is_reported_with_those_that_were(
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
    """The workspace is found by Helm's release."""
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


def test_an_empty_dir_keeps_nothing(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    assert cluster.job
    volumes = [{"name": "workspace", "emptyDir": {}}]
    cluster.job["spec"]["tasks"][0]["template"] = {"spec": {"volumes": volumes}}
    assert cli.main(["logs", NAME, "--attempt", "1"]) == 4
    assert "run-42 keeps nothing: its workspace is deleted with each pod" in capsys.readouterr().err
    assert cluster.created == []


def test_the_helper_pod_is_removed_however_the_command_ends(
    cluster: Cluster, workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reads(cluster, workspace, monkeypatch)

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(helper_pod, "_await_end", interrupted)
    assert cli.main(["logs", NAME, "--attempt", "1"]) == 130
    assert len(cluster.deleted) == 1
    cluster.forbidden = {"create pods"}
    monkeypatch.setattr(cluster, "create", Cluster.create.__get__(cluster))
    assert cli.main(["logs", NAME, "--attempt", "1"]) == 6
    assert "a pod that reads the workspace of run-42 needs `create pods`" in capsys.readouterr().err


def test_a_claim_that_only_one_node_may_mount_is_read_there(cluster: Cluster) -> None:
    on_a_claim(cluster, nodeSelector={"zone": "a"})
    cluster.pod()
    api = cast(Api, cluster)
    cluster.there[kinds.CLAIMS] = [{"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}}]
    spec = attempts._reader(api, state.load(api, NAME), [], 0)["spec"]
    terms = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert terms == [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node-1"]}]}]
    assert spec["nodeSelector"] == {"zone": "a"}
    cluster.there[kinds.CLAIMS] = [{"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteMany"]}}]
    assert "affinity" not in attempts._reader(api, state.load(api, NAME), [], 0)["spec"]


def test_a_helper_pod_has_the_labels_and_annotations_of_the_run_s_pods(cluster: Cluster) -> None:
    on_a_claim(cluster)
    assert cluster.job
    given = {"labels": {"team": "vision"}, "annotations": {"example.com/a": "1"}}
    cluster.job["spec"]["tasks"][0]["template"]["metadata"] = given
    found = helper_pod.pod(state.load(cast(Api, cluster), NAME), "reader", [])["metadata"]
    # Whatever the run allows, nothing would end a sidecar of this pod.
    no_sidecar = {"sidecar.istio.io/inject": "false"}
    assert found["labels"] == {"team": "vision", "app.kubernetes.io/component": "reader", **no_sidecar}
    assert found["annotations"] == {"example.com/a": "1", "linkerd.io/inject": "disabled", **no_sidecar}


def test_a_log_that_the_node_has_truncated_is_an_error() -> None:
    with pytest.raises(helper_pod.HelperPodError, match=r"rank-0\.log was not read completely"):
        attempts._parsed([b'{"uid": "x", "attempts": {"0": ["rank-0.log"]}}', b'{"file": "rank-0.log"}', b"eJw="])
    with pytest.raises(helper_pod.HelperPodError, match="the workspace was not read completely"):
        attempts._parsed([b"AAAA"])
