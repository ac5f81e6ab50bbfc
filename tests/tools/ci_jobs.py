"""The jobs of `deploy/`, run as the forges run them: their own scripts, by the shell and in the environment of the forge."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.chart.matrix import ROOT

FILES = {"github": ROOT / "deploy/ci-github.yaml", "gitlab": ROOT / "deploy/ci-gitlab.yaml"}


def document(forge: str) -> dict[str, Any]:
    # YAML 1.1 takes the key `on` for a boolean, which neither forge does.
    loaded: dict[Any, Any] = yaml.safe_load(FILES[forge].read_text(encoding="utf-8"))
    return {"on" if key is True else key: value for key, value in loaded.items()}


def variables(forge: str) -> dict[str, str]:
    found: dict[str, str] = document(forge)["env" if forge == "github" else "variables"]
    return found


def scripts(forge: str, job: str) -> list[str]:
    """The scripts of a job, in their order. GitLab gives all lines of one to a single shell."""
    if forge == "github":
        return [step["run"] for step in document(forge)["jobs"][job]["steps"] if "run" in step]
    return ["\n".join(document(forge)[job]["script"])]


def shell(forge: str) -> list[str]:
    """The shell of a forge, and its options."""
    return ["bash", "-e"] if forge == "github" else ["bash", "-eo", "pipefail"]


def run(forge: str, job: str, folder: Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a job in a checkout, over this environment and the variables of the file, up to the first step that fails."""
    output = ""
    code = 0
    for number, script in enumerate(scripts(forge, job)):
        file = folder.parent / f"{job}-{number}.sh"
        file.write_text(script, encoding="utf-8")
        process = subprocess.run(
            [*shell(forge), str(file)],
            cwd=folder,
            env={**os.environ, **variables(forge), **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            text=True,
        )
        output, code = output + process.stdout, process.returncode
        if code:
            break
    return subprocess.CompletedProcess([job], code, output)


def commit(folder: Path, files: Mapping[str, str]) -> None:
    """Write files into a repository, which is made if there is none, and commit everything."""
    if not (folder / ".git").exists():
        folder.mkdir(exist_ok=True)
        subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    identity = ["-c", "user.name=team", "-c", "user.email=team@example.com"]
    subprocess.run(["git", "add", "--all"], cwd=folder, check=True)
    subprocess.run(["git", *identity, "commit", "--quiet", "--message", "change"], cwd=folder, check=True)
