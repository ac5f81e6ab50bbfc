"""Reads the runner's lines back from the log of a run, and sums them up.

The runner writes logfmt (docs/runner.md, "Log") between whatever the programs print that it starts. No line raises: one
that is not the runner's yields None, and of a truncated line the complete fields count.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from trainchart.cluster.fields import mapping, text, whole
from trainchart.run.metrics import format_number, headline
from trainchart.units import duration, size

# What `kubectl logs --prefix --timestamps` puts before a line is accepted.
_HEAD = re.compile(r"(?:\[pod/[^\]\s]+\] )?(?:\d{4}-\d\d-\d\dT[\d:.]+Z )?trainchart time=(\S*) event=([\w-]+)(?= |$)")
_VALUE = re.compile(r'("(?:[^"\\]|\\.)*"|[\w\-./:+@%,]+)(?= |$)', re.ASCII)
_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


@dataclass(frozen=True)
class Event:
    """One line of the runner; its fields are unquoted."""

    time: str
    name: str
    fields: dict[str, str]


def parse(line: str) -> Event | None:
    """Return the event of a line of the log; None for a line that is not the runner's."""
    line = line.rstrip("\r\n")
    head = _HEAD.match(line)
    return Event(head[1], head[2], dict(_fields(line, head.end()))) if head else None


def _fields(line: str, start: int) -> Iterator[tuple[str, str]]:
    """A key ends at the first `=` that a complete value follows: the names of metrics may contain spaces."""
    start += 1
    equals = line.find("=", start)
    while equals >= 0:
        if found := _VALUE.match(line, equals + 1):
            value = _unquoted(found[1])
            if value is not None:
                yield line[start:equals], value
                start = found.end() + 1
                equals = line.find("=", start)
                continue
        equals = line.find("=", equals + 1)


def _unquoted(value: str) -> str | None:
    if not value.startswith('"'):
        return value
    try:
        return str(json.loads(value))
    except ValueError:
        return None


@dataclass(frozen=True)
class Failure:
    """How a run failed, as the runner reported it; `stage` is empty where it failed before the first."""

    stage: str
    code: int | None
    name: str
    reason: str
    fix: str


def failure_of(result: Any) -> Failure | None:
    """Return the failure that a result reports; None where it reports none."""
    found = mapping(result, "failure")
    texts = {name: text(found, name) for name in ("stage", "name", "reason", "fix")}
    return Failure(code=whole(found.get("code")), **texts) if found else None


@dataclass
class Trial:
    """One trial of a search, with the metrics of its epochs."""

    number: int
    state: str  # begins, complete, pruned, failed
    value: float | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    reason: str = ""
    metrics: list[dict[str, float]] = field(default_factory=list)


