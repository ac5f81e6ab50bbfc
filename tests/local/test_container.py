"""How a container engine is asked for a container."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any

import pytest

from trainchart.chart.families import local_profile
from trainchart.local.container import Engine, _mount
from trainchart.local.pod import LocalPod

POD = LocalPod(
    image="image",
    command=("python3", "-m", "runner"),
    directory="/trainchart",
    environment={},
    user=1000,
    group=2000,
    shared_memory=0,
    mounts=(),
    result=Path("result.json"),
)
PODMAN: dict[str, Any] = {"host": {"arch": "arm64", "security": {"rootless": True}}}


@pytest.mark.parametrize(
    ("name", "information", "me", "options"),
    [
        ("docker", {}, 0, ["--user", "1000:2000"]),
        ("docker", {}, 1234, ["--user", "1234:1234"]),
        ("docker", {"SecurityOptions": ["name=seccomp", "name=rootless"]}, 1234, ["--user", "0:0"]),
        ("podman", PODMAN, 1234, ["--userns", "keep-id:uid=1000,gid=2000", "--user", "1000:2000"]),
        ("podman", {"host": {"security": {"rootless": False}}}, 0, ["--user", "1000:2000"]),
    ],
)
def test_the_files_of_a_run_belong_to_the_user_of_the_command(
    name: str, information: dict[str, Any], me: int, options: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getuid", lambda: me)
    monkeypatch.setattr(os, "getgid", lambda: me)
    assert Engine(name, f"/usr/bin/{name}", information).user_options(POD) == options


def test_the_architecture_is_called_as_that_of_images() -> None:
    assert Engine("docker", "docker", {"Architecture": "x86_64"}).architecture == "amd64"
    assert Engine("podman", "podman", PODMAN).architecture == "arm64"


def test_a_gpu_is_given_by_an_engine_that_has_the_runtime() -> None:
    assert Engine("docker", "docker", {"Runtimes": {"runc": {}, "nvidia": {}}}).gpu_options(local_profile()[1]) == [
        "--gpus",
        "1",
    ]
    assert Engine("docker", "docker", {"Runtimes": {"runc": {}}}).gpu_options(local_profile()[1]) == []


def test_a_folder_may_have_any_name() -> None:
    [fields] = csv.reader([_mount('/a,b/"c"', "/sources/model", read_only=True)])
    assert fields == ["type=bind", 'source=/a,b/"c"', "target=/sources/model", "readonly"]
