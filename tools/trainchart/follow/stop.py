"""Stops a run gracefully, and keeps what its pods reported: Volcano deletes the pods of a run that is aborted."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trainchart.cluster import kinds
from trainchart.cluster.errors import ForbiddenError, NotFoundError
from trainchart.cluster.fields import text
from trainchart.errors import ExitCode, TrainchartError
from trainchart.follow import outcome
from trainchart.follow.logs import Line, Logs
from trainchart.follow.outcome import RESULT_ANNOTATION
from trainchart.follow.pods import Pods
from trainchart.follow.retry import Retry
from trainchart.follow.watcher import RunWatcher, Status
from trainchart.run import state
from trainchart.run.state import Pod, Snapshot, State

if TYPE_CHECKING:
    from trainchart.cluster.api import Api

POLL_SECONDS = 0.5
# Volcano acts on a command only in some phases, and drops it in the others.
AGAIN_SECONDS = 15.0
DRAIN_SECONDS = 10.0
LISTED_SECONDS = 30.0
# How long the last state of a pod may arrive after that of the Job.
REPORTS_SECONDS = 5.0
MAX_ANNOTATION = 16_384  # a termination message has 4096 bytes at most


class StillStoppingError(TrainchartError):
    """The pods took longer than they may."""

    exit_code = ExitCode.TIMED_OUT


@dataclass(frozen=True)
class Stopped:
    snapshot: Snapshot
    had_finished: bool
    """It had already, before it could be stopped."""


def keeps_logs(snapshot: Snapshot) -> bool:
    """Return whether its runner keeps the logs itself, on a claim."""
    return bool(snapshot.workspace_claim)


def stop_at_once(api: Api, name: str, notify: Callable[[str], None], *, seconds: float) -> Stopped:
    """Stop a run for a process that may have no more than a moment: Volcano is told first, and ends the run by itself.

    What `stop` raises.
    """
    retry = Retry(notify, limit=seconds)
    job = retry.call(lambda: api.get(kinds.JOBS, name))
    # `load` refuses a Job that is no run.
    before = (
        state.snapshot_of(job, ()) if job and text(job, "metadata", "labels", state.FAMILY) else state.load(api, name)
    )
    if not before.has_finished:
        retry.call(lambda: abort(api, before, "the command that followed it was stopped"))
    after = retry.call(lambda: state.load(api, name))
    if before.has_finished or after.has_finished:
        return Stopped(after, before.has_finished)
    return stop(api, after, notify, show=None, seconds=seconds, is_aborted=True)


def stop(
    api: Api,
    snapshot: Snapshot,
    notify: Callable[[str], None],
    *,
    show: Callable[[Line], None] | None,
    seconds: float,
    is_aborted: bool = False,
) -> Stopped:
    """Stop the run, and return when its pods are gone.

    Args:
        api: its cluster.
        snapshot: the run.
        notify: called with a line for each step.
        show: takes what its pods print, from their start to their end.
        seconds: how long its pods may take.
        is_aborted: Volcano has been told already.

    Raises:
        ForbiddenError: this account may not stop it; the text names the right.
        NotFoundError: it was uninstalled meanwhile.
        StillStoppingError
        UnreachableError
    """
    if snapshot.has_finished:
        return Stopped(snapshot, had_finished=True)
    retry = Retry(notify)
    watcher = RunWatcher(api, Status(snapshot), retry, is_last=lambda run: run.has_finished and not _unfinished(run))
    logs = Logs(api, watcher.pods, retry, show or (lambda _: None), notify)
    try:
        watcher.start()
        watcher.pods.listed.wait(min(LISTED_SECONDS, seconds))
        if show:
            logs.start_new()
        if not is_aborted:
            abort(api, snapshot)
        last = _Stopping(api, watcher, logs, notify, seconds).wait(lambda: retry.pause(POLL_SECONDS))
        if show:
            logs.start_new()
            logs.drain(DRAIN_SECONDS)
        _await_reports(watcher.pods)
        last = outcome.with_pods(last, watcher.pods.seen())
        _keep_result(api, last, notify)
        return Stopped(last, had_finished=False)
    finally:
        retry.cancel()


class _Stopping:
    """Of a run that was told to stop."""

    def __init__(
        self, api: Api, watcher: RunWatcher, logs: Logs, notify: Callable[[str], None], seconds: float
    ) -> None:
        self._api, self._watcher, self._logs, self._notify, self._seconds = api, watcher, logs, notify, seconds
        self._commanded = time.monotonic()
        self._deadline = self._commanded + seconds
        self._reported = 0

    def wait(self, pause: Callable[[], None]) -> Snapshot:
        """Return the run as it was last seen, once its pods have finished."""
        run = self._watcher.status.run
        gone = NotFoundError(f"{run.name} was uninstalled while it was being stopped")
        try:
            for status in self._watcher.statuses(pause):
                run = status.run
                self._report(run)
        except NotFoundError:
            raise gone from None
        if run.state is State.NO_JOB:
            raise gone
        return run

    def _report(self, run: Snapshot) -> None:
        left = len(_unfinished(run))
        if left != self._reported:
            self._reported = left
            if left:
                self._notify(f"{run.name}: {_count(left)} still to finish")
        if time.monotonic() > self._deadline and not (run.has_finished and not left):
            raise StillStoppingError(
                f"{run.name} has not stopped after {self._seconds:.0f} s: it is {run.state.value} with {_count(left)}; "
                f"it continues to stop, and `{run.command('stop {}')}` waits for it again"
            )
        may_be_dropped = run.phase in ("Pending", "Running", "Restarting", "")
        if may_be_dropped and time.monotonic() - self._commanded > AGAIN_SECONDS:
            abort(self._api, run)
            self._commanded = time.monotonic()
        pods, logs = self._watcher.pods, self._logs
        if error := pods.error or logs.error:
            self._notify(f"what its pods report at their end may be lost: {error}")
            pods.error = logs.error = None


def _unfinished(run: Snapshot) -> list[Pod]:
    return [pod for pod in run.pods if not pod.has_finished]


def _count(pods: int) -> str:
    return f"{pods} pod{'' if pods == 1 else 's'}"


def abort(api: Api, run: Snapshot, message: str = "trainchart stop") -> None:
    """Send what `vcctl job suspend` sends: Volcano's controller acts on the Command, and deletes it.

    Raises:
        ForbiddenError: the text names the right.
        UnreachableError
    """
    body = {
        "apiVersion": f"{kinds.COMMANDS.group}/{kinds.COMMANDS.version}",
        "kind": "Command",
        "metadata": {"generateName": f"{run.name}-stop-", "ownerReferences": [run.reference]},
        "action": "AbortJob",
        "target": {**run.reference, "controller": True},
        "reason": "Stopped",
        "message": message,
    }
    try:
        api.create(kinds.COMMANDS, body)
    except ForbiddenError as error:
        raise ForbiddenError(
            f"{error}; stopping needs `create commands` in {kinds.COMMANDS.group} (trainchart docs rights); "
            f"`{run.connection.command(f'kubectl -n {run.namespace} delete vcjob {run.name}')}` ends the run too, and "
            "keeps nothing of it"
        ) from None


def _await_reports(pods: Pods) -> None:
    """A pod's last state comes by the watch, and may come after the Job's."""
    deadline = time.monotonic() + REPORTS_SECONDS
    while any(pod.started and not pod.has_finished for pod in pods.seen()) and time.monotonic() < deadline:
        time.sleep(0.1)


def _keep_result(api: Api, last: Snapshot, notify: Callable[[str], None]) -> None:
    """Keep the result on the Job, for its pods are gone."""
    pod: Pod | None = last.rank_0 if last.rank_0 and last.rank_0.result else last.culprit
    if pod is None or not pod.result or last.state is not State.STOPPED:
        return
    result = json.dumps(pod.result, separators=(",", ":"), ensure_ascii=False)
    if len(result.encode()) > MAX_ANNOTATION:
        return
    try:
        api.patch(kinds.JOBS, last.name, {"metadata": {"annotations": {RESULT_ANNOTATION: result}}})
    except ForbiddenError as error:
        notify(f"what its pods reported at their end is not kept: {error}")
