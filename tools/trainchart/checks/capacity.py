"""Why no node takes a pod, or a gang of them, even when nothing else runs: validated on objects, and said in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from trainchart.cluster.fields import Object, dig, mapping, text
from trainchart.cluster.nodes import is_cordoned, is_ready, is_selected, taint_words, untolerated
from trainchart.cluster.quantities import Amounts, amounts, format_quantities, format_quantity, pod_requests


@dataclass(frozen=True)
class Node:
    name: str
    allocatable: Mapping[str, Decimal]
    object: Object

    @property
    def is_open(self) -> bool:
        return is_ready(self.object) and not is_cordoned(self.object)

    def takes(self, asked: Mapping[str, Decimal]) -> int:
        """How many such pods fit when nothing else is on it."""
        fits = [int(self.allocatable.get(name, Decimal(0)) // value) for name, value in asked.items() if value > 0]
        pods = self.allocatable.get("pods")
        return min([*fits, *([int(pods)] if pods is not None else [])], default=1)


def _node(node: Object) -> Node:
    return Node(text(node, "metadata", "name"), amounts(dig(node, "status", "allocatable")), node)


@dataclass(frozen=True)
class Violation:
    """Why no node takes a pod, or not all pods of a gang, even when nothing else runs."""

    key: str
    text: str
    fix: str


def violation(spec: object, replicas: int, nodes: Iterable[Object]) -> Violation | None:
    """None where the gang fits on the nodes while they are empty."""
    asked, there = pod_requests(spec), [_node(node) for node in nodes]
    if not there:
        return Violation("no-node", "the cluster has no node", "ask whoever runs the cluster")
    return (
        _no_such_resource(asked, there)
        or _above_every_node(asked, there)
        or _nobody_matches(spec, asked, there)
        or _gang_too_large(spec, asked, replicas, there)
    )


def _no_such_resource(asked: Amounts, nodes: list[Node]) -> Violation | None:
    for name, value in asked.items():
        if all(not node.allocatable.get(name) for node in nodes):
            return Violation(
                "no-such-resource",
                f"no node has {name}, of which each pod asks for {format_quantity(name, value)}",
                "choose the accelerator.profile of what this cluster has (`kubectl describe nodes` lists it under Allocatable), "
                "or ask whoever runs the cluster for the device plugin",
            )
    return None


def _above_every_node(asked: Amounts, nodes: list[Node]) -> Violation | None:
    for name, value in asked.items():
        largest = max(nodes, key=lambda node: node.allocatable.get(name, Decimal(0)))
        most = largest.allocatable.get(name, Decimal(0))
        if value > most:
            return Violation(
                "above-every-node",
                f"each pod asks for {name} {format_quantity(name, value)}, "
                f"and the largest node ({largest.name}) has {format_quantity(name, most)}",
                f"lower {_setting(name)}",
            )
    return None


def _setting(resource: str) -> str:
    return f"resources.requests.{resource}" if "/" not in resource else "accelerator.count (or what else asks for it)"


def _nobody_matches(spec: object, asked: Amounts, nodes: list[Node]) -> Violation | None:
    matching = [node for node in nodes if is_selected(node.object, spec)]
    if not matching:
        return Violation("no-node-matches", *_selector_words(spec, nodes))
    tolerated = [node for node in matching if not untolerated(node.object, spec)]
    if not tolerated:
        taint = untolerated(matching[0].object, spec)[0]
        return Violation(
            "taint",
            f"{_count(len(matching), 'node')} could take the pods, but for taints that they do not tolerate, such as {taint_words(taint)}",
            f"add to tolerations: {{key: {text(taint, 'key')}, operator: Exists, effect: {text(taint, 'effect')}}}, if the run may go there",
        )
    open_ones = [node for node in tolerated if node.is_open]
    if not open_ones:
        states = ", ".join(
            f"{node.name} is {'cordoned' if is_cordoned(node.object) else 'not ready'}" for node in tolerated[:3]
        )
        return Violation(
            "node-closed", f"no node that could take the pods is open: {states}", "ask whoever runs the cluster"
        )
    if not any(node.takes(asked) for node in open_ones):
        short = _shortest(asked, open_ones)
        return Violation(
            "above-every-node",
            f"of the {_count(len(open_ones), 'node')} that the run may go to, none is large enough: {short}",
            "lower resources.requests or accelerator.count, or widen nodeSelector, affinity or tolerations",
        )
    return None


def _shortest(asked: Amounts, nodes: list[Node]) -> str:
    for name, value in asked.items():
        most = max(node.allocatable.get(name, Decimal(0)) for node in nodes)
        if value > most:
            largest = format_quantity(name, most)
            return f"each pod asks for {name} {format_quantity(name, value)}, the largest of them has {largest}"
    return "none has all of what a pod asks for at once"


def _gang_too_large(spec: object, asked: Amounts, replicas: int, nodes: list[Node]) -> Violation | None:
    usable = [node for node in nodes if is_selected(node.object, spec) and not untolerated(node.object, spec)]
    room = sum(node.takes(asked) for node in usable if node.is_open)
    if room >= replicas:
        return None
    return Violation(
        "gang-too-large",
        f"the gang is {_count(replicas, 'pod')} of {format_quantities(asked)}; all nodes together take {room} of them while nothing else runs",
        "lower replicas or what each pod asks for: all pods start together, or none",
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _selector_words(spec: object, nodes: list[Node]) -> tuple[str, str]:
    labels = [mapping(node.object, "metadata", "labels") for node in nodes]
    for key, value in mapping(spec, "nodeSelector").items():
        there = sorted({str(of_node[key]) for of_node in labels if key in of_node})
        if value not in there:
            known = f"nodes have {key}={' or '.join(there[:5])}" if there else f"no node has the label {key} at all"
            return f"no node has the label {key}={value} of nodeSelector; {known}", "change nodeSelector"
    return (
        "no node matches nodeSelector and affinity together",
        "change them; `kubectl get nodes --show-labels` shows what nodes have",
    )
