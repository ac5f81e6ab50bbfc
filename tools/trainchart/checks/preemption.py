"""What a preemption would do to the run: whether it may lose its resources to others, and would resume then."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from trainchart.checks.finding import Finding, info
from trainchart.checks.queue import other_queues
from trainchart.checks.run_spec import RunSpec
from trainchart.cluster.fields import Object, dig, number, text
from trainchart.run.state import snapshot_of


def lacking(spec: RunSpec) -> str:
    """Return what the run would have to have to resume after a preemption; empty if it has it, or is not preemptible."""
    run = snapshot_of(spec.job, [])
    if text(spec.job, "metadata", "annotations", "volcano.sh/preemptable") == "false":
        return ""
    if run.max_retry == 1:
        return "it has no retries, so it would end as failed"
    return "" if run.workspace_claim else "its workspace is deleted with its pods, so it would start from scratch"


def check_preemption(spec: RunSpec, queues: Sequence[Object], classes: Iterable[Object]) -> Finding | None:
    """Return what the run lacks to resume after a preemption; None where it lacks nothing, or nothing may preempt it.

    Whether Volcano's scheduler has the actions at all, only its administrator can see.
    """
    lacks, threats = lacking(spec), [*_by_priority(spec, classes), *_by_queue(spec, queues)]
    if not lacks or not threats:
        return None
    return info(
        "would-not-resume",
        "preemption",
        f"where Volcano's scheduler preempts and reclaims, {' and '.join(threats)}, and {lacks}",
        "set retries, and workspace.type to a claim, to resume from the last checkpoint; preemptible: false keeps Volcano from "
        "taking this run (trainchart docs preemption)",
    )


def _by_priority(spec: RunSpec, classes: Iterable[Object]) -> Iterator[str]:
    known = {text(one, "metadata", "name"): one for one in classes}
    default = next((name for name, one in known.items() if one.get("globalDefault") is True), "")
    own = number(known.get(spec.priority_class or default), "value")
    above = {
        name: number(one, "value")
        for name, one in known.items()
        if number(one, "value") > own and text(one, "preemptionPolicy") != "Never" and not name.startswith("system-")
    }
    if above:
        yield f"runs of PriorityClass {max(above, key=lambda name: above[name])} may take its resources"


def _by_queue(spec: RunSpec, queues: Sequence[Object]) -> Iterator[str]:
    own = next((queue for queue in queues if text(queue, "metadata", "name") == spec.queue), None)
    if own is not None and dig(own, "spec", "reclaimable") is not False and other_queues(spec.queue, queues):
        yield f"other queues may reclaim what queue {spec.queue} uses above its share"
