"""Published images, for hosts that can pull them.

UNVERIFIED: written for hosts with an image registry and never run on one; the machines this project is developed on
reach none and use from_source/. Volcano's chart comes from its Go module in both cases: it is the chart that its
repository serves.
"""

from __future__ import annotations

from collections.abc import Iterable

from . import docker
from .docker import Base, ImageSet
from .from_source.go_modules import module_files
from .from_source.programs import GITEA, VOLCANO, VOLCANO_FILES
from .steps import quiet, step

ADVICE = "TRAINCHART_IMAGES=source builds everything here instead."
# The Kubernetes 1.35 image that was published with this version of kind; its default, 1.37, is newer than Volcano 1.15
# knows.
NODE = "kindest/node:v1.35.8@sha256:07b2536e30b803ed61d1677a79df6115f798ce64c80f9e22f6ed45afd09323c0"
DEBIAN = "debian:13"
DEBIAN_12 = "debian:12"
GITEA_IMAGE = f"gitea/gitea:{GITEA.removeprefix('v')}-rootless"
VOLCANO_IMAGES = tuple(
    f"volcanosh/vc-{name}:{VOLCANO}" for name in ("controller-manager", "scheduler", "webhook-manager")
)
PROBE_SECONDS = 10


def can_pull() -> bool:
    """Whether an image registry answers within PROBE_SECONDS."""
    return quiet(["docker", "manifest", "inspect", DEBIAN], timeout=PROBE_SECONDS) is not None


def prepare() -> ImageSet:
    """Pulls whatever is missing, and builds the training images on the official Debian."""
    module_files("volcano", "volcano.sh/volcano", VOLCANO, VOLCANO_FILES)
    for name in (NODE, DEBIAN, GITEA_IMAGE, *VOLCANO_IMAGES):
        with step(f"pull image {name.split('@')[0]}", ADVICE) as current:
            if docker.image_id(name):
                current.cached()
            else:
                current.run(["docker", "pull", name])
    return ImageSet(
        node=NODE,
        has_network=True,
        gitea=GITEA_IMAGE,
        volcano={"basic.image_pull_policy": "IfNotPresent"},
        load=(GITEA_IMAGE, *VOLCANO_IMAGES, *training_images(docker.QUICK_IMAGES)),
    )


def training_images(folders: Iterable[str]) -> list[str]:
    """Builds images to train in, on the base that `prepare` has pulled; the other is pulled with the first image that
    needs it.
    """
    bases = {"BASE": Base(DEBIAN, docker.image_id(DEBIAN) or ""), "DEBIAN_12": Base(DEBIAN_12, DEBIAN_12)}
    return docker.build_training_images(folders, bases)
