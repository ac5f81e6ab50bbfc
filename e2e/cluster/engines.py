"""Engines that submit runs, in the cluster: Tekton Pipelines and Argo Workflows, from the manifests in their Go modules.

What their own settings leave out of pods that a namespace with Pod Security "restricted" admits is switched on here.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from . import kind
from .from_source.programs import ARGO, TEKTON
from .kind import KUBECTL
from .steps import KUBECONFIG, SHARE, StepError, digest, quiet, step, temporary_folder

Settings = Mapping[str, str]
"""Data of a ConfigMap."""

TEKTON_NAMESPACE = "tekton-pipelines"
ARGO_NAMESPACE = "argo"
START_SECONDS = 180

# No CloudEvents, no remote resolvers, no autoscaler.
TEKTON_MANIFESTS = (
    "100-namespace/*.yaml",
    "2*.yaml",
    "300-crds/*.yaml",
    "500-webhooks.yaml",
    "config-*.yaml",
    "clusterrole-aggregate-*.yaml",
    "controller.yaml",
    "webhook.yaml",
)
TEKTON_SETTINGS: Mapping[str, Settings] = {
    "feature-flags": {"set-security-context": "true", "set-security-context-read-only-root-filesystem": "true"},
    # An hour where nothing else is set; the tests cannot wait for it to pass.
    "config-defaults": {"default-timeout-minutes": "1"},
}
# The full CRDs are 11 MB, and validate no more of what the tests use.
ARGO_MANIFESTS = ("base/crds/minimal", "base/workflow-controller", "cluster-install-no-crds/workflow-controller-rbac")
_EXECUTOR = {
    "image": f"trainchart/argoexec:{ARGO}",
    "imagePullPolicy": "IfNotPresent",
    "securityContext": {
        "runAsNonRoot": True,
        "runAsUser": 8737,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    },
}
ARGO_SETTINGS: Mapping[str, Settings] = {"workflow-controller-configmap": {"executor": json.dumps(_EXECUTOR)}}


@dataclass(frozen=True)
class Engine:
    version: str
    namespace: str
    manifests: Callable[[], str]
    settings: Mapping[str, Settings]
    """Those that are changed, by ConfigMap."""


def install(name: str) -> None:
    """Installs an engine, and waits until it answers."""
    engine = ENGINES[name]
    advice = f"`kubectl --kubeconfig {KUBECONFIG} -n {engine.namespace} get pods` shows what its parts do."
    with step(f"install {name} {engine.version}", advice) as current:
        manifests = engine.manifests()
        key = digest(manifests, json.dumps(engine.settings, sort_keys=True))
        if kind.recall(name) == key and is_ready(name):
            current.cached()
            return
        current.run([*KUBECTL, "apply", "--server-side", "--force-conflicts", "-f", "-"], text=manifests)
        current.wait(f"a start of {name}", lambda: is_ready(name), seconds=START_SECONDS)
        # Only then: Tekton's webhook judges them. Both engines watch theirs, and need no restart.
        for config_map, data in engine.settings.items():
            patch = ["patch", "configmap", config_map, "--type", "merge", "--patch", json.dumps({"data": data})]
            current.run([*KUBECTL, "--namespace", engine.namespace, *patch])
        kind.remember(current, name, key)


def is_ready(name: str) -> bool:
    """Whether an engine has deployments, and every replica of them is available."""
    counts = "jsonpath={range .items[*]}{.spec.replicas} {.status.availableReplicas};{end}"
    found = quiet([*KUBECTL, "--namespace", ENGINES[name].namespace, "get", "deployments", "-o", counts])
    pairs = [pair.split() for pair in (found or "").split(";") if pair.strip()]
    return bool(pairs) and all(len(pair) == 2 and pair[0] == pair[1] for pair in pairs)


def _tekton_manifests() -> str:
    """Tekton's own, with the images that were built here in place of those that ko would build."""
    config = SHARE / "tekton" / "config"
    files = [file for pattern in TEKTON_MANIFESTS for file in sorted(config.glob(pattern))]
    text = "\n---\n".join(file.read_text() for file in files).replace('"devel"', f'"{TEKTON}"')
    return re.sub("ko://github.com/tektoncd/pipeline/cmd/([a-z]+)", rf"trainchart/tekton-\1:{TEKTON}", text)


def _argo_manifests() -> str:
    """Argo's own, as kustomize builds them for a namespace and an image."""
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ARGO_NAMESPACE}}
    controller = {"newName": "trainchart/argo-workflow-controller", "newTag": ARGO}
    with temporary_folder() as work:
        customization = {
            "namespace": ARGO_NAMESPACE,
            # kustomize takes no folder by its absolute path.
            "resources": [os.path.relpath(SHARE / "argo" / "manifests" / part, work) for part in ARGO_MANIFESTS],
            "images": [{"name": "quay.io/argoproj/workflow-controller", **controller}],
        }
        (work / "kustomization.yaml").write_text(json.dumps(customization))
        built = quiet([*KUBECTL, "kustomize", work])
    if built is None:
        raise StepError("kubectl kustomize cannot build Argo's manifests", f"They are in {SHARE / 'argo'}.")
    return json.dumps(namespace) + "\n---\n" + built


ENGINES = {
    "tekton": Engine(TEKTON, TEKTON_NAMESPACE, _tekton_manifests, TEKTON_SETTINGS),
    "argo": Engine(ARGO, ARGO_NAMESPACE, _argo_manifests, ARGO_SETTINGS),
}