@dataclass
class Progress:
    """What the log of one rank has reported so far; it is fed line by line, attempt after attempt."""

    run: str = ""
    attempt: int = 0
    replicas: int = 1
    began: str = ""  # times of the first and of the latest line, over all attempts
    latest: str = ""
    # Of the present attempt.
    stage: str = ""
    stages: dict[str, float] = field(default_factory=dict)  # finished ones, with seconds
    skipped: list[str] = field(default_factory=list)
    fetched: tuple[int, int] | None = None  # bytes that are here, and of how many, where an object store reports them
    used: dict[str, dict[str, Any]] = field(default_factory=dict)  # parts of the dataset, as in a result
    resumed: dict[str, str] = field(default_factory=dict)
    failed: Failure | None = None
    completed: bool = False
    published: dict[str, str] = field(default_factory=dict)  # repository, branch, commit
    # Of the training, which a later attempt may resume.
    epoch: int | None = None
    epochs: int | None = None
    # A row per epoch, in order; in a search, of one trial.
    metrics: list[dict[str, float]] = field(default_factory=list)
    trials: list[Trial] = field(default_factory=list)
    best: Trial | None = None
    warnings: list[str] = field(default_factory=list)
    # Stage publish, while the server is away: seconds, left, reason.
    waiting: dict[str, str] = field(default_factory=dict)
    held_until: str = ""  # of a run that has failed and keeps its pods
    _begins: bool = False  # the trainer has started, and has not reported that it resumes anything

    def feed(self, line: str) -> Event | None:
        """Take one line into account; return its event, or None."""
        event = parse(line)
        if event is None:
            return None
        if _TIMESTAMP.fullmatch(event.time):
            self.began = self.began or event.time
            self.latest = event.time
        take = getattr(self, f"_{event.name.replace('-', '_')}_event", None)
        if take:
            take(event.fields)
        return event

    def summary(self) -> str:
        """Return where the run is, on one line: `train, epoch 3 of 10, metrics/mAP_0.5 0.61`."""
        if self.failed:
            where = f" in {self.failed.stage}" if self.failed.stage else ""
            code = "" if self.failed.code is None else f" ({self.failed.code})"
            return f"failed{where}: {self.failed.name}{code}: {self.failed.reason}"
        place = "completed" if self.completed else self.stage
        if not place:
            return "no stage yet"
        return ", ".join([place, *self._details()])

    def _details(self) -> Iterator[str]:
        if self.stage == "prepare" and self.fetched and not self.completed:
            here, total = self.fetched
            yield f"{size(here)} of {size(total)} fetched"
        if self.trials:
            yield from self._search()
        elif self.epoch is not None and (self.completed or self.stage not in ("verify", "prepare")):
            yield f"epoch {self.epoch}" + ("" if self.epochs is None else f" of {self.epochs}")
            row = next((row for row in reversed(self.metrics) if row["epoch"] == self.epoch), {})
            if name := headline(row):
                yield f"{name} {format_number(row[name])}"

    def _search(self) -> Iterator[str]:
        best = self.best
        if self.stage == "train" and not self.completed and not best:
            last = self.trials[-1]
            yield f"trial {last.number}"
            if last.state == "begins" and last.metrics:
                yield f"epoch {self.epoch}" + ("" if self.epochs is None else f" of {self.epochs}")
        else:
            yield f"{len(self.trials)} trials"
        if best and best.value is not None:
            yield f"best is trial {best.number} with {format_number(best.value)}"

    # Each takes the fields of the event that it is named after. Any field may be missing or malformed.

    def _run_event(self, fields: Mapping[str, str]) -> None:
        self.run = fields.get("run", "")
        self.attempt = _int(fields.get("attempt")) or 0
        self.replicas = _int(fields.get("replicas")) or 1
        self.stage, self.stages, self.skipped, self.fetched, self.used = "", {}, [], None, {}
        self.resumed, self.failed, self.completed, self.published = {}, None, False, {}
        self.waiting, self.held_until = {}, ""

    def _start_event(self, fields: Mapping[str, str]) -> None:
        self.stage = fields.get("stage", "")
        self._begins = self.stage == "train"

    def _end_event(self, fields: Mapping[str, str]) -> None:
        self.waiting = {}
        stage, seconds = fields.get("stage"), _float(fields.get("seconds"))
        if stage and seconds is not None:
            self.stages[stage] = seconds

    def _skip_event(self, fields: Mapping[str, str]) -> None:
        if stage := fields.get("stage"):
            self.skipped.append(stage)

    def _cache_event(self, fields: Mapping[str, str]) -> None:
        cached, total = _int(fields.get("cached")), _int(fields.get("total"))
        if cached is not None and total is not None:
            self.fetched = (cached, total)

    def _dataset_event(self, fields: Mapping[str, str]) -> None:
        part, used, total = fields.get("part"), _int(fields.get("used")), _int(fields.get("total"))
        if part and used is not None and total is not None:
            unit = fields.get("unit", "")
            self.used[f"{part} {unit}"] = {"part": part, "used": used, "total": total, "unit": unit}

    def _metrics_event(self, fields: Mapping[str, str]) -> None:
        epoch = _int(fields.get("epoch"))
        if epoch is None:
            return
        if self._begins:  # from scratch: what an earlier attempt reported does not count
            self._begins, self.metrics = False, []
        numbers = {name: _float(value) for name, value in fields.items() if name not in ("epoch", "epochs")}
        row: dict[str, float] = {
            "epoch": epoch,
            **{name: value for name, value in numbers.items() if value is not None},
        }
        self.epoch, self.epochs = epoch, _int(fields.get("epochs"))
        index = bisect_left(self.metrics, float(epoch), key=lambda known: known["epoch"])
        is_known = index < len(self.metrics) and self.metrics[index]["epoch"] == epoch
        self.metrics[index : index + is_known] = [row]

    def _resume_event(self, fields: Mapping[str, str]) -> None:
        self.resumed = dict(fields)
        self._begins = False
        if (epoch := _int(fields.get("epoch"))) is not None:
            self.epoch = epoch

    def _trial_event(self, fields: Mapping[str, str]) -> None:
        number = _int(fields.get("number"))
        if number is None:
            return
        self._begins = False
        state = fields.get("state", "")
        trial = next((trial for trial in self.trials if trial.number == number), None)
        if trial is None or state == "begins":  # a trial that was lost with its pod starts again
            self.trials = [other for other in self.trials if other is not trial]
            trial = Trial(number, state)
            self.trials.append(trial)
            self.metrics, self.epoch = trial.metrics, None
        trial.state, trial.reason = state, fields.get("reason", "")
        trial.value = _float(fields.get("value"))
        trial.parameters = _object(fields.get("parameters")) or trial.parameters

    def _best_event(self, fields: Mapping[str, str]) -> None:
        number = _int(fields.get("trial"))
        if number is None:
            return
        # If it ran in another pod, its epochs are in the log of that one.
        known = next((trial for trial in self.trials if trial.number == number), None)
        parameters = _object(fields.get("parameters"))
        self.best = known or Trial(number, "complete", _float(fields.get("value")), parameters)
        self.metrics = self.best.metrics
        self.epoch = int(self.metrics[-1]["epoch"]) if self.metrics else None

    def _warning_event(self, fields: Mapping[str, str]) -> None:
        self.warnings.append(fields.get("reason", ""))

    def _waiting_event(self, fields: Mapping[str, str]) -> None:
        if fields.get("stage") == "publish":
            self.waiting = dict(fields)

    def _holding_event(self, fields: Mapping[str, str]) -> None:
        self._failed_event(fields)
        self.held_until = fields.get("until", "")

    def _held_event(self, _: Mapping[str, str]) -> None:
        self.held_until = ""

    def _already_published_event(self, fields: Mapping[str, str]) -> None:
        self.published = {**self.published, **fields}

    def _completed_event(self, fields: Mapping[str, str]) -> None:
        self.completed, self.failed = True, None
        self.published = {**self.published, **fields}

    def _failed_event(self, fields: Mapping[str, str]) -> None:
        texts = {name: fields.get(name, "") for name in ("stage", "name", "reason", "fix")}
        self.failed, self.waiting = Failure(code=_int(fields.get("code")), **texts), {}
        # The result may be on another branch than requested.
        places = ("repository", "branch", "commit")
        self.published = {**self.published, **{name: fields[name] for name in places if name in fields}}


