"""What docs/ci.md offers: files for forges, and a hook of pre-commit, with the wheel of this checkout in a repository of a user."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jsonschema_rs
import pytest

from tests.chart.matrix import ROOT
from tests.tools import built
from tests.tools.ci_jobs import FILES, commit, document, run, scripts, variables
from tests.values.checks import CPU, YOLOV5

SCHEMAS = {"github": "github-workflow", "gitlab": "gitlab-ci"}
RUN = "family: yolov5\ntrain: {{epochs: {}}}\n"


def published(forge: str) -> jsonschema_rs.Draft7Validator:
    return jsonschema_rs.Draft7Validator(json.loads((ROOT / f"tests/schemas/{SCHEMAS[forge]}.json").read_text()))


@pytest.mark.parametrize("forge", FILES)
def test_a_file_is_of_the_shape_that_the_forge_publishes(forge: str) -> None:
    assert [str(error) for error in published(forge).iter_errors(document(forge))] == []


@pytest.mark.parametrize(
    ("forge", "wrong"),
    [("github", {"jobs": {"x": {"runs-on": "y", "step": []}}}), ("gitlab", {"x": {"scripts": ["true"]}})],
)
def test_a_wrong_file_is_not_of_that_shape(forge: str, wrong: object) -> None:
    assert not published(forge).is_valid(wrong)


def test_actions_are_those_of_our_own_workflow() -> None:
    used = re.compile(r"uses: (\S+ # \S+)")
    ours = set(used.findall((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")))
    theirs = used.findall(FILES["github"].read_text(encoding="utf-8"))
    assert set(theirs) <= ours
    assert len(theirs) == FILES["github"].read_text(encoding="utf-8").count("uses:")


def test_no_text_of_a_pull_request_becomes_part_of_a_script() -> None:
    assert not [script for job in ("validate", "try") for script in scripts("github", job) if "${{" in script]


def test_both_files_have_the_same_variables() -> None:
    assert variables("github") == variables("gitlab")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment in which a job installs the wheel of this checkout, without a network."""
    environment = tmp_path_factory.mktemp("job") / "python"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    requirements = built.requirements(tmp_path_factory.mktemp("requirements"))
    return {
        "PATH": f"{environment}/bin:{os.environ['PATH']}",
        "PIP_NO_INDEX": "1",
        "PYTHONPATH": str(requirements),
        "TRAINCHART": f"{built.wheel(built.build(tmp_path_factory))}[engine]",
        "VALUES": "-f base.yaml -f cpu.yaml -f run.yaml",
    }


@pytest.fixture
def validated(site: dict[str, str], tmp_path: Path) -> Callable[[str, str], subprocess.CompletedProcess[str]]:
    """Run the job `validate` of a forge on a commit that changes `run.yaml`, in a repository that had one before."""

    def run_job(forge: str, changed: str) -> subprocess.CompletedProcess[str]:
        repository = tmp_path / "repository"
        commit(repository, {"base.yaml": YOLOV5.read_text(), "cpu.yaml": CPU.read_text(), "run.yaml": RUN.format(1)})
        commit(repository, {"run.yaml": changed})
        (tmp_path / "runner").mkdir()
        own = {"RUNNER_TEMP": f"{tmp_path}/runner", "GITHUB_STEP_SUMMARY": f"{tmp_path}/summary.md"}
        return run(forge, "validate", repository, {**site, **own} if forge == "github" else site)

    return run_job


