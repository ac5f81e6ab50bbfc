"""Runs a pod's program in this Python, without a container."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import site
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainchart.local.pod import LocalPod
from trainchart.local.program import Show, stream

_GRACE_SECONDS = 40.0
"""The runner gives a trainer 25 seconds to stop, and nobody else would kill it."""

_IMPORTED = {"pytorch": ["torch"], "paddle": ["paddle"]}
"""What a framework is called in an import; others are among the libraries of their families."""

_KEPT_BACK = re.compile(
    r"TOKEN(?!IZERS)|SECRET|PASS(WORD|WD|PHRASE)|CREDENTIAL|(API|ACCESS|PRIVATE)_?KEY|_AUTH(_|$)"
    r"|^(AWS|AZURE|BITBUCKET|CI|CLEARML|COMET|DOCKER|GCP|GITHUB|GITLAB|GOOGLE|KUBE\w*|MLFLOW|NEPTUNE|RUNNER|WANDB)_|^KUBECONFIG$",
    re.IGNORECASE,
)
"""Variables of the caller, by their names, that say who they are and not where libraries and devices lie: a job of CI has dozens."""


def missing_libraries(family: Mapping[str, Any]) -> list[str]:
    """The libraries of a family's trainer that this Python does not have."""
    wanted = [*family.get("libraries", []), *_IMPORTED.get(family["framework"], [])]
    return [name for name in wanted if importlib.util.find_spec(name) is None]


def has_gpu(local: Mapping[str, Any]) -> bool:
    """Whether the driver shows a device to this process. `local` of its profile describes it."""
    return Path(local["file"]).exists()


def run(pod: LocalPod, show: Show) -> int:
    """Run the pod's command, with its output shown, and return its exit code. What it mounts is where it lies."""
    home = pod.folder(pod.directory)
    _move_mounts(home / "pod.json", pod)
    temporary = pod.folder("/tmp")  # noqa: S108
    environment = {
        **{name: value for name, value in os.environ.items() if not _KEPT_BACK.search(name)},
        **pod.environment,
        "PATH": _path(os.environ.get("PATH", os.defpath)),
        "HOME": str(temporary / "home"),
        "TMPDIR": str(temporary),
        "TERMINATION_LOG": str(temporary / "termination-log"),
        # Not below the HOME of the run, and not written into the folders of the user.
        "PYTHONUSERBASE": site.getuserbase(),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    program, *arguments = pod.command
    argv = [sys.executable if program == "python3" else program, *arguments]
    return stream(argv, show, directory=home, environment=environment, grace=_GRACE_SECONDS)


def _path(path: str) -> str:
    """PATH, with the programs of this Python first if `python3` is another one: it need not be that of an active environment."""
    own = Path(sys.executable).with_name("python3")
    return path if shutil.which("python3", path=path) == str(own) else f"{own.parent}{os.pathsep}{path}"


def _move_mounts(file: Path, pod: LocalPod) -> None:
    """Let the runner look for its mounts where they are on this machine."""
    constants = json.loads(file.read_text(encoding="utf-8"))
    moved = {mount.target: mount.folder for mount in pod.mounts}
    sources = constants["mounts"]["sources"]
    together = file.parent.parent / "sources"
    together.mkdir()
    for name in ("model", "dataset"):
        if folder := moved.get(f"{sources}/{name}"):
            (together / name).symlink_to(folder)
    moved[sources] = together
    constants["mounts"] = {key: str(moved.get(path, path)) for key, path in constants["mounts"].items()}
    file.chmod(0o644)
    file.write_text(json.dumps(constants), encoding="utf-8")
