"""A run's status as lines of text, and as a picture that is drawn over itself in a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import NamedTuple

from trainchart.checks.finding import Finding
from trainchart.follow.status import Status, asked, metrics, place, pod_words, published
from trainchart.run.metrics import headline, number
from trainchart.run.state import Pod, Snapshot, State
from trainchart.terminal import printable
from trainchart.units import between, clock

# What is longer is said by `kubectl describe`.
WORDS = 300
# Gangs that are larger show their ranks in groups.
RANKS = 8

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
    "waiting": "33",
}


class Row(NamedTuple):
    title: str
    words: str
    colour: str = ""
    """The word whose colour the beginning of the words has,"""
    painted: int = 0
    """so many characters of them."""


def lines(status: Status, now: datetime, *, width: int = 0, colour: bool = False) -> list[str]:
    """One screen; what is long is folded where there is a width."""
    run = status.run
    rows = [Row("run", f"{run.name} in namespace {run.namespace}" + (f", family {run.family}" if run.family else ""))]
    rows.append(Row("state", _state(run, now), run.state.value, len(run.state.value)))
    if where := place(status):
        rows.append(Row("stage", where))
    if run.state is State.COMPLETED or published(run):
        rows += _outcome(run)
    if run.max_retry > 1 or run.attempt:
        rows.append(Row("attempt", f"{run.attempt + 1} of {run.max_retry}"))
    if run.job is not None:
        rows.append(Row("asks for", f"{asked(run)}, queue {run.queue}"))
    rows += [Row("pods" if not place_ else "", words) for place_, words in enumerate(_pods(run, now))]
    for cause in status.causes:
        rows += _cause(cause)
    return list(_folded(rows, width, colour=colour))


def _state(run: Snapshot, now: datetime) -> str:
    words = run.state.value
    if run.has_ended:
        at, took = clock(run.ended_at), between(run.running_since or run.created, run.ended_at)
        return words + (f" at {at}" if at else "") + (f", after {took}" if took else "")
    since = between(run.since, now)
    return words + (f" since {since}" if since else "")


def _outcome(run: Snapshot) -> Iterator[Row]:
    known = metrics(run)
    if name := headline(known):
        yield Row("metric", f"{name} {number(known[name])}")
    if branch := published(run):
        yield Row("result", branch)


def _pods(run: Snapshot, now: datetime) -> Iterator[str]:
    """One per rank; of a large gang, one per neighbours that do the same."""
    if len(run.pods) <= RANKS:
        for pod in run.pods:
            yield "  ".join(word for word in (f"rank {pod.rank}", pod_words(pod), pod.node, _age(pod, now)) if word)
    else:
        for words, group in groupby(run.pods, key=pod_words):
            ranks = [pod.rank for pod in group]
            yield f"rank {ranks[0]}" + (f"-{ranks[-1]}" if len(ranks) > 1 else "") + f"  {words}"
    missing = run.replicas - len(run.pods)
    if missing > 0 and not run.has_ended:
        yield f"{missing} of {run.replicas} not made yet"


def _age(pod: Pod, now: datetime) -> str:
    return between(pod.started, pod.ended or now)


def _cause(cause: Finding) -> Iterator[Row]:
    yield Row(cause.severity, cause.text, cause.severity, len(cause.text))
    if cause.fix:
        yield Row("", f"to do: {cause.fix}")
    details = " ".join(cause.details.split())
    if details and details not in cause.text:
        yield Row("", "said: " + (details if len(details) <= WORDS else details[: WORDS - 1] + "…"))


def _folded(rows: Iterable[Row], width: int, *, colour: bool) -> Iterator[str]:
    """Escaped before it is folded, and painted after: a terminal sequence has no width, and colours are ours alone."""
    for row in rows:
        words, painted_left = printable(row.words), len(printable(row.words[: row.painted])) if colour else 0
        margin = f"{row.title:<9} "
        folded = textwrap.wrap(words, max(width, 30) - len(margin), break_on_hyphens=False) if width else [words]
        for line in folded or [""]:
            lead, rest = line[: max(painted_left, 0)], line[max(painted_left, 0) :]
            yield (margin + (painted(row.colour, lead, colour=True) if lead else "") + rest).rstrip()
            margin, painted_left = " " * len(margin), painted_left - len(line) - 1


def painted(word: str, words: str = "", *, colour: bool) -> str:
    """`words` (or the word itself) in the colour of the word."""
    code = _COLOURS.get(word) if colour else None
    return f"\033[{code}m{words or word}\033[0m" if code else words or word


def change(status: Status) -> str:
    """What a plain log of changes says, on one line: it is said again only when it differs."""
    run = status.run
    words = [run.state.value]
    if run.attempt and not run.has_ended:
        words.append(f"attempt {run.attempt + 1} of {run.max_retry}")
    if where := place(status):
        words.append(where)
    if run.state is State.PENDING and run.pods:
        words.append(", ".join(f"rank {pod.rank} {pod_words(pod)}" for pod in run.pods[:RANKS]))
    if branch := published(run):
        words.append(branch)
    causes = [f"{cause.text}; to do: {cause.fix}" if cause.fix else cause.text for cause in status.causes]
    return "; ".join([", ".join(words), *causes])


@dataclass
class Picture:
    """Lines that are drawn over the ones before. Only plain ANSI: up, and clear to the end."""

    drawn: tuple[str, ...] = ()

    def next(self, rows: list[str], columns: int, height: int) -> str:
        """What to write to the terminal, whatever size it has now: a line that is cut never wraps, and one that was drawn
        before the window became narrow may take several rows by now.
        """
        shown = [cut(row, columns - 1) for row in rows]
        if len(shown) > height - 1:
            shown = [*shown[: max(height - 2, 1)], "..."]
        above = sum(max(1, -(-visible(row) // max(columns, 1))) for row in self.drawn)
        up = f"\033[{min(above, height - 1)}F" if above else ""
        self.drawn = tuple(shown)
        return f"{up}\r\033[J" + "".join(f"{row}\n" for row in shown)


def visible(row: str) -> int:
    return len(_plain(row))


def _plain(row: str) -> str:
    parts = row.split("\033[")
    return parts[0] + "".join(part.partition("m")[2] for part in parts[1:])


def cut(row: str, columns: int) -> str:
    """So many characters of it, with the colours around them."""
    if visible(row) <= columns:
        return row
    head, *parts = row.split("\033[")
    out, left = head[:columns], columns - len(head[:columns])
    for part in parts:
        code, _, words = part.partition("m")
        out += f"\033[{code}m" + words[: max(left, 0)]
        left -= len(words[: max(left, 0)])
    return out
