"""Follows a run to its end: stage by stage, with its progress, and why it does not go on where it does not."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from trainchart.cluster.errors import ForbiddenError, NotFoundError
from trainchart.cluster.fields import text
from trainchart.errors import ExitCode, TrainchartError
from trainchart.follow import outcome
from trainchart.follow.logs import Line, Logs
from trainchart.follow.outcome import Outcome
from trainchart.follow.pods import Pods
from trainchart.follow.retry import Patience
from trainchart.follow.watcher import Watching
from trainchart.run import state, tracking
from trainchart.run.events import Event, Progress, patience
from trainchart.run.metrics import headline, number
from trainchart.run.settings import settings_of
from trainchart.run.state import Pod, Snapshot, State
from trainchart.units import duration, size

if TYPE_CHECKING:
    from trainchart.checks.finding import Finding
    from trainchart.cluster.api import Api

# Epochs are told at most so often where lines are kept; the last one is told in any case.
EPOCH_SECONDS = 10.0
TICK_SECONDS = 0.25
# How long the last lines of the logs are waited for when the run has ended.
DRAIN_SECONDS = 15.0


class Teller(Protocol):
    """Who shows it to a person."""

    def line(self, words: str) -> None:
        """A line that stays."""

    def live(self, words: str) -> None:
        """The present state, in place of the one before; nothing where lines cannot be replaced."""


@dataclass(frozen=True)
class Limits:
    """In seconds; None: none."""

    end: float | None = None
    start: float | None = None


def wait(
    api: Api,
    name: str,
    teller: Teller,
    *,
    limits: Limits = Limits(),
    show: Callable[[Snapshot], Callable[[Line], None]] | None = None,
    patience: Patience | None = None,
) -> Outcome:
    """The end of a run. `show` is asked, once the run is known, for what takes the lines of all ranks' logs.

    Raises:
        NotFoundError: there is no such run, or it was uninstalled meanwhile.
        ForbiddenError; UnreachableError: the API server was away for longer than the patience.
    """
    patience = patience or Patience(teller.line)
    try:
        return _Wait(api, name, teller, limits, show, patience).outcome()
    finally:
        patience.over.set()


class _Wait:
    def __init__(
        self,
        api: Api,
        name: str,
        teller: Teller,
        limits: Limits,
        show: Callable[[Snapshot], Callable[[Line], None]] | None,
        patience: Patience,
    ) -> None:
        self._api, self._name, self._teller, self._limits, self._patience = api, name, teller, limits, patience
        self._shown_by = show
        self._show: Callable[[Line], None] | None = None
        self._began = time.monotonic()
        self._max_retry = 1
        self._lines: queue.SimpleQueue[Line] = queue.SimpleQueue()
        self._progress = Progress()
        self._stage_began = time.monotonic()
        self._epoch_told, self._epoch_pending = 0.0, ""
        self._log_of = ""  # the pod whose log says that it runs; Volcano's own word for it comes later
        self._state_told = ""
        self._causes_told: frozenset[str] = frozenset()
        self._failures_told: set[str] = set()

    def outcome(self) -> Outcome:
        first = self._first()
        if first is None:
            return self._timed_out("did not answer")
        self._max_retry = first.max_retry
        self._show = self._shown_by(first) if self._shown_by else None
        if first.has_ended:
            return self._of(first, Pods(self._api, self._name, first.uid, self._patience))
        pods = Pods(self._api, self._name, first.uid, self._patience)
        watching = Watching(
            self._api, first, pods, self._patience, diagnose=_diagnose, say=self._teller.line, nudges=True
        )
        logs = Logs(self._api, pods, self._patience, self._take, self._teller.line, ranks=() if self._show else (0,))
        pods.start()
        watching.start()
        logs_missed = False
        while True:
            logs.start_new()
            self._tell(watching, pods)
            error = watching.error or pods.error
            if watching.is_gone:
                return self._when_gone(watching, pods)
            if error:
                raise error
            if logs.error and not isinstance(logs.error, TrainchartError):
                raise logs.error
            if logs.error and not logs_missed:
                logs_missed = True
                self._teller.line(f"the progress is not told: {logs.error}")
            if watching.snapshot.has_ended:
                break
            if late := self._is_late(watching, pods):
                return late
            self._take_events()
        deadline = time.monotonic() + DRAIN_SECONDS
        while not logs.are_drained() and time.monotonic() < deadline:
            self._take_events()
        self._take_events(0, at_most=DRAIN_SECONDS)
        self._tell_epoch()
        return self._of(watching.snapshot, pods)

    # -- beginning and end

    def _first(self) -> Snapshot | None:
        """In a thread: the time limit holds however long an answer takes."""
        found: queue.SimpleQueue[Snapshot | Exception] = queue.SimpleQueue()

        def look() -> None:
            try:
                found.put(self._patience.ask(lambda: state.load(self._api, self._name)))
            except Exception as error:  # raised where somebody waits for it
                found.put(error)

        _start(look)
        try:
            first = found.get(timeout=_least(self._limits.end, self._limits.start))
        except queue.Empty:
            return None
        if isinstance(first, Exception):
            raise first
        return first

    def _of(self, snapshot: Snapshot, pods: Pods) -> Outcome:
        causes: tuple[Finding, ...] = ()
        if snapshot.state is State.FAILED:
            whole = outcome.with_seen(snapshot, pods.seen())
            if not (whole.culprit and whole.culprit.failure):
                causes = tuple(self._patience.ask(lambda: _diagnose(self._api, whole)))
        place = ""
        if snapshot.state is State.COMPLETED and not text(outcome.result_of(snapshot), "branch"):
            place = place_of_artifacts(self._api, snapshot)
        ended = outcome.outcome(snapshot, pods.seen(), causes, place)
        if ended.code == ExitCode.RUN_FAILED and (tracked := tracking.close(self._api, snapshot)):
            return Outcome(ended.code, [*ended.lines, f"  tracking       {tracked}"])
        return ended

    def _when_gone(self, watching: Watching, pods: Pods) -> Outcome:
        """Its Job was removed before its end was seen; its rank 0 may have said how it ended."""
        last = outcome.with_seen(watching.snapshot, pods.seen())
        if last.rank_0 and text(last.rank_0.result, "status") == "completed":
            lines = outcome.described(last.rank_0.result or {})
            return Outcome(ExitCode.OK, [f"{self._name} completed, and its Job was removed", *lines])
        raise NotFoundError(
            f"{self._name} was removed while it was {last.state.value}: uninstalled, or its Job deleted"
        )

    def _is_late(self, watching: Watching, pods: Pods) -> Outcome | None:
        passed = time.monotonic() - self._began
        if self._limits.end is not None and passed > self._limits.end:
            return self._timed_out(f"has not ended (it is {self._where(watching.snapshot)})", watching)
        has_started = watching.snapshot.state is not State.PENDING or any(pod.started for pod in pods.seen())
        if self._limits.start is not None and passed > self._limits.start and not has_started:
            return self._timed_out("has not started", watching)
        return None

    def _timed_out(self, what: str, watching: Watching | None = None) -> Outcome:
        seconds = duration(time.monotonic() - self._began)
        lines = [
            f"{self._name} {what} after {seconds}; it goes on: trainchart wait {self._name} -n {self._api.namespace}"
        ]
        for cause in watching.causes if watching else ():
            lines += [f"  why         {cause.text}", *([f"  what to do  {cause.fix}"] if cause.fix else [])]
        return Outcome(ExitCode.TIMED_OUT, lines)

    # -- what is told

    def _tell(self, watching: Watching, pods: Pods) -> None:
        snapshot = watching.snapshot
        for pod in pods.seen():
            self._tell_failure(pod, snapshot)
        log_says_more = snapshot.state is State.PENDING and self._log_of and not pods.is_gone(self._log_of)
        if not snapshot.has_ended and not log_says_more:  # the end has a block of its own
            self._tell_state(self._words(snapshot))
        causes = frozenset(cause.key for cause in watching.causes)  # their texts may tell a time that passes
        if causes != self._causes_told and snapshot.state in (State.PENDING, State.RESTARTING, State.RUNNING):
            for cause in watching.causes:
                if cause.key not in self._causes_told:
                    self._teller.line(f"  {cause.text}" + (f"; {cause.fix}" if cause.fix else ""))
            self._causes_told = causes
        self._teller.live(f"{self._name}: {self._where(snapshot)} ({duration(time.monotonic() - self._began)})")

    def _tell_state(self, words: str) -> None:
        if words != self._state_told:
            self._teller.line(words)
            self._state_told = words

    def _words(self, snapshot: Snapshot) -> str:
        if snapshot.state is State.RUNNING:
            return self._running(snapshot.attempt)
        return f"{self._name} is {snapshot.state.value}"

    def _running(self, attempt: int) -> str:
        of = f", attempt {attempt + 1} of {self._max_retry}" if self._max_retry > 1 else ""
        return f"{self._name} is running{of}"

    def _where(self, snapshot: Snapshot) -> str:
        if snapshot.state is State.RUNNING and self._progress.stage:
            return f"{self._progress.summary()}, {duration(time.monotonic() - self._stage_began)} in this stage"
        return snapshot.state.value

    def _tell_failure(self, pod: Pod, snapshot: Snapshot) -> None:
        """Why an attempt ended; of the last one the end tells."""
        failure = pod.failure
        if not failure or failure.code in (state.PEER_LOST, state.STOPPED) or pod.uid in self._failures_told:
            return
        self._failures_told.add(pod.uid)
        if (pod.attempt or 0) + 1 < snapshot.max_retry:
            rank = f" on rank {pod.rank}" if snapshot.replicas > 1 else ""
            stage = f" in {failure.stage}" if failure.stage else ""
            self._teller.line(f"  attempt {(pod.attempt or 0) + 1} failed{stage}{rank}: {failure.reason}")

    # -- the log of rank 0

    def _take(self, line: Line) -> None:
        """From the threads that read."""
        if self._show:
            self._show(line)
        if line.pod.rank == 0:
            self._lines.put(line)

    def _take_events(self, seconds: float = TICK_SECONDS, at_most: float = 2 * TICK_SECONDS) -> None:
        """What came since, but no longer than a tick: a log may come faster than it can be read."""
        began = time.monotonic()
        while True:
            left = began + seconds - time.monotonic()
            try:
                line = self._lines.get(timeout=left) if left > 0 else self._lines.get_nowait()
            except queue.Empty:
                return
            event = self._progress.feed(line.text.decode("utf-8", "replace"))
            if event and event.name == "run":
                self._tell_epoch()
                self._log_of = line.pod.uid
                self._tell_state(self._running(line.pod.attempt or 0))
            if event and not self._show:
                self._tell_event(event)
            if event and event.name in ("start", "end", "skip"):
                self._stage_began = time.monotonic()
            if time.monotonic() - began > at_most:
                return

    def _tell_event(self, event: Event) -> None:
        fields = event.fields
        stage = f"  {fields.get('stage', ''):<8}"
        if event.name == "start":
            self._tell_epoch()
            self._teller.line(f"{stage} begins")
        elif event.name in ("end", "skip"):
            self._tell_epoch()
            self._teller.line(f"{stage} {_ended(event)}")
        elif event.name == "metrics":
            self._epoch_pending = self._epoch_words()
            if time.monotonic() - self._epoch_told > EPOCH_SECONDS:
                self._tell_epoch()
        elif event.name == "resume":
            self._teller.line(f"  goes on from a checkpoint, after epoch {fields.get('epoch', '?')}")
        elif event.name == "waiting" and fields.get("stage") == "publish":
            self._teller.line(f"{stage} {patience(fields)}: {fields.get('reason', '')}")
        elif event.name == "warning":
            self._teller.line(f"  warning: {fields.get('reason', '')}")

    def _tell_epoch(self) -> None:
        if self._epoch_pending:
            self._teller.line(self._epoch_pending)
            self._epoch_pending, self._epoch_told = "", time.monotonic()

    def _epoch_words(self) -> str:
        progress = self._progress
        words = [f"epoch {progress.epoch}" + (f" of {progress.epochs}" if progress.epochs else "")]
        row = progress.metrics[-1] if progress.metrics else {}
        if name := headline(row):
            words.append(f"{name} {number(row[name])}")
        return f"  {progress.stage:<8} {', '.join(words)}"


def _ended(event: Event) -> str:
    fields = event.fields
    try:
        took = duration(float(fields.get("seconds", "")))
    except ValueError:
        took = ""
    if event.name == "skip":
        return "was done before"
    words = [took] if took else ["done"]
    if fields.get("bytes", "").isdigit():
        words.append(size(float(fields["bytes"])))
    if branch := fields.get("branch"):
        words.append(f"branch {branch}")
    return ", ".join(words)


def place_of_artifacts(api: Api, snapshot: Snapshot) -> str:
    """Where they lie when they are not on a branch; empty where that cannot be known."""
    claim = snapshot.workspace_claim
    try:
        settings = settings_of(api, snapshot.name)
    except ForbiddenError:
        return f"on claim {claim}" if claim else ""
    directory = text(settings, "workspace", "directory") or snapshot.name
    if not claim:
        return "gone with the pod: the workspace is an emptyDir, and publish.type is none"
    return f"{directory}/artifacts on claim {claim}"


def _diagnose(api: Api, snapshot: Snapshot) -> list[Finding]:
    from trainchart.checks.diagnosis import diagnose

    return [cause for cause in diagnose(api, snapshot) if cause.severity not in ("info", "not-checked")]


def _start(work: Callable[[], None]) -> None:
    import threading

    threading.Thread(target=work, daemon=True).start()


def _least(*limits: float | None) -> float | None:
    return min((limit for limit in limits if limit is not None), default=None)
