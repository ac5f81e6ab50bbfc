"""Runs a pod in a container of Docker or Podman, as restricted as in the cluster."""

from __future__ import annotations

import csv
import io
import json
import os
import platform
import secrets
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from trainchart.errors import ExitCode, TrainchartError, UsageError
from trainchart.local.pod import LocalPod
from trainchart.local.program import Show, stream
from trainchart.local.scratch import name_of
from trainchart.terminal import printable

PROGRAMS = ("docker", "podman")
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_LABEL = "trainchart.folder"
"""Of containers: the working folder of their command."""
_SECONDS = 60.0  # for answers of the engine; a busy one takes a while
_FOLDERS_OF_DEVICES = ("/etc/cdi", "/var/run/cdi")


class EngineError(TrainchartError):
    """No container engine answers."""

    exit_code = ExitCode.UNREACHABLE


class ImageError(TrainchartError):
    """The image is not on this machine."""

    exit_code = ExitCode.NOT_FOUND


class ContainerError(TrainchartError):
    """The container did not start, or its engine failed."""

    exit_code = ExitCode.RUN_FAILED


@dataclass(frozen=True)
class Engine:
    """A container engine that answers."""

    name: str
    program: str
    information: Mapping[str, Any]
    """What `info` says."""

    @cached_property
    def architecture(self) -> str:
        host: Mapping[str, Any] = self.information.get("host") or {}
        found = str(self.information.get("Architecture") or host.get("arch") or platform.machine())
        return _ARCHITECTURES.get(found, found)

    @cached_property
    def is_rootless(self) -> bool:
        """Whether root of its containers is the user who runs the engine."""
        host: Mapping[str, Any] = self.information.get("host") or {}
        options = self.information.get("SecurityOptions") or []
        return bool((host.get("security") or {}).get("rootless")) or "name=rootless" in options

    def gpu_options(self, local: Mapping[str, Any]) -> list[str]:
        """The options that give a container one GPU, which `local` of its profile describes; empty if the engine has none."""
        if self.name == "podman" and any(
            Path(folder, f"{local['runtime']}.yaml").exists() for folder in _FOLDERS_OF_DEVICES
        ):
            return ["--device", local["device"]]
        return ["--gpus", "1"] if local["runtime"] in (self.information.get("Runtimes") or {}) else []

    def user_options(self, pod: LocalPod) -> list[str]:
        """The options by which the files of the run belong to the user of this process.

        It is the run's own user where that is possible: with Podman, which maps users, and if this process is root's.
        """
        run, me = f"{pod.user}:{pod.group}", f"{os.getuid()}:{os.getgid()}"
        if self.name == "podman" and self.is_rootless:
            return ["--userns", f"keep-id:uid={pod.user},gid={pod.group}", "--user", run]
        if self.is_rootless:
            return ["--user", "0:0"]
        return ["--user", run if os.getuid() == 0 else me]


def find_engine(wanted: str = "") -> Engine:
    """The engine of that name, or the first of PROGRAMS that answers.

    Raises:
        UsageError: it is not installed.
        EngineError: none is installed, or none answers.
    """
    names = [wanted] if wanted else [name for name in PROGRAMS if shutil.which(name)]
    if wanted and not shutil.which(wanted):
        raise UsageError(f"--engine: {wanted} is not on PATH; install it, or use another engine")
    problems = []
    for name in names:
        found = _ask(name)
        if isinstance(found, Engine):
            return found
        problems.append(found)
    if problems:
        raise EngineError("; ".join(problems))
    raise EngineError("neither docker nor podman is on PATH; install one, or use this Python by --here")


def _ask(name: str) -> Engine | str:
    """The engine, or why it does not answer."""
    program = str(shutil.which(name))
    done = _run([program, "info", "--format", "{{json .}}"])
    try:
        information = json.loads(done.stdout)
    except ValueError:
        information = {}
    errors = information.get("ServerErrors") or ([] if done.returncode == 0 else [done.stderr])
    if not errors:
        return Engine(name, program, information)
    said = " ".join(" ".join(errors).split())
    if "permission denied" in said:
        return f"{name}: this user may not use it; join its group (docker), or use Podman, or this Python by --here"
    return f"{name} is installed, but does not answer; start it, or use this Python by --here ({printable(said)[:200]})"


