"""The API server and Volcano themselves."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from trainchart.checks.finding import Finding, enumerate_names, not_checked, ok, problem, warning
from trainchart.cluster.fields import Object, items, text

KUBERNETES = (1, 25)
VOLCANO = (1, 9)

# What a run, and the commands that follow it, need of Volcano.
APIS = {
    "/apis/batch.volcano.sh/v1alpha1": ["jobs"],
    "/apis/scheduling.volcano.sh/v1beta1": ["queues", "podgroups"],
    "/apis/bus.volcano.sh/v1alpha1": ["commands"],
}
_PROGRAMS = re.compile(r"(?:^|/)vc-(?:scheduler|controller-manager|webhook-manager):v?(\d+)\.(\d+)(\.\d+)?")


RUNNING = "status.phase!=Succeeded,status.phase!=Failed,spec.nodeName!="
"""Pods that hold what they requested."""


def check_version(version: Object, server: str) -> Finding:
    if not version:
        return not_checked("API server", f"API server: {server} does not report its version")
    parts = [int(re.sub(r"\D.*", "", str(version.get(key) or "0")) or 0) for key in ("major", "minor")]
    text_ = f"Kubernetes {text(version, 'gitVersion').removeprefix('v')} runs at {server}"
    if tuple(parts) < KUBERNETES:
        return problem("kubernetes-version", "API server", text_, "trainchart needs Kubernetes 1.25 or newer")
    return ok("API server", text_)


def check_apis(apis: Mapping[str, list[str] | None]) -> Finding:
    """Volcano's kinds, as the API server lists them."""
    lacking = [
        f"{name}.{path.split('/')[2]}"
        for path, there in apis.items()
        for name in APIS[path]
        if name not in (there or [])
    ]
    if lacking:
        return no_volcano(enumerate_names(lacking))
    return ok("Volcano", "Volcano is installed; its version shows only to those who may list pods of all namespaces")


def no_volcano(unknown: str) -> Finding:
    text_ = f"Volcano is not installed in this cluster: the API server knows no {unknown}"
    return problem("no-volcano", "Volcano", text_, "let an administrator install Volcano 1.9 or newer")


def check_volcano(pods: Iterable[Object]) -> Finding:
    """The version, from the images of its programs, whatever namespace they run in."""
    versions: dict[tuple[int, int], str] = {}
    for pod in pods:
        for container in items(pod, "spec", "containers"):
            if match := _PROGRAMS.search(text(container, "image")):
                versions[int(match[1]), int(match[2])] = f"{match[1]}.{match[2]}{match[3] or ''}"
    if not versions:
        text_ = "Volcano is installed, but no pod runs an image of it whose tag is a version"
        return warning("volcano-version", "Volcano", text_)
    oldest = min(versions)
    if oldest < VOLCANO:
        text_ = f"Volcano {versions[oldest]} is installed"
        return problem("volcano-version", "Volcano", text_, "trainchart needs Volcano 1.9 or newer")
    return ok("Volcano", f"Volcano {versions[oldest]} is installed")
