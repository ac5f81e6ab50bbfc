"""Retries of stage publish while the server does not accept the result: hours of training depend on it."""

from __future__ import annotations

import time
from typing import Callable, Optional, TypeVar

from . import log
from .context import Context
from .errors import RunnerError

Result = TypeVar("Result")

PAUSES = (5.0, 10.0, 20.0, 40.0, 60.0)  # seconds before each retry; the last one repeats
LOG_SECONDS = 60.0  # between the log lines about waiting


class Retry:
    """Allows retries for publish.patience after the first failure. A running attempt is never cut short: a large upload
    may take longer.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._seconds = float(context.settings.run.patience_seconds)
        self._since: Optional[float] = None
        self._failures = 0
        self._logged = 0.0
        self._reason, self._fix = "", ""

    def call(self, deliver: Callable[[], Optional[Result]]) -> Result:
        """Call `deliver` until it returns a result, and return that. It returns None to be called again immediately.

        Raises:
            RunnerError: the failure that no retry can help, or the last one.
        """
        while True:
            self._context.lease.check()
            try:
                delivered = deliver()
            except RunnerError as error:
                if not self._is_retryable(error):
                    raise
                self.wait(error)
            else:
                if delivered is not None:
                    return delivered

    def _is_retryable(self, error: RunnerError) -> bool:
        """Whether a failure is temporary. If the model would be lost with the pod, also what a person can fix
        meanwhile: an expired token (the Secret is read again at each attempt), an exhausted quota, a rule for branches.
        """
        if error.exit.name == "publish-refused":
            return not self._context.settings.workspace.shared
        return error.exit.name in ("publish-unreachable", "process-killed")

    def wait(self, error: RunnerError) -> None:
        """Pause after a failure.

        Raises:
            RunnerError: the failure, if the time is up.
        """
        now = time.monotonic()
        if self._since is None:
            self._since = now
        self._reason, self._fix = error.reason, error.fix
        end = self._since + self._seconds
        until = min(now + PAUSES[min(self._failures, len(PAUSES) - 1)], end)
        self._failures += 1
        if now >= end:
            passed = f"tried {self._failures} times in {now - self._since:.0f} seconds (publish.patience)"
            raise RunnerError(error.exit.name, f"{error.reason}; {passed}; {self._location()}", error.fix)
        self.tick()
        while time.monotonic() < until:
            time.sleep(min(1.0, max(0.0, until - time.monotonic())))
            self.tick()

    def _location(self) -> str:
        """Return where the artifacts are if they cannot be published, for messages."""
        if self._context.settings.workspace.shared:
            return f"the artifacts stay in {self._context.settings.directory}/artifacts of the workspace's claim"
        return "the artifacts are lost with this pod and its workspace"

    def tick(self) -> None:
        """Log the state about once a minute. Call it about once a second, also during an attempt."""
        now = time.monotonic()
        if self._since is None or (self._logged and now - self._logged < LOG_SECONDS):
            return
        self._logged = now
        passed = now - self._since
        left = max(0.0, self._seconds - passed)
        log.event(
            "waiting", stage="publish", seconds=round(passed), left=round(left), reason=self._reason, fix=self._fix
        )
