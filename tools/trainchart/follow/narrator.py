"""What `wait` reports while a run lasts: its changes as lines, and where it is now in place."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

from trainchart.follow.logs import Line
from trainchart.follow.pods import Pods
from trainchart.run import state
from trainchart.run.events import Event, Progress, format_used, format_waiting
from trainchart.run.metrics import format_number, headline
from trainchart.run.state import Pod, Snapshot, State
from trainchart.units import duration, size

if TYPE_CHECKING:
    from trainchart.checks.finding import Finding
    from trainchart.follow.watcher import Status

# Epochs are reported at most this often; the last one is reported in any case.
EPOCH_SECONDS = 10.0


class Console(Protocol):
    """Shows it to a person."""

    def line(self, message: str) -> None:
        """Print a line that stays."""

    def live(self, message: str) -> None:
        """Show the present state in place of the one before; nothing where lines cannot be replaced."""


class Narrator:
    def __init__(self, console: Console, name: str, *, max_retry: int = 1, shows_log: bool = False) -> None:
        """`shows_log`: the log itself is printed, so its events are not reported again."""
        self._console, self._name, self._max_retry, self._shows_log = console, name, max_retry, shows_log
        self._began = self._stage_began = time.monotonic()
        self._progress = Progress()
        self._epoch_reported, self._epoch_pending = 0.0, ""
        self._logging_pod = ""  # its log says that it runs; Volcano reports that later
        self._state_reported = ""
        self._findings_reported: frozenset[str] = frozenset()
        self._failures_reported: set[str] = set()

    @property
    def seconds(self) -> float:
        """How long the run has been followed."""
        return time.monotonic() - self._began

    def report(self, status: Status, pods: Pods) -> None:
        """Report what has changed in the run's status."""
        run = status.run
        for pod in pods.seen():
            self._report_failure(pod, run)
        log_says_more = run.state is State.PENDING and self._logging_pod and not pods.is_gone(self._logging_pod)
        if not run.has_finished and not log_says_more:  # the end is reported by itself
            is_running = run.state is State.RUNNING
            self._report_state(self._running(run.attempt) if is_running else f"{self._name} is {run.state.value}")
        if run.state in (State.PENDING, State.RESTARTING, State.RUNNING):
            self._report_findings(status.findings)
        self._console.live(f"{self._name}: {self.place(run)} ({duration(self.seconds)})")

    def take(self, line: Line) -> Event | None:
        """Report what a line of rank 0's log says; return its event, if it is one."""
        event = self._progress.feed(line.text.decode("utf-8", "replace"))
        if event is None:
            return None
        if event.name == "run":
            self.report_epoch()
            self._logging_pod = line.pod.uid
            self._report_state(self._running(line.pod.attempt or 0))
        if not self._shows_log:
            self._report_event(event)
        if event.name in ("start", "end", "skip"):
            self._stage_began = time.monotonic()
        return event

    def place(self, run: Snapshot) -> str:
        """Return where the run is: `train, epoch 3 of 10, metrics/mAP_0.5 0.61, 5 min in this stage`."""
        if run.state is State.RUNNING and self._progress.stage:
            return f"{self._progress.summary()}, {duration(time.monotonic() - self._stage_began)} in this stage"
        return run.state.value

    def report_epoch(self) -> None:
        """Report the latest epoch, where that has not been done."""
        if self._epoch_pending:
            self._console.line(self._epoch_pending)
            self._epoch_pending, self._epoch_reported = "", time.monotonic()

    def _report_state(self, message: str) -> None:
        if message != self._state_reported:
            self._console.line(message)
            self._state_reported = message

    def _running(self, attempt: int) -> str:
        of = f", attempt {attempt + 1} of {self._max_retry}" if self._max_retry > 1 else ""
        return f"{self._name} is running{of}"

    def _report_findings(self, findings: Iterable[Finding]) -> None:
        keys = frozenset(finding.key for finding in findings)  # a text may hold a time that passes
        for finding in findings:
            if finding.key not in self._findings_reported:
                self._console.line(f"  {finding.text}" + (f"; {finding.fix}" if finding.fix else ""))
        self._findings_reported = keys

    def _report_failure(self, pod: Pod, run: Snapshot) -> None:
        """Report why an attempt failed; the failure of the last one is part of the run's outcome."""
        failure, attempt = pod.failure, (pod.attempt or 0) + 1
        if pod.removal and attempt < run.max_retry and f"attempt {attempt}" not in self._failures_reported:
            self._failures_reported.add(f"attempt {attempt}")
            self._console.line(f"  attempt {attempt} {_format_removal(pod)}{self._last_place()}")
        if not failure or failure.code in (state.PEER_LOST, state.STOPPED) or pod.uid in self._failures_reported:
            return
        self._failures_reported.add(pod.uid)
        if attempt < run.max_retry:
            rank = f" on rank {pod.rank}" if run.replicas > 1 else ""
            stage = f" in {failure.stage}" if failure.stage else ""
            self._console.line(f"  attempt {attempt} failed{stage}{rank}: {failure.reason}")

    def _last_place(self) -> str:
        """Where the attempt was: `, in train, after epoch 3`."""
        stage, epoch = self._progress.stage, self._progress.epoch
        return (f", in {stage}" if stage else "") + (f", after epoch {epoch}" if stage == "train" and epoch else "")

    def _report_event(self, event: Event) -> None:
        fields = event.fields
        stage = f"  {fields.get('stage', ''):<8}"
        if event.name == "start":
            self.report_epoch()
            self._console.line(f"{stage} begins")
        elif event.name in ("end", "skip"):
            self.report_epoch()
            self._console.line(f"{stage} {_format_end(event)}")
        elif event.name == "metrics":
            self._epoch_pending = self._format_epoch()
            if time.monotonic() - self._epoch_reported > EPOCH_SECONDS:
                self.report_epoch()
        elif event.name == "resume":
            self._console.line(f"  resumes from a checkpoint, after epoch {fields.get('epoch', '?')}")
        elif event.name == "waiting" and fields.get("stage") == "publish":
            self._console.line(f"{stage} {format_waiting(fields)}: {fields.get('reason', '')}")
        elif event.name == "holding":
            self._console.line(
                f"{stage} failed: {fields.get('name')} ({fields.get('code')}): {fields.get('reason', '')}"
            )
            self._console.line(
                f"  holdAfterFailure keeps the pods until {fields.get('until', '')}; trainchart exec enters them, stop ends it"
            )
        elif event.name == "dataset":
            self._console.line(
                f"  {format_used([fields])}" + (f"; left out: {left}" if (left := fields.get("left_out")) else "")
            )
        elif event.name == "warning":
            self._console.line(f"  warning: {fields.get('reason', '')}")

    def _format_epoch(self) -> str:
        progress = self._progress
        parts = [f"epoch {progress.epoch}" + (f" of {progress.epochs}" if progress.epochs else "")]
        row = progress.metrics[-1] if progress.metrics else {}
        if name := headline(row):
            parts.append(f"{name} {format_number(row[name])}")
        return f"  {progress.stage:<8} {', '.join(parts)}"


def _format_removal(pod: Pod) -> str:
    if pod.removal == "preempted":
        return "was preempted"
    where = f" {pod.node}" if pod.node else ""
    return f"was lost with its node{where}" if pod.removal == "node-lost" else f"was evicted from its node{where}"


def _format_end(event: Event) -> str:
    fields = event.fields
    if event.name == "skip":
        return "was done before"
    try:
        parts = [duration(float(fields.get("seconds", "")))]
    except ValueError:
        parts = ["done"]
    if fields.get("bytes", "").isdigit():
        parts.append(size(float(fields["bytes"])))
    if branch := fields.get("branch"):
        parts.append(f"to {branch}")
    return ", ".join(parts)
