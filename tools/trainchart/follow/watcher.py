"""A run as it is now, looked at by a thread: whoever shows it waits for no API server."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from trainchart.checks.cause import STUCK_SECONDS
from trainchart.cluster import kinds
from trainchart.cluster.errors import ForbiddenError, NotFoundError
from trainchart.follow.pods import Pods
from trainchart.follow.retry import Patience
from trainchart.run import state
from trainchart.run.state import Snapshot, State

if TYPE_CHECKING:
    from trainchart.checks.finding import Finding
    from trainchart.cluster.api import Api

POLL_SECONDS = 2.0
DIAGNOSE_SECONDS = 10.0
NUDGE_ANNOTATION = "trainchart.dev/nudged"


class Watching:
    """Asks for the run every few seconds, and at once when one of its pods changed."""

    def __init__(
        self,
        api: Api,
        first: Snapshot,
        pods: Pods,
        patience: Patience,
        *,
        diagnose: Callable[[Api, Snapshot], list[Finding]] | None = None,
        say: Callable[[str], None] | None = None,
        nudges: bool = False,
    ) -> None:
        self._api, self._pods, self._patience = api, pods, patience
        self._diagnose, self._say, self._nudges = diagnose, say or (lambda _: None), nudges
        self.snapshot = first
        self.causes: list[Finding] = []
        self.error: Exception | None = None
        self.is_gone = False  # the release was uninstalled while we looked
        self._stuck_since: float | None = None
        self._diagnosed = 0.0

    def start(self) -> None:
        threading.Thread(target=self._run, name="run", daemon=True).start()

    def _run(self) -> None:
        name = self.snapshot.name
        try:
            while not self._patience.over.is_set():
                snapshot = self._patience.ask(lambda: state.load(self._api, name))
                if self.snapshot.uid and snapshot.uid and snapshot.uid != self.snapshot.uid:
                    raise NotFoundError(f"{name} was removed, and is another run now")
                if self._diagnose and time.monotonic() - self._diagnosed > DIAGNOSE_SECONDS:
                    self._look_for_causes(snapshot, self._diagnose)
                self._wake_if_stuck(snapshot)
                if snapshot.state is State.NO_JOB and self.snapshot.job is not None:
                    self.is_gone = True  # what was known of its Job says more
                    return
                self._pods.learn(snapshot.pods)
                self.snapshot = snapshot
                if snapshot.has_ended:
                    return
                self._pods.changed.wait(POLL_SECONDS)
                self._pods.changed.clear()
                self._patience.rest(0.2)  # changes come together
        except NotFoundError as error:
            self.is_gone, self.error = True, error
        except Exception as error:  # raised again where somebody waits for it
            self.error = error

    def _look_for_causes(self, snapshot: Snapshot, diagnose: Callable[[Api, Snapshot], list[Finding]]) -> None:
        self._diagnosed = time.monotonic()
        if snapshot.is_well or snapshot.state is State.STOPPED:
            self.causes = []
        else:
            self.causes = self._patience.ask(lambda: diagnose(self._api, snapshot))

    def _wake_if_stuck(self, snapshot: Snapshot) -> None:
        if not self._nudges or snapshot.state is not State.RESTARTING or snapshot.pods:
            self._stuck_since = None
            return
        self._stuck_since = self._stuck_since or time.monotonic()
        if time.monotonic() - self._stuck_since < STUCK_SECONDS:
            return
        self._stuck_since = None
        words = f"Volcano has left {snapshot.name} in Restarting for {STUCK_SECONDS} s, with no pods and no PodGroup"
        change = {"metadata": {"annotations": {NUDGE_ANNOTATION: str(int(time.time()))}}}
        try:
            if self._patience.ask(lambda: self._api.get(kinds.POD_GROUPS, f"{snapshot.name}-{snapshot.uid}")):
                return
            self._patience.ask(lambda: self._api.patch(kinds.JOBS, snapshot.name, change))
            self._say(f"{words}; touched the Job, which wakes it")
        except ForbiddenError as error:
            self._say(f"{words}; any change of the Job would wake it, but: {error}")
