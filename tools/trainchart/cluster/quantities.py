"""Amounts of resources as Kubernetes counts them, exactly: read, added up, and written."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation

from trainchart.cluster.fields import dig, items

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
_OWN = ("cpu", "memory", "ephemeral-storage", "pods", "storage")


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
    """Those of a mapping that are quantities."""
    found = {name: amount(value) for name, value in quantities.items()} if isinstance(quantities, dict) else {}
    return {name: value for name, value in found.items() if value is not None}


# -- written


def written(resource: str, value: Decimal) -> str:
    """As a manifest has it: `500m` or `64` processors, `1.5Gi` of memory."""
    if _is_bytes(resource):
        return _sized(value)
    return str(int(value)) if value == value.to_integral_value() else f"{int(value * 1000)}m"


def told(amounts: Mapping[str, Decimal]) -> str:
    """`cpu 500m, memory 1.5Gi`."""
    return ", ".join(f"{name} {written(name, value)}" for name, value in amounts.items())


def shown(resource: str, value: Decimal) -> str:
    """As people compare it: `0.5` or `64` processors, `1.5Gi` of memory."""
    return _sized(value) if _is_bytes(resource) else _plain(value)


def _sized(value: Decimal) -> str:
    for unit in ("Ti", "Gi", "Mi", "Ki"):
        if value >= _SUFFIXES[unit]:
            return _plain(value / _SUFFIXES[unit]) + unit
    return _plain(value)


def _plain(value: Decimal) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") or "0"


def _is_bytes(resource: str) -> bool:
    return resource.rpartition(".")[2] in ("memory", "storage", "ephemeral-storage") or "hugepages" in resource


def is_device(name: str) -> bool:
    """Whether it is a resource that a node has only with a device plugin."""
    return name not in _OWN and not name.startswith("hugepages-")


# -- added up and compared


def total(parts: Iterable[Mapping[str, Decimal]]) -> Amounts:
    summed: Amounts = {}
    for part in parts:
        for name, value in part.items():
            summed[name] = summed.get(name, Decimal(0)) + value
    return summed


def times(part: Mapping[str, Decimal], count: int) -> Amounts:
    return {name: value * count for name, value in part.items()}


def minus(above: Mapping[str, Decimal], below: Mapping[str, Decimal]) -> Amounts:
    """What is left of each resource of the first, never less than nothing."""
    return {name: max(value - below.get(name, Decimal(0)), Decimal(0)) for name, value in above.items()}


def short(wanted: Mapping[str, Decimal], there: Mapping[str, Decimal]) -> list[str]:
    """The resources of which more is wanted than there is; what is not named there is not limited."""
    return [name for name, value in wanted.items() if name in there and value > there[name]]


# -- of pods


def of_container(container: object) -> tuple[Amounts, Amounts]:
    """Requests and limits of a container; a limit without a request is one, as the API server fills it in."""
    limits = amounts(dig(container, "resources", "limits"))
    return {**limits, **amounts(dig(container, "resources", "requests"))}, limits


def of_pod(spec: object) -> tuple[Amounts, Amounts]:
    """What the scheduler counts for a pod: all containers together, or an init container that wants more than they do."""
    pairs = [of_container(container) for container in items(spec, "containers")]
    first = [of_container(container) for container in items(spec, "initContainers")]
    sums = []
    for index in (0, 1):
        summed = total(pair[index] for pair in pairs)
        for pair in first:
            for name, value in pair[index].items():
                summed[name] = max(summed.get(name, Decimal(0)), value)
        sums.append(summed)
    return sums[0], sums[1]


def counted(requests: Amounts, limits: Amounts) -> Amounts:
    """A pod under the names that quotas have for it."""
    names = {f"requests.{name}": value for name, value in requests.items()}
    names |= {f"limits.{name}": value for name, value in limits.items()}
    names |= {name: requests[name] for name in ("cpu", "memory", "ephemeral-storage") if name in requests}
    return {**names, "pods": Decimal(1), "count/pods": Decimal(1)}


def pod_requests(spec: object) -> Amounts:
    """What a pod asks a node for."""
    return {name: value for name, value in of_pod(spec)[0].items() if value > 0}
