"""The runner as its container starts it, and in this process, against the servers of `tests/lab`."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
import typing
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from runner import git as runner_git
from runner import settings as runner_settings
from runner.context import Context
from tests.conftest import program
from tests.lab.git_server import TOKEN, USER, Server, git, push, serving

FILES = Path(__file__).parents[2] / "charts" / "train" / "charts" / "lib" / "files"
__all__ = ["TOKEN", "USER", "Server", "git", "push"]  # for the tests beside this file
UID = "0a1b2c3d-1111-2222-3333-444455556666"


def fake_family(probe: Callable[..., dict[str, Any]] = lambda *_: {}) -> Any:
    """A family that has no hooks, and whose probes answer as given."""
    return SimpleNamespace(has=lambda hook: False, probe=probe)


@pytest.fixture(scope="session", autouse=True)
def tools() -> Iterator[None]:
    """git-lfs on PATH for this process and the runner's; and the runner for probes that are started where they stand in the tree."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PATH", str(Path(program("git-lfs")).parent), prepend=os.pathsep)
        patched.setenv("PYTHONPATH", str(FILES), prepend=os.pathsep)
        yield


@pytest.fixture(scope="session")
def lfs_server(tmp_path_factory: pytest.TempPathFactory, tools: None) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture
def server(lfs_server: Server) -> Server:
    lfs_server.answers.clear()
    lfs_server.faults.clear()
    lfs_server.requests.clear()
    lfs_server.no_protocol_v2 = lfs_server.signed_objects = False
    return lfs_server


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    folder = tmp_path / "secrets" / "git"
    folder.mkdir(parents=True)
    (folder / "GIT_USER").write_text(USER + "\n")
    (folder / "GIT_TOKEN").write_text(TOKEN + "\n")
    return folder


def sample_settings() -> dict[str, Any]:
    """The example of docs/runner.md, so that the two cannot drift apart; `train` with all the settings of its family."""
    text = (FILES.parents[4] / "docs" / "runner.md").read_text(encoding="utf-8")
    sample: dict[str, Any] = json.loads(text.split("## Settings", 1)[1].split("```json", 1)[1].split("```", 1)[0])
    defaults = yaml.safe_load((FILES / "families" / sample["family"] / "family.yaml").read_text(encoding="utf-8"))[
        "defaults"
    ]
    return {**sample, "train": {**defaults["train"], **sample["train"]}}


def is_read(key: str) -> bool:
    """Whether a key of the settings is one of the runner's: it ignores all others, and a test would change nothing by them."""
    kind: Any = runner_settings.Settings
    for part in key.split("."):
        hints = typing.get_type_hints(kind) if dataclasses.is_dataclass(kind) else {}
        if (
            typing.get_origin(kind) is not dict
            and (part := re.sub("[A-Z]", lambda m: f"_{m[0].lower()}", part)) not in hints
        ):
            return False
        kind = typing.get_args(kind)[1] if typing.get_origin(kind) is dict else hints[part]
    return True


DEFAULTS: dict[str, Any] = yaml.safe_load((FILES / "defaults.yaml").read_text(encoding="utf-8"))


@pytest.fixture
def make_home(tmp_path: Path, secret: Path) -> Callable[..., Path]:
    """/trainchart of one run: the real runner, a family, and settings with the given changes (`"git.secretName": "..."`).

    A section that is given whole lies over the chart's defaults, as in a values file. `sources` stands for the sections of both
    sources: one that it does not name is not configured, and the `path` of the model is the family's. `pod.` leads to pod.json.
    """

    def make(changes: dict[str, Any], family: Path | None = None, name: str = "home") -> Path:
        settings = {**sample_settings(), "pod": json.loads((FILES / "pod.json").read_text(encoding="utf-8"))}
        mounts = {"workspace": "workspace", "cache": "cache", "sources": "sources", "secrets": secret.parent.name}
        settings["pod"]["mounts"] = {key: str(tmp_path / folder) for key, folder in mounts.items()}
        settings["workspace"].update(directory="run-42")
        settings["git"].update(allowPlainHttp=True)
        settings["run"].update(patienceSeconds=0, sharedMemoryBytes=0)
        # The tests' families train without a framework.
        settings["run"]["family"].update(features=[], libraries=[], writesBeside={})
        changes = dict(changes)
        for source in ("model", "dataset") if "sources" in changes else ():
            changes[source] = dict(changes["sources"].get(source, {}))
        if "path" in changes.pop("sources", {}).get("model", {}):
            changes["run.family.modelPath"] = changes["model"].pop("path")
        for key, value in changes.items():
            *path, last = key.split(".")
            target = settings
            for part in path:
                target = target[part]
            assert path[:1] == ["train"] or is_read(key), f"the runner does not read {key}"
            section = DEFAULTS.get(key) if key != "train" and isinstance(value, dict) else None
            target[last] = value if section is None else {**section, **value}
        home = tmp_path / name
        (home / "features").mkdir(parents=True, exist_ok=True)
        # Without `sidecars`, as in most runs: it would ask servers of this machine to end.
        features = [path for path in (FILES / "features").iterdir() if path.name != "sidecars"]
        for link, target_path in (
            ("runner", FILES / "runner"),
            *((f"features/{path.name}", path) for path in features),
            ("family", family or FILES / "families" / "yolov5"),
        ):
            if not (home / link).is_symlink():
                (home / link).symlink_to(target_path)
        (home / "pod.json").write_text(json.dumps(settings.pop("pod")))
        (home / "settings.json").write_text(json.dumps(settings))
        return home

    return make


@pytest.fixture
def make_context(make_home: Callable[..., Path], tmp_path: Path) -> Callable[..., Context]:
    def make(changes: dict[str, Any], **environment: str) -> Context:
        home = make_home(changes)
        context = Context.create(runner_settings.load(home), home, {"JOB_GROUP": f"run-42-{UID}", **environment})
        context.workspace.create()
        return context

    return make


@pytest.fixture(autouse=True)
def short_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner_git, "RETRY_SECONDS", (0.01,))
    monkeypatch.setattr(runner_git, "LFS_RETRIES", 1)


@dataclass
class Ended:
    code: int
    log: str
    message: dict[str, Any]

    @property
    def last(self) -> str:
        return self.log.rstrip().splitlines()[-1]

    def events(self, name: str) -> list[str]:
        return [line for line in self.log.splitlines() if line.startswith("trainchart ") and f" event={name}" in line]


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """`python -m runner` as the container starts it, or another program of a test's in its place."""

    def go(
        home: Path, *arguments: str, program: Sequence[str] = ("-m", "runner"), **environment: str
    ) -> subprocess.Popen[str]:
        keep = {key: os.environ[key] for key in ("PATH", "LANG") if key in os.environ}
        defaults = {
            "HOME": str(tmp_path / "home-folder"), "TERMINATION_LOG": str(tmp_path / "termination-log"), "JOB_GROUP": f"run-42-{UID}", "JOB_ATTEMPT": "0",
            "VC_TASK_INDEX": "0",
        }  # fmt: skip
        command = [sys.executable, *program, *arguments]
        return subprocess.Popen(
            command,
            cwd=home,
            env={**keep, **defaults, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    return go


@pytest.fixture
def run(start: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> Callable[..., Ended]:
    def go(home: Path, *arguments: str, **options: Any) -> Ended:
        process = start(home, *arguments, **options)
        return finish(process, tmp_path / "termination-log")

    return go


def finish(process: subprocess.Popen[str], message: Path) -> Ended:
    output, _ = process.communicate(timeout=60)
    return Ended(process.returncode, output, json.loads(message.read_text()) if message.exists() else {})
