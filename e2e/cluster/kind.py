"""The kind cluster: created once, stopped and started again, its node given the images it needs."""

from __future__ import annotations

import json
from collections.abc import Sequence

from . import docker
from .docker import ImageSet
from .steps import BIN, KUBECONFIG, Step, StepError, quiet, step

NAME = "trainchart"
NODE = f"{NAME}-control-plane"
START_SECONDS = 120  # a stopped node that is not ready by then is created again
# Below /var, a volume of the node's container: it stays while the node is stopped, and goes with the node.
SHARED = "/var/trainchart/shared"  # for static hostPath volumes that several pods mount
VOLUMES = "/var/trainchart/volumes"  # for static volumes of single tests
GITEA_DATA = "/var/trainchart/gitea"
STATE = "/var/trainchart/state"
KUBECTL = (str(BIN / "kubectl"), "--kubeconfig", str(KUBECONFIG))
ADVICE = f"`python3 -m e2e.cluster clean` starts over; `docker logs {NODE}` shows the node's own messages."


def ensure(images: ImageSet) -> None:
    """Makes sure that a cluster with the wanted node image is running."""
    with step("start the cluster", ADVICE) as current:
        state = quiet(["docker", "inspect", "--format", "{{.State.Status}}", NODE])
        if state is not None and (not KUBECONFIG.exists() or _is_outdated(images)):
            current.note("the node has another image, or its kubeconfig is missing: creating it again")
            delete(current)
            state = None
        if state == "running" and is_ready():
            current.cached()
        elif state is None or not _recover(current, state):
            if state is not None:
                current.note(f"the stopped node was not ready in {START_SECONDS} s: creating it again")
                delete(current)
            _create(current, images)
        for folder, mode in ((SHARED, "0777"), (GITEA_DATA, "0700"), (STATE, "0755")):
            current.run(["docker", "exec", NODE, "install", "-d", "-o", "1000", "-g", "1000", "-m", mode, folder])


def _create(current: Step, images: ImageSet) -> None:
    config = {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "networking": {"disableDefaultCNI": not images.has_network, "podSubnet": "10.244.0.0/16"},
        "nodes": [{"role": "control-plane"}],
        # The kubelet of 1.35 refuses hosts with cgroup v1 unless it is told not to.
        "kubeadmConfigPatches": ["kind: KubeletConfiguration\nfailCgroupV1: false\n"],
    }
    options = ["--name", NAME, "--image", images.node, "--kubeconfig", str(KUBECONFIG), "--config", "-"]
    current.run([str(BIN / "kind"), "create", "cluster", *options], text=json.dumps(config))
    current.wait("a ready node", is_ready, seconds=START_SECONDS)


def delete(current: Step) -> None:
    """Removes the node with everything in it, if it exists."""
    current.run(["docker", "rm", "--force", "--volumes", NODE])
    KUBECONFIG.unlink(missing_ok=True)


def _recover(current: Step, state: str) -> bool:
    """Starts an existing node; returns whether it became ready."""
    if state == "paused":
        quiet(["docker", "unpause", NODE])
    elif state != "running":
        quiet(["docker", "start", NODE])
    try:
        current.wait("a ready node", is_ready, seconds=START_SECONDS)
    except StepError:
        return False
    return True


def is_ready() -> bool:
    if quiet([*KUBECTL, "get", "--raw", "/readyz", "--request-timeout", "5s"]) != "ok":
        return False
    template = "{.items[*].status.conditions[?(@.type=='Ready')].status}"
    return quiet([*KUBECTL, "get", "nodes", "-o", f"jsonpath={template}"]) == "True"


def _is_outdated(images: ImageSet) -> bool:
    """Whether the node runs another image than the one wanted."""
    return quiet(["docker", "inspect", "--format", "{{.Image}}", NODE]) != docker.image_id(images.node)


def load_images(names: Sequence[str]) -> None:
    """Copies images from this host's Docker into the node, all in one stream so that shared layers go once."""
    with step("load images into the node", ADVICE) as current:
        loaded: dict[str, str] = json.loads(recall("images") or "{}")
        wanted = {name: docker.image_id(name) or "" for name in names}
        missing = [name for name in names if loaded.get(name) != wanted[name]]
        if not missing:
            current.cached()
            return
        into = ["docker", "exec", "-i", NODE, "ctr", "--namespace", "k8s.io", "images", "import", "-"]
        current.pipe(["docker", "save", *missing], into)
        remember(current, "images", json.dumps({**loaded, **wanted}))


def restart_crashed(namespaces: Sequence[str]) -> None:
    """Deletes crashed pods of deployments, so that they start without the growing back-off between restarts."""
    for namespace in namespaces:
        pods = json.loads(quiet([*KUBECTL, "--namespace", namespace, "get", "pods", "-o", "json"]) or '{"items": []}')
        for pod in pods["items"]:
            states = [container["state"] for container in pod["status"].get("containerStatuses", [])]
            if any(state.get("waiting", {}).get("reason") == "CrashLoopBackOff" for state in states):
                name = pod["metadata"]["name"]
                quiet([*KUBECTL, "--namespace", namespace, "delete", "pod", name, "--wait=false"])


def remember(current: Step, name: str, value: str) -> None:
    """Stores a text in the node; it is lost with the node."""
    current.run(["docker", "exec", "-i", NODE, "tee", f"{STATE}/{name}"], text=value)


def recall(name: str) -> str | None:
    return quiet(["docker", "exec", NODE, "cat", f"{STATE}/{name}"])