def check_image(engine: Engine, image: str) -> str:
    """The image's platform, such as linux/arm64, where it is another one than the engine's; else "".

    Raises:
        ImageError: the image is not on this machine, or is not one of Linux.
    """
    done = _run([engine.program, "image", "inspect", "--format", "{{.Os}}/{{.Architecture}}", image])
    if done.returncode:
        said = done.stderr.lower()
        if "no such image" in said or "not known" in said or "not found" in said:
            raise ImageError(f"image {image} is not on this machine; get it by: {engine.name} pull {image}")
        raise EngineError(f"{engine.name}: {printable(' '.join(done.stderr.split()))[:300]}")
    found = done.stdout.strip()
    return "" if found == f"linux/{engine.architecture}" else found


def run(engine: Engine, pod: LocalPod, show: Show, *, network: bool = False, devices: Sequence[str] = ()) -> int:
    """Run the pod, with its output shown, and return its exit code. Whatever happens, its container is removed.

    Raises:
        ContainerError: the container could not be started.
    """
    name = f"trainchart-{secrets.token_hex(6)}"
    if os.getuid() == 0:
        for mount in pod.mounts:
            if not mount.read_only:
                os.chown(mount.folder, pod.user, pod.group)
    try:
        done = _run([engine.program, *_create_arguments(engine, pod, name, network=network, devices=devices)])
        if done.returncode:
            raise ContainerError(f"{engine.name}: {printable(' '.join(done.stderr.split()))[:500]}")
        return stream([engine.program, "start", "--attach", name], show)
    finally:
        _run([engine.program, "rm", "--force", name])


def remove_abandoned(engine: Engine, folder: Path) -> None:
    """Remove the containers of a command that was killed: they would go on with what it tried, on its GPU."""
    found = _run([engine.program, "ps", "--all", "--quiet", "--filter", f"label={_LABEL}={name_of(folder)}"])
    if names := found.stdout.split():
        _run([engine.program, "rm", "--force", *names])


def _create_arguments(engine: Engine, pod: LocalPod, name: str, *, network: bool, devices: Sequence[str]) -> list[str]:
    program, *arguments = pod.command
    options = {
        "--name": name,
        "--label": f"{_LABEL}={name_of(pod.folder(pod.directory))}",
        "--cap-drop": "ALL",
        "--security-opt": "no-new-privileges",
        "--shm-size": str(max(pod.shared_memory, 1 << 20)),
        "--workdir": pod.directory,
        "--entrypoint": program,
    }
    argv = ["create", "--rm", "--pull", "never", "--read-only", *(part for pair in options.items() for part in pair)]
    argv += [] if network else ["--network", "none"]
    argv += engine.user_options(pod)
    argv += devices
    if Path("/sys/fs/selinux/enforce").exists():  # the folders of the user keep their labels
        argv += ["--security-opt", "label=disable"]
    for mount in pod.mounts:
        argv += ["--mount", _mount(str(mount.folder), mount.target, read_only=mount.read_only)]
    for key, value in pod.environment.items():
        argv += ["--env", f"{key}={value}"]
    return [*argv, pod.image, *arguments]


def _mount(folder: str, target: str, *, read_only: bool) -> str:
    """The value of --mount: a line of CSV, for a path may have a comma."""
    fields = ["type=bind", f"source={folder}", f"target={target}", *(["readonly"] if read_only else [])]
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(fields)
    return line.getvalue()


def _run(argv: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a short command of the engine to its end, whatever signals come meanwhile: half of one could leave a container."""
    child = subprocess.Popen(
        list(argv),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        encoding="utf-8",
        errors="replace",
    )
    try:
        output, errors = child.communicate(timeout=_SECONDS)
    except KeyboardInterrupt:
        child.communicate()
        raise
    except subprocess.TimeoutExpired:
        child.kill()
        output, errors = child.communicate()
        errors += f"\nno answer within {_SECONDS:g} seconds"
    return subprocess.CompletedProcess(list(argv), child.returncode, output, errors)
