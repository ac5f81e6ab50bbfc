"""A scheduler beside Volcano, which the devices of a run bring along: whether it is there, and whether it has seen the pod."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from trainchart.checks.events import seconds
from trainchart.checks.facts import Facts, silent_pod
from trainchart.checks.finding import Finding, ok, problem, waiting, warning
from trainchart.checks.run_spec import RunSpec, submitted
from trainchart.cluster.fields import Object, items, mapping, text, texts
from trainchart.run.state import Snapshot
from trainchart.units import span

# A scheduler that runs says within seconds why it does not place a pod.
_SILENT_SECONDS = 30


def check_scheduler(spec: RunSpec, pods: Iterable[Object]) -> Finding:
    """Return whether some pod of the cluster is the scheduler, or was placed by it. What its programs are called is up to it."""
    name = spec.scheduler
    subject = f"scheduler {name}"
    for pod in pods:
        if _is_program(pod, name):
            return ok(subject, f"pod {text(pod, 'metadata', 'name')} is {subject}, which places the pod of the run")
        if text(pod, "spec", "schedulerName") == name:
            return ok(subject, f"{subject}, which places the pod of the run, has placed others")
    text_ = f"no pod of the cluster seems to be {subject}, which has to place the pod of the run"
    return warning("scheduler-missing", subject, text_, _fix(name))


def _fix(name: str) -> str:
    return (
        f"let an administrator install what brings {name}, or set accelerator.schedulerName to the name that it has here; "
        "without it nothing places the pod"
    )


def _is_program(pod: Object, name: str) -> bool:
    labels = [str(value) for value in mapping(pod, "metadata", "labels").values()]
    words = [
        word for one in items(pod, "spec", "containers") for key in ("command", "args") for word in texts(one, key)
    ]
    return text(pod, "metadata", "name").startswith(name) or name in labels or any(name in word for word in words)


def unplaced(run: Snapshot, facts: Facts) -> Iterator[Finding]:
    """Yield why pods have no node although their scheduler has not refused one: it has not looked at them."""
    spec = submitted(run)
    pod = silent_pod(run)
    if pod is None or not spec.is_placed_by_another:
        return
    waited, subject = seconds(pod.created, facts.now), f"scheduler {spec.scheduler}"
    if waited > _SILENT_SECONDS:
        text_ = (
            f"{subject} has said nothing about pod {pod.name} for {span(waited)}: it does not run, or has another name"
        )
        yield problem("scheduler-missing", subject, text_, _fix(spec.scheduler))
    else:
        yield waiting("new", pod.name, f"{subject} has not looked at pod {pod.name} yet")
