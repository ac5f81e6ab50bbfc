"""Retries of stage publish while the server does not accept the result: hours of training depend on it."""

from __future__ import annotations

import time
from typing import Optional

from . import log
from .errors import RunnerError

PAUSES = (5.0, 10.0, 20.0, 40.0, 60.0)  # seconds before each retry; the last one repeats
LOG_SECONDS = 60.0  # between the log lines about waiting


class Retry:
    """Allows retries for `seconds` after the first failure. A running attempt is never cut short: a large upload may
    take longer.
    """

    def __init__(self, seconds: float, location: str) -> None:
        self._seconds = seconds
        self._location = location  # where the artifacts are, for the message of the last failure
        self._since: Optional[float] = None
        self._failures = 0
        self._logged = 0.0
        self._reason, self._fix = "", ""

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
            raise RunnerError(error.exit.name, f"{error.reason}; {passed}; {self._location}", error.fix)
        self.tick()
        while time.monotonic() < until:
            time.sleep(min(1.0, max(0.0, until - time.monotonic())))
            self.tick()

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
