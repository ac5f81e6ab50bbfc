"""Volcano's queue: whether it takes the run, and has room for the gang."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal

from trainchart.checks.finding import Finding, enumerate_names, ok, problem, waiting
from trainchart.checks.run_spec import RunSpec
from trainchart.cluster.fields import Object, dig, text
from trainchart.cluster.quantities import Amounts, amounts, format_quantity, is_device, minus, short, total

ROOT = "root"
_LESS = (
    "lower replicas, resources or accelerator, name a larger queue in queue:, or let an administrator enlarge this one"
)


def check_queue(spec: RunSpec, queues: Iterable[Object]) -> Finding:
    """Whether the gang may enter its queue, and whether it would fit there now."""
    name, gang = spec.queue, spec.gang_requests
    by_name = {text(queue, "metadata", "name"): queue for queue in queues}
    queue = by_name.get(name)
    others = other_queues(name, by_name.values())
    if queue is None:
        return missing(name, others)
    if not _is_open(queue):
        return not_open(name, text(queue, "status", "state"), others)
    if (below := _below(name, by_name)) or name == ROOT:
        return not_leaf(name, below, others)
    full: list[str] = []
    while queue is not None:
        here = text(queue, "metadata", "name")
        capability = amounts(dig(queue, "spec", "capability"))
        if over := short(gang, capability):
            text_ = f"queue {here} is too small: {_excess(over, gang, capability, 'the queue may have')}"
            return problem("queue-too-small", f"queue {name}", text_, _LESS)
        left = minus(capability, amounts(dig(queue, "status", "allocated")))
        if over := short(gang, left):
            full.append(
                f"queue {here} has no room for it now: {_excess(over, gang, left, 'the queue has left', capability)}"
            )
        parent = text(queue, "spec", "parent")
        queue = by_name.pop(parent, None) if parent != here else None  # a circle of queues ends here
    if full:
        return waiting("queue-full", f"queue {name}", full[0], "it starts when others of the queue finish")
    return ok(f"queue {name}", f"queue {name} is open and takes {_format_gang(gang)}")


def other_queues(name: str, queues: Iterable[Object]) -> list[str]:
    """The names of the other queues that take runs."""
    by_name = {text(queue, "metadata", "name"): queue for queue in queues}
    return [other for other in sorted(by_name) if other not in (name, ROOT) and _takes_runs(other, by_name)]


def missing(queue: str, others: Iterable[str] = ()) -> Finding:
    fix = f"{_choose(others)}, or let an administrator create it"
    return problem("queue-missing", f"queue {queue}", f"queue {queue} does not exist", fix)


def not_open(queue: str, state: str, others: Iterable[str] = ()) -> Finding:
    """A queue that was made a moment ago has no state, and takes nothing either."""
    fix = f"{_choose(others)}, or let an administrator open it (`vcctl queue operate -n {queue} -a open`)"
    text_ = f"queue {queue} takes no runs: its state is {state or 'not set yet'}"
    return problem("queue-closed", f"queue {queue}", text_, fix)


def not_leaf(queue: str, below: Iterable[str] = (), others: Iterable[str] = ()) -> Finding:
    which = f" ({enumerate_names(below)})" if below else ""
    text_ = f"queue {queue} takes no runs itself: it has queues below it{which}"
    if queue == ROOT:
        text_ = f"queue {queue} takes no runs itself: it is the root of all queues"
    return problem("queue-not-leaf", f"queue {queue}", text_, _choose(others))


def check_guarantees(spec: RunSpec, queues: Iterable[Object], nodes: Iterable[Object]) -> Iterator[Finding]:
    """What other queues are guaranteed is nobody else's, even while they do not use it."""
    gang = spec.gang_requests
    guaranteed = total(
        amounts(dig(queue, "spec", "guarantee", "resource"))
        for queue in queues
        if text(queue, "metadata", "name") not in (spec.queue, ROOT)
    )
    everything = total(amounts(dig(node, "status", "allocatable")) for node in nodes)
    left = {key: value for key, value in minus(everything, guaranteed).items() if key in guaranteed}
    if over := short(gang, left):
        text_ = f"other queues are guaranteed too much: {_excess(over, gang, left, 'the cluster has left')}"
        yield problem("queue-guarantees", f"queue {spec.queue}", text_, _LESS)


def _choose(others: Iterable[str]) -> str:
    return f"name an open one in queue: ({enumerate_names(others) or '`kubectl get queues` lists them'})"


def _format_gang(gang: Amounts) -> str:
    """What a gang requests, in a few words."""
    first = [name for name in gang if name in ("cpu", "memory") or is_device(name)]
    return ", ".join(f"{name} {format_quantity(name, gang[name])}" for name in first) or "pods that request nothing"


def _excess(over: list[str], gang: Amounts, limit: Amounts, what: str, of: Mapping[str, Decimal] | None = None) -> str:
    return "the gang requests " + enumerate_names(
        f"{name} {format_quantity(name, gang[name])}, and {what} {format_quantity(name, limit[name])}"
        + (f" of {format_quantity(name, of[name])}" if of else "")
        for name in over
    )


def _is_open(queue: Object) -> bool:
    return text(queue, "status", "state") == "Open"


def _below(name: str, by_name: Mapping[str, Object]) -> list[str]:
    return sorted(other for other, queue in by_name.items() if other != name and text(queue, "spec", "parent") == name)


def _takes_runs(name: str, by_name: Mapping[str, Object]) -> bool:
    return _is_open(by_name[name]) and not _below(name, by_name)
