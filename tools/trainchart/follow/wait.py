"""Follows a run until it finishes: stage by stage, with its progress, and with what keeps it from going on."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from trainchart.cluster.errors import ForbiddenError, NotFoundError
from trainchart.cluster.fields import dig, text
from trainchart.errors import ExitCode, TrainchartError
from trainchart.follow import outcome
from trainchart.follow.logs import Line, Logs
from trainchart.follow.narrator import Console, Narrator
from trainchart.follow.outcome import Outcome
from trainchart.follow.pods import Pods
from trainchart.follow.retry import Retry
from trainchart.follow.watcher import RunWatcher, Status
from trainchart.run import state, tracking
from trainchart.run.settings import settings_of
from trainchart.run.state import STOPPED, Snapshot, State
from trainchart.units import duration

if TYPE_CHECKING:
    from trainchart.checks.finding import Finding
    from trainchart.cluster.api import Api

TICK_SECONDS = 0.25
FIRST_LOOK_SECONDS = 1.0
# How long the last lines of the logs may take when the run has finished.
DRAIN_SECONDS = 15.0

ShowLogs = Callable[[Snapshot], Callable[[Line], None]]


@dataclass(frozen=True)
class Limits:
    """In seconds; None: none."""

    end: float | None = None
    start: float | None = None

    @property
    def first(self) -> float | None:
        """The one that expires first."""
        return min((limit for limit in (self.end, self.start) if limit is not None), default=None)


def wait(
    api: Api,
    name: str,
    console: Console,
    *,
    limits: Limits = Limits(),
    show_logs: ShowLogs | None = None,
    retry: Retry | None = None,
) -> Outcome:
    """Return the outcome of a run, once it has finished.

    `show_logs` returns, for the run, what takes the lines of the logs of all ranks.

    Raises:
        NotFoundError: the run does not exist, or was uninstalled meanwhile.
        ForbiddenError
        UnreachableError: the API server was away for longer than the limit.
    """
    retry = retry or Retry(console.line)
    try:
        first = _load_in_time(api, name, limits, retry)
        if first is None:
            return _timed_out(api, name, "did not answer", limits.first or 0.0)
        if first.has_finished:
            return _outcome(api, first, Pods(api, name, first.uid, retry), retry)
        return _Wait(api, first, console, limits, show_logs, retry).outcome()
    finally:
        retry.cancel()


class _Wait:
    """Of a run that has not finished."""

    def __init__(
        self, api: Api, first: Snapshot, console: Console, limits: Limits, show_logs: ShowLogs | None, retry: Retry
    ) -> None:
        self._api, self._name, self._console, self._limits, self._retry = api, first.name, console, limits, retry
        self._show = show_logs(first) if show_logs else None
        self._lines: queue.SimpleQueue[Line] = queue.SimpleQueue()
        self._narrator = Narrator(console, first.name, max_retry=first.max_retry, shows_log=self._show is not None)
        self._watcher = RunWatcher(api, Status(first), retry, _refresh, notify=console.line)
        ranks = () if self._show else (0,)
        self._logs = Logs(api, self._watcher.pods, retry, self._take_line, console.line, ranks=ranks)
        self._logs_missed = False
        self._last = first  # that had a Job

    def outcome(self) -> Outcome:
        self._watcher.start()
        try:
            for status in self._watcher.statuses(self._read_lines):
                if status.run.state is State.NO_JOB:
                    return self._outcome_of_removed()
                self._last = status.run
                self._logs.start_new()
                self._narrator.report(status, self._watcher.pods)
                self._check_threads()
                if not status.run.has_finished and (late := self._check_limits(status)):
                    return late
        except NotFoundError:
            return self._outcome_of_removed()
        deadline = time.monotonic() + DRAIN_SECONDS
        while not self._logs.are_drained() and time.monotonic() < deadline:
            self._read_lines()
        self._read_lines(0, at_most=DRAIN_SECONDS)
        self._narrator.report_epoch()
        return _outcome(self._api, self._last, self._watcher.pods, self._retry)

    def _outcome_of_removed(self) -> Outcome:
        """Its Job was removed before its end was seen; the pod of rank 0 may have reported how it ended."""
        last = outcome.with_pods(self._last, self._watcher.pods.seen())
        if last.rank_0 and text(last.rank_0.result, "status") == "completed":
            lines = outcome.format_result(last.rank_0.result or {})
            return Outcome(ExitCode.OK, [f"{self._name} completed, and its Job was removed", *lines], last)
        culprit = last.culprit
        if dig(last.job, "spec", "ttlSecondsAfterFinished") is not None and culprit and culprit.exit_code != STOPPED:
            return _outcome(self._api, replace(last, state=State.FAILED), self._watcher.pods, self._retry)
        raise NotFoundError(
            f"{self._name} was removed while it was {last.state.value}: uninstalled, or its Job deleted"
        ) from None

    def _check_threads(self) -> None:
        if error := self._watcher.pods.error:
            raise error
        if error := self._logs.error:
            if not isinstance(error, TrainchartError):
                raise error
            if not self._logs_missed:
                self._logs_missed = True
                self._console.line(f"its progress is not reported: {error}")

    def _check_limits(self, status: Status) -> Outcome | None:
        passed, limits = self._narrator.seconds, self._limits
        if limits.end is not None and passed > limits.end:
            what = f"has not finished (it is {self._narrator.place(status.run)})"
            return _timed_out(self._api, self._name, what, passed, status.findings)
        has_started = status.run.state is not State.PENDING or any(pod.started for pod in self._watcher.pods.seen())
        if limits.start is not None and passed > limits.start and not has_started:
            return _timed_out(self._api, self._name, "has not started", passed, status.findings)
        return None

    def _take_line(self, line: Line) -> None:
        """Called by the threads that read the logs."""
        if self._show:
            self._show(line)
        if line.pod.rank == 0:
            self._lines.put(line)

    def _read_lines(self, seconds: float = TICK_SECONDS, at_most: float = 2 * TICK_SECONDS) -> None:
        """Report the lines that come, but for no longer than a tick: a log may come faster than it can be read."""
        began = time.monotonic()
        while True:
            left = began + seconds - time.monotonic()
            try:
                line = self._lines.get(timeout=left) if left > 0 else self._lines.get_nowait()
            except queue.Empty:
                return
            self._narrator.take(line)
            if time.monotonic() - began > at_most:
                return


def _load_in_time(api: Api, name: str, limits: Limits, retry: Retry) -> Snapshot | None:
    """Load the run in a thread, for the time limit holds however long an answer takes; None where that was too long."""
    loaded: queue.SimpleQueue[Snapshot | Exception] = queue.SimpleQueue()

    def load() -> None:
        try:
            loaded.put(retry.call(lambda: state.load(api, name)))
        except Exception as error:  # raised where somebody waits for it
            loaded.put(error)

    threading.Thread(target=load, daemon=True).start()
    # One look is always taken, as by `kubectl wait --timeout=0`.
    seconds = None if limits.first is None else max(limits.first, FIRST_LOOK_SECONDS)
    try:
        first = loaded.get(timeout=seconds)
    except queue.Empty:
        return None
    if isinstance(first, Exception):
        raise first
    return first


def _refresh(api: Api, before: Status, /, *, diagnose: bool) -> Status:
    run = state.load(api, before.run.name)
    if run.is_well or run.has_finished:
        return Status(run)
    return Status(run, None, tuple(_diagnose(api, run)) if diagnose else before.findings)


def _outcome(api: Api, run: Snapshot, pods: Pods, retry: Retry) -> Outcome:
    findings: list[Finding] = []
    if run.state is State.FAILED:
        whole = outcome.with_pods(run, pods.seen())
        if not (whole.culprit and whole.culprit.failure):
            findings = retry.call(lambda: _diagnose(api, whole))
    place = ""
    if run.state is State.COMPLETED and not text(outcome.result_of(run), "branch"):
        place = place_of_artifacts(api, run)
    ended = outcome.outcome(run, pods.seen(), findings, place)
    if ended.code == ExitCode.RUN_FAILED and (tracked := tracking.close(api, run)):
        return replace(ended, lines=[*ended.lines, f"  tracking       {tracked}"])
    return ended


def _timed_out(api: Api, name: str, what: str, seconds: float, findings: tuple[Finding, ...] = ()) -> Outcome:
    again = api.connection.command(f"trainchart wait {name} -n {api.namespace}")
    lines = [f"{name} {what} after {duration(seconds)}; it continues: {again}"]
    for finding in findings:
        lines += [f"  why         {finding.text}", *([f"  what to do  {finding.fix}"] if finding.fix else [])]
    return Outcome(ExitCode.TIMED_OUT, lines)


def place_of_artifacts(api: Api, run: Snapshot) -> str:
    """Return where they are when they are not published; empty where that cannot be known."""
    claim = run.workspace_claim
    try:
        settings = settings_of(api, run.name)
    except ForbiddenError:
        return f"on claim {claim}" if claim else ""
    directory = text(settings, "workspace", "directory") or run.name
    if not claim:
        return "gone with the pod and its workspace: publish.type is none"
    return f"{directory}/artifacts on claim {claim}"


def _diagnose(api: Api, run: Snapshot) -> list[Finding]:
    from trainchart.checks.diagnosis import diagnose

    findings = diagnose(api, run)
    return [one for one in findings if one.severity not in ("info", "not-checked") or one.key == "preempted"]
