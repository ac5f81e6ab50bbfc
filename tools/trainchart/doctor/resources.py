"""Amounts of resources as Kubernetes counts them, exactly."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal

from trainchart.cluster.api import Object

Resources = dict[str, Decimal]

_OWN = ("cpu", "memory", "ephemeral-storage", "pods", "storage")
_UNITS = (("Ti", 1 << 40), ("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10))


def amount(quantity: object) -> Decimal:
    """`500m` is 0.5 and `2Gi` 2147483648."""
    from kubernetes.utils.quantity import parse_quantity

    parsed: Decimal = parse_quantity(str(quantity))  # type: ignore[no-untyped-call]
    return parsed


def resources(quantities: Mapping[str, object] | None) -> Resources:
    return {name: amount(quantity) for name, quantity in (quantities or {}).items()}


def total(parts: Iterable[Mapping[str, Decimal]]) -> Resources:
    summed: Resources = {}
    for part in parts:
        for name, value in part.items():
            summed[name] = summed.get(name, Decimal(0)) + value
    return summed


def times(part: Mapping[str, Decimal], count: int) -> Resources:
    return {name: value * count for name, value in part.items()}


def minus(above: Mapping[str, Decimal], below: Mapping[str, Decimal]) -> Resources:
    """What is left of each resource of the first, never less than nothing."""
    return {name: max(value - below.get(name, Decimal(0)), Decimal(0)) for name, value in above.items()}


def short(wanted: Mapping[str, Decimal], there: Mapping[str, Decimal]) -> list[str]:
    """The resources of which more is wanted than there is; what is not named there is not limited."""
    return [name for name, value in wanted.items() if name in there and value > there[name]]


def shown(name: str, value: Decimal) -> str:
    """An amount with its unit: `2.5` cores, `1.5Gi`, `4`."""
    if name.rpartition(".")[2] in ("memory", "ephemeral-storage", "storage") or "hugepages" in name:
        for unit, size in _UNITS:
            if value >= size:
                return f"{_plain(value / size)}{unit}"
    return _plain(value)


def _plain(value: Decimal) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") or "0"


def is_device(name: str) -> bool:
    """Whether it is a resource that a node has only with a device plugin."""
    return name not in _OWN and not name.startswith("hugepages-")


def of_container(container: Object) -> tuple[Resources, Resources]:
    """Requests and limits of a container; a limit without a request is one, as the API server fills it in."""
    given = container.get("resources") or {}
    limits = resources(given.get("limits"))
    return {**limits, **resources(given.get("requests"))}, limits


def of_pod(spec: Object) -> tuple[Resources, Resources]:
    """What the scheduler counts for a pod: all containers together, or an init container that wants more than they do."""
    pairs = [of_container(container) for container in spec.get("containers") or []]
    first = [of_container(container) for container in spec.get("initContainers") or []]
    sums = []
    for index in (0, 1):
        summed = total(pair[index] for pair in pairs)
        for pair in first:
            for name, value in pair[index].items():
                summed[name] = max(summed.get(name, Decimal(0)), value)
        sums.append(summed)
    return sums[0], sums[1]
