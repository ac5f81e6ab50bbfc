"""LimitRanges: what the namespace lets one container, pod or claim request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal

from trainchart.checks.finding import Finding, enumerate_names, ok, problem
from trainchart.checks.run_spec import RunSpec, limits_of
from trainchart.cluster.fields import Object, text
from trainchart.cluster.quantities import Amounts, amounts, format_quantity, of_container, of_pod

_SUBJECT = "LimitRange"


def check_limit_ranges(spec: RunSpec) -> Finding:
    """Whether the namespace's LimitRanges, which are in `spec`, admit its pods and claims."""
    ranges: Sequence[Object] = spec.limit_ranges
    if not ranges:
        return ok(_SUBJECT, "the namespace has no LimitRange")
    violations: list[str] = []
    for limit in limits_of(ranges, "Container"):
        for container in spec.pod["containers"]:
            violations += _violations(*of_container(container), limit, "a container")
    for limit in limits_of(ranges, "Pod"):
        violations += _violations(*of_pod(spec.pod), limit, "a pod")
    for limit in limits_of(ranges, "PersistentVolumeClaim"):
        for claim in spec.made("PersistentVolumeClaim"):
            size = amounts(claim["spec"]["resources"].get("requests"))
            violations += _violations(size, size, limit, "a claim")
    if violations:
        return exceeded(enumerate_names(violations))
    return ok(
        _SUBJECT, f"LimitRange {enumerate_names(text(item, 'metadata', 'name') for item in ranges)} admits the pods"
    )


def exceeded(violations: str) -> Finding:
    text_ = f"a LimitRange of the namespace does not admit it: {violations}"
    return problem("limit-range", _SUBJECT, text_, "set resources within these limits")


def _violations(requests: Amounts, limits: Amounts, limit: Object, what: str) -> Iterator[str]:
    for name, least in amounts(limit.get("min")).items():
        if requests.get(name, Decimal(0)) < least:
            given = format_quantity(name, requests.get(name, Decimal(0)))
            yield f"{what} requests {name} {given} and must request {format_quantity(name, least)} at least"
    for name, most in amounts(limit.get("max")).items():
        if name not in limits:
            yield f"{what} has no limit of {name} and must have one of {format_quantity(name, most)} at most"
        elif limits[name] > most:
            yield f"{what} has a limit of {name} {format_quantity(name, limits[name])} where {format_quantity(name, most)} is the most"
    for name, ratio in amounts(limit.get("maxLimitRequestRatio")).items():
        if requests.get(name) and limits.get(name, Decimal(0)) / requests[name] > ratio:
            yield f"{what} has a limit of {name} more than {ratio.normalize():f} times what it requests"
