"""The API server and Volcano themselves."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from trainchart.checks.finding import Finding, listed, not_checked, ok, problem, warning
from trainchart.checks.reader import ClusterReader, NoRight, Refusal
from trainchart.checks.refusals import explain
from trainchart.cluster import kinds
from trainchart.cluster.fields import Object

KUBERNETES = (1, 25)
VOLCANO = (1, 9)

# What a run, and the commands that follow it, need of Volcano.
_APIS = {
    "/apis/batch.volcano.sh/v1alpha1": ["jobs"],
    "/apis/scheduling.volcano.sh/v1beta1": ["queues", "podgroups"],
    "/apis/bus.volcano.sh/v1alpha1": ["commands"],
}
_PROGRAMS = re.compile(r"(?:^|/)vc-(?:scheduler|controller-manager|webhook-manager):v?(\d+)\.(\d+)(\.\d+)?")
# Refused by Volcano's webhook, and by nothing else: more pods must run than there are.
_PROBE: Object = {
    "apiVersion": "batch.volcano.sh/v1alpha1",
    "kind": "Job",
    "metadata": {"generateName": "trainchart-doctor-"},
    "spec": {
        "schedulerName": "volcano",
        "minAvailable": 2,
        "tasks": [
            {
                "name": "probe",
                "replicas": 1,
                "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "probe", "image": "probe"}]}},
            }
        ],
    },
}
_INSTALL = "let an administrator install Volcano 1.9 or newer"


def server_checks(reader: ClusterReader) -> Iterator[Finding]:
    yield check_version(reader.version(), reader.api.server)


def volcano_checks(reader: ClusterReader, *, quick: bool) -> Iterator[Finding]:
    apis: dict[str, list[str] | None] = {}
    for path in [next(iter(_APIS))] if quick else _APIS:
        answer = reader.kinds_of(path)
        if isinstance(answer, NoRight):
            yield not_checked("Volcano", str(answer), "an administrator can bind the ClusterRole system:discovery")
            return
        apis[path] = answer
    found = check_apis(apis)
    if found.severity != "ok" or quick:
        yield found
        return
    pods = reader.objects(kinds.PODS, fields=RUNNING, everywhere=True)
    yield found if isinstance(pods, NoRight) else check_volcano(pods)
    yield check_probe(reader.dry_run(kinds.JOBS, _PROBE))


RUNNING = "status.phase!=Succeeded,status.phase!=Failed,spec.nodeName!="
"""Pods that hold what they asked for."""


def check_version(version: Object, server: str) -> Finding:
    if not version:
        return not_checked("API server", f"{server} does not tell its version")
    parts = [int(re.sub(r"\D.*", "", str(version.get(key) or "0")) or 0) for key in ("major", "minor")]
    text = f"Kubernetes {str(version.get('gitVersion', '')).removeprefix('v')} at {server}"
    if tuple(parts) < KUBERNETES:
        return problem("API server", text, "trainchart needs Kubernetes 1.25 or newer")
    return ok("API server", text)


def check_apis(apis: Mapping[str, list[str] | None]) -> Finding:
    """Volcano's kinds, as the API server lists them."""
    lacking = [
        f"{name}.{path.split('/')[2]}"
        for path, there in apis.items()
        for name in _APIS[path]
        if name not in (there or [])
    ]
    if lacking:
        return problem("Volcano", f"the API server knows no {listed(lacking)}", _INSTALL)
    return ok("Volcano", "installed; its version shows only to those who may list pods of all namespaces")


def check_volcano(pods: Iterable[Object]) -> Finding:
    """The version, from the images of its programs, whatever namespace they run in."""
    versions: dict[tuple[int, int], str] = {}
    for pod in pods:
        for container in pod["spec"]["containers"]:
            if match := _PROGRAMS.search(container["image"]):
                versions[int(match[1]), int(match[2])] = f"{match[1]}.{match[2]}{match[3] or ''}"
    if not versions:
        return warning("Volcano", "installed, but no pod runs an image of it whose tag is a version", "")
    oldest = min(versions)
    if oldest < VOLCANO:
        return problem("Volcano", f"version {versions[oldest]} runs", "trainchart needs Volcano 1.9 or newer")
    return ok("Volcano", f"version {versions[oldest]}")


def check_probe(answer: Object | Refusal | NoRight) -> Finding:
    """Whether the webhook answers, shown by a Job that it must refuse."""
    topic = "Volcano's webhook"
    if isinstance(answer, NoRight):
        return answer.check(topic)
    if not isinstance(answer, Refusal):
        text = "admits a Job that it must refuse: it is not there, or not for this namespace"
        return warning(topic, text, "without it mistakes show later and less clearly; let an administrator look at it")
    if "minAvailable" in answer.text:
        return ok(topic, "answers")
    found = explain(answer.text)
    return problem(topic, found.text, found.fix or _INSTALL)
