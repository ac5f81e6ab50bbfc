"""Volcano in the cluster: installed from its own chart, and ready when its webhooks answer for a Job."""

from __future__ import annotations

import json
from pathlib import Path

from . import kind
from .docker import ImageSet
from .from_source.programs import VOLCANO
from .kind import KUBECTL
from .steps import BIN, KUBECONFIG, SHARE, digest, quiet, step

NAMESPACE = "volcano-system"
ADVICE = f"`kubectl --kubeconfig {KUBECONFIG} -n {NAMESPACE} get pods` shows what its parts do."
WEBHOOK_SECONDS = 180

PROBE = {
    "apiVersion": "batch.volcano.sh/v1alpha1",
    "kind": "Job",
    "metadata": {"name": "probe", "namespace": "default"},
    "spec": {
        "schedulerName": "volcano",
        "minAvailable": 1,
        "tasks": [
            {
                "name": "probe",
                "replicas": 1,
                "template": {"spec": {"containers": [{"name": "probe", "image": "probe"}]}},
            }
        ],
    },
}


def install(images: ImageSet) -> None:
    with step(f"install volcano {VOLCANO}", ADVICE) as current:
        key = digest(VOLCANO, json.dumps(dict(images.volcano), sort_keys=True))
        if kind.recall("volcano") == key:
            current.cached()
        else:
            upgrade: list[str | Path] = [BIN / "helm", "upgrade", "--install", "volcano", SHARE / "volcano" / "chart"]
            where: list[str | Path] = ["--kubeconfig", KUBECONFIG, "--namespace", NAMESPACE, "--create-namespace"]
            settings = [word for name, value in images.volcano.items() for word in ("--set", f"{name}={value}")]
            current.run([*upgrade, *where, *settings, "--wait", "--timeout", "300s"])
            kind.remember(current, "volcano", key)
    with step("wait for volcano's webhooks", ADVICE) as current:
        if is_ready():
            current.cached()
            return
        current.wait("an answer of the webhooks to a Job", _becomes_ready, seconds=WEBHOOK_SECONDS, every=3)


def is_ready() -> bool:
    unavailable = "jsonpath={.items[*].status.unavailableReplicas}"
    deployments = quiet([*KUBECTL, "--namespace", NAMESPACE, "get", "deployments", "-o", unavailable])
    return deployments == "" and _webhooks_answer()


def _becomes_ready() -> bool:
    if is_ready():
        return True
    # After a start of the node, what comes up before the service network does crashes.
    kind.restart_crashed([NAMESPACE, "local-path-storage", "git"])
    return False


def _webhooks_answer() -> bool:
    """Whether the mutating webhook fills in a Job's queue, and the validating one lets the Job pass, in a dry run."""
    reply = quiet([*KUBECTL, "create", "--dry-run=server", "-o", "json", "-f", "-"], text=json.dumps(PROBE))
    return reply is not None and json.loads(reply)["spec"].get("queue") == "default"
