"""Containers that a webhook of the cluster injects into the run's pods."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from trainchart.checks.events import seconds
from trainchart.checks.facts import Facts
from trainchart.checks.finding import Finding, enumerate_names, ok, problem, warning
from trainchart.checks.run_spec import RunSpec
from trainchart.cluster.fields import Object, items, text
from trainchart.run.state import Pod, Snapshot
from trainchart.units import span

MESHES = ("istio-proxy", "linkerd-proxy")
"""Sidecars that the runner ends with `sidecars: allow`."""
GRACE_SECONDS = 15
_SUBJECT = "sidecars"
_DOCS = " (trainchart docs pods)"
_OFF = f"turn its injector off by its label or annotation, in podLabels or podAnnotations{_DOCS}"


def check_injected(spec: RunSpec, pod: Object) -> Iterator[Finding]:
    """What the API server has added to a pod of the run: containers beside which it does not finish, or restarts wrongly."""
    own = {text(container, "name") for container in items(spec.pod_template, "containers")}
    ordinary = [name for one in items(pod, "spec", "containers") if (name := text(one, "name")) not in own]
    native = [
        text(one, "name") for one in items(pod, "spec", "initContainers") if text(one, "restartPolicy") == "Always"
    ]
    allowed = text(spec.settings, "sidecars") == "allow"
    ended = [name for name in ordinary if allowed and name in MESHES]
    if native:
        yield ok(_SUBJECT, f"the cluster injects {enumerate_names(native)}, which Kubernetes ends with the run")
    if ended:
        yield ok(_SUBJECT, f"the cluster injects {enumerate_names(ended)}, which the run ends with itself")
    if left := [name for name in ordinary if name not in ended]:
        text_ = f"the cluster injects {enumerate_names(left)} into the pods: unless it ends by itself, the run never finishes"
        fix = "set sidecars: allow, with which the run ends it" if is_of_mesh(left) else _OFF
        yield warning("sidecar", _SUBJECT, text_, fix)
    if before := [name for name in ordinary if name < min(own)]:
        text_ = f"the cluster injects {enumerate_names(before)}, whose exit code Volcano would take for that of the run"
        yield warning("sidecar-order", _SUBJECT, text_, _OFF)


def kept_running(run: Snapshot, facts: Facts) -> Finding | None:
    """A pod whose main container has ended, and whose others do not."""
    kept = (pod for pod in run.pods if pod.is_kept_running and seconds(pod.ended, facts.now) > GRACE_SECONDS)
    return next((_kept(run, pod, facts) for pod in kept), None)


def _kept(run: Snapshot, pod: Pod, facts: Facts) -> Finding:
    names = enumerate_names(pod.others)
    fix = f"set sidecars: disable, or let the mesh inject native sidecars{_DOCS}" if is_of_mesh(pod.others) else _OFF
    return problem(
        "sidecar",
        f"rank {pod.rank}",
        f"rank {pod.rank} has ended with exit code {pod.exit_code}, but {names}, which the cluster has injected into its pod, "
        f"runs on since {span(seconds(pod.ended, facts.now))}",
        f"`{run.command('stop {}')}` ends the run, and what it has published stays; for the next one, {fix}",
    )


def is_of_mesh(names: Iterable[str]) -> bool:
    return set(names) <= {*MESHES}
