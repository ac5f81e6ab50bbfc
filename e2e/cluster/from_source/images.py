"""Builds the cluster's images from Go modules and Debian packages, for hosts that cannot pull any."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .. import docker, tools_image
from ..docker import Base, ImageSet
from ..steps import BIN, SHARE, digest, step, temporary_folder
from .go_modules import HERE, build, drop_build_cache, module_files
from .programs import (
    ARGO,
    ARGO_MODULE,
    CONTROL_PLANE,
    ENGINES,
    GITEA,
    HELM,
    KIND,
    KUBERNETES,
    LOCAL_PATH,
    MINIO,
    MINIO_MODULE,
    TEKTON,
    TEKTON_MODULE,
    VOLCANO,
    VOLCANO_FILES,
    build_cluster_parts,
    program_key,
)

ADVICE = "Needs root, Docker, and Debian's packages through apt; run the same command again to go on."
PACKAGES = {"debootstrap": ["debootstrap"], "gcc": ["gcc", "libc6-dev"], "openssl": ["openssl"]}
DEBIAN = "trainchart/debian:13"
NODE_DEBIAN = "trainchart/debian:12"
NODE = f"trainchart/node:{KUBERNETES}"
GITEA_IMAGE = f"trainchart/gitea:{GITEA.removeprefix('v')}"
REGISTRY = "registry.k8s.io"

# Files that the images and the installation take out of modules.
KIND_FILES = {"images/base/files": "files"}
ENGINE_FILES = {"tekton": {"config": "config"}, "argo": {"manifests": "manifests"}}
GITEA_FILES = {"templates": "templates", "options": "options", "public": "public"}


@dataclass(frozen=True)
class Image:
    """A small image: programs from $cache/bin, packages, files, an entrypoint."""

    name: str
    entrypoint: str
    base: str = "scratch"
    programs: Mapping[str, str] = field(default_factory=dict)  # program -> its place in the image
    packages: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)  # path below $cache/share -> its place in the image
    lines: tuple[str, ...] = ()  # more of the Dockerfile

    def dockerfile(self) -> str:
        lines = [f"FROM {self.base}"]
        if self.packages:
            install = f"apt-get install -y --no-install-recommends {' '.join(self.packages)}"
            lines.append(f"RUN apt-get update && {install} && apt-get clean && rm -rf /var/lib/apt/lists/*")
        lines += self.lines
        lines += [f"COPY {Path(source).name} {place}" for source, place in self.files.items()]
        lines += [f"COPY {program} {place}" for program, place in self.programs.items()]
        lines.append(f'ENTRYPOINT ["{self.entrypoint}"]')
        return "\n".join(lines) + "\n"


# Under the names that kubeadm of this version expects ('kubeadm config images list').
CONTROL_PLANE_IMAGES = [
    *(
        Image(f"{REGISTRY}/{name}:{KUBERNETES}", f"/usr/local/bin/{name}", programs={name: f"/usr/local/bin/{name}"})
        for name in CONTROL_PLANE
    ),
    Image(
        f"{REGISTRY}/kube-proxy:{KUBERNETES}",
        "/usr/local/bin/kube-proxy",
        base=DEBIAN,
        packages=("iptables", "nftables", "conntrack", "kmod"),
        programs={"kube-proxy": "/usr/local/bin/kube-proxy"},
    ),
    Image(f"{REGISTRY}/etcd:3.6.6-0", "/usr/local/bin/etcd", programs={"etcd": "/usr/local/bin/etcd"}),
    Image(f"{REGISTRY}/coredns/coredns:v1.13.1", "/coredns", programs={"coredns": "/coredns"}),
    Image(f"{REGISTRY}/pause:3.10.1", "/pause", programs={"pause": "/pause"}),
    Image(
        f"trainchart/local-path-provisioner:{LOCAL_PATH}",
        "/usr/local/bin/local-path-provisioner",
        base=DEBIAN,
        programs={"local-path-provisioner": "/usr/local/bin/local-path-provisioner"},
    ),
]

SERVICE_IMAGES = [
    *(
        Image(f"trainchart/{name}:{VOLCANO}", f"/{name}", base=DEBIAN, programs={name: f"/{name}"})
        for name in ("vc-controller-manager", "vc-scheduler")
    ),
    Image(
        f"trainchart/vc-webhook-manager:{VOLCANO}",
        "/vc-webhook-manager",
        base=DEBIAN,
        packages=("openssl",),
        programs={"vc-webhook-manager": "/vc-webhook-manager", "kubectl": "/usr/local/bin/kubectl"},
        files={"volcano/gen-admission-secret.sh": "/gen-admission-secret.sh"},
        lines=("RUN ln -sf bash /bin/sh",),  # its certificate script is for sh, and uses [[ ]]
    ),
    Image(
        GITEA_IMAGE,
        "/usr/local/bin/gitea",
        base=DEBIAN,
        packages=("git",),
        programs={"gitea": "/usr/local/bin/gitea"},
        files={f"gitea/{name}": f"/usr/share/gitea/{name}" for name in GITEA_FILES.values()},
        lines=("RUN useradd --uid 1000 --create-home git",),
    ),
]


def prepare() -> ImageSet:
    """Builds whatever is missing, and returns the images of the cluster."""
    with step("install build packages", ADVICE) as current:
        if not docker.install_packages(current, PACKAGES):
            current.cached()
    build_cluster_parts()
    module_files("gitea", "code.gitea.io/gitea", GITEA, GITEA_FILES)
    module_files("kind", "sigs.k8s.io/kind", KIND, KIND_FILES)
    module_files("volcano", "volcano.sh/volcano", VOLCANO, VOLCANO_FILES)
    _debian(DEBIAN, "trixie")
    _debian(NODE_DEBIAN, "bookworm")
    for image in [*CONTROL_PLANE_IMAGES, *SERVICE_IMAGES]:
        _build(image)
    _build_node()
    training = training_images(docker.QUICK_IMAGES)
    drop_build_cache()
    return ImageSet(
        node=NODE,
        has_network=False,
        gitea=GITEA_IMAGE,
        volcano={
            "basic.image_registry": "docker.io",
            "basic.image_pull_policy": "IfNotPresent",
            "basic.controller_image_name": "trainchart/vc-controller-manager",
            "basic.scheduler_image_name": "trainchart/vc-scheduler",
            "basic.admission_image_name": "trainchart/vc-webhook-manager",
        },
        load=(*(image.name for image in SERVICE_IMAGES), *training),
    )


def training_images(folders: Iterable[str]) -> list[str]:
    """Builds images to train in, on the bases that `prepare` has made."""
    bases = {"BASE": DEBIAN, "DEBIAN_12": NODE_DEBIAN}
    return docker.build_training_images(
        folders, {argument: Base(name, docker.image_key(name) or "") for argument, name in bases.items()}
    )


def build_tools_image(base: str = DEBIAN) -> str:
    """Builds the image of the tools, with the helm program that was built here."""
    helm = Image(f"trainchart/helm:{HELM}", "/usr/bin/helm", programs={"helm": "/usr/bin/helm"})
    _build(helm)
    bases = [Base(name, docker.image_key(name) or docker.image_id(name) or "") for name in (base, helm.name)]
    return tools_image.build(*bases)


def notebook_image(base: str = DEBIAN) -> str:
    """Builds the image of a notebook with the tools."""
    return tools_image.build_notebook(Base(base, docker.image_key(base) or docker.image_id(base) or ""))


def minio_image(base: str = DEBIAN) -> str:
    """Builds MinIO on a Debian base."""
    build(MINIO_MODULE)
    name = f"trainchart/minio:{MINIO.rsplit('-', 1)[-1]}"
    _build(Image(name, "/usr/local/bin/minio", base=base, programs={"minio": "/usr/local/bin/minio"}))
    drop_build_cache()
    return name


# A user by number: the kubelet starts no container as somebody "not root" whose image does not say so.
# Tekton's controller copies the entrypoint out of its image, where ko puts it.
ENGINE_IMAGES = {
    "tekton": [
        Image(
            f"trainchart/{name}:{TEKTON}",
            f"/ko-app/{name.removeprefix('tekton-')}",
            programs={name: f"/ko-app/{name.removeprefix('tekton-')}"},
            lines=("USER 65532",),
        )
        for name in TEKTON_MODULE.programs
    ],
    "argo": [
        # By their names on PATH: that is how Argo's manifests and controller call them.
        Image(
            f"trainchart/{name}:{ARGO}",
            name.removeprefix("argo-"),
            programs={name: f"/bin/{name.removeprefix('argo-')}"},
            lines=("USER 8737", "ENV PATH=/bin"),
        )
        for name in ARGO_MODULE.programs
    ],
}


def engine_images(engines: Iterable[str]) -> list[str]:
    """Builds these engines, and takes their manifests out of their modules; returns the names of the images."""
    images = [image for engine in engines for image in ENGINE_IMAGES[engine]]
    for engine in engines:
        module = ENGINES[engine]
        build(module)
        module_files(engine, module.path, module.version, ENGINE_FILES[engine])
    for image in images:
        _build(image)
    drop_build_cache()
    return [image.name for image in images]


# As Debian's own images do: no documentation, and nothing kept of what apt downloads.
_SMALL = {
    "etc/dpkg/dpkg.cfg.d/small": "".join(
        f"path-exclude=/usr/share/{name}/*\n" for name in ("doc", "man", "info", "locale")
    ),
    "etc/apt/apt.conf.d/small": 'DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb || true"; };\n'
    'Dir::Cache::pkgcache "";\nDir::Cache::srcpkgcache "";\n',
}
_UNWANTED = (
    "usr/share/doc",
    "usr/share/man",
    "usr/share/info",
    "usr/share/locale",
    "var/cache/apt",
    "var/lib/apt/lists",
    "var/log",
)
_CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")


def _debian(name: str, suite: str) -> None:
    """A Debian base image that trusts what this host trusts, so that pip works in image builds behind a proxy."""
    with step(f"build image {name}", ADVICE) as current:
        bundle = _CA_BUNDLE.read_bytes() if _CA_BUNDLE.exists() else b""
        key = digest(suite, *_SMALL.values(), *_UNWANTED, bundle)
        if docker.image_key(name) == key:
            current.cached()
            return
        with temporary_folder() as work:
            root = work / "root"
            current.run(["debootstrap", "--variant=minbase", "--include=ca-certificates", suite, root])
            for path in _UNWANTED:
                shutil.rmtree(root / path)
                (root / path).mkdir()
            for path, text in _SMALL.items():
                (root / path).write_text(text)
            if bundle:
                (root / "etc/ssl/certs/ca-certificates.crt").write_bytes(bundle)
            docker.import_image(current, name, root, key)


def _build(image: Image) -> None:
    with step(f"build image {image.name}", ADVICE) as current:
        key = digest(
            image.dockerfile(),
            docker.image_key(image.base) or "",
            *(program_key(program) for program in image.programs),
            *sorted(image.files),
        )
        if docker.image_key(image.name) == key:
            current.cached()
            return
        with temporary_folder() as work:
            (work / "Dockerfile").write_text(image.dockerfile())
            for program in image.programs:
                shutil.copy(BIN / program, work / program)
            for source in image.files:
                if (SHARE / source).is_dir():
                    shutil.copytree(SHARE / source, work / Path(source).name)
                else:
                    shutil.copy(SHARE / source, work)
                    (work / Path(source).name).chmod(0o755)
            docker.build_image(current, image.name, work, key)


def _build_node() -> None:
    """The node image, with the images of the control plane inside."""
    bundled = [*(image.name for image in CONTROL_PLANE_IMAGES), DEBIAN]
    programs = ("kubeadm", "kubelet", "kubectl")
    files = sorted((HERE / "node").iterdir())
    with step(f"build image {NODE}", ADVICE) as current:
        key = digest(
            KIND,
            *(docker.image_key(name) or "" for name in [*bundled, NODE_DEBIAN]),
            *(program_key(program) for program in programs),
            *(file.read_bytes() for file in files),
        )
        if docker.image_key(NODE) == key:
            current.cached()
            return
        with temporary_folder() as work:
            for file in files:
                shutil.copy(file, work)
            shutil.copytree(SHARE / "kind" / "files", work / "files")
            (work / "bin").mkdir()
            for program in programs:
                shutil.copy(BIN / program, work / "bin")
            (work / "images").mkdir()
            current.run(["docker", "save", "--output", work / "images" / "cluster.tar", *bundled])
            docker.build_image(current, NODE, work, key, [f"KUBERNETES={KUBERNETES}"])
