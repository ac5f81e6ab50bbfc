"""`trainchart prune`: what it removes, and above all what it leaves."""

from __future__ import annotations

import json
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.matrix import ROOT
from tests.conftest import program, rows
from tests.fakes.api import FakeApi
from tests.fakes.runs import CLAIM, KEPT, NOW, fake_helm, helm_calls, left, put_release, put_run
from trainchart.cli import main as cli
from trainchart.cli import prune as command
from trainchart.cluster import kinds
from trainchart.cluster.errors import ForbiddenError
from trainchart.cluster.kinds import Kind
from trainchart.errors import ExitCode
from trainchart.files import Tree


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> FakeApi:
    made = FakeApi()
    monkeypatch.setattr(command, "connect", lambda _: made)
    return made


def prune(helm: str, *arguments: str) -> int:
    return cli.main(["prune", *arguments, "--helm", helm])


def removed(folder: Path) -> set[str]:
    """The releases that Helm was told to uninstall."""
    return {call[1] for call in helm_calls(folder)}


def test_runs_that_finished_longer_ago_than_the_limit_are_removed_the_oldest_first(
    api: FakeApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put_run(api, "new", ended=6.9)
    put_run(api, "old", ended=7.1)
    put_run(api, "older", ended=20)
    put_run(api, "long", made=300, ended=1)
    helm = fake_helm(tmp_path)
    assert prune(helm, "--dry-run") == ExitCode.OK
    assert capsys.readouterr().out.splitlines() == [
        "older would be removed (completed, 20 d ago)",
        "old would be removed (completed, 7 d 2 h ago)",
        "2 would be removed: namespace training, finished more than 7 d ago",
    ]
    assert helm_calls(tmp_path) == []
    assert prune(helm) == ExitCode.OK
    assert removed(tmp_path) == {"old", "older"}
    assert capsys.readouterr().out.splitlines()[-1] == "2 removed: namespace training, finished more than 7 d ago"
    assert prune(helm, "--older-than", "12h") == ExitCode.OK
    assert removed(tmp_path) == {"old", "older", "new", "long"}


@pytest.mark.parametrize(
    "phase", ["", "Pending", "Running", "Restarting", "Aborting", "Completing", "Terminating", "New"]
)
def test_a_run_that_has_not_finished_stays(
    phase: str, api: FakeApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put_run(api, "run-42", phase=phase)
    put_run(api, "run-43", phase=phase, release="")
    before = left(api)
    assert prune(fake_helm(tmp_path), "--older-than", "0s") == ExitCode.OK
    assert helm_calls(tmp_path) == []
    assert left(api) == before
    assert capsys.readouterr().out == "no run in namespace training finished more than 0 s ago\n"


@pytest.mark.parametrize(
    ("phase", "stays"), [("Failed", True), ("Terminated", True), ("Aborted", False), ("Completed", False)]
)
def test_failed_runs_stay_if_they_are_to_be_kept(phase: str, stays: bool, api: FakeApi, tmp_path: Path) -> None:
    put_run(api, "run-42", phase=phase)
    helm = fake_helm(tmp_path)
    assert prune(helm, "--keep-failed") == ExitCode.OK
    assert removed(tmp_path) == (set() if stays else {"run-42"})
    assert prune(helm) == ExitCode.OK
    assert removed(tmp_path) == {"run-42"}


def test_a_run_whose_job_was_removed_counts_from_its_installation(api: FakeApi, tmp_path: Path) -> None:
    put_run(api, "old", job=False, made=8)
    put_run(api, "new", job=False, made=6)
    assert prune(fake_helm(tmp_path)) == ExitCode.OK
    assert removed(tmp_path) == {"old"}


def test_a_run_that_would_take_its_claim_with_it_counts_from_the_end_of_its_time_limit(
    api: FakeApi, tmp_path: Path
) -> None:
    short = {**CLAIM, "timeLimit": "2d"}
    put_run(api, "checkpoints", job=False, made=8, values=short)
    put_run(api, "older", job=False, made=10, values=short)
    put_run(api, "kept", job=False, made=8, values={**KEPT, "timeLimit": "2d"})
    helm = fake_helm(tmp_path)
    assert prune(helm) == ExitCode.OK
    assert removed(tmp_path) == {"older", "kept"}
    assert prune(helm, "--older-than", "0s") == ExitCode.OK
    assert removed(tmp_path) == {"older", "kept", "checkpoints"}, "0s is all that have finished"


@pytest.mark.parametrize("objects", rows([True, False], True))
@pytest.mark.parametrize("status", ["pending-install", "failed", "uninstalling", "uninstalled"])
def test_a_release_that_was_never_whole_is_removed_but_not_while_it_is_installed(
    status: str, objects: bool, api: FakeApi, tmp_path: Path
) -> None:
    put_run(api, "now", release=status, job=False, objects=objects, made=0.001)
    put_run(api, "old", release=status, job=False, objects=objects, made=0.1)
    assert prune(fake_helm(tmp_path), "--older-than", "0s") == ExitCode.OK
    assert removed(tmp_path) == {"old"}


def test_an_old_release_that_helm_works_on_now_stays(api: FakeApi, tmp_path: Path) -> None:
    put_run(api, "run-42", release="pending-upgrade", job=False)
    (secret,) = api.there[kinds.SECRETS]
    secret["metadata"]["labels"]["modifiedAt"] = f"{NOW.timestamp():.0f}"
    assert prune(fake_helm(tmp_path)) == ExitCode.OK
    assert helm_calls(tmp_path) == []


def test_releases_of_other_charts_stay_and_are_not_even_read(api: FakeApi, tmp_path: Path) -> None:
    service = {"kind": "Service", "metadata": {"name": "web", "labels": {"app.kubernetes.io/instance": "web"}}}
    put_release(api, "web", "deployed", manifest=[service])
    put_release(api, "broken", "failed", manifest=[service])
    assert prune(fake_helm(tmp_path), "--older-than", "0s") == ExitCode.OK
    assert helm_calls(tmp_path) == []
    assert "list secrets owner=helm,name=web" not in api.asked


@pytest.mark.parametrize("status", ["deployed", "failed", "pending-upgrade"])
def test_charts_platform_is_no_run(status: str, api: FakeApi, tmp_path: Path) -> None:
    """Its objects are a part of trainchart too, and it has the CronJob that prunes."""
    command = [program("helm"), "template", "platform", str(ROOT / "charts/platform"), "--set", "prune.enabled=true"]
    rendered = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    put_release(api, "platform", status, manifest=[one for one in yaml.safe_load_all(rendered) if one])
    assert prune(fake_helm(tmp_path)) == ExitCode.OK
    assert helm_calls(tmp_path) == []


@pytest.mark.parametrize("status", ["deployed", "failed"])
def test_a_release_of_another_chart_that_has_the_name_of_a_run_stays(status: str, api: FakeApi, tmp_path: Path) -> None:
    put_run(api, "web", release="")
    put_release(api, "web", status, manifest=[{"kind": "Service", "metadata": {"name": "web"}}])
    assert prune(fake_helm(tmp_path)) == ExitCode.OK
    assert helm_calls(tmp_path) == []
    assert left(api) == [], "the run is removed all the same"


@pytest.mark.parametrize("release", ["deployed", ""])
def test_a_job_that_was_copied_from_a_run_stays(release: str, api: FakeApi, tmp_path: Path) -> None:
    """`kubectl get vcjob run-42 -o yaml | sed ... | kubectl create` keeps the labels."""
    put_run(api, "run-42", release=release)
    (job,) = api.there[kinds.JOBS]
    other = {**job["metadata"], "name": "copy", "uid": "copy"}
    api.put(kinds.JOBS, {**job, "metadata": other, "status": {"state": {"phase": "Running"}}})
    api.put(kinds.JOBS, {**job, "metadata": {**other, "name": "finished"}})
    assert prune(fake_helm(tmp_path)) == ExitCode.OK
    assert removed(tmp_path) == ({"run-42"} if release else set())
    assert {"jobs copy", "jobs finished"} <= set(left(api))


@pytest.mark.parametrize(
    ("phase", "kept", "stays"), [("Running", CLAIM, 1), ("Completed", CLAIM, 0), ("Running", KEPT, 0)]
)
def test_a_run_stays_while_another_one_uses_its_claim(
    phase: str, kept: Tree, stays: int, api: FakeApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put_run(api, "run-42", phase="Aborted", values=kept)
    workspace = {"type": "existingClaim", "claimName": "run-42-workspace", "directory": "run-42"}
    put_run(api, "run-43", phase=phase, ended=1, values={"workspace": workspace})
    assert prune(fake_helm(tmp_path)) == ExitCode.OK
    assert removed(tmp_path) == (set() if stays else {"run-42"})
    assert ("run-42 stays: run-43 is running on its claim" in capsys.readouterr().err) == bool(stays)


def test_the_age_of_a_run_is_that_of_the_cluster_s_clock(
    api: FakeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_run(api, "run-42", ended=8)
    put_run(api, "new", release="pending-install", job=False, made=2)
    monkeypatch.setattr(api, "now", lambda: NOW - timedelta(days=2))
    assert prune(fake_helm(tmp_path)) == ExitCode.OK
    assert helm_calls(tmp_path) == []


def test_runs_without_a_release_are_removed_and_their_kept_claims_stay(
    api: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    api.forbidden = {"secrets"}
    put_run(api, "old", release="", values=KEPT)
    put_run(api, "new", release="", ended=1)
    before = [one for one in left(api) if "new" in one]
    assert prune("no-such-helm") == ExitCode.OK
    assert left(api) == sorted([*before, "persistentvolumeclaims old-workspace"])
    said = capsys.readouterr()
    assert "old is removed (completed, 30 d ago); claim old-workspace is kept (workspace.keep)" in said.out
    assert "releases are not looked for: no permission to list secrets" in said.err


def test_one_failure_does_not_keep_the_others(api: FakeApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b", "c"):
        put_run(api, name)
    helm = fake_helm(tmp_path, fails={"b": "Error: Kubernetes cluster unreachable: no route to host"})
    assert prune(helm) == ExitCode.UNREACHABLE
    assert removed(tmp_path) == {"a", "b", "c"}
    said = capsys.readouterr()
    assert "b is not removed: the API server cannot be reached: no route to host" in said.err
    assert said.out.splitlines()[-1] == "2 removed, 1 could not be: namespace training, finished more than 7 d ago"
    assert prune(helm, "-o", "json") == ExitCode.UNREACHABLE
    report = json.loads(capsys.readouterr().out)
    assert sorted(one["name"] for one in report["removed"]) == ["a", "c"]
    assert [(one["name"], one["state"], one["code"]) for one in report["failed"]] == [("b", "completed", 5)]


def test_without_helm_nothing_is_removed(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    put_run(api, "release")
    put_run(api, "objects", release="")
    before = left(api)
    assert prune("no-such-helm") == ExitCode.REFUSED
    assert left(api) == before


def test_nothing_is_removed_while_the_server_has_no_jobs(
    api: FakeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in the moment of its start in which it does not have the kinds of others yet."""
    list_objects = api.objects

    def objects(kind: Kind, **selection: Any) -> Any:
        return ([], "") if kind is kinds.JOBS else list_objects(kind, **selection)

    put_run(api, "run-42", phase="Running")
    monkeypatch.setattr(api, "objects", objects)
    assert prune(fake_helm(tmp_path)) == ExitCode.NOT_FOUND
    assert helm_calls(tmp_path) == []
    assert "which runs have finished is unknown; is Volcano installed?" in capsys.readouterr().err


def test_a_release_is_uninstalled_by_an_account_that_may_see_releases_in_its_namespace_only(
    api: FakeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    list_objects = FakeApi.objects

    def objects(self: FakeApi, kind: Kind, *, all_namespaces: bool = False, **selection: Any) -> Any:
        if kind is kinds.SECRETS and all_namespaces:
            raise ForbiddenError("no permission to list secrets")
        return list_objects(self, kind, all_namespaces=all_namespaces, **selection)

    put_run(api, "run-42")
    monkeypatch.setattr(FakeApi, "objects", objects)
    assert prune(fake_helm(tmp_path), "-A") == ExitCode.OK
    assert removed(tmp_path) == {"run-42"}
    assert "jobs run-42" in left(api), "which Helm removes"


class Resumed(FakeApi):
    """Its Jobs have changed since they were listed."""

    changed: Any = None

    def get(self, kind: Kind, name: str) -> Any:
        found = super().get(kind, name)
        return {**found, **Resumed.changed} if kind is kinds.JOBS and found else found


@pytest.mark.parametrize(
    "changed",
    [{"status": {"state": {"phase": "Running"}}}, {"metadata": {"name": "run-42", "uid": "another"}}],
    ids=["resumed", "installed again"],
)
def test_a_run_that_was_started_again_meanwhile_stays(
    changed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    api = Resumed()
    monkeypatch.setattr(command, "connect", lambda _: api)
    monkeypatch.setattr(Resumed, "changed", changed)
    put_run(api, "run-42", phase="Aborted")
    assert prune(fake_helm(tmp_path)) == ExitCode.OK
    assert helm_calls(tmp_path) == []
    assert "run-42 stays: it was started again meanwhile" in capsys.readouterr().err


def test_a_run_that_is_installed_again_under_its_name_stays(
    api: FakeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its release is there, and its Job not yet."""
    put_run(api, "run-42")
    put_run(api, "run-43", job=False)
    put_run(api, "run-44")
    monkeypatch.setattr(FakeApi, "get", lambda *_: None)
    again = {"metadata": {"uid": "another"}}
    monkeypatch.setattr(FakeApi, "metadata", lambda *what: None if "run-44" in what[-1] else again)
    assert prune(fake_helm(tmp_path)) == ExitCode.OK
    assert removed(tmp_path) == {"run-44"}


def test_all_namespaces_are_pruned_each_by_helm_in_its_own(
    api: FakeApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put_run(api, "run-42")
    put_run(api, "run-42", namespace="vision")
    put_run(api, "run-43", namespace="vision", release="")
    helm = fake_helm(tmp_path)
    assert prune(helm, "-A") == ExitCode.OK
    where = {call[call.index("--namespace") + 1] for call in helm_calls(tmp_path)}
    assert where == {"training", "vision"}
    assert left(api) == [one for one in left(api) if "run-43" not in one]
    assert "vision/run-43 is removed (completed, 30 d ago)" in capsys.readouterr().out


@pytest.mark.lab
def test_any_number_of_runs_is_listed_by_four_calls_and_each_costs_two_more(api: FakeApi, tmp_path: Path) -> None:
    """End-to-end tests prune two hundred."""
    for number in range(20):
        put_run(api, f"run-{number}")
    assert prune(fake_helm(tmp_path)) == ExitCode.OK
    assert len(removed(tmp_path)) == 20
    assert len(api.asked) <= 4 + 20 * 2
