"""What the namespace lets a pod, and all of them together, ask for."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal

from trainchart.checks.finding import Finding, listed, not_checked, ok, problem, warning
from trainchart.checks.reader import ClusterReader, NoRight
from trainchart.checks.run_spec import RunSpec
from trainchart.cluster import kinds
from trainchart.cluster.fields import Object
from trainchart.cluster.quantities import (
    Amounts,
    amounts,
    counted,
    format_quantity,
    minus,
    of_container,
    of_pod,
    short,
    times,
    total,
)

_SMALLER = "set resources: within it"


def limit_range_checks(ranges: list[Object] | NoRight, spec: RunSpec, pod: Object) -> Iterator[Finding]:
    if isinstance(ranges, NoRight):
        yield ranges.check("LimitRange")
    else:
        yield from check_limit_ranges(ranges, pod, spec.made("PersistentVolumeClaim"))


def quota_checks(reader: ClusterReader, spec: RunSpec, pod: Object) -> Iterator[Finding]:
    quotas = reader.objects(kinds.RESOURCE_QUOTAS)
    if isinstance(quotas, NoRight):
        yield quotas.check("ResourceQuota")
    elif not quotas:
        yield ok("ResourceQuota", "the namespace has none")
    else:
        for quota in quotas:
            yield check_quota(quota, spec, pod)


# -- LimitRange


def with_defaults(pod: Object, ranges: Iterable[Object]) -> Object:
    """The pod's spec as the API server fills it in from the namespace's LimitRanges."""
    filled: Object = copy.deepcopy(pod)
    for limit in _limits(ranges, "Container"):
        for container in filled["containers"]:
            given = container["resources"] = container.get("resources") or {}
            requests, limits = dict(given.get("requests") or {}), dict(given.get("limits") or {})
            for name, value in (limit.get("defaultRequest") or {}).items():
                if name not in limits:
                    requests.setdefault(name, value)
            for name, value in (limit.get("default") or {}).items():
                limits.setdefault(name, value)
            given.update(requests=requests, limits=limits)
    return filled


def check_limit_ranges(ranges: list[Object], pod: Object, claims: Iterable[Object]) -> list[Finding]:
    """`pod` has the defaults already."""
    if not ranges:
        return [ok("LimitRange", "the namespace has none")]
    violations: list[str] = []
    for limit in _limits(ranges, "Container"):
        for container in pod["containers"]:
            violations += _outside(*of_container(container), limit, "a container")
    for limit in _limits(ranges, "Pod"):
        violations += _outside(*of_pod(pod), limit, "a pod")
    for limit in _limits(ranges, "PersistentVolumeClaim"):
        for claim in claims:
            asked = amounts(claim["spec"]["resources"].get("requests"))
            violations += _outside(asked, asked, limit, "a claim")
    if violations:
        return [problem("LimitRange", listed(violations), _SMALLER)]
    return [ok("LimitRange", f"{listed([item['metadata']['name'] for item in ranges])} admits the pods")]


def _limits(ranges: Iterable[Object], kind: str) -> Iterator[Object]:
    for item in ranges:
        for limit in item["spec"].get("limits") or []:
            if limit["type"] == kind:
                yield limit


def _outside(requests: Amounts, limits: Amounts, limit: Object, what: str) -> Iterator[str]:
    for name, least in amounts(limit.get("min")).items():
        if requests.get(name, Decimal(0)) < least:
            asked = format_quantity(name, requests.get(name, Decimal(0)))
            yield f"{what} asks for {name} {asked} and must ask for {format_quantity(name, least)} at least"
    for name, most in amounts(limit.get("max")).items():
        if name not in limits:
            yield f"{what} has no limit of {name} and must have one of {format_quantity(name, most)} at most"
        elif limits[name] > most:
            limited = format_quantity(name, limits[name])
            yield f"{what} has a limit of {name} {limited} where {format_quantity(name, most)} is the most"
    for name, ratio in amounts(limit.get("maxLimitRequestRatio")).items():
        if requests.get(name) and limits.get(name, Decimal(0)) / requests[name] > ratio:
            yield f"{what} has a limit of {name} more than {ratio.normalize():f} times what it asks for"


# -- ResourceQuota


def check_quota(quota: Object, spec: RunSpec, pod: Object) -> Finding:
    """Whether the gang, and what Helm makes, passes under a quota. `pod` has the LimitRanges' defaults already."""
    topic = f"ResourceQuota {quota['metadata']['name']}"
    hard = amounts(quota["spec"].get("hard"))
    unknown = [scope for scope in _scopes(quota) if scope[0] not in _KNOWN_SCOPES]
    if unknown:
        return not_checked(topic, f"its scope {unknown[0][0]} is not known here")
    of_pods = all(_in_scope(scope, pod, spec.priority_class) for scope in _scopes(quota))
    requests, limits = of_pod(pod)
    pods: Amounts = {}
    if of_pods:
        if lacking := _unspecified(hard, requests, limits):
            text = f"counts {listed(lacking)}, of which the pods say nothing: they would be refused"
            return problem(topic, text, "set it in resources.requests and resources.limits")
        pods = times(counted(requests, limits), spec.replicas)
    objects = {} if _scopes(quota) else _objects(spec)
    asked = total([pods, objects])
    if over := short(asked, hard):
        return problem(topic, _said(over, asked, hard, "allowed"), "ask for less, or let the quota be raised")
    left = minus(hard, amounts((quota.get("status") or {}).get("used")))
    over = short(asked, left)
    if any(name in objects and name not in pods for name in over):
        fix = "remove what nobody needs, or let the quota be raised"
        return problem(topic, _said(over, asked, left, "left"), fix)
    if over:
        text = _said(over, asked, left, "left now")
        return warning(topic, text, "the run waits until others of the namespace end")
    return ok(
        topic,
        "has room for the run" if short(asked, {name: Decimal(-1) for name in hard}) else "does not count this run",
    )


