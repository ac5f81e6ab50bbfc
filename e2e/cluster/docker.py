"""Docker: installs and starts it if necessary, and builds images that carry the key of what they are made from."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .steps import HERE, LOGS, Step, StepError, digest, quiet, step

KEY_LABEL = "trainchart.key"
RUNTIME = Path("/var/lib/trainchart/runc-without-sys-resource")
PACKAGES = {"dockerd": ["docker.io"], "jq": ["jq"]}  # program -> what brings it; the runtime wrapper needs jq
ADVICE = "Install and start Docker yourself, or run this as root on Debian or Ubuntu."


def answers() -> bool:
    return quiet(["docker", "info", "--format", "{{.ServerVersion}}"], timeout=20) is not None


def ensure() -> None:
    """Installs Docker if it is missing, and starts the daemon if none answers."""
    with step("start docker", ADVICE) as current:
        if answers():
            current.cached()
            return
        if os.geteuid() != 0:
            raise current.failure("Docker does not answer, and only root can install and start it")
        install_packages(current, PACKAGES)
        if not answers():  # installing it may have started it
            _start(current)


def install_packages(current: Step, wanted: Mapping[str, Sequence[str]]) -> bool:
    """Installs the Debian packages of the programs that are not on PATH; returns whether any was missing."""
    missing = [package for program, packages in wanted.items() if not shutil.which(program) for package in packages]
    if not missing:
        return False
    silent = {"DEBIAN_FRONTEND": "noninteractive"}
    current.run(["apt-get", "update"], env=silent)
    current.run(["apt-get", "install", "-y", "--no-install-recommends", *missing], env=silent)
    return True


def _start(current: Step) -> None:
    if Path("/run/systemd/system").is_dir():
        current.run(["systemctl", "start", "docker"])
    else:
        if quiet(["pgrep", "-x", "dockerd"]) is None:
            # Left behind by a daemon that was killed; another process may have its number by now.
            Path("/var/run/docker.pid").unlink(missing_ok=True)
        LOGS.mkdir(parents=True, exist_ok=True)
        with (LOGS / "dockerd.log").open("ab") as log:
            subprocess.Popen(_daemon(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        current.note(f"the daemon's own log is {LOGS / 'dockerd.log'}")
    current.wait("an answer of the Docker daemon", answers, seconds=60)


def _daemon() -> list[str]:
    """The daemon's command line on a host without a service manager."""
    # kind needs private cgroup namespaces, which is not the default on cgroup v1.
    command = ["dockerd", "--default-cgroupns-mode", "private"]
    if not _may_raise_limits():
        # Privileged containers request every capability, and fail where the host's bounding set lacks one.
        RUNTIME.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(HERE / RUNTIME.name, RUNTIME)
        RUNTIME.chmod(0o755)
        command += ["--add-runtime", f"restricted={RUNTIME}", "--default-runtime", "restricted"]
    return command


def _may_raise_limits() -> bool:
    """Whether CAP_SYS_RESOURCE (bit 24) is in this process's bounding set."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapBnd:"):
            return bool(int(line.split()[1], 16) >> 24 & 1)
    return True


def image_id(name: str) -> str | None:
    return quiet(["docker", "image", "inspect", "--format", "{{.Id}}", name])


def image_key(name: str) -> str | None:
    return quiet(["docker", "image", "inspect", "--format", f'{{{{index .Config.Labels "{KEY_LABEL}"}}}}', name])


def build_image(current: Step, name: str, folder: Path, key: str, arguments: Sequence[str] = ()) -> None:
    """Builds `folder` as image `name`. Host networking: package downloads go the same way as the host's."""
    command = ["docker", "build", "--network", "host", "--label", f"{KEY_LABEL}={key}", "--tag", name]
    for argument in arguments:
        command += ["--build-arg", argument]
    # The classic builder where Debian's docker.io brings no other.
    environment = {} if quiet(["docker", "buildx", "version"]) else {"DOCKER_BUILDKIT": "0"}
    current.run([*command, folder], env=environment)
    quiet(["docker", "image", "prune", "--force", "--filter", f"label={KEY_LABEL}"])  # what the new image replaced


