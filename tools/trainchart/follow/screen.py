"""A run's status as lines of text, and as a picture that is redrawn in place in a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import NamedTuple

from trainchart.checks.finding import Finding
from trainchart.follow.status import dataset_parts, format_pod, format_published, format_requests, metrics, place
from trainchart.follow.watcher import Status
from trainchart.run.events import format_used
from trainchart.run.metrics import format_number, headline
from trainchart.run.state import Pod, Snapshot, State
from trainchart.terminal import printable
from trainchart.units import between, clock

# `kubectl describe` shows what is longer.
MAX_DETAILS = 300
# The ranks of a larger gang are shown in groups.
MAX_RANKS = 8

_COLOURS = {
    State.COMPLETED.value: "32",
    State.RUNNING.value: "32",
    State.FAILED.value: "31",
    State.NO_JOB.value: "31",
    State.PENDING.value: "33",
    State.RESTARTING.value: "33",
    State.STOPPED.value: "33",
    State.ENDING.value: "33",
    "problem": "31",
    "warning": "33",
    "waiting": "33",
}


class Row(NamedTuple):
    title: str
    text: str
    colour: str = ""
    """The state or severity whose colour the beginning of the text has."""
    coloured: int = 0
    """How many characters of it have that colour."""


def lines(status: Status, now: datetime, *, width: int = 0, colour: bool = False) -> list[str]:
    """Return one screen; long lines are wrapped where a width is given."""
    run = status.run
    rows = [Row("run", f"{run.name} in namespace {run.namespace}" + (f", family {run.family}" if run.family else ""))]
    rows.append(Row("state", _state(run, now), run.state.value, len(run.state.value)))
    if where := place(status):
        rows.append(Row("stage", where))
    if used := format_used(dataset_parts(status)):
        rows.append(Row("dataset", used))
    if run.state is State.COMPLETED or format_published(run):
        rows += _outcome(run)
    if run.max_retry > 1 or run.attempt:
        rows.append(Row("attempt", f"{run.attempt + 1} of {run.max_retry}"))
    if run.job is not None:
        rows.append(Row("requests", f"{format_requests(run)}, queue {run.queue}"))
    rows += [Row("" if index else "pods", text) for index, text in enumerate(_pods(run, now))]
    for finding in status.findings:
        rows += _finding(finding)
    return list(_wrapped(rows, width, colour=colour))


def _state(run: Snapshot, now: datetime) -> str:
    name = run.state.value
    if run.has_finished:
        at, took = clock(run.ended_at), between(run.running_since or run.created, run.ended_at)
        return name + (f" at {at}" if at else "") + (f", after {took}" if took else "")
    since = between(run.since, now)
    return name + (f" since {since}" if since else "")


def _outcome(run: Snapshot) -> Iterator[Row]:
    known = metrics(run)
    if name := headline(known):
        yield Row("metric", f"{name} {format_number(known[name])}")
    if branch := format_published(run):
        yield Row("result", branch)


def _pods(run: Snapshot, now: datetime) -> Iterator[str]:
    """Yield a line per rank; of a large gang, a line per range of ranks in the same state."""
    if len(run.pods) <= MAX_RANKS:
        for pod in run.pods:
            yield "  ".join(filter(None, (f"rank {pod.rank}", format_pod(pod), pod.node, _age(pod, now))))
    else:
        for pod_state, group in groupby(run.pods, key=format_pod):
            ranks = [pod.rank for pod in group]
            yield f"rank {ranks[0]}" + (f"-{ranks[-1]}" if len(ranks) > 1 else "") + f"  {pod_state}"
    missing = run.replicas - len(run.pods)
    if missing > 0 and not run.has_finished:
        yield f"{missing} of {run.replicas} not created yet"


def _age(pod: Pod, now: datetime) -> str:
    return between(pod.started, pod.ended or now)


def _finding(finding: Finding) -> Iterator[Row]:
    yield Row(finding.severity, finding.text, finding.severity, len(finding.text))
    if finding.fix:
        yield Row("", f"to do: {finding.fix}")
    details = " ".join(finding.details.split())
    if details and details not in finding.text:
        yield Row("", "details: " + (details if len(details) <= MAX_DETAILS else details[: MAX_DETAILS - 1] + "…"))


def _wrapped(rows: Iterable[Row], width: int, *, colour: bool) -> Iterator[str]:
    """Escape, wrap and colour, in this order: a terminal sequence has no width, and the only colours are ours."""
    for row in rows:
        text, left = printable(row.text), len(printable(row.text[: row.coloured])) if colour else 0
        margin = f"{row.title:<9} "
        wrapped = textwrap.wrap(text, max(width, 30) - len(margin), break_on_hyphens=False) if width else [text]
        for line in wrapped or [""]:
            lead, rest = line[: max(left, 0)], line[max(left, 0) :]
            yield (margin + (coloured(row.colour, lead, colour=True) if lead else "") + rest).rstrip()
            margin, left = " " * len(margin), left - len(line) - 1


def coloured(name: str, text: str = "", *, colour: bool) -> str:
    """Return the text (or the name itself) in the colour of the state or severity of this name."""
    code = _COLOURS.get(name) if colour else None
    return f"\033[{code}m{text or name}\033[0m" if code else text or name


def change(status: Status) -> str:
    """Return the status on one line, for a log of changes: a line that equals the one before is not printed."""
    run = status.run
    parts = [run.state.value]
    if run.attempt and not run.has_finished:
        parts.append(f"attempt {run.attempt + 1} of {run.max_retry}")
    if where := place(status):
        parts.append(where)
    if run.state is State.PENDING and run.pods:
        parts.append(", ".join(f"rank {pod.rank} {format_pod(pod)}" for pod in run.pods[:MAX_RANKS]))
    if branch := format_published(run):
        parts.append(branch)
    findings = [f"{one.text}; to do: {one.fix}" if one.fix else one.text for one in status.findings]
    return "; ".join([", ".join(parts), *findings])


@dataclass
class Picture:
    """Lines that are drawn over the lines before, by two ANSI sequences only: up, and clear to the end."""

    drawn: tuple[str, ...] = ()

    def next(self, rows: list[str], columns: int, height: int) -> str:
        """Return what to write to the terminal, whatever size it has now.

        A line that is cut never wraps, but one drawn before the window became narrower may take several rows now.
        """
        shown = [cut(row, columns - 1) for row in rows]
        if len(shown) > height - 1:
            shown = [*shown[: max(height - 2, 1)], "..."]
        above = sum(max(1, -(-visible(row) // max(columns, 1))) for row in self.drawn)
        up = f"\033[{min(above, height - 1)}F" if above else ""
        self.drawn = tuple(shown)
        return f"{up}\r\033[J" + "".join(f"{row}\n" for row in shown)


def visible(row: str) -> int:
    """Return how many columns it takes: colours take none."""
    return len(_plain(row))


def _plain(row: str) -> str:
    parts = row.split("\033[")
    return parts[0] + "".join(part.partition("m")[2] for part in parts[1:])


def cut(row: str, columns: int) -> str:
    """Return its first columns, with the colours around them."""
    if visible(row) <= columns:
        return row
    head, *parts = row.split("\033[")
    out, left = head[:columns], columns - len(head[:columns])
    for part in parts:
        code, _, text = part.partition("m")
        out += f"\033[{code}m" + text[: max(left, 0)]
        left -= len(text[: max(left, 0)])
    return out
