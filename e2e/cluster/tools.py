"""Builds pinned programs from their Go modules, and takes files out of modules.

Programs land in $cache/bin, files in $cache/share. Each has a key, a hash of what it is made from; what has its key is not
made again. The Go caches live under $cache too and are dropped when everything stands (see drop_build_cache).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from .steps import BIN, CACHE, HERE, Step, StepError, step

SHARE = CACHE / "share"
KEYS = CACHE / "keys"

KUBERNETES = "v1.35.3"  # the version that Volcano 1.15 is built on: both share one go.mod and one build cache
VOLCANO = "v1.15.1"
KIND = "v0.33.0"
GITEA = "v1.26.0"
LOCAL_PATH = "v0.0.30"
MINIO = "v0.0.0-20260212201848-7aac2a2c5b7c"  # its releases are no versions of its module

ADVICE = "Needs Go 1.26.2 or newer, a C compiler for gitea, and a Go module proxy; run the same command again to go on."


@dataclass(frozen=True)
class GoModule:
    """A module and the programs built from it: program name -> package."""

    title: str
    path: str
    version: str
    programs: Mapping[str, str]
    ldflags: str = "-s -w"
    tags: str = ""
    cgo: bool = False
    # A folder of go/ whose go.mod serves where the module's own does not (it replaces local folders).
    workspace: str = ""
    # With a workspace: module@version -> go/FILE added to a copy.
    patches: Mapping[str, str] = field(default_factory=dict)

    def key(self, program: str) -> str:
        files = sorted((HERE / "go" / self.workspace).glob("go.*")) if self.workspace else []
        files += [HERE / "go" / patch.split(":")[0] for patch in self.patches.values()]
        recipe = {**asdict(self), "title": "", "programs": self.programs[program]}
        return digest(json.dumps(recipe, sort_keys=True), *(file.read_bytes() for file in files))


def _kubernetes_version() -> str:
    major, minor = KUBERNETES.removeprefix("v").split(".")[:2]
    values = {"gitVersion": KUBERNETES, "gitMajor": major, "gitMinor": minor}
    return " ".join(f"-X k8s.io/component-base/version.{name}={value}" for name, value in values.items())


# volcano 1.15 needs one constant that the newest volcano.sh/apis the module proxy serves lacks.
_VOLCANO_PATCHES = {"volcano.sh/apis@v1.14.0": "queue_allocation_gate.go:pkg/apis/scheduling/v1beta1"}

TOOLS = [
    GoModule(
        "helm v4.3.1",
        "helm.sh/helm/v4",
        "v4.3.1",
        {"helm": "./cmd/helm"},
        ldflags="-s -w -X helm.sh/helm/v4/internal/version.version=v4.3.1",
    ),
    # The schema and the rules are held against both of Helm's living major versions.
    GoModule(
        "helm v3.22.0",
        "helm.sh/helm/v3",
        "v3.22.0",
        {"helm3": "./cmd/helm"},
        # As its own Makefile does: without them it renders for Kubernetes 1.20.
        ldflags="-s -w -X helm.sh/helm/v3/internal/version.version=v3.22.0"
        " -X helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor=1 -X helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor=35",
    ),
    # The module lacks the generated manual pages: `git lfs help COMMAND` has no text, everything else is whole.
    GoModule("git-lfs v3.8.1", "github.com/git-lfs/git-lfs/v3", "v3.8.1", {"git-lfs": "."}),
    # git-lfs's own test server: bare repositories with LFS over http, for tests without a cluster.
    GoModule(
        "lfstest-gitserver v3.8.1",
        "github.com/git-lfs/git-lfs/v3",
        "v3.8.1",
        {"lfstest-gitserver": "./t/cmd/lfstest-gitserver.go"},
        tags="testtools",
    ),
    GoModule(f"kind {KIND}", "sigs.k8s.io/kind", KIND, {"kind": "."}),
    GoModule(
        f"kubectl {KUBERNETES}",
        "k8s.io/kubernetes",
        KUBERNETES,
        {"kubectl": "k8s.io/kubernetes/cmd/kubectl"},
        ldflags=f"-s -w {_kubernetes_version()}",
        workspace="cluster",
        patches=_VOLCANO_PATCHES,
    ),
]

# Volcano's chart, and what its webhook image needs. crd/v1 is a symbolic link to crd/bases, which module zips drop.
VOLCANO_FILES = {
    "installer/helm/chart/volcano": "chart",
    "installer/helm/chart/volcano/crd/bases": "chart/crd/v1",
    "installer/dockerfile/webhook-manager/gen-admission-secret.sh": "gen-admission-secret.sh",
}

CONTROL_PLANE = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
CLUSTER_PARTS = [
    GoModule(
        f"kubernetes {KUBERNETES}",
        "k8s.io/kubernetes",
        KUBERNETES,
        {name: f"k8s.io/kubernetes/cmd/{name}" for name in (*CONTROL_PLANE, "kube-proxy", "kubelet", "kubeadm")},
        ldflags=f"-s -w {_kubernetes_version()}",
        workspace="cluster",
        patches=_VOLCANO_PATCHES,
    ),
    GoModule(
        f"volcano {VOLCANO}",
        "volcano.sh/volcano",
        VOLCANO,
        {
            f"vc-{name}": f"volcano.sh/volcano/cmd/{name}"
            for name in ("controller-manager", "scheduler", "webhook-manager")
        },
        workspace="cluster",
        patches=_VOLCANO_PATCHES,
    ),
    GoModule(
        "etcd v3.6.16", "go.etcd.io/etcd/server/v3", "v3.6.16", {"etcd": "go.etcd.io/etcd/server/v3"}, workspace="etcd"
    ),
    GoModule("pause", "", "", {"pause": "."}, workspace="pause"),
    GoModule("coredns v1.15.0", "github.com/coredns/coredns", "v1.15.0", {"coredns": "."}),
    GoModule(
        f"local-path-provisioner {LOCAL_PATH}",
        "github.com/rancher/local-path-provisioner",
        LOCAL_PATH,
        {"local-path-provisioner": "."},
    ),
    GoModule(
        f"gitea {GITEA}",
        "code.gitea.io/gitea",
        GITEA,
        {"gitea": "."},
        ldflags="-s -w -extldflags '-static' -X code.gitea.io/gitea/modules/setting.StaticRootPath=/usr/share/gitea",
        tags="sqlite sqlite_unlock_notify netgo osusergo",
        cgo=True,
    ),
]

# Only for the tests of the slow cases that need it: `python3 -m e2e.cluster servers`.
MINIO_MODULE = GoModule(f"minio {MINIO}", "github.com/minio/minio", MINIO, {"minio": "."}, tags="kqueue")


def digest(*parts: str | bytes) -> str:
    """A short hash of the parts; equal only where every part is."""
    total = hashlib.sha256()
    for part in parts:
        total.update(hashlib.sha256(part.encode() if isinstance(part, str) else part).digest())
    return total.hexdigest()[:16]


def program_key(name: str) -> str:
    return next(module.key(name) for module in [*TOOLS, *CLUSTER_PARTS, MINIO_MODULE] if name in module.programs)


def build_tools(names: Sequence[str] = ()) -> None:
    """Builds the named tools, or all of them."""
    known = [name for module in TOOLS for name in module.programs]
    for name in names:
        if name not in known:
            raise StepError(f"there is no tool {name!r}", f"The tools are {', '.join(known)}.")
    for module in TOOLS:
        if not names or set(names) & set(module.programs):
            build(module)


def build_cluster_parts() -> None:
    for module in CLUSTER_PARTS:
        build(module)


def build(module: GoModule) -> None:
    """Builds those programs of a module that are not there yet."""
    with step(f"build {module.title}", ADVICE) as current:
        missing = [name for name in module.programs if not _stands(BIN / name, module.key(name))]
        if not missing:
            current.cached()
            return
        with temporary_folder() as work:
            source = work / "source"
            if module.workspace:
                _lay_workspace(current, module, source)
            else:
                _copy_tree(module_folder(current, module.path, module.version), source)
            for name in missing:
                # -trimpath keeps the place of this copy out of the program and out of the build cache's keys.
                command = ["go", "build", "-trimpath", "-ldflags", module.ldflags, "-tags", module.tags]
                command += ["-o", str(work / name), module.programs[name]]
                current.run(command, cwd=source, env={**_go_environment(), "CGO_ENABLED": "1" if module.cgo else "0"})
                _put(work / name, BIN / name, module.key(name))


def module_files(name: str, module: str, version: str, paths: Mapping[str, str]) -> Path:
    """The folder $cache/share/NAME with files and folders of a module: path in the module -> path in the folder."""
    target = SHARE / name
    key = digest(module, version, json.dumps(paths, sort_keys=True))
    with step(f"take {name} out of {module} {version}", ADVICE) as current:
        if _stands(target, key):
            current.cached()
            return target
        with temporary_folder() as work:
            folder = module_folder(current, module, version)
            for source, place in paths.items():
                _copy_tree(folder / source, work / name / place)
            _put(work / name, target, key)
    return target


def module_folder(current: Step, module: str, version: str) -> Path:
    """Where Go's module cache holds a module, after downloading it."""
    with temporary_folder() as nowhere:  # outside any module, so that no go.mod is touched
        reply = current.output(
            ["go", "mod", "download", "-json", f"{module}@{version}"], cwd=nowhere, env=_go_environment()
        )
    return Path(json.loads(reply)["Dir"])