@pytest.mark.lab
@pytest.mark.parametrize("forge", FILES)
def test_the_job_validates_the_values_and_shows_what_changes(
    forge: str, validated: Callable[[str, str], subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    process = validated(forge, RUN.format(2))
    assert process.returncode == 0, process.stdout
    shown = tmp_path / ("summary.md" if forge == "github" else "repository/objects.diff")
    change = re.compile(r'^- +"epochs": 1,\n\+ +"epochs": 2,$', re.MULTILINE)
    assert change.search(shown.read_text())
    assert change.search(process.stdout)


@pytest.mark.lab
@pytest.mark.parametrize("forge", FILES)
def test_the_job_fails_for_wrong_values_and_names_the_line(
    forge: str, validated: Callable[[str, str], subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    process = validated(forge, "train: {epoch: 2}\n")
    assert process.returncode == 2, process.stdout
    if forge == "github":
        assert (
            "\n::error file=run.yaml,line=1,col=9,title=trainchart::run.yaml:1:9: error: train.epoch: "
            in process.stdout
        )
    else:
        assert "\nrun.yaml:1:9: error: train.epoch: unknown key" in process.stdout
        report = json.loads((tmp_path / "repository/code-quality.json").read_text())
        (error,) = [one for one in report if one["severity"] == "major"]
        assert error["location"] == {"path": "run.yaml", "lines": {"begin": 1}}
        assert error["description"].startswith("train.epoch: unknown key")


@pytest.mark.lab
def test_a_job_in_a_folder_of_a_monorepo_compares_that_folder_and_names_files_from_the_top(
    site: dict[str, str], tmp_path: Path
) -> None:
    top = tmp_path / "top"
    values = {"vision/base.yaml": YOLOV5.read_text(), "vision/cpu.yaml": CPU.read_text()}
    commit(top, {**values, "vision/run.yaml": RUN.format(1)})
    commit(top, {"vision/run.yaml": RUN.format(2)})
    (tmp_path / "runner").mkdir()
    own = {
        "RUNNER_TEMP": f"{tmp_path}/runner",
        "GITHUB_STEP_SUMMARY": f"{tmp_path}/summary.md",
        "GITHUB_WORKSPACE": str(top),
    }
    process = run("github", "validate", top / "vision", {**site, **own})
    assert process.returncode == 0, process.stdout
    assert "::warning file=vision/base.yaml" in process.stdout
    assert re.findall(r"^[-+] .*$", (tmp_path / "summary.md").read_text(), re.MULTILINE) == [
        '-        "epochs": 1,',
        '+        "epochs": 2,',
    ]


@pytest.mark.lab
@pytest.mark.parametrize("forge", FILES)
def test_the_job_works_on_a_first_commit(forge: str, site: dict[str, str], tmp_path: Path) -> None:
    commit(tmp_path / "new", {"base.yaml": YOLOV5.read_text(), "cpu.yaml": CPU.read_text(), "run.yaml": RUN.format(1)})
    own = {"RUNNER_TEMP": str(tmp_path), "GITHUB_STEP_SUMMARY": f"{tmp_path}/summary.md"}
    process = run(forge, "validate", tmp_path / "new", {**site, **own})
    assert process.returncode == 0, process.stdout
    assert "\n+kind: Job\n" in process.stdout


# -- pre-commit

HOOKS = """\
repos:
  - repo: {repository}
    rev: {revision}
    hooks:
      - id: trainchart-validate
        name: run-42
        args: [base.yaml, teams/a/run.yaml]
      - id: trainchart-validate
        name: run-43
        args: [base.yaml, teams/b/run.yaml]
        files: ^(base|teams/b/.*)\\.yaml$
"""


@pytest.fixture(scope="module")
def hooks(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The configuration of a user's repository with this checkout as a repository of hooks."""
    repository = built.checkout(tmp_path_factory.mktemp("trainchart"))
    commit(repository, {})
    revision = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=repository, check=True, capture_output=True, text=True
    ).stdout.strip()
    return HOOKS.format(repository=repository, revision=revision)


@pytest.mark.lab
def test_pre_commit_installs_the_hook_and_stops_a_commit_with_wrong_values(
    hooks: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    team = tmp_path / "team"
    base = YOLOV5.read_text() + "\n" + CPU.read_text().partition("\n\n")[2]
    files = {"base.yaml": base, "teams/a/run.yaml": RUN.format(1), "teams/b/run.yaml": RUN.format(2)}
    commit(team, {".pre-commit-config.yaml": hooks, **files})
    environment = {
        **os.environ,
        "PRE_COMMIT_HOME": str(tmp_path / "cache"),
        "PIP_NO_INDEX": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # which switches the isolation off
        "PYTHONPATH": str(built.requirements(tmp_path_factory.mktemp("requirements"))),
    }

    def pre_commit(*arguments: str) -> tuple[int, str]:
        process = subprocess.run(
            [sys.executable, "-m", "pre_commit", *arguments],
            cwd=team, env=environment, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        return process.returncode, process.stdout

    code, said = pre_commit("run", "--all-files")
    assert (code, re.findall(r"(run-4\d)\.+(\w+)", said)) == (0, [("run-42", "Passed"), ("run-43", "Passed")]), said
    (team / "teams/b/run.yaml").write_text("train: {epoch: 2}\n")
    subprocess.run(["git", "add", "--all"], cwd=team, check=True)
    code, said = pre_commit("run")
    assert (code, re.findall(r"(run-4\d)\.+(\w+)", said)) == (1, [("run-42", "Passed"), ("run-43", "Failed")]), said
    assert "- exit code: 2" in said
    assert "teams/b/run.yaml:1:9: error: train.epoch: unknown key, did you mean 'epochs'?" in said
    (team / "teams/b/run.yaml").write_text(RUN.format(2))
    (team / "teams/a/run.yaml").write_text(RUN.format(3))
    subprocess.run(["git", "add", "--all"], cwd=team, check=True)
    code, said = pre_commit("run")
    assert (code, re.findall(r"(run-4\d)\.+(?:\(no files to check\))?(\w+)", said)) == (
        0,
        [("run-42", "Passed"), ("run-43", "Skipped")],
    ), said
