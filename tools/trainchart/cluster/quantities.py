"""Kubernetes resource quantities, exactly: parsed, formatted, added up and compared."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import ROUND_CEILING, Decimal

from trainchart.cluster.fields import dig, items, text

Amounts = dict[str, Decimal]
"""Quantities by the name of their resource."""

_SUFFIXES = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "": Decimal(1),
    **{unit: Decimal(1000**power) for power, unit in enumerate("kMGTPE", start=1)},
    **{f"{unit}i": Decimal(1024**power) for power, unit in enumerate("KMGTPE", start=1)},
}
# The grammar of k8s.io/apimachinery/pkg/api/resource: a signed number, and either a suffix or an exponent.
_QUANTITY = re.compile(
    r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?:([eE][+-]?[0-9]{1,3})|([numkMGTPE]|[KMGTPE]i)?)", re.ASCII
)
_BUILT_IN = ("cpu", "memory", "ephemeral-storage", "pods", "storage")


def parse_quantity(quantity: object) -> Decimal | None:
    """A quantity (`500m`, `2`, `512Mi`, `1e3`) as a number; None for anything else, exponents beyond 999 among it."""
    if isinstance(quantity, (int, float)) and not isinstance(quantity, bool):
        quantity = str(quantity)
    found = _QUANTITY.fullmatch(quantity) if isinstance(quantity, str) else None
    return Decimal(found[1] + (found[2] or "")) * _SUFFIXES[found[3] or ""] if found else None


def amounts(quantities: object) -> Amounts:
    """The entries of a mapping that are quantities, parsed."""
    found = {name: parse_quantity(value) for name, value in quantities.items()} if isinstance(quantities, dict) else {}
    return {name: value for name, value in found.items() if value is not None}


# -- format


def format_quantity(resource: str, value: Decimal) -> str:
    """As `kubectl` prints it: `500m` or `64` of CPU; memory in the largest binary unit, `1.5Gi`."""
    if _is_bytes(resource):
        unit = next((unit for unit in ("Ti", "Gi", "Mi", "Ki") if value >= _SUFFIXES[unit]), "")
        return f"{value / _SUFFIXES[unit]:.2f}".rstrip("0").rstrip(".") + unit
    if value == value.to_integral_value():
        return str(int(value))
    return f"{int((value * 1000).to_integral_value(ROUND_CEILING))}m"


def format_quantities(amounts: Mapping[str, Decimal]) -> str:
    """`cpu 500m, memory 1.5Gi`."""
    return ", ".join(f"{name} {format_quantity(name, value)}" for name, value in amounts.items())


def _is_bytes(resource: str) -> bool:
    return resource.rpartition(".")[2] in ("memory", "storage", "ephemeral-storage") or "hugepages" in resource


def is_device(name: str) -> bool:
    """Whether it is an extended resource, which a node has only with a device plugin."""
    return name not in _BUILT_IN and not name.startswith("hugepages-")


# -- arithmetic


def total(parts: Iterable[Mapping[str, Decimal]]) -> Amounts:
    """The sum of each resource."""
    summed: Amounts = {}
    for part in parts:
        for name, value in part.items():
            summed[name] = summed.get(name, Decimal(0)) + value
    return summed


def times(part: Mapping[str, Decimal], count: int) -> Amounts:
    """Each amount multiplied by `count`."""
    return {name: value * count for name, value in part.items()}


def minus(above: Mapping[str, Decimal], below: Mapping[str, Decimal]) -> Amounts:
    """What is left of each resource of the first, never negative."""
    return {name: max(value - below.get(name, Decimal(0)), Decimal(0)) for name, value in above.items()}


def short(wanted: Mapping[str, Decimal], there: Mapping[str, Decimal]) -> list[str]:
    """The resources of which more is wanted than is available; a resource without an amount there is not limited."""
    return [name for name, value in wanted.items() if name in there and value > there[name]]


# -- pods


def of_container(container: object) -> tuple[Amounts, Amounts]:
    """Requests and limits of a container; a missing request is its limit, as the API server defaults it."""
    limits = amounts(dig(container, "resources", "limits"))
    return {**limits, **amounts(dig(container, "resources", "requests"))}, limits


def of_pod(spec: object) -> tuple[Amounts, Amounts]:
    """Requests and limits that the scheduler counts for a pod.

    They are the sum of its containers, or what an init container needs that has more; one that is restarted (a sidecar) goes on
    beside all that come after it. The overhead of a runtime class is on top.
    """
    overhead = amounts(dig(spec, "overhead"))
    pairs = [of_container(container) for container in items(spec, "containers")]
    first = [(of_container(container), text(container, "restartPolicy")) for container in items(spec, "initContainers")]
    sums = []
    for index in (0, 1):
        beside: Amounts = {}
        most: Amounts = {}
        for pair, restarts in first:
            needed = total([beside, pair[index]])
            most = _largest(most, needed)
            if restarts == "Always":
                beside = needed
        running = total([beside, *(pair[index] for pair in pairs)])
        summed = _largest(most, running)
        # A limit that no container has is none of the pod's either.
        sums.append(total([summed, {name: value for name, value in overhead.items() if index == 0 or name in summed}]))
    return sums[0], sums[1]


def _largest(first: Mapping[str, Decimal], second: Mapping[str, Decimal]) -> Amounts:
    """Of each resource the larger amount."""
    return {name: max(value, first.get(name, value)) for name, value in {**first, **second}.items()}


def counted(requests: Amounts, limits: Amounts) -> Amounts:
    """What a pod counts for in a ResourceQuota, under the quota's own names."""
    names = {f"requests.{name}": value for name, value in requests.items()}
    names |= {f"limits.{name}": value for name, value in limits.items()}
    names |= {name: requests[name] for name in ("cpu", "memory", "ephemeral-storage") if name in requests}
    return {**names, "pods": Decimal(1), "count/pods": Decimal(1)}


def pod_requests(spec: object) -> Amounts:
    """What a pod requests of a node."""
    return {name: value for name, value in of_pod(spec)[0].items() if value > 0}
