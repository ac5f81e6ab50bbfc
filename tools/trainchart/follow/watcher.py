"""Follows one run in the background, for all commands that do: `wait`, `logs -f`, `stop` and `status --watch`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from trainchart.checks.events import STUCK_SECONDS
from trainchart.cluster import kinds
from trainchart.cluster.errors import ForbiddenError, NotFoundError
from trainchart.follow.pods import Pods
from trainchart.follow.retry import Retry
from trainchart.run import state
from trainchart.run.events import Progress
from trainchart.run.state import Snapshot, State

if TYPE_CHECKING:
    from trainchart.checks.finding import Finding
    from trainchart.cluster.api import Api

POLL_SECONDS = 2.0
# A diagnosis makes several calls, and its outcome rarely changes.
DIAGNOSE_SECONDS = 10.0
# Changes of several pods come together: one refresh is enough for them.
CHANGES_SECONDS = 0.2
NUDGE_ANNOTATION = "trainchart.dev/nudged"


@dataclass(frozen=True)
class Status:
    """A run at one moment."""

    run: Snapshot
    progress: Progress | None = None
    """By the tail of rank 0's log; None where that was not read."""
    findings: tuple[Finding, ...] = ()


class Refresh(Protocol):
    def __call__(self, api: Api, before: Status, /, *, diagnose: bool) -> Status:
        """Return the status that follows; `diagnose`: a new diagnosis is due."""


def snapshot_only(api: Api, before: Status, /, *, diagnose: bool) -> Status:  # noqa: ARG001
    """Refresh the run's Job and pods: two calls."""
    return Status(state.load(api, before.run.name))


class RunWatcher:
    """Refreshes a run's status every few seconds, and when one of its pods changed, until the run has finished."""

    def __init__(
        self,
        api: Api,
        first: Status,
        retry: Retry,
        refresh: Refresh = snapshot_only,
        *,
        watch_pods: bool = True,
        is_last: Callable[[Snapshot], bool] = lambda run: run.has_finished,
        notify: Callable[[str], None] | None = None,
    ) -> None:
        """`watch_pods` keeps `pods` up to date; with `notify`, a restart that Volcano has lost is woken up."""
        self._api, self._retry, self._refresh, self._is_last, self._notify = api, retry, refresh, is_last, notify
        self._watch_pods = watch_pods
        self.pods = Pods(api, first.run.name, first.run.uid, retry)
        self.status = first
        self._error: Exception | None = None
        self._done = threading.Event()
        self._stuck_since: float | None = None

    def start(self) -> None:
        if self._watch_pods:
            self.pods.start()
        if self._is_last(self.status.run):
            self._done.set()
            return
        threading.Thread(target=self._run, name="run", daemon=True).start()

    def statuses(self, pause: Callable[[], object]) -> Iterator[Status]:
        """Yield the latest status, and pause, again and again; what is yielded last is how the run ended.

        A release whose Job was removed meanwhile ends in the state NO_JOB.

        Raises:
            NotFoundError: the release was uninstalled meanwhile, or another run has its name.
            ForbiddenError
            UnreachableError: the API server was away for longer than the limit.
        """
        while not self._done.is_set():
            yield self.status
            pause()
        if self._error:
            raise self._error
        yield self.status

    def _run(self) -> None:
        diagnosed_at = time.monotonic() if self.status.findings else float("-inf")
        try:
            while not (self._retry.is_cancelled or self._is_last(self.status.run)):
                self.pods.changed.wait(POLL_SECONDS)
                self.pods.changed.clear()
                self._retry.pause(CHANGES_SECONDS if self._watch_pods else 0)
                is_due = time.monotonic() - diagnosed_at > DIAGNOSE_SECONDS
                self.status = self._next(is_due)
                if is_due:
                    diagnosed_at = time.monotonic()
                self._wake_if_stuck(self.status.run)
        except Exception as error:  # raised again where somebody waits for it
            self._error = error
        self._done.set()

    def _next(self, is_due: bool) -> Status:
        before = self.status
        status = self._retry.call(lambda: self._refresh(self._api, before, diagnose=is_due))
        if before.run.uid and status.run.uid and before.run.uid != status.run.uid:
            raise NotFoundError(f"{before.run.name} was removed, and another run has its name now")
        self.pods.learn(status.run.pods)
        return status

    def _wake_if_stuck(self, run: Snapshot) -> None:
        """Touch a Job that Volcano has left in Restarting: any change of it makes the controller look at it again."""
        if self._notify is None or run.state is not State.RESTARTING or run.pods:
            self._stuck_since = None
            return
        self._stuck_since = self._stuck_since or time.monotonic()
        if time.monotonic() - self._stuck_since < STUCK_SECONDS:
            return
        self._stuck_since = None
        message = f"Volcano has left {run.name} in Restarting for {STUCK_SECONDS} s, with no pods and no PodGroup"
        patch = {"metadata": {"annotations": {NUDGE_ANNOTATION: str(int(time.time()))}}}
        try:
            if self._retry.call(lambda: self._api.get(kinds.POD_GROUPS, f"{run.name}-{run.uid}")):
                return
            self._retry.call(lambda: self._api.patch(kinds.JOBS, run.name, patch))
            self._notify(f"{message}; touched the Job, which wakes it")
        except ForbiddenError as error:
            self._notify(f"{message}; any change of the Job would wake it, but: {error}")