def format_used(parts: Iterable[Mapping[str, Any]]) -> str:
    """Return which records of the dataset the trainer uses: `uses 125 of 128 images of train, all 32 of val`; empty
    where that is not known.
    """
    texts = []
    for part in parts:
        used, total = whole(part.get("used")), whole(part.get("total"))
        if used is not None and total is not None:
            count = f"all {total}" if used == total else f"{used} of {total}"
            texts.append(f"{count} {text(part, 'unit') or 'records'} of {text(part, 'part')}")
    return f"uses {', '.join(texts)}" if texts else ""


def format_waiting(waiting: Mapping[str, str]) -> str:
    """Return how long publish has been trying, and how long it will continue, by the fields of its event."""
    passed, left = _float(waiting.get("seconds")), _float(waiting.get("left"))
    message = "the server does not take the result yet"
    if passed is None or left is None:
        return message
    return f"{message}; trying for {duration(passed)} so far, and for {duration(left)} more (publish.patience)"


def _int(value: str | None) -> int | None:
    try:
        return None if value is None or len(value) > 18 else int(value)
    except ValueError:
        return None


def _float(value: str | None) -> float | None:
    try:
        return None if value is None else float(value)
    except ValueError:
        return None


def _object(value: str | None) -> dict[str, Any]:
    try:
        found = json.loads(value or "{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
