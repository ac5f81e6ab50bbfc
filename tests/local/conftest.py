"""A run of the family `custom`, whose program needs no library; and the container engine of `docker.py`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from trainchart.cli import main as cli

PROGRAM = """\
import json, os, pathlib, sys
data = pathlib.Path(os.environ["DATASET_DIR"])
out = pathlib.Path(os.environ["ARTIFACTS_DIR"])
records = len(list(data.glob("*.txt")))
print("trained on", records, "records")
if os.environ.get("MUST_FAIL"):
    sys.exit("RuntimeError: told to fail")
(out / "model.json").write_text(json.dumps({"records": records, "home": os.environ["HOME"]}))
"""


@dataclass
class Ran:
    code: int
    out: str
    err: str


@dataclass
class Engine:
    """The fake engine's folder."""

    state: Path

    @property
    def calls(self) -> list[list[str]]:
        file = self.state / "calls"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    @property
    def created(self) -> list[str]:
        """The arguments of the first container."""
        return next(call for call in self.calls if call[0] == "create")

    def settings(self, number: int) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.state / f"settings-{number}.json").read_text())
        return found


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of working folders, in which every command has to leave nothing."""
    monkeypatch.setenv("TRAINCHART_CACHE", str(tmp_path / "cache"))
    yield tmp_path / "cache" / "local"
    assert not list((tmp_path / "cache" / "local").glob("*"))


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    state, programs = tmp_path / "engine", tmp_path / "programs"
    state.mkdir()
    programs.mkdir()
    (state / "image").write_text("linux/amd64")
    (state / "exits").write_text("5")
    (state / "info").write_text(json.dumps({"Architecture": "x86_64", "Runtimes": {"runc": {}}}))
    script = programs / "docker"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{Path(__file__).with_name("docker.py")}" "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("FAKE_DOCKER", str(state))
    monkeypatch.setenv("PATH", str(programs), prepend=os.pathsep)
    return Engine(state)


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Has the folders `model` and `data`, and the values file `run.yaml`."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "train.py").write_text(PROGRAM)
    (tmp_path / "data").mkdir()
    for number in range(3):
        (tmp_path / "data" / f"{number}.txt").write_text("record\n")
    (tmp_path / "run.yaml").write_text(
        "family: custom\nimage: registry.example.com/team/image:1\ntrain: {command: [python3, train.py]}\n"
        "model: {repository: https://git.example.com/team/model.git}\n"
        "dataset: {repository: https://git.example.com/team/data.git}\n"
        "publish: {repository: https://git.example.com/team/result.git}\ngit: {secretName: git-credentials}\n"
        "replicas: 4\naccelerator: {profile: nvidia, count: 2}\nresources: {limits: {memory: 900Gi}}\n"
    )
    return tmp_path


@pytest.fixture
def call(folders: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Run a command on the folders."""

    def run(command: str, *arguments: str, model: bool = True, data: bool = True) -> Ran:
        argv = [command, "-f", str(folders / "run.yaml")]
        argv += ["--model", str(folders / "model")] if model else []
        argv += ["--data", str(folders / "data")] if data else []
        code = cli.main([*argv, *arguments])
        return Ran(code, *capfd.readouterr())

    return run