def import_image(current: Step, name: str, root: Path, key: str) -> None:
    """Makes an image of a folder that is a root file system."""
    tar = ["tar", "-C", str(root), "--numeric-owner", "-c", "."]
    current.pipe(tar, ["docker", "import", "--change", f"LABEL {KEY_LABEL}={key}", "-", name])


def remove_images() -> None:
    """Removes every image that these tools have built."""
    listed = quiet(["docker", "image", "ls", "--quiet", "--filter", f"label={KEY_LABEL}"]) or ""
    if listed:
        quiet(["docker", "image", "rm", "--force", *dict.fromkeys(listed.split())], timeout=300)


def node_address(node: str) -> str:
    """The address of a container on kind's network."""
    template = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}"
    addresses = (quiet(["docker", "inspect", "--format", template, node]) or "").split()
    if not addresses:
        raise StepError(f"container {node} has no address", "Run `python3 -m e2e.cluster up`.")
    return addresses[0]


@dataclass(frozen=True)
class ImageSet:
    """The images a cluster is made of; from_source/ and published.py each prepare one."""

    node: str  # kind's node image
    has_network: bool  # whether that node image brings a pod network
    gitea: str
    volcano: Mapping[str, str]  # values of Volcano's chart that name its images
    load: tuple[str, ...]  # what the node gets from this host's Docker instead of pulling it


def _training_images() -> dict[str, str]:
    """Folders of e2e/images with their tags: the values of the end-to-end runs name them."""
    files = [*HERE.parent.glob("values/*.yaml"), *HERE.parent.glob("families/*/values.yaml")]
    named = [
        re.search(r"^image: trainchart/([\w.-]+):(\S+)$", file.read_text(), re.MULTILINE) for file in sorted(files)
    ]
    return {image[1]: image[2] for image in named if image}


# Each is built as trainchart/FOLDER:TAG.
TRAINING_IMAGES = _training_images()
# What `make run` and `make e2e` train in; the others are built on demand.
QUICK_IMAGES = ("train-cpu-yolo",)


def image_name(folder: str) -> str:
    """The whole name of the image that is made of a folder of e2e/images."""
    images = {**TRAINING_IMAGES, **SERVER_IMAGES}
    if folder not in images:
        known = ", ".join(TRAINING_IMAGES)
        raise StepError(f"there is no training image {folder!r}", f"TRAINING_IMAGES in {__name__} has: {known}.")
    return f"trainchart/{folder}:{images[folder]}"


# As above, but nothing trains in them: `python3 -m e2e.cluster servers` alone builds them.
SERVER_IMAGES = {"mlflow": "3.17.2"}


@dataclass(frozen=True)
class Base:
    """A base of training images; `key` changes when the image does."""

    name: str
    key: str


def build_training_images(folders: Iterable[str], bases: Mapping[str, Base]) -> list[str]:
    """Builds images that e2e tests train in; returns their whole names. A Dockerfile gets those `bases` that it has an
    ARG for.
    """
    images = {folder: image_name(folder) for folder in folders}
    for folder, name in images.items():
        with step(f"build image {name}", "Needs Debian's packages and PyPI; run the same command again.") as current:
            recipe = HERE.parent / "images" / folder
            lines = (recipe / "Dockerfile").read_text().splitlines()
            used = {
                argument: base
                for argument, base in bases.items()
                if any(line.startswith(f"ARG {argument}=") for line in lines)
            }
            content = (file.read_bytes() for file in sorted(recipe.rglob("*")) if file.is_file())
            key = digest(*(base.key for base in used.values()), *content)
            if image_key(name) == key:
                current.cached()
            else:
                build_image(current, name, recipe, key, [f"{argument}={base.name}" for argument, base in used.items()])
    return list(images.values())
