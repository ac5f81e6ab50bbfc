"""`trainchart delete`: releases and runs without one, and what it leaves."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes.api import FakeApi
from tests.fakes.runs import CLAIM, KEPT, fake_helm, helm_calls, left, manifests, put_release, put_run
from trainchart.cli import delete as command
from trainchart.cli import main as cli
from trainchart.cluster import kinds
from trainchart.cluster.errors import NotFoundError
from trainchart.errors import ExitCode
from trainchart.run.state import Snapshot


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> FakeApi:
    made = FakeApi()
    monkeypatch.setattr(command, "connect", lambda _: made)
    return made


def delete(helm: str, *arguments: str) -> int:
    return cli.main(["delete", *arguments, "--helm", helm])


def test_a_release_is_uninstalled_by_helm(api: FakeApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put_run(api, "run-42")
    assert delete(fake_helm(tmp_path), "run-42") == ExitCode.OK
    assert [call[:4] for call in helm_calls(tmp_path)] == [["uninstall", "run-42", "--namespace", "training"]]
    assert capsys.readouterr().out == "run-42 is removed\n"


def test_the_pod_of_helm_test_which_helm_leaves_is_removed(api: FakeApi, tmp_path: Path) -> None:
    put_run(api, "run-42")
    (check,) = (one for one in manifests("run-42", {}) if one["kind"] == "Pod")
    api.put(kinds.PODS, check, {"metadata": {"name": "other", "labels": {"app": "other"}}})
    assert delete(fake_helm(tmp_path), "run-42") == ExitCode.OK
    assert "pods other" in left(api)
    assert "pods run-42-check" not in left(api)


def test_a_run_without_a_release_is_removed_by_its_labels_and_needs_no_helm(
    api: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    put_run(api, "run-42", release="", values=KEPT)
    put_run(api, "run-4", release="")
    other = {"metadata": {"name": "web", "labels": {"app.kubernetes.io/instance": "run-42"}}}
    api.put(kinds.SERVICES, other)
    before = [one for one in left(api) if "run-42" not in one]
    assert delete("no-such-helm", "run-42") == ExitCode.OK
    assert left(api) == sorted([*before, "persistentvolumeclaims run-42-workspace"])
    assert capsys.readouterr().out == "run-42 is removed; claim run-42-workspace is kept (workspace.keep)\n"


@pytest.mark.parametrize("forbidden", ["secrets", "networkpolicies", "resourceclaimtemplates"])
def test_a_run_without_a_release_is_removed_without_rights_that_it_does_not_need(forbidden: str, api: FakeApi) -> None:
    api.forbidden = {forbidden}
    put_run(api, "run-42", release="")
    assert delete("no-such-helm", "run-42") == ExitCode.OK
    assert [one for one in left(api) if not one.startswith(forbidden)] == []


def test_a_release_is_not_taken_apart_by_an_account_that_cannot_read_it(
    api: FakeApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put_run(api, "run-42")
    api.forbidden = {"secrets"}
    before = left(api)
    assert delete(fake_helm(tmp_path), "run-42") == ExitCode.FORBIDDEN
    assert left(api) == before
    assert (
        "run-42 is not removed: it is a release of Helm, and this account may not list secrets"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize("phase", ["", "Pending", "Running", "Restarting", "Aborting"])
def test_a_run_that_has_not_finished_is_left(
    phase: str, api: FakeApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put_run(api, "run-42", phase=phase)
    assert delete(fake_helm(tmp_path), "run-42") == ExitCode.REFUSED
    assert helm_calls(tmp_path) == []
    assert "; add --stop to stop it first" in capsys.readouterr().err


def test_with_stop_a_run_is_stopped_first(
    api: FakeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put_run(api, "run-42", phase="Running")
    create = api.create

    def volcano(kind: kinds.Kind, body: dict[str, object], *, dry_run: bool = False) -> dict[str, object]:
        if kind is kinds.COMMANDS:
            api.there[kinds.JOBS][0]["status"]["state"]["phase"] = "Aborted"
        return create(kind, body, dry_run=dry_run)

    monkeypatch.setattr(api, "create", volcano)
    assert delete(fake_helm(tmp_path), "run-42", "--stop") == ExitCode.OK
    assert "create commands.bus.volcano.sh" in api.asked
    assert [call[:2] for call in helm_calls(tmp_path)] == [["uninstall", "run-42"]]


def test_a_run_whose_job_is_deleted_while_it_is_stopped_is_removed(
    api: FakeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise NotFoundError("run-42 was uninstalled while it was being stopped")

    put_run(api, "run-42", phase="Running")
    monkeypatch.setattr("trainchart.follow.stop.stop", stop)
    assert delete(fake_helm(tmp_path), "run-42", "--stop") == ExitCode.OK
    assert [call[:2] for call in helm_calls(tmp_path)] == [["uninstall", "run-42"]]


def test_a_release_that_is_being_installed_is_left_unless_stop_is_given(
    api: FakeApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put_run(api, "run-42", release="pending-install", made=0, job=False)
    helm = fake_helm(tmp_path)
    assert delete(helm, "run-42") == ExitCode.REFUSED
    assert "Helm is installing it, or was interrupted" in capsys.readouterr().err
    assert helm_calls(tmp_path) == []
    assert delete(helm, "run-42", "--stop") == ExitCode.OK


@pytest.mark.parametrize("status", ["failed", "pending-install", "uninstalling", "deployed"])
def test_a_release_without_any_object_is_removed(status: str, api: FakeApi, tmp_path: Path) -> None:
    put_run(api, "run-42", release=status, objects=False)
    assert delete(fake_helm(tmp_path), "run-42", "--stop") == ExitCode.OK
    assert [call[:2] for call in helm_calls(tmp_path)] == [["uninstall", "run-42"]]


def test_a_release_of_another_chart_is_not_found(
    api: FakeApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put_release(api, "web", "deployed", manifest=[{"kind": "Service", "metadata": {"name": "web"}}])
    assert delete(fake_helm(tmp_path), "web") == ExitCode.NOT_FOUND
    assert "run web not found in namespace training" in capsys.readouterr().err
    assert helm_calls(tmp_path) == []


def test_charts_platform_is_not_found(api: FakeApi, tmp_path: Path) -> None:
    labels = {"app.kubernetes.io/part-of": "trainchart", "app.kubernetes.io/instance": "platform"}
    put_release(api, "platform", "deployed", manifest=[{"kind": "Role", "metadata": {"name": "a", "labels": labels}}])
    assert delete(fake_helm(tmp_path), "platform") == ExitCode.NOT_FOUND
    assert helm_calls(tmp_path) == []


def test_a_copy_of_the_run_s_job_does_not_keep_the_run(api: FakeApi, tmp_path: Path) -> None:
    put_run(api, "run-42")
    (job,) = api.there[kinds.JOBS]
    api.put(kinds.JOBS, {**job, "metadata": {**job["metadata"], "name": "copy"}})
    assert delete(fake_helm(tmp_path), "run-42") == ExitCode.OK
    assert [call[1] for call in helm_calls(tmp_path)] == ["run-42"]


def test_a_run_whose_claim_another_one_uses_is_left(
    api: FakeApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put_run(api, "run-42", values=CLAIM)
    workspace = {"type": "existingClaim", "claimName": "run-42-workspace"}
    put_run(api, "run-43", phase="Running", values={"workspace": workspace})
    assert delete(fake_helm(tmp_path), "run-42", "--stop") == ExitCode.REFUSED
    assert helm_calls(tmp_path) == []
    assert "run-42 is not removed: run-43 is running on its claim; stop run-43 first" in capsys.readouterr().err


def test_a_run_that_does_not_exist_is_an_error_unless_it_may_be_missing(api: FakeApi, tmp_path: Path) -> None:
    put_run(api, "run-42")
    helm = fake_helm(tmp_path)
    assert delete(helm, "run-43", "run-42") == ExitCode.NOT_FOUND
    assert [call[:2] for call in helm_calls(tmp_path)] == [["uninstall", "run-42"]], "the others are removed"
    assert delete(helm, "run-43", "--ignore-not-found") == ExitCode.OK


def test_a_run_is_removed_whose_claim_is_used_by_one_that_is_stopped_and_removed_too(
    api: FakeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_run(api, "run-42", values=CLAIM)
    workspace = {"type": "existingClaim", "claimName": "run-42-workspace"}
    put_run(api, "run-43", phase="Running", values={"workspace": workspace})
    stopped: list[str] = []

    def stop(_: FakeApi, run: Snapshot, *__: object, **___: object) -> None:
        stopped.append(run.name)
        (job,) = (job for job in api.there[kinds.JOBS] if job["metadata"]["name"] == run.name)
        job["status"]["state"]["phase"] = "Aborted"

    monkeypatch.setattr("trainchart.follow.stop.stop", stop)
    assert delete(fake_helm(tmp_path), "run-42", "run-43", "--stop") == ExitCode.OK
    assert stopped == ["run-43"]
    assert [call[:2] for call in helm_calls(tmp_path)] == [["uninstall", "run-42"], ["uninstall", "run-43"]]


def test_a_kept_claim_is_no_run(api: FakeApi, tmp_path: Path) -> None:
    put_run(api, "run-42", release="", values=KEPT)
    assert delete("no-such-helm", "run-42") == ExitCode.OK
    assert delete("no-such-helm", "run-42") == ExitCode.NOT_FOUND


def test_what_helm_says_is_explained(api: FakeApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put_run(api, "run-42")
    says = 'Error: uninstall: services "run-42-master" is forbidden: User "a" cannot delete resource "services" in API group ""'
    assert delete(fake_helm(tmp_path, fails={"run-42": says}), "run-42") == ExitCode.FORBIDDEN
    assert "run-42 is not removed: this account has no permission to delete services" in capsys.readouterr().err


def test_a_release_that_somebody_removed_meanwhile_is_no_error(api: FakeApi, tmp_path: Path) -> None:
    put_run(api, "run-42")
    says = "Error: uninstall: Release not loaded: run-42: release: not found"
    assert delete(fake_helm(tmp_path, fails={"run-42": says}), "run-42") == ExitCode.OK
