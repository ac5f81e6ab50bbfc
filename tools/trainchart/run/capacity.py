"""What pods ask for, what nodes have, and why no node takes a pod: judged on objects, as the scheduler does, but in words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from trainchart.run.fields import Object, dig, items, mapping, text

Amounts = dict[str, Decimal]

_SUFFIXES = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "": Decimal(1),
    "k": Decimal(10**3),
    **{unit: Decimal(1000 ** (power + 2)) for power, unit in enumerate("MGTPE")},
    **{f"{unit}i": Decimal(1024 ** (power + 1)) for power, unit in enumerate("KMGTPE")},
}
_QUANTITY = re.compile(r"([+-]?[0-9.]+)(?:([eE][+-]?\d{1,3})|([numkMGTPE]|[KMGTPE]i)?)$")


def amount(quantity: object) -> Decimal | None:
    """A Kubernetes quantity (500m, 2, 512Mi, 1e3) as a number; None for anything else."""
    if isinstance(quantity, (int, float)) and not isinstance(quantity, bool):
        quantity = str(quantity)
    found = _QUANTITY.match(quantity) if isinstance(quantity, str) else None
    if not found:
        return None
    try:
        return Decimal(found[1] + (found[2] or "")) * _SUFFIXES[found[3] or ""]
    except InvalidOperation:
        return None


def amounts(quantities: object) -> Amounts:
    found = {name: amount(value) for name, value in quantities.items()} if isinstance(quantities, dict) else {}
    return {name: value for name, value in found.items() if value is not None}


def written(resource: str, value: Decimal) -> str:
    """An amount as people write it: 500m or 64 processors, 1.5Gi of memory."""
    if _is_bytes(resource):
        for unit in ("Ti", "Gi", "Mi", "Ki"):
            if abs(value) >= _SUFFIXES[unit]:
                return f"{value / _SUFFIXES[unit]:.1f}".removesuffix(".0") + unit
        return str(int(value))
    if value != value.to_integral_value():
        return f"{int(value * 1000)}m"
    return str(int(value))


def _is_bytes(resource: str) -> bool:
    return resource.rpartition(".")[2] in ("memory", "storage", "ephemeral-storage") or "hugepages" in resource


def pod_requests(spec: object) -> Amounts:
    """What a pod asks a node for: its containers' requests, and limits where there is no request."""
    total: Amounts = {}
    for container in items(spec, "containers"):
        asked = {
            **amounts(dig(container, "resources", "limits")),
            **amounts(dig(container, "resources", "requests")),
        }
        for name, value in asked.items():
            total[name] = total.get(name, Decimal(0)) + value
    return {name: value for name, value in total.items() if value > 0}


