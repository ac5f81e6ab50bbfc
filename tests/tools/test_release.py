"""`make release`, in a small repository that has what it changes."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from hack.release import CHANGELOG, VERSION_FILE, ReleaseError, git, release, with_release, with_version
from tests.chart.matrix import ROOT

TODAY = "2026-01-31"


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository on its branch main, with all that hack.generate reads."""
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "tests")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "tests@example.com")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "tools"), str(tmp_path)]))
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("charts", "deploy", "docs", "hack", "tools", "values", "README.md", CHANGELOG):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / name, ignore=ignored)
        else:
            shutil.copyfile(source, tmp_path / name)
    (tmp_path / ".gitignore").write_text("__pycache__/\n")
    (tmp_path / CHANGELOG).write_text("# Changelog\n\n## Unreleased\n\n### Added\n- A thing.\n")
    subprocess.run(["git", "init", "--quiet", "--initial-branch=main"], cwd=tmp_path, check=True)
    git(tmp_path, "add", "--all")
    git(tmp_path, "commit", "--quiet", "--message", "first")
    return tmp_path


@pytest.mark.lab
def test_a_release_is_one_tagged_commit_with_one_version_everywhere(repository: Path) -> None:
    release(repository, "7.8.9", TODAY)
    assert git(repository, "describe", "--exact-match") == "v7.8.9"
    assert git(repository, "status", "--porcelain") == ""
    assert set(git(repository, "diff", "--name-only", "HEAD~1").splitlines()) == {
        CHANGELOG,
        "charts/platform/Chart.yaml",
        "charts/platform/values.yaml",
        "deploy/kubeflow/train-and-tune.yaml",
        "deploy/kubeflow/train.yaml",
        "docs/platform-values.md",
        VERSION_FILE,
        "charts/train/Chart.yaml",
        "charts/train/charts/lib/Chart.yaml",
    }
    assert "\nversion: 7.8.9\nappVersion: 7.8.9\n" in (repository / "charts/train/Chart.yaml").read_text()
    assert (repository / CHANGELOG).read_text() == (
        "# Changelog\n\n## Unreleased\n\n## 7.8.9 - 2026-01-31\n\n### Added\n- A thing.\n"
    )


@pytest.mark.lab
def test_a_second_release_needs_an_entry_of_its_own(repository: Path) -> None:
    release(repository, "7.8.9", TODAY)
    with pytest.raises(ReleaseError, match='nothing under "Unreleased"'):
        release(repository, "7.8.10", TODAY)
    assert git(repository, "status", "--porcelain") == ""


def test_a_checkout_with_changes_is_refused(repository: Path) -> None:
    (repository / "left").touch()
    with pytest.raises(ReleaseError, match="commit or stash"):
        release(repository, "7.8.9", TODAY)


def test_another_branch_is_refused(repository: Path) -> None:
    git(repository, "switch", "--quiet", "--create", "other")
    with pytest.raises(ReleaseError, match="git switch main"):
        release(repository, "7.8.9", TODAY)


@pytest.mark.parametrize("version", ["", "1.2", "v1.2.3", "0.9.0", "1.0.0", "0.10.0"])
def test_what_is_no_later_version_is_refused(version: str) -> None:
    with pytest.raises(ReleaseError, match="VERSION="):
        with_version('__version__ = "1.0.0"\n', version)


def test_versions_are_compared_by_number() -> None:
    assert with_version('__version__ = "0.9.0"\n', "0.10.0") == '__version__ = "0.10.0"\n'


def test_only_the_first_section_is_released() -> None:
    text = "## Unreleased\n\n- New.\n\n## 1.0.0 - 2025-01-01\n\n- Old.\n"
    assert with_release(text, "1.1.0", TODAY) == (
        "## Unreleased\n\n## 1.1.0 - 2026-01-31\n\n- New.\n\n## 1.0.0 - 2025-01-01\n\n- Old.\n"
    )
