"""Nodes: which could take a pod, and how many."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

from trainchart.checks.finding import Finding, listed, not_checked, ok, problem, warning
from trainchart.checks.reader import ClusterReader, NoRight, existence
from trainchart.checks.run_spec import RunSpec
from trainchart.checks.server import RUNNING
from trainchart.cluster import kinds
from trainchart.cluster.fields import Object
from trainchart.cluster.nodes import is_cordoned, is_ready, is_selected, taint_words, untolerated
from trainchart.cluster.quantities import (
    Amounts,
    amounts,
    format_quantity,
    is_device,
    minus,
    of_pod,
    pod_requests,
    total,
)

_LESS = "ask for less in resources:, or let a larger node be added"


def node_checks(reader: ClusterReader, spec: RunSpec, pod: Object) -> Iterator[Finding]:
    nodes = reader.objects(kinds.NODES)
    if isinstance(nodes, NoRight):
        yield nodes.check("nodes")
        return
    pods = reader.objects(kinds.PODS, fields=RUNNING, everywhere=True)
    yield from check_nodes(nodes, None if isinstance(pods, NoRight) else pods, pod, spec.replicas)
    if isinstance(pods, NoRight):
        yield not_checked("room on the nodes now", str(pods), "deploy/cluster-reader.yaml has it; nodes count as empty")


def device_class_checks(reader: ClusterReader, spec: RunSpec) -> Iterator[Finding]:
    for name in spec.device_classes:
        fix = "let an administrator install the driver that makes it; `kubectl get deviceclasses` lists them"
        yield existence(reader, kinds.DEVICE_CLASSES, f"DeviceClass {name}", name, fix)


@dataclass(frozen=True)
class _Node:
    name: str
    allocatable: Amounts
    free: Amounts

    def empty(self, wanted: Amounts) -> int:
        return _times_in(wanted, self.allocatable)

    def now(self, wanted: Amounts) -> int:
        return _times_in(wanted, self.free)


def check_nodes(nodes: list[Object], pods: list[Object] | None, pod: Object, replicas: int) -> list[Finding]:
    """Whether some node could take a pod, all nodes the gang, and whether they could now. Without `pods` nodes count as empty."""
    topic = "nodes"
    usable = [node for node in nodes if is_ready(node) and not is_cordoned(node)]
    if not usable:
        return [
            problem(topic, f"none of {len(nodes)} is ready and takes pods", "`kubectl get nodes` says which are not")
        ]
    wanted = {**pod_requests(pod), "pods": Decimal(1)}
    devices = [name for name in wanted if is_device(name)]
    offered = {name for node in usable for name, value in amounts(node["status"].get("allocatable")).items() if value}
    checks: list[Finding] = []
    if lacking := [name for name in devices if name not in offered]:
        others = sorted(name for name in offered if is_device(name))
        there = f"they offer {listed(others)}" if others else "they offer no devices at all"
        if len(lacking) == len(devices):
            fix = "choose the accelerator: that the cluster has, or let its device plugin be installed"
            return [problem("accelerator", f"no node offers {listed(lacking)}; {there}", fix)]
        text = f"no node lists {listed(lacking)}, beside {listed([name for name in devices if name in offered])}"
        checks.append(
            warning(
                "accelerator", text, "right only where the device plugin and its scheduler count it between themselves"
            )
        )
        wanted = {name: value for name, value in wanted.items() if name not in lacking}
    elif devices:
        checks.append(ok("accelerator", f"nodes offer {listed(devices)}"))
    chosen = [node for node in usable if is_selected(node, pod)]
    if not chosen:
        return [
            *checks,
            problem(topic, _unselected(usable, pod), "set nodeSelector: and affinity: to labels that a node has"),
        ]
    tolerated = [node for node in chosen if not untolerated(node, pod)]
    if not tolerated:
        taints = sorted({taint_words(taint) for node in chosen for taint in untolerated(node, pod)})
        return [
            *checks,
            problem(topic, f"all that are meant have taints: {listed(taints)}", "add them to tolerations:"),
        ]
    used = _used(pods or [])
    views = [_view(node, used) for node in tolerated]
    fitting = [view for view in views if view.empty(wanted)]
    if not fitting:
        return [*checks, problem(topic, _too_large(views, wanted), _LESS)]
    room = sum(view.empty(wanted) for view in fitting)
    if room < replicas:
        text = f"even empty they take {room} of {replicas} pods, each of {_told(wanted)}"
        return [*checks, problem(topic, text, "ask for fewer replicas: or less resources:, or let nodes be added")]
    if pods is None:
        return [*checks, ok(topic, f"{_counts(fitting, wanted, now=False)}: room for {room} pods while they are empty")]
    free = sum(view.now(wanted) for view in fitting)
    if free < replicas:
        text = f"now they take {free} of {replicas} pods ({_short_now(fitting, wanted)})"
        return [*checks, warning(topic, text, "the run waits until others end")]
    return [*checks, ok(topic, f"{_counts(fitting, wanted, now=True)}: room for {free} pods now, {replicas} needed")]


def _view(node: Object, used: Mapping[str, Amounts]) -> _Node:
    name, allocatable = node["metadata"]["name"], amounts(node["status"].get("allocatable"))
    return _Node(name, allocatable, minus(allocatable, used.get(name, {})))


def _used(pods: Iterable[Object]) -> dict[str, Amounts]:
    """What running pods hold on each node."""
    parts: dict[str, list[Amounts]] = defaultdict(list)
    for pod in pods:
        if name := pod["spec"].get("nodeName"):
            parts[name].append({**of_pod(pod["spec"])[0], "pods": Decimal(1)})
    return {name: total(every) for name, every in parts.items()}


def _times_in(wanted: Amounts, there: Amounts) -> int:
    return int(min(there.get(name, Decimal(0)) // value for name, value in wanted.items()))


def _counts(views: list[_Node], wanted: Amounts, *, now: bool) -> str:
    counted = {view.name: view.now(wanted) if now else view.empty(wanted) for view in views}
    best = sorted(counted.items(), key=lambda item: -item[1])
    return listed([f"{name} could take {count}" for name, count in best], 3)


def _told(wanted: Amounts) -> str:
    return ", ".join(f"{name} {format_quantity(name, value)}" for name, value in wanted.items() if name != "pods")


def _too_large(views: list[_Node], wanted: Amounts) -> str:
    """Which resource of a pod is above every node; where none alone is, the nodes lack different ones."""
    above = [
        f"{name} {format_quantity(name, value)}, and the largest node has {format_quantity(name, most)}"
        for name, value in wanted.items()
        if value > (most := max(view.allocatable.get(name, Decimal(0)) for view in views))
    ]
    if above:
        return f"a pod asks for {listed(above)}"
    return f"none has all of {_told(wanted)} together"


def _short_now(views: list[_Node], wanted: Amounts) -> str:
    """Of which resource there is too little on every node now."""
    scarce = [
        f"{name} {format_quantity(name, value)} per pod, at most {format_quantity(name, most)} free on a node"
        for name, value in wanted.items()
        if value > (most := max(view.free.get(name, Decimal(0)) for view in views))
    ]
    return listed(scarce) if scarce else "the nodes have different things left"


def _unselected(nodes: list[Object], pod: Object) -> str:
    selector = pod.get("nodeSelector") or {}
    lacking = [
        f"{key}={value}"
        for key, value in selector.items()
        if not any((node["metadata"].get("labels") or {}).get(key) == value for node in nodes)
    ]
    if lacking:
        return f"none has the label {listed(lacking)}"
    return "none has all labels of nodeSelector: and affinity: together"