def _said(over: list[str], asked: Mapping[str, Decimal], limit: Mapping[str, Decimal], what: str) -> str:
    return "the run needs " + listed(
        [f"{name} {format_quantity(name, asked[name])} of {format_quantity(name, limit[name])} {what}" for name in over]
    )


_MUST_SPECIFY = ("cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory")


def _unspecified(hard: Amounts, requests: Amounts, limits: Amounts) -> list[str]:
    """What a pod must say because a quota counts it."""
    said = counted(requests, limits)
    return [name for name in _MUST_SPECIFY if name in hard and name not in said]


_PLURALS = {"NetworkPolicy": "networkpolicies"}
_GROUPLESS = ("configmaps", "secrets", "services", "persistentvolumeclaims", "resourcequotas")


def _objects(spec: RunSpec) -> Amounts:
    """What the release's objects count for; Helm adds a Secret of its own, and Volcano a Service and a ConfigMap."""
    counts: Counter[str] = Counter({"secrets": 1, "count/secrets": 1})
    claimed: list[Amounts] = []
    for item in spec.manifests:
        group = item["apiVersion"].rpartition("/")[0]
        plural = _PLURALS.get(item["kind"], f"{item['kind'].lower()}s")
        counts[f"count/{plural}.{group}" if group else f"count/{plural}"] += 1
        if plural in _GROUPLESS:
            counts[plural] += 1
        if item["kind"] == "PersistentVolumeClaim":
            size = amounts(item["spec"]["resources"]["requests"]).get("storage", Decimal(0))
            claimed.append({"requests.storage": size})
            if of_class := item["spec"].get("storageClassName"):
                prefix = f"{of_class}.storageclass.storage.k8s.io/"
                claimed.append({f"{prefix}requests.storage": size, f"{prefix}persistentvolumeclaims": Decimal(1)})
    return total([{name: Decimal(count) for name, count in counts.items()}, *claimed])


_KNOWN_SCOPES = (
    "Terminating",
    "NotTerminating",
    "BestEffort",
    "NotBestEffort",
    "PriorityClass",
    "CrossNamespacePodAffinity",
)


def _scopes(quota: Object) -> list[tuple[str, str, tuple[str, ...]]]:
    spec = quota["spec"]
    scopes = [(scope, "Exists", ()) for scope in spec.get("scopes") or []]
    selected = (spec.get("scopeSelector") or {}).get("matchExpressions") or []
    return [*scopes, *((one["scopeName"], one["operator"], tuple(one.get("values") or [])) for one in selected)]


def _in_scope(scope: tuple[str, str, tuple[str, ...]], pod: Object, priority_class: str) -> bool:
    name, operator, values = scope
    if name in ("Terminating", "NotTerminating"):
        return (pod.get("activeDeadlineSeconds") is not None) == (name == "Terminating")
    if name in ("BestEffort", "NotBestEffort"):
        asks = any(set(part) & {"cpu", "memory"} for part in of_pod(pod))
        return asks == (name == "NotBestEffort")
    if name == "CrossNamespacePodAffinity":
        return False  # the chart's pods have affinities of their own namespace
    if operator in ("In", "NotIn"):
        return (priority_class in values) == (operator == "In")
    return bool(priority_class) == (operator == "Exists")
