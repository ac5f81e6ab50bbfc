"""The pod of a rendered run, as a machine without a kubelet starts it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Mount:
    folder: Path
    target: str
    read_only: bool


@dataclass(frozen=True)
class LocalPod:
    """What the container of a run needs: as in its Job, with folders in the place of volumes."""

    image: str
    command: tuple[str, ...]
    directory: str
    """The working directory in the container."""
    environment: Mapping[str, str]
    user: int
    group: int
    shared_memory: int
    """Bytes of /dev/shm."""
    mounts: tuple[Mount, ...]
    result: Path
    """Where the runner writes result.json."""

    @property
    def run_folder(self) -> Path:
        """The run's folder in the workspace: output, artifacts, result.json."""
        return self.result.parent

    def folder(self, target: str) -> Path:
        """The folder that the container has at a path."""
        return next(mount.folder for mount in self.mounts if mount.target == target)


def image_of(manifests: Iterable[Mapping[str, Any]]) -> str:
    """The image of the run."""
    return str(_pod_spec(manifests)["containers"][0]["image"])


def _pod_spec(manifests: Iterable[Mapping[str, Any]]) -> Mapping[str, Any]:
    job = next(item for item in manifests if item["apiVersion"].startswith("batch.volcano.sh/"))
    spec: Mapping[str, Any] = job["spec"]["tasks"][0]["template"]["spec"]
    return spec


def make_pod(
    manifests: Iterable[Mapping[str, Any]], scratch: Path, sources: Mapping[str, Path], *arguments: str
) -> LocalPod:
    """The pod of rendered objects, whose ConfigMap is written to `scratch`, an empty folder, as the kubelet would.

    Args:
        manifests: the objects of the release.
        scratch: gets a folder for every other volume too.
        sources: the folders of model and dataset.
        arguments: further ones of the runner.
    """
    objects = list(manifests)
    spec = _pod_spec(objects)
    container = spec["containers"][0]
    data = next(item for item in objects if item["kind"] == "ConfigMap")["data"]
    settings = json.loads(data["settings.json"])
    folders: dict[str, Path] = {}
    for volume in spec["volumes"]:
        name = volume["name"]
        if volume.get("emptyDir", {}).get("medium") == "Memory":
            continue
        folders[name] = sources.get(name) or _make_folder(scratch / name)
        if "configMap" in volume:
            _write(folders[name], data, volume["configMap"])
    mounts = tuple(
        Mount(folders[mount["name"]], mount["mountPath"], bool(mount.get("readOnly")))
        for mount in container["volumeMounts"]
        if mount["name"] in folders
    )
    context = spec["securityContext"]
    return LocalPod(
        image=container["image"],
        command=(*container["command"], *arguments),
        directory=container["workingDir"],
        environment=_environment(container["env"], settings["run"]),
        user=context["runAsUser"],
        group=context["runAsGroup"],
        shared_memory=settings["run"]["sharedMemoryBytes"],
        mounts=mounts,
        result=folders["workspace"]
        / (settings["workspace"].get("directory") or settings["run"]["name"])
        / "result.json",
    )


def _make_folder(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _write(folder: Path, data: Mapping[str, str], volume: Mapping[str, Any]) -> None:
    for item in volume["items"]:
        path = folder / item["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(data[item["key"]], encoding="utf-8")
        path.chmod(volume["defaultMode"])
    for path in folder.rglob("*"):
        if path.is_dir():
            path.chmod(0o755)  # whatever the umask is: the run may be another user


def _environment(entries: Iterable[Mapping[str, Any]], run: Mapping[str, Any]) -> dict[str, str]:
    """The variables of the container; what the cluster would fill in is that of a first attempt of one pod."""
    filled = {
        "JOB_ATTEMPT": "0",
        "JOB_GROUP": f"{run['name']}-{uuid.uuid4()}",
        "POD_IP": "127.0.0.1",
        "POD_NAME": f"{run['name']}-train-0",
        "POD_NAMESPACE": run["namespace"],
    }
    return {entry["name"]: entry.get("value", filled.get(entry["name"], "")) for entry in entries}
