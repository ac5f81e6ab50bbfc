"""Whether a node is open to a pod, as the scheduler judges it by labels, taints and its state."""

from __future__ import annotations

from collections.abc import Mapping

from trainchart.cluster.fields import Object, dig, items, mapping, text, whole


def is_ready(node: Object) -> bool:
    """What says nothing of it is not called unready: the control plane taints such a node."""
    said = [text(one, "status") for one in items(node, "status", "conditions") if text(one, "type") == "Ready"]
    return all(status in ("True", "") for status in said)


def is_cordoned(node: Object) -> bool:
    return dig(node, "spec", "unschedulable") is True


def is_selected(node: Object, spec: object) -> bool:
    """By the pod's nodeSelector and required affinity."""
    labels = mapping(node, "metadata", "labels")
    if any(labels.get(key) != value for key, value in mapping(spec, "nodeSelector").items()):
        return False
    required = dig(spec, "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution")
    terms = items(required, "nodeSelectorTerms")
    return not terms or any(_matches(node, term) for term in terms)


def _matches(node: Object, term: Object) -> bool:
    labels, fields = mapping(node, "metadata", "labels"), {"metadata.name": text(node, "metadata", "name")}
    rules = [(labels, one) for one in items(term, "matchExpressions")]
    rules += [(fields, one) for one in items(term, "matchFields")]
    return bool(rules) and all(_holds(there, rule) for there, rule in rules)


def _holds(labels: Mapping[str, object], rule: Object) -> bool:
    value, operator = labels.get(text(rule, "key")), text(rule, "operator")
    values = dig(rule, "values")
    values = values if isinstance(values, list) else []
    if operator in ("Exists", "DoesNotExist"):
        return (value is not None) == (operator == "Exists")
    if operator in ("In", "NotIn"):
        return (value in values) == (operator == "In")
    given, bound = whole(value), whole(dig(values, 0))
    if given is None or bound is None:
        return False
    return given > bound if operator == "Gt" else given < bound


def untolerated(node: Object, spec: object) -> list[Object]:
    """The taints that keep the pod away. A cordoned node has one too, and is told by its own word."""
    tolerations = items(spec, "tolerations")
    return [
        taint
        for taint in items(node, "spec", "taints")
        if text(taint, "effect") in ("NoSchedule", "NoExecute")
        and not text(taint, "key").endswith("/unschedulable")
        and not any(_tolerates(toleration, taint) for toleration in tolerations)
    ]


def _tolerates(toleration: Object, taint: Object) -> bool:
    if text(toleration, "effect") not in ("", text(taint, "effect")):
        return False
    key, is_exists = text(toleration, "key"), text(toleration, "operator") == "Exists"
    if not key:
        return is_exists
    return key == text(taint, "key") and (is_exists or text(toleration, "value") == text(taint, "value"))


def taint_words(taint: Object) -> str:
    """`dedicated=speech:NoSchedule`, as kubectl writes it."""
    value = text(taint, "value")
    return f"{text(taint, 'key')}{f'={value}' if value else ''}:{text(taint, 'effect')}"
