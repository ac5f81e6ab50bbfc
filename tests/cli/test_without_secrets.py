"""A run that `helm template | kubectl create` has made, for an account that may do nothing with Secrets: every command works."""

from __future__ import annotations

import importlib
import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.api import FakeApi
from tests.fakes.runs import left, put_run
from trainchart.checks.rights import RIGHTS, check_rights
from trainchart.cli import main as cli
from trainchart.cluster import kinds
from trainchart.errors import ExitCode
from trainchart.files import Tree

RESULT = {"status": "completed", "branch": "sft-1", "repository": "https://git.example.com/team/x.git"}
# Each with what it prints.
COMMANDS = {
    "status run-42": "completed",
    "status run-42 -o json": '"state": "completed"',
    "list": "run-42  custom",
    "wait run-42": "run-42 completed",
    "logs run-42": "a line",
    "logs -f run-42": "a line",
    "result run-42": "sft-1",
    "report run-42 --write -": "<html",
    "stop run-42": "run-42 had finished: completed",
    "prune --dry-run": "run-42 would be removed",
    "delete run-42": "run-42 is removed",
}


class Logging(FakeApi):
    def log(self, pod: str, *, follow: bool = False, **options: Any) -> Any:
        assert not follow or pod
        return super().log(pod, **options)


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> FakeApi:
    made = Logging(forbidden={"secrets"})
    for command in ("status", "list", "wait", "logs", "result", "report", "stop", "prune", "delete"):
        monkeypatch.setattr(importlib.import_module(f"trainchart.cli.{command}"), "connect", lambda _: made)
    put_run(made, "run-42", release="")
    state = {"terminated": {"exitCode": 0, "message": json.dumps(RESULT)}}
    labels = {"volcano.sh/job-name": "run-42", "volcano.sh/task-index": "0"}
    pod: Tree = {
        "metadata": {"name": "run-42-train-0", "uid": "pod", "labels": labels},
        "status": {"phase": "Succeeded", "containerStatuses": [{"name": "train", "state": state}]},
    }
    made.put(kinds.PODS, pod)
    made.logs["run-42-train-0"] = b"2026-11-24T18:00:00.000000000Z a line\n"
    return made


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_works_without_the_right_to_secrets(
    command: str, api: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(shlex.split(command)) == ExitCode.OK
    said = capsys.readouterr()
    assert COMMANDS[command] in said.out
    assert [one for one in api.asked if "secrets" in one] in (
        [],
        ["list secrets owner=helm"],
        ["list secrets owner=helm,name=run-42"],
    )


@pytest.mark.parametrize("command", ["status run-42", "wait run-42", "result run-42", "stop run-42", "delete run-42"])
def test_a_run_whose_job_is_gone_is_not_asked_of_secrets_in_vain(
    command: str, api: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    api.there[kinds.JOBS] = []
    assert cli.main(command.split()) in (ExitCode.OK, ExitCode.NOT_FOUND)
    said = capsys.readouterr()
    assert "run-42" in said.out + said.err
    if command.startswith("delete"):
        assert left(api) == ["pods run-42-train-0"]


def test_what_only_a_release_knows_says_which_right_is_missing(
    api: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    api.there[kinds.JOBS] = []
    assert cli.main(["result", "run-42", "--whole"]) == ExitCode.FORBIDDEN
    assert "no permission to list secrets" in capsys.readouterr().err


def test_an_account_that_lacks_only_secrets_is_told_the_other_way() -> None:
    lacking = {right: list(right.verbs) for right in RIGHTS if right.kind is kinds.SECRETS}
    assert "or submit without Helm's releases" in check_rights(lacking, "training").fix
    others = {right: list(right.verbs) for right in RIGHTS}
    assert "without Helm's releases" not in check_rights(others, "training").fix


def test_the_documented_commands_are_those_that_are_tried() -> None:
    page = (Path(__file__).parents[2] / "docs" / "rights.md").read_text(encoding="utf-8")
    section = page.partition("## Without the right to Secrets")[2].partition("\n## ")[0]
    listed = section.partition(" work as on a release")[0].rpartition("\n")[2].replace(" and", ",").replace("`", "")
    assert {word.strip() for word in listed.split(",")} == {command.split()[0] for command in COMMANDS}
