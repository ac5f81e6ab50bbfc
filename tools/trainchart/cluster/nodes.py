"""Whether a node accepts a pod by its labels, taints and conditions, following the scheduler's rules."""

from __future__ import annotations

from collections.abc import Mapping

from trainchart.cluster.fields import Object, dig, items, mapping, text, whole


def is_ready(node: Object) -> bool:
    """Whether its Ready condition is true. A node without one counts as ready: it is tainted if it is not."""
    conditions = items(node, "status", "conditions")
    return all(text(one, "status") in ("True", "") for one in conditions if text(one, "type") == "Ready")


def is_cordoned(node: Object) -> bool:
    return dig(node, "spec", "unschedulable") is True


def is_selected(node: Object, spec: object) -> bool:
    """Whether it matches the nodeSelector and the required node affinity of a pod's spec."""
    labels = mapping(node, "metadata", "labels")
    if any(labels.get(key) != value for key, value in mapping(spec, "nodeSelector").items()):
        return False
    required = dig(spec, "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution")
    terms = items(required, "nodeSelectorTerms")
    return not terms or any(_matches(node, term) for term in terms)


def _matches(node: Object, term: Object) -> bool:
    labels, fields = mapping(node, "metadata", "labels"), {"metadata.name": text(node, "metadata", "name")}
    requirements = [(labels, one) for one in items(term, "matchExpressions")]
    requirements += [(fields, one) for one in items(term, "matchFields")]
    return bool(requirements) and all(_is_met(requirement, values) for values, requirement in requirements)


def _is_met(requirement: Object, labels: Mapping[str, object]) -> bool:
    value, operator = labels.get(text(requirement, "key")), text(requirement, "operator")
    values = dig(requirement, "values")
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
    """The taints that keep a pod away, but for that of a cordoned node, which `is_cordoned` reports."""
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


def format_taint(taint: Object) -> str:
    """The taint as kubectl prints it: `dedicated=speech:NoSchedule`."""
    value = text(taint, "value")
    return f"{text(taint, 'key')}{f'={value}' if value else ''}:{text(taint, 'effect')}"
