"""The programs that are built from Go modules, with their versions: the tools, and the parts of the cluster.

The tools are built on every machine, the parts of the cluster only where no image registry answers, and the engines
only for the tests that need them.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..steps import StepError
from .go_modules import GoModule, build

KUBERNETES = "v1.35.3"  # the version that Volcano 1.15 is built on: both share one go.mod and one build cache
VOLCANO = "v1.15.1"
HELM = "v4.3.1"
KIND = "v0.33.0"
GITEA = "v1.26.0"
LOCAL_PATH = "v0.0.30"
TEKTON = "v1.12.0"
ARGO = "v4.0.5"
REGISTRY = "v3.1.2"
MINIO = "v0.0.0-20260212201848-7aac2a2c5b7c"  # its releases are no versions of its module


def _kubernetes_version() -> str:
    major, minor = KUBERNETES.removeprefix("v").split(".")[:2]
    values = {"gitVersion": KUBERNETES, "gitMajor": major, "gitMinor": minor}
    return " ".join(f"-X k8s.io/component-base/version.{name}={value}" for name, value in values.items())


# volcano 1.15 needs one constant that the newest volcano.sh/apis the module proxy serves lacks.
_VOLCANO_PATCHES = {"volcano.sh/apis@v1.14.0": "queue_allocation_gate.go:pkg/apis/scheduling/v1beta1"}

TOOLS = [
    GoModule(
        f"helm {HELM}",
        "helm.sh/helm/v4",
        HELM,
        {"helm": "./cmd/helm"},
        ldflags=f"-s -w -X helm.sh/helm/v4/internal/version.version={HELM}",
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

# The registry of the CNCF, for the tests of published charts: `python3 -m e2e.cluster registry`.
REGISTRY_MODULE = GoModule(
    f"registry {REGISTRY}",
    "github.com/distribution/distribution/v3",
    REGISTRY,
    {"registry": "./cmd/registry"},
    ldflags=f"-s -w -X github.com/distribution/distribution/v3/version.version={REGISTRY}",
)

# Engines that submit runs: `python3 -m e2e.cluster engines`. Of Tekton, neither its CloudEvents nor its resolvers of
# remote tasks are built; of Argo, neither its server nor its command line.
TEKTON_MODULE = GoModule(
    f"tekton {TEKTON}",
    "github.com/tektoncd/pipeline",
    TEKTON,
    {f"tekton-{name}": f"./cmd/{name}" for name in ("controller", "webhook", "entrypoint", "nop", "workingdirinit")},
    tags="disable_spire",  # SPIFFE would treble the packages that the entrypoint is made of
)
ARGO_MODULE = GoModule(
    f"argo workflows {ARGO}",
    "github.com/argoproj/argo-workflows/v4",
    ARGO,
    {"argo-workflow-controller": "./cmd/workflow-controller", "argoexec": "./cmd/argoexec"},
    ldflags=f"-s -w -X github.com/argoproj/argo-workflows/v4.version={ARGO}",
    links={
        "workflow/executor/osspecific/signal_linux.go": "workflow/executor/osspecific/signal_darwin.go",
    },
)
ENGINES = {"tekton": TEKTON_MODULE, "argo": ARGO_MODULE}


def program_key(name: str) -> str:
    modules = [*TOOLS, *CLUSTER_PARTS, MINIO_MODULE, *ENGINES.values()]
    return next(module.key(name) for module in modules if name in module.programs)


def build_tools(names: Sequence[str] = ()) -> None:
    """Builds the named tools, or all of them."""
    known = [name for module in TOOLS for name in module.programs]
    for name in names:
        if name not in known:
            raise StepError(f"tool {name!r} does not exist", f"The tools are {', '.join(known)}.")
    for module in TOOLS:
        if not names or set(names) & set(module.programs):
            build(module)


def build_cluster_parts() -> None:
    for module in CLUSTER_PARTS:
        build(module)
