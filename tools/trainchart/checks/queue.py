"""Volcano's queue: it takes the run, and has room for the gang."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal

from trainchart.checks.finding import Finding, listed, ok, problem, warning
from trainchart.checks.reader import ClusterReader, NoRight
from trainchart.checks.run_spec import RunSpec
from trainchart.cluster import kinds
from trainchart.cluster.fields import Object
from trainchart.cluster.quantities import Amounts, amounts, format_quantity, is_device, minus, short, total

ROOT = "root"


def queue_checks(reader: ClusterReader, spec: RunSpec, gang: Amounts) -> Iterator[Finding]:
    queues = reader.objects(kinds.QUEUES)
    topic = f"queue {spec.queue}"
    if isinstance(queues, NoRight):
        one = reader.get(kinds.QUEUES, spec.queue)  # a right to one queue by its name is a usual thing to grant
        if isinstance(one, NoRight):
            yield queues.check(topic)
            return
        queues = [one] if one else []
    yield check_queue(spec.queue, queues, gang)
    nodes = reader.objects(kinds.NODES) if reader.knows(kinds.NODES) else None
    if isinstance(nodes, list):
        yield from check_guarantees(spec.queue, queues, gang, nodes)


def check_queue(name: str, queues: list[Object], gang: Mapping[str, Decimal]) -> Finding:
    """Whether the gang may enter the queue, and whether it would fit there now."""
    topic = f"queue {name}"
    by_name = {queue["metadata"]["name"]: queue for queue in queues}
    queue = by_name.get(name)
    others = [other for other in sorted(by_name) if other not in (name, ROOT) and _takes_runs(other, by_name)]
    choice = f"name an open one in queue: ({listed(others)})" if others else "name another in queue:"
    if queue is None:
        return problem(topic, "does not exist", f"{choice}, or let an administrator make it")
    if state := _not_open(queue):
        return problem(topic, f"is {state} and takes no runs", f"{choice}, or let an administrator open it")
    below = _below(name, by_name)
    if below or name == ROOT:
        text = "is the root of all queues" if name == ROOT else f"has queues below it ({listed(below)})"
        return problem(topic, f"{text} and takes no runs itself", f"{choice}")
    waits = []
    while queue is not None:
        here = queue["metadata"]["name"]
        capability = amounts((queue.get("spec") or {}).get("capability"))
        if over := short(gang, capability):
            return problem(topic, _too_much(here, over, gang, capability, "at most"), _LESS)
        left = minus(capability, amounts((queue.get("status") or {}).get("allocated")))
        if over := short(gang, left):
            waits.append(_too_much(here, over, gang, left, "free now"))
        parent = (queue.get("spec") or {}).get("parent") or ""
        queue = by_name.get(parent) if parent != here else None
    if waits:
        return warning(topic, waits[0], "the run waits until others of the queue end")
    return ok(topic, f"is open and takes {told(gang)}")


def check_guarantees(
    name: str, queues: list[Object], gang: Mapping[str, Decimal], nodes: list[Object]
) -> Iterator[Finding]:
    """What other queues are guaranteed is nobody else's, even while they do not use it."""
    guaranteed = total(
        amounts(((queue["spec"].get("guarantee")) or {}).get("resource"))
        for queue in queues
        if queue["metadata"]["name"] not in (name, ROOT)
    )
    everything = total(amounts(node["status"].get("allocatable")) for node in nodes)
    left = {key: value for key, value in minus(everything, guaranteed).items() if key in guaranteed}
    if over := short(gang, left):
        text = _too_much("the cluster", over, gang, left, "not guaranteed to other queues")
        yield problem(f"queue {name}", text, _LESS)


_LESS = "ask for less (replicas:, resources:, accelerator:), or name a larger queue"


def told(gang: Mapping[str, Decimal]) -> str:
    """What a gang asks for, in a few words."""
    shown_first = [name for name in gang if name in ("cpu", "memory") or is_device(name)]
    return (
        ", ".join(f"{name} {format_quantity(name, gang[name])}" for name in shown_first) or "pods that ask for nothing"
    )


def _too_much(where: str, over: list[str], gang: Mapping[str, Decimal], limit: Mapping[str, Decimal], what: str) -> str:
    parts = [
        f"{name} {format_quantity(name, gang[name])} of {format_quantity(name, limit[name])} {what}" for name in over
    ]
    return f"the gang asks {where} for {listed(parts)}"


def _not_open(queue: Object) -> str:
    """The state in words where it is not Open. A queue that was made a moment ago has none, and is refused too."""
    state = (queue.get("status") or {}).get("state") or "new"
    return "" if state == "Open" else str(state).lower()


def _below(name: str, by_name: Mapping[str, Object]) -> list[str]:
    return sorted(
        other for other, queue in by_name.items() if other != name and (queue.get("spec") or {}).get("parent") == name
    )


def _takes_runs(name: str, by_name: Mapping[str, Object]) -> bool:
    return not _not_open(by_name[name]) and not _below(name, by_name)