def drop_build_cache() -> None:
    """Frees the several GB of Go's caches; TRAINCHART_KEEP_BUILD_CACHE=1 keeps them for someone who changes versions."""
    with step("drop the Go caches") as current:
        folders = [folder for folder in (CACHE / "go-build", CACHE / "go-mod") if folder.exists()]
        if not folders or os.environ.get("TRAINCHART_KEEP_BUILD_CACHE") == "1":
            current.cached()
            return
        for folder in folders:
            shutil.rmtree(folder)


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder on the cache's own disk, so that a rename out of it is one step."""
    parent = CACHE / "tmp"
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent) as folder:
        yield Path(folder)


def _go_environment() -> dict[str, str]:
    return {
        "GOCACHE": str(CACHE / "go-build"),
        "GOMODCACHE": str(CACHE / "go-mod"),
        # A writable module cache can be removed like any folder; some modules carry the torso of a vendor folder.
        "GOFLAGS": "-buildvcs=false -modcacherw -mod=readonly",
        "GOWORK": "off",
    }


def _lay_workspace(current: Step, module: GoModule, target: Path) -> None:
    """Lays a folder of go/ at `target`, with patched copies of the modules that its go.mod replaces by ./apis and such."""
    _copy_tree(HERE / "go" / module.workspace, target)
    for versioned, patch in module.patches.items():
        path, version = versioned.split("@")
        file, place = patch.split(":")
        copy = target / path.rsplit("/", 1)[-1]
        _copy_tree(module_folder(current, path, version), copy)
        shutil.copyfile(HERE / "go" / file, copy / place / file)


def _copy_tree(source: Path, target: Path) -> None:
    """Copies a file or folder without its modes: module caches are read-only."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, copy_function=shutil.copyfile)
        for folder in [target, *(path for path in target.rglob("*") if path.is_dir())]:
            folder.chmod(0o755)
    else:
        shutil.copyfile(source, target)


def _stands(path: Path, key: str) -> bool:
    note = _note(path)
    return path.exists() and note.exists() and note.read_text() == key


def _note(path: Path) -> Path:
    """Where the key of a program or folder is kept."""
    return KEYS / path.parent.name / path.name


def _put(made: Path, target: Path, key: str) -> None:
    """Moves what was made into place; the key comes last, so that an interrupted run makes it again."""
    note = _note(target)
    note.parent.mkdir(parents=True, exist_ok=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    note.unlink(missing_ok=True)
    if target.is_dir():
        shutil.rmtree(target)
    made.replace(target)
    note.write_text(key)