@dataclass(frozen=True)
class Node:
    name: str
    allocatable: Mapping[str, Decimal]
    labels: Mapping[str, str]
    taints: Sequence[Object]
    is_ready: bool
    is_cordoned: bool

    def takes(self, asked: Mapping[str, Decimal]) -> int:
        """How many such pods fit when nothing else is on it."""
        fits = [int(self.allocatable.get(name, Decimal(0)) // value) for name, value in asked.items() if value > 0]
        pods = self.allocatable.get("pods")
        return min([*fits, *([int(pods)] if pods is not None else [])], default=1)


def node_of(node: Object) -> Node:
    ready = next((one for one in items(node, "status", "conditions") if text(one, "type") == "Ready"), {})
    return Node(
        name=text(node, "metadata", "name"),
        allocatable=amounts(dig(node, "status", "allocatable")),
        labels={str(key): str(value) for key, value in mapping(node, "metadata", "labels").items()},
        taints=items(node, "spec", "taints"),
        is_ready=text(ready, "status") in ("True", ""),
        is_cordoned=dig(node, "spec", "unschedulable") is True,
    )


# -- why none takes it


@dataclass(frozen=True)
class Misfit:
    """Why no node takes a pod, or not all pods of a gang, even when nothing else runs."""

    key: str
    text: str
    fix: str


def misfit(spec: object, replicas: int, nodes: Iterable[Object]) -> Misfit | None:
    """None where the gang fits on the nodes while they are empty."""
    asked, there = pod_requests(spec), [node_of(node) for node in nodes]
    if not there:
        return Misfit("no-node", "the cluster has no node", "ask whoever runs the cluster")
    return (
        _no_such_resource(asked, there)
        or _above_every_node(asked, there)
        or _nobody_matches(spec, asked, there)
        or _gang_too_large(spec, asked, replicas, there)
    )


def _no_such_resource(asked: Amounts, nodes: list[Node]) -> Misfit | None:
    for name, value in asked.items():
        if all(not node.allocatable.get(name) for node in nodes):
            return Misfit(
                "no-such-resource",
                f"no node has {name}, of which each pod asks for {written(name, value)}",
                "choose the accelerator.profile of what this cluster has (`kubectl describe nodes` lists it under Allocatable), "
                "or ask whoever runs the cluster for the device plugin",
            )
    return None


def _above_every_node(asked: Amounts, nodes: list[Node]) -> Misfit | None:
    for name, value in asked.items():
        largest = max(nodes, key=lambda node: node.allocatable.get(name, Decimal(0)))
        most = largest.allocatable.get(name, Decimal(0))
        if value > most:
            return Misfit(
                "above-every-node",
                f"each pod asks for {name} {written(name, value)}, and the largest node ({largest.name}) has {written(name, most)}",
                f"lower {_setting(name)}",
            )
    return None


def _setting(resource: str) -> str:
    return f"resources.requests.{resource}" if "/" not in resource else "accelerator.count (or what else asks for it)"


def _nobody_matches(spec: object, asked: Amounts, nodes: list[Node]) -> Misfit | None:
    matching = [node for node in nodes if _selects(spec, node)]
    if not matching:
        return Misfit("no-node-matches", *_selector_words(spec, nodes))
    tolerated = [node for node in matching if not _repelling(spec, node)]
    if not tolerated:
        taint = _repelling(spec, matching[0])
        word = text(taint, "key") + (f"={text(taint, 'value')}" if text(taint, "value") else "")
        return Misfit(
            "taint",
            f"{_count(len(matching), 'node')} could take the pods, but for taints that they do not tolerate, such as {word}:{text(taint, 'effect')}",
            f"add to tolerations: {{key: {text(taint, 'key')}, operator: Exists, effect: {text(taint, 'effect')}}}, if the run may go there",
        )
    open_ones = [node for node in tolerated if node.is_ready and not node.is_cordoned]
    if not open_ones:
        states = ", ".join(
            f"{node.name} is {'cordoned' if node.is_cordoned else 'not ready'}" for node in tolerated[:3]
        )
        return Misfit(
            "node-closed", f"no node that could take the pods is open: {states}", "ask whoever runs the cluster"
        )
    if not any(node.takes(asked) for node in open_ones):
        short = _shortest(asked, open_ones)
        return Misfit(
            "above-every-node",
            f"of the {_count(len(open_ones), 'node')} that the run may go to, none is large enough: {short}",
            "lower resources.requests or accelerator.count, or widen nodeSelector, affinity or tolerations",
        )
    return None


def _shortest(asked: Amounts, nodes: list[Node]) -> str:
    for name, value in asked.items():
        most = max(node.allocatable.get(name, Decimal(0)) for node in nodes)
        if value > most:
            return f"each pod asks for {name} {written(name, value)}, the largest of them has {written(name, most)}"
    return "none has all of what a pod asks for at once"


def _gang_too_large(spec: object, asked: Amounts, replicas: int, nodes: list[Node]) -> Misfit | None:
    usable = [node for node in nodes if _selects(spec, node) and not _repelling(spec, node)]
    room = sum(node.takes(asked) for node in usable if node.is_ready and not node.is_cordoned)
    if room >= replicas:
        return None
    each = ", ".join(f"{name} {written(name, value)}" for name, value in asked.items())
    return Misfit(
        "gang-too-large",
        f"the gang is {_count(replicas, 'pod')} of {each}; all nodes together take {room} of them while nothing else runs",
        "lower replicas or what each pod asks for: all pods start together, or none",
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _selects(spec: object, node: Node) -> bool:
    wanted = mapping(spec, "nodeSelector")
    if any(node.labels.get(str(key)) != str(value) for key, value in wanted.items()):
        return False
    required = dig(
        spec, "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms"
    )
    terms = [term for term in required if isinstance(term, dict)] if isinstance(required, list) else []
    return not terms or any(all(_holds(rule, node) for rule in items(term, "matchExpressions")) for term in terms)


def _holds(rule: Object, node: Node) -> bool:
    has, operator = node.labels.get(text(rule, "key")), text(rule, "operator")
    values = [str(value) for value in rule.get("values") or []]
    if operator in ("In", "NotIn"):
        return (has in values) == (operator == "In")
    if operator in ("Exists", "DoesNotExist"):
        return (has is not None) == (operator == "Exists")
    left, right = amount(has), amount(values[0]) if values else None
    if left is None or right is None:
        return False
    return left > right if operator == "Gt" else left < right


def _selector_words(spec: object, nodes: list[Node]) -> tuple[str, str]:
    for key, value in mapping(spec, "nodeSelector").items():
        if all(node.labels.get(str(key)) != str(value) for node in nodes):
            there = sorted({node.labels[str(key)] for node in nodes if str(key) in node.labels})
            known = f"nodes have {key}={' or '.join(there[:5])}" if there else f"no node has the label {key} at all"
            return f"no node has the label {key}={value} of nodeSelector; {known}", "change nodeSelector"
    return (
        "no node matches nodeSelector and affinity together",
        "change them; `kubectl get nodes --show-labels` shows what nodes have",
    )


def _repelling(spec: object, node: Node) -> Object:
    """The taint that keeps the pod away; empty where none does."""
    tolerations = items(spec, "tolerations")
    for taint in node.taints:
        # A cordoned node has a taint too, and is told by its own word.
        repels = text(taint, "effect") in ("NoSchedule", "NoExecute") and not text(taint, "key").endswith(
            "/unschedulable"
        )
        if repels and not any(_tolerates(toleration, taint) for toleration in tolerations):
            return taint
    return {}


def _tolerates(toleration: Object, taint: Object) -> bool:
    if text(toleration, "effect") not in ("", text(taint, "effect")):
        return False
    key, is_exists = text(toleration, "key"), text(toleration, "operator") == "Exists"
    if not key:
        return is_exists
    return key == text(taint, "key") and (is_exists or text(toleration, "value") == text(taint, "value"))
