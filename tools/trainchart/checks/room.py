"""No room: in the queue, in the cluster, or on any node."""

from __future__ import annotations

import re

from trainchart.checks.capacity import violation
from trainchart.checks.cause import last_words, problem, waiting
from trainchart.checks.facts import Facts
from trainchart.checks.finding import Finding
from trainchart.checks.volumes import unbound_claim
from trainchart.cluster.fields import dig, items, text
from trainchart.cluster.quantities import (
    Amounts,
    amounts,
    format_quantities,
    format_quantity,
    minus,
    pod_requests,
    times,
)
from trainchart.run.state import Pod, Snapshot


def queue_full(run: Snapshot, facts: Facts, words: str) -> Finding:
    """Of queue.spec.capability, what is left for the whole gang."""
    asked = _gang(run)
    capability = amounts(dig(facts.queue, "spec", "capability"))
    allocated = amounts(dig(facts.queue, "status", "allocated"))
    left, never, later = minus(capability, allocated), [], []
    for name in [name for name in asked if name in capability]:
        most = format_quantity(name, capability[name])
        said = f"the gang asks for {name} {format_quantity(name, asked[name])}, the queue may have {most}"
        if asked[name] > capability[name]:
            never.append(said)
        elif asked[name] > left[name]:
            later.append(f"{said}, of which {format_quantity(name, left[name])} is left")
    if never:
        return problem(
            "queue-too-small",
            f"queue {run.queue} is too small for it: {'; '.join(never)}",
            "lower replicas or resources, take another queue, or ask for a larger one: it will never start like this",
            words,
        )
    found = re.search(r"insufficient (.*)", words)
    short = "; ".join(later) or (f"it is short of {found[1]}" if found else "its quota is used up")
    text_ = f"queue {run.queue} has no room for it now: {short}"
    if not later:
        text_ = f"queue {run.queue}, or one above it, has no room for it: {short}"
    return waiting("queue-full", text_, "it starts when other runs of the queue end", words)


def no_room(run: Snapshot, facts: Facts, words: str) -> Finding:
    """The whole cluster has no room, or never had."""
    if never := _never_fits(run, facts, words):
        return never
    short = words.rpartition("overused ")[2] if "overused " in words else ""
    asked = _gang(run)
    named = format_quantities({name: asked[name] for name in re.split(r"[,\s]+", short) if name in asked})
    what = (short or "of what it asks for") + (f" (it asks for {named} in all)" if named else "")
    if "nodes" in facts.seen:
        return waiting(
            "in-use",
            f"the nodes are large enough, but too much {what} is in use now",
            "it starts when other pods end",
            words,
        )
    return waiting(
        "cluster-full",
        f"the cluster has not enough {what.removeprefix('of ')}: in use now, or more than there is",
        "it starts when other pods end, if a node is large enough at all",
        words,
    )


def no_node(run: Snapshot, pod: Pod, facts: Facts) -> Finding:
    """Pods are there, and the scheduler finds no node. For resources it often gives no reason at all."""
    words = pod.unscheduled
    condition = next(
        (one for one in items(facts.group, "status", "conditions") if text(one, "type") == "Unschedulable"), {}
    )
    said = text(condition, "message") or words
    if claim := unbound_claim(run, words, facts):
        return claim
    if "DynamicResources" in words or "ResourceClaim" in words:
        why = last_words(facts.job_events + facts.pod_events, "FailedResourceClaimCreation")
        return problem(
            "device-claim",
            f"the devices of pod {pod.name} cannot be claimed: {why or _origin(words)}",
            f"doctor looks at DeviceClasses and the devices' driver: `trainchart doctor -n {run.namespace} -f VALUES`",
            said,
        )
    if never := _never_fits(run, facts, said):
        return never
    if reason := _origin(words):
        return waiting("no-node", f"no node takes pod {pod.name}: {reason}", "it starts when a node fits", said)
    asked = format_quantities(pod_requests(run.pod_spec))
    if "nodes" in facts.seen:
        return waiting(
            "in-use",
            f"the nodes are large enough, but no {run.replicas} pods of {asked} are free now",
            "it starts when other pods end",
            said,
        )
    return waiting(
        "no-node",
        f"Volcano finds no node for pods of {asked}, and does not say why: in use now, or more than any node has",
        "`kubectl describe nodes`, by somebody who may, shows what nodes have and what is in use",
        said,
    )


def _never_fits(run: Snapshot, facts: Facts, words: str) -> Finding | None:
    found = violation(run.pod_spec, run.replicas, facts.nodes) if "nodes" in facts.seen else None
    return problem(found.key, found.text, found.fix, words) if found else None


def _origin(words: str) -> str:
    """`0/3 nodes are unavailable: ...` without the gang's counts, which say nothing; empty where there is no more."""
    found = re.search(r"\d+/\d+ nodes are unavailable: (.*)", words)
    return found[1].rstrip(". ") if found else ""


def _gang(run: Snapshot) -> Amounts:
    return times(pod_requests(run.pod_spec), run.replicas)
