"""Nodes: which could take a pod of the gang, how many of them while nothing else runs, and how many now."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from trainchart.checks.finding import Finding, count, enumerate_names, ok, problem, waiting, warning
from trainchart.checks.run_spec import RunSpec
from trainchart.cluster.fields import Object, dig, mapping, number, text, whole
from trainchart.cluster.nodes import format_taint, is_cordoned, is_ready, is_selected, untolerated
from trainchart.cluster.quantities import (
    Amounts,
    amounts,
    format_quantities,
    format_quantity,
    is_device,
    minus,
    of_pod,
    total,
)

_DEVICES = "accelerator"
_NODES = "nodes"


@dataclass(frozen=True)
class _Node:
    object: Object
    allocatable: Amounts
    used: Amounts

    @property
    def name(self) -> str:
        return text(self.object, "metadata", "name")

    @property
    def is_open(self) -> bool:
        return is_ready(self.object) and not is_cordoned(self.object)

    @property
    def free(self) -> Amounts:
        return minus(self.allocatable, self.used)

    def empty(self, wanted: Amounts) -> int:
        """How many such pods fit while nothing else is on it."""
        return _times_in(wanted, self.allocatable)

    def now(self, wanted: Amounts) -> int:
        return _times_in(wanted, self.free)


def check_nodes(spec: RunSpec, nodes: Iterable[Object], pods: Iterable[Object] | None = None) -> list[Finding]:
    """Whether some node could take a pod, all nodes the gang, and whether they could now. Without `pods` nodes count as empty."""
    used = _used(pods or [])
    there = [
        _Node(node, amounts(dig(node, "status", "allocatable")), used.get(text(node, "metadata", "name"), {}))
        for node in nodes
    ]
    if not there:
        return [problem("no-node", _NODES, "the cluster has no node", "ask the cluster's administrator")]
    wanted = spec.pod_requests
    devices, found = _check_devices(spec, there)
    if devices and devices.severity == "problem":
        return [devices]
    wanted = {name: value for name, value in wanted.items() if name not in found}
    findings = [devices] if devices else []
    usable = [node for node in there if is_selected(node.object, spec.pod) and not untolerated(node.object, spec.pod)]
    usable = [node for node in usable if node.is_open]
    return [
        *findings,
        _above_every_node(wanted, there)
        or _closed(spec.pod, there)
        or _above_usable_nodes(wanted, usable)
        or _gang_too_large(spec.replicas, wanted, usable)
        or _room(spec.replicas, wanted, usable, are_known=pods is not None),
    ]


def check_network_topology(spec: RunSpec, hyper_nodes: Sequence[Object]) -> Finding:
    """Whether the cluster has HyperNodes of the tier that the run allows. Whether the scheduler has the plugin is not known."""
    subject, wanted = "HyperNodes", spec.network_topology
    if not hyper_nodes:
        text_ = "the cluster has no HyperNode, and Volcano ignores networkTopology without them"
        fix = "let an administrator describe the network with HyperNodes (trainchart docs pods), or leave networkTopology out"
        return warning("no-hypernode", subject, text_, fix)
    tiers = {number(one, "spec", "tier"): text(one, "spec", "tierName") for one in hyper_nodes}
    known = enumerate_names(f"{tier} {name}".strip() for tier, name in sorted(tiers.items()))
    highest = whole(wanted.get("highestTierAllowed"))
    named = text(wanted, "highestTierName")
    if (highest is not None and highest < min(tiers)) or (named and named not in tiers.values()):
        text_ = f"no HyperNode has tier {named or highest}{'' if named else ' or lower'}; their tiers are {known}"
        fix = "set networkTopology.highestTierAllowed or highestTierName to one of these tiers"
        return problem("no-hypernode-tier", subject, text_, fix)
    return ok(subject, f"the cluster has {count(len(hyper_nodes), 'HyperNode')}, with the tiers {known}")


def _check_devices(spec: RunSpec, nodes: list[_Node]) -> tuple[Finding | None, list[str]]:
    """What is known of the devices, and which of their resources no node lists."""
    wanted = spec.pod_requests
    devices = [name for name in wanted if is_device(name)]
    if not devices:
        return None, []
    offered = {name for node in nodes for name, value in node.allocatable.items() if value}
    lacking = [name for name in devices if name not in offered]
    if not lacking:
        return ok(_DEVICES, f"nodes have {enumerate_names(devices)}"), []
    # HAMi and its like register devices with a scheduler of their own, and nodes list their number alone.
    known = {name.partition("/")[0] for name in devices if name in offered}
    if known and spec.is_placed_by_another:
        text_ = f"nodes have {enumerate_names(sorted({*devices} - {*lacking}))}; {enumerate_names(lacking)} is up to {spec.scheduler}"
        return ok(_DEVICES, text_), lacking
    if all(name.partition("/")[0] in known for name in lacking):
        text_ = f"no node lists {enumerate_names(lacking)}, while nodes list {enumerate_names(sorted({*devices} - {*lacking}))}"
        fix = (
            "right only where the device plugin and its scheduler share out a device between themselves (HAMi); "
            "else choose the accelerator.profile of what this cluster has"
        )
        return warning("devices-not-listed", _DEVICES, text_, fix), lacking
    others = sorted(name for name in offered if is_device(name))
    return problem(
        "no-such-resource",
        _DEVICES,
        "; ".join(
            f"no node has {name}, of which each pod requests {format_quantity(name, wanted[name])}" for name in lacking
        )
        + (f"; nodes have {enumerate_names(others)}" if others else "; nodes have no devices at all"),
        "choose the accelerator.profile, or in resources.limits the resources, of what this cluster has (`kubectl describe nodes` "
        "lists it under Allocatable), or let its device plugin be installed",
    ), lacking


def _above_every_node(wanted: Amounts, nodes: list[_Node]) -> Finding | None:
    for name, value in wanted.items():
        largest = max(nodes, key=lambda node: node.allocatable.get(name, Decimal(0)))
        most = largest.allocatable.get(name, Decimal(0))
        if value > most:
            section = "limits" if name.startswith("hugepages-") else "requests"
            where = f"resources.{section}.{name}" if "/" not in name else "accelerator.count (or what else requests it)"
            return problem(
                "above-every-node",
                _NODES,
                f"each pod requests {name} {format_quantity(name, value)}, "
                f"and the largest node ({largest.name}) has {format_quantity(name, most)}",
                f"lower {where}, or let a larger node be added",
            )
    return None


def _closed(pod: Object, nodes: list[_Node]) -> Finding | None:
    """Labels, taints and states keep the pods off all nodes."""
    matching = [node for node in nodes if is_selected(node.object, pod)]
    if not matching:
        return problem("no-node-matches", _NODES, *_selector_message(pod, nodes))
    tolerated = [node for node in matching if not untolerated(node.object, pod)]
    if not tolerated:
        taints = [taint for node in matching for taint in untolerated(node.object, pod)]
        return problem(
            "taint",
            _NODES,
            f"{count(len(matching), 'node')} could take the pods, but for taints that they do not tolerate: "
            + enumerate_names(sorted({format_taint(taint) for taint in taints})),
            f"add to tolerations: {{key: {text(taints[0], 'key')}, operator: Exists, effect: {text(taints[0], 'effect')}}}, "
            "if the run may go there",
        )
    if not any(node.is_open for node in tolerated):
        states = [f"{node.name} is {'cordoned' if is_cordoned(node.object) else 'not ready'}" for node in tolerated]
        return problem(
            "node-closed",
            _NODES,
            f"no node that could take the pods is open: {enumerate_names(states, 3)}",
            "ask the cluster's administrator; `kubectl get nodes` shows their states",
        )
    return None


def _selector_message(pod: Object, nodes: list[_Node]) -> tuple[str, str]:
    labels = [mapping(node.object, "metadata", "labels") for node in nodes]
    shows = "`kubectl get nodes --show-labels` shows what nodes have"
    for key, value in mapping(pod, "nodeSelector").items():
        there = sorted({str(of_node[key]) for of_node in labels if key in of_node})
        if value not in there:
            known = f"nodes have {key}={' or '.join(there[:5])}" if there else f"no node has the label {key} at all"
            return (
                f"no node has the label {key}={value} of nodeSelector; {known}",
                f"set nodeSelector to labels that a node has; {shows}",
            )
    return "no node matches nodeSelector and affinity together", f"change them; {shows}"


def _above_usable_nodes(wanted: Amounts, usable: list[_Node]) -> Finding | None:
    if any(node.empty(wanted) for node in usable):
        return None
    above = [
        f"each pod requests {name} {format_quantity(name, value)}, the largest of them has {format_quantity(name, most)}"
        for name, value in wanted.items()
        if value > (most := max(node.allocatable.get(name, Decimal(0)) for node in usable))
    ]
    return problem(
        "above-every-node",
        _NODES,
        f"of the {count(len(usable), 'node')} that the run may go to, none is large enough: "
        + (enumerate_names(above) or f"none has all of {format_quantities(wanted)} at once"),
        "lower resources.requests or accelerator.count, or widen nodeSelector, affinity or tolerations",
    )


def _gang_too_large(replicas: int, wanted: Amounts, usable: list[_Node]) -> Finding | None:
    room = sum(node.empty(wanted) for node in usable)
    if room >= replicas:
        return None
    return problem(
        "gang-too-large",
        _NODES,
        f"the gang is {count(replicas, 'pod')} of {format_quantities(wanted)}; "
        f"all nodes together take {room} of them while nothing else runs",
        "lower replicas or what each pod requests: all pods start together, or none",
    )


def _room(replicas: int, wanted: Amounts, usable: list[_Node], *, are_known: bool) -> Finding:
    counts = {node.name: node.now(wanted) if are_known else node.empty(wanted) for node in usable}
    best = sorted(((name, pods) for name, pods in counts.items() if pods), key=lambda item: -item[1])
    most, room = enumerate_names([f"{name} could take {pods}" for name, pods in best], 3), sum(counts.values())
    if not are_known:
        return ok(_NODES, f"{most}: room for {count(room, 'pod')} while they are empty")
    if room >= replicas:
        return ok(_NODES, f"{most}: room for {count(room, 'pod')} now, {replicas} needed")
    scarce = [
        f"each pod requests {name} {format_quantity(name, value)}, at most {format_quantity(name, most_free)} is free on a node"
        for name, value in wanted.items()
        if value > (most_free := max(node.free.get(name, Decimal(0)) for node in usable))
    ]
    return waiting(
        "in-use",
        _NODES,
        f"the nodes are large enough, but take {room} of {count(replicas, 'pod')} now: "
        + (enumerate_names(scarce) or "they have different things left"),
        "it starts when other pods finish",
    )


def _used(pods: Iterable[Object]) -> dict[str, Amounts]:
    """What running pods hold on each node."""
    parts: dict[str, list[Amounts]] = defaultdict(list)
    for pod in pods:
        if name := text(pod, "spec", "nodeName"):
            parts[name].append({**of_pod(mapping(pod, "spec"))[0], "pods": Decimal(1)})
    return {name: total(every) for name, every in parts.items()}


def _times_in(wanted: Amounts, there: Mapping[str, Decimal]) -> int:
    fits: Sequence[int] = [int(there.get(name, Decimal(0)) / value) for name, value in wanted.items()]
    return min([*fits, *([int(there["pods"])] if "pods" in there else [])], default=1)
