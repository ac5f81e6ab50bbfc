"""`trainchart rerun`: the values and commits that it takes, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.checks.cluster import ROOT, stocked
from tests.fakes.api import FakeApi
from tests.fakes.runs import fake_helm, helm_calls, put_run
from trainchart.cli import main as cli
from trainchart.cli import rerun as command
from trainchart.cli import submit
from trainchart.cluster import kinds
from trainchart.errors import ExitCode
from trainchart.files import Tree, load_values, overlay

MODEL, DATASET = "1" * 40, "2" * 40
VALUES = load_values(
    *(ROOT / file for file in ("values/custom.yaml", "values/accelerators/cpu.yaml", "e2e/values/custom.yaml"))
)
RESULT = {
    "status": "completed",
    "branch": "sft-1",
    "sources": {"model": {"commit": MODEL}, "dataset": {"commit": DATASET}},
}
FETCHED_NOTHING = {"status": "failed", "failure": {"name": "verify-failed", "code": 20, "stage": "verify"}}


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> FakeApi:
    made = FakeApi()
    stocked(made)
    for module in (command, submit):
        monkeypatch.setattr(module, "connect", lambda _: made)
    return made


def put(api: FakeApi, result: Any = None, *, over: Tree | None = None, **options: Any) -> None:
    """A run with its pod, which has reported a result."""
    put_run(api, "run-42", values=overlay(VALUES, over or {}), **options)
    ended = {"terminated": {"exitCode": 0, "message": json.dumps(result)}}
    api.put(
        kinds.PODS,
        {
            "metadata": {"name": "run-42-train-0", "labels": {"volcano.sh/job-name": "run-42", "volcano.sh/task-index": "0"}},
            "status": {"phase": "Succeeded", "containerStatuses": [{"name": "train", "state": ended}]},
        },
    )  # fmt: skip


def rerun(folder: Path, *more: str) -> int:
    return cli.main(["rerun", "run-42", "--as", "run-43", "--no-wait", "--helm", fake_helm(folder), *more])


def installed(folder: Path) -> Tree:
    """The values of the installed release."""
    values: Tree = yaml.safe_load((folder / "values").read_text())
    return values


def refused(folder: Path, capsys: pytest.CaptureFixture[str], *more: str) -> str:
    assert rerun(folder, *more) == ExitCode.REFUSED
    assert [call for call in helm_calls(folder) if call[0] == "install"] == []
    return capsys.readouterr().err


def test_a_run_is_installed_again_with_its_values_and_its_commits(api: FakeApi, tmp_path: Path) -> None:
    put(api, RESULT, over={"timeLimit": "7h", "owner": {"apiVersion": "v1", "kind": "Pod", "name": "a", "uid": "b"}})
    assert rerun(tmp_path) == ExitCode.OK
    (install,) = helm_calls(tmp_path)
    assert install[:2] == ["install", "run-43"]
    pins = {"model": {"revision": MODEL}, "dataset": {"revision": DATASET}}
    assert installed(tmp_path) == overlay(overlay(VALUES, {"timeLimit": "7h"}), pins), "and not with the owner"


@pytest.mark.lab
def test_values_of_the_command_line_lie_over_those_of_the_run(api: FakeApi, tmp_path: Path) -> None:
    put(api, RESULT)
    (tmp_path / "more.yaml").write_text("timeLimit: 8h\nretries: 3\n")
    assert rerun(tmp_path, "-f", str(tmp_path / "more.yaml"), "--set", "retries=1") == ExitCode.OK
    values = installed(tmp_path)
    assert (values["timeLimit"], values["retries"], values["model"]["revision"]) == ("8h", 1, MODEL)


@pytest.mark.lab
@pytest.mark.parametrize("option", ["-f", "--param"])
def test_a_branch_that_the_command_line_names_again_is_taken_and_said(
    option: str, api: FakeApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(api, RESULT)
    (tmp_path / "original.yaml").write_text("model: {revision: main}\n")
    given = str(tmp_path / "original.yaml") if option == "-f" else "MODEL_REPO_BRANCH=main"
    assert rerun(tmp_path, option, given) == ExitCode.OK
    assert installed(tmp_path)["model"]["revision"] == "main"
    said = f"model.revision: run-43 takes main, as your values say, not commit {MODEL} of run-42"
    assert said in capsys.readouterr().err


@pytest.mark.lab
def test_newer_takes_what_the_branches_have_now(api: FakeApi, tmp_path: Path) -> None:
    put(api, RESULT)
    assert rerun(tmp_path, "--newer") == ExitCode.OK
    assert installed(tmp_path) == VALUES


@pytest.mark.lab
@pytest.mark.parametrize(
    "change", ["model.revision=other", "model.repository=https://gitea.git.svc:3000/team/other.git"]
)
def test_a_source_that_the_user_changes_is_not_pinned(change: str, api: FakeApi, tmp_path: Path) -> None:
    put(api, RESULT)
    assert rerun(tmp_path, "--set", change) == ExitCode.OK
    values = installed(tmp_path)
    assert values["dataset"]["revision"] == DATASET
    assert values["model"].get("revision") == ("other" if "revision" in change else VALUES["model"].get("revision"))


@pytest.mark.lab
@pytest.mark.parametrize(("phase", "why"), [("Completed", "its pods are gone"), ("Running", "it is running")])
def test_commits_that_are_not_known_are_not_guessed(
    phase: str, why: str, api: FakeApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put_run(api, "run-42", phase=phase, values=VALUES)
    said = refused(tmp_path, capsys)
    assert f"the commits of model and dataset that run-42 trained on are not known: {why}; add --newer" in said
    assert rerun(tmp_path, "--newer") == ExitCode.OK
    pins = ["--set", f"model.revision={MODEL}", "--set", f"dataset.revision={DATASET}"]
    assert rerun(tmp_path, *pins) == ExitCode.OK


@pytest.mark.lab
def test_a_revision_that_is_a_commit_needs_no_record(api: FakeApi, tmp_path: Path) -> None:
    pins = {"model": {"revision": MODEL}, "dataset": {"revision": DATASET}}
    put_run(api, "run-42", values=overlay(VALUES, pins))
    assert rerun(tmp_path) == ExitCode.OK
    assert installed(tmp_path)["model"]["revision"] == MODEL


@pytest.mark.lab
def test_a_run_that_fetched_nothing_has_no_commits(
    api: FakeApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(api, FETCHED_NOTHING, phase="Terminated")
    assert rerun(tmp_path) == ExitCode.OK
    assert "run-42 ended before it fetched anything" in capsys.readouterr().err
    assert installed(tmp_path) == VALUES


@pytest.mark.lab
def test_a_branch_that_has_the_result_of_the_run_is_refused(
    api: FakeApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(api, {**RESULT, "branch": "candidates/1"}, over={"publish": {"branch": "candidates/1"}})
    assert "publish.branch: candidates/1 has the result of run-42, and every run needs its own" in refused(
        tmp_path, capsys
    )
    assert rerun(tmp_path, "--set", "publish.branch=candidates/2") == ExitCode.OK
    assert rerun(tmp_path, "--set", "publish.branch=") == ExitCode.OK


@pytest.mark.lab
def test_a_branch_that_was_never_published_to_is_free(api: FakeApi, tmp_path: Path) -> None:
    put(api, {**FETCHED_NOTHING}, phase="Terminated", over={"publish": {"branch": "candidates/1"}})
    assert rerun(tmp_path) == ExitCode.OK
    assert installed(tmp_path)["publish"]["branch"] == "candidates/1"


@pytest.mark.lab
@pytest.mark.parametrize("forbidden", [set(), {"list secrets"}])
def test_without_a_release_the_values_are_those_of_the_settings(
    forbidden: set[str], api: FakeApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    api.forbidden = forbidden
    put(api, RESULT, release="", over={"timeLimit": "7h", "queue": "default", "networkPolicy": {"enabled": False}})
    assert rerun(tmp_path, "--no-doctor") == ExitCode.OK
    values = installed(tmp_path)
    assert (values["timeLimit"], values["queue"], values["model"]["revision"]) == ("7h", "default", MODEL)
    assert "networkPolicy" not in values
    assert "not among them are networkPolicy, workspace.keep: set them again" in capsys.readouterr().err


@pytest.mark.lab
def test_invalid_values_are_told_as_submit_tells_them(
    api: FakeApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(api, RESULT, over={"replica": 2})
    assert "values of run-42:" in (said := refused(tmp_path, capsys))
    assert "replica: unknown key" in said


@pytest.mark.lab
def test_a_run_that_continues_in_the_folder_of_the_other_says_so(
    api: FakeApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    claim = {"type": "existingClaim", "claimName": "data", "directory": "one"}
    api.put(kinds.CLAIMS, {"metadata": {"name": "data"}, "status": {"phase": "Bound"}})
    put(api, RESULT, over={"workspace": claim})
    assert rerun(tmp_path, "--no-doctor") == ExitCode.OK
    assert "workspace.directory: run-43 uses the folder one" in capsys.readouterr().err
    assert rerun(tmp_path, "--no-doctor", "--set", "workspace.directory=") == ExitCode.OK
    assert "workspace.directory" not in capsys.readouterr().err


def test_a_run_that_does_not_exist_is_not_found_and_outputs_are_written(api: FakeApi, tmp_path: Path) -> None:
    assert rerun(tmp_path, "--output", "exit-code", str(tmp_path / "code")) == ExitCode.NOT_FOUND
    assert (tmp_path / "code").read_text() == "4"


def test_rerun_has_all_options_of_submit() -> None:
    parser = cli.make_parser()
    submitted = vars(parser.parse_args(["submit", "a", "-f", "b"]))
    assert submitted.keys() <= vars(parser.parse_args(["rerun", "a", "--as", "b"])).keys()
