"""The runs of a namespace, or of all, by one list of Jobs: pods are left to `status`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from trainchart.cluster import kinds
from trainchart.cluster.fields import Object, number, text
from trainchart.run.state import DEVICES, FAMILY, PART_OF, Snapshot, State, snapshot_of
from trainchart.units import between, stamp

if TYPE_CHECKING:
    from trainchart.cluster.api import Api


@dataclass(frozen=True)
class Row:
    name: str
    namespace: str
    family: str
    state: State
    attempt: int
    attempts: int
    running: int
    """Pods that are running or have completed."""
    replicas: int
    created: datetime | None
    started: datetime | None
    """When the first attempt started to run."""
    ended: datetime | None
    queue: str
    devices: int = 0
    """Of all pods together."""

    def device_hours(self, now: datetime) -> float:
        """How long its devices were reserved, from the first attempt's start on, pauses between attempts included."""
        seconds = ((self.ended or now) - self.started).total_seconds() if self.started else 0.0
        return self.devices * max(seconds, 0.0) / 3600


def runs(api: Api, *, all_namespaces: bool = False, family: str = "", states: Iterable[State] = ()) -> list[Row]:
    """Return the runs, the newest first, by one call per 500.

    The API server filters by family; states, which are not labels, are filtered here.

    Raises:
        ForbiddenError, UnreachableError
    """
    selector = f"{PART_OF},{FAMILY}={family}" if family else f"{PART_OF},{FAMILY}"
    jobs, _ = api.objects(kinds.JOBS, selector=selector, all_namespaces=all_namespaces)
    wanted = set(states)
    rows = [row(job) for job in jobs]
    rows = [one for one in rows if not wanted or one.state in wanted]
    rows.sort(key=lambda one: one.name)
    rows.sort(key=lambda one: one.created.timestamp() if one.created else 0.0, reverse=True)
    return rows


def row(job: Object) -> Row:
    run: Snapshot = snapshot_of(job, [])
    return Row(
        name=run.name,
        namespace=run.namespace,
        family=run.family,
        state=run.state,
        attempt=run.attempt,
        attempts=run.max_retry,
        running=number(job, "status", "running") + number(job, "status", "succeeded"),
        replicas=run.replicas,
        created=run.created,
        started=run.running_since,
        ended=run.ended_at,
        queue=run.queue,
        devices=int(text(job, "metadata", "annotations", DEVICES) or 0),
    )


def table(rows: list[Row], now: datetime, *, with_namespace: bool = False) -> list[list[str]]:
    """Return the cells of a table, its header first."""
    header = ["NAME", "FAMILY", "STATE", "ATTEMPT", "PODS", "AGE", "DURATION", "DEVICE-HOURS", "QUEUE"]
    cells = [
        [
            one.name,
            one.family,
            one.state.value,
            f"{one.attempt + 1}/{one.attempts}",
            str(one.replicas) if one.state.is_final else f"{one.running}/{one.replicas}",
            short(between(one.created, now)),
            short(between(one.started, one.ended or now)) or "-",
            f"{one.device_hours(now):.1f}" if one.devices else "-",
            one.queue,
        ]
        for one in rows
    ]
    if with_namespace:
        header.insert(0, "NAMESPACE")
        for one, line in zip(rows, cells, strict=True):
            line.insert(0, one.namespace)
    return [header, *cells]


def short(span: str) -> str:
    """Return `3m20s` for `3 min 20 s`: a column is narrow."""
    return span.replace(" min", "m").replace(" ", "")


def aligned(cells: list[list[str]]) -> list[str]:
    """Return the lines of a table whose columns are aligned."""
    widths = [max(len(line[place]) for line in cells) for place in range(len(cells[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]


def as_object(one: Row, now: datetime) -> Object:
    """Return the run as JSON for programs, which lose no field in a later version."""
    return {
        "name": one.name,
        "namespace": one.namespace,
        "family": one.family,
        "state": one.state.value,
        "attempt": one.attempt,
        "attempts": one.attempts,
        "pods": {"running": one.running, "replicas": one.replicas},
        "created": stamp(one.created),
        "began": stamp(one.started),
        "ended": stamp(one.ended),
        "queue": one.queue,
        "devices": one.devices,
        "deviceHours": round(one.device_hours(now), 3),
    }
