"""`doctor --data`: what the pod of `helm test` says of a run that is not installed, with the runner's own lines."""

from __future__ import annotations

from typing import Any

import pytest

from tests.checks.cluster import run
from tests.fakes.live import Cluster
from trainchart.checks.data import check_data, check_pod
from trainchart.checks.finding import Finding
from trainchart.cli import main as cli
from trainchart.cluster.errors import ForbiddenError
from trainchart.errors import ExitCode
from trainchart.run import helper_pod

LINES = """\
trainchart time=2026-11-26T08:15:11Z event=check item=settings ok=true
Cloning into somewhere
trainchart time=2026-11-26T08:15:12Z event=check item=model ok=true commit=9f2b
trainchart time=2026-11-26T08:15:12Z event=check item=dataset ok=false code=30 name=prepare-failed reason="claim coco is empty" fix="fill the volume"
"""


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    monkeypatch.setattr(helper_pod, "POLL_SECONDS", 0.01)
    return Cluster()


def ends(cluster: Cluster, monkeypatch: pytest.MonkeyPatch, phase: str, lines: str, **status: Any) -> None:
    """Act as a node: every pod ends in this phase, and prints these lines."""
    create = cluster.create

    def created(kind: Any, body: dict[str, Any], **_: Any) -> dict[str, Any]:
        create(kind, body)
        name = body["metadata"]["name"]
        if kind.plural == "pods":
            cluster.pods[name] = {"metadata": {"name": name, "uid": "u-1"}, "status": {"phase": phase, **status}}
            cluster.lines["u-1"] = [b"2026-11-24T18:00:00.0Z " + line.encode() for line in lines.splitlines()]
        return {**body, "metadata": {**body["metadata"], "uid": "u-1"}}

    monkeypatch.setattr(cluster, "create", created)


def asked(cluster: Cluster, **values: Any) -> list[Finding]:
    return list(check_data(cluster, run(**values)))  # type: ignore[arg-type]


def test_each_line_of_the_check_is_a_finding_and_nothing_is_left(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends(cluster, monkeypatch, "Failed", LINES)
    settings, model, dataset = asked(cluster)
    assert (settings.severity, settings.text) == ("ok", "the image's Python reads the run's settings")
    assert (model.severity, model.text) == ("ok", "the run's pods can read model, now at 9f2b")
    assert (dataset.key, dataset.text, dataset.fix) == ("data", "dataset: claim coco is empty", "fill the volume")
    (_, pod), (_, settings_map) = cluster.created
    assert cluster.deleted == [pod["metadata"]["name"]]
    assert settings_map["metadata"]["ownerReferences"][0]["uid"] == "u-1"


def test_the_pod_is_that_of_helm_test_under_a_name_of_its_own() -> None:
    spec = run(dataset={"type": "claim", "claimName": "coco", "repository": None, "revision": None})
    (pod, settings), (other, _) = check_pod(spec), check_pod(spec)
    assert pod["metadata"]["name"] == settings["metadata"]["name"] != other["metadata"]["name"]
    assert pod["metadata"]["name"].startswith("run-42-data-")
    assert "helm.sh/hook" not in str(pod)
    assert pod["metadata"]["annotations"]["linkerd.io/inject"] == "disabled"
    assert pod["spec"]["containers"][0]["command"] == ["python3", "-m", "runner", "--check"]
    assert pod["spec"]["serviceAccountName"] == "default"
    volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
    assert volumes["run"]["configMap"]["name"] == settings["metadata"]["name"]
    assert volumes["dataset"]["persistentVolumeClaim"]["claimName"] == "coco"
    assert "emptyDir" in volumes["workspace"]
    assert "settings.json" in settings["data"]


def test_a_pod_that_does_not_start_or_says_nothing_is_a_problem_with_its_reason(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(helper_pod, "START_SECONDS", 0.0)
    waiting = {"state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such host"}}}
    ends(cluster, monkeypatch, "Pending", "", containerStatuses=[{"name": "check", **waiting}])
    (finding,) = asked(cluster)
    assert finding.severity == "problem"
    assert "did not start in 0 s: ImagePullBackOff no such host" in finding.text
    ends(cluster, monkeypatch, "Failed", "/usr/bin/python3: No module named runner")
    (finding,) = asked(cluster)
    assert "the runner did not start in image trainchart/custom-minimal:12: /usr/bin/python3: No" in finding.text


def test_a_right_that_is_lacking_is_no_problem_of_the_data(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: Any, **__: Any) -> None:
        raise ForbiddenError("pods is forbidden")

    monkeypatch.setattr(cluster, "create", forbidden)
    (finding,) = asked(cluster)
    assert finding.severity == "not-checked"
    assert "`create pods`" in finding.text


def test_there_is_no_data_without_values(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor", "--data"]) == ExitCode.REFUSED
    assert "--data needs the values of the run" in capsys.readouterr().err
