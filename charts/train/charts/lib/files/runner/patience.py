"""How long the stage publish goes on trying while the server does not take the result: hours of training wait for it."""

from __future__ import annotations

import time
from typing import Optional

from . import log
from .errors import RunnerError

PAUSES = (5.0, 10.0, 20.0, 40.0, 60.0)  # seconds before each further try; the last one stays
TOLD_SECONDS = 60.0  # how often the log says that it waits


class Patience:
    """Counts from the first failure on. A try that is under way is never cut short: a large upload may take longer."""

    def __init__(self, seconds: float, place: str) -> None:
        self._seconds = seconds
        self._place = place  # where the artifacts are, for whoever has lost patience
        self._since: Optional[float] = None
        self._failures = 0
        self._told = 0.0
        self._reason, self._fix = "", ""

    def wait(self, error: RunnerError) -> None:
        """The pause after a failure.

        Raises:
            RunnerError: the failure itself, when the time is over.
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
            raise RunnerError(error.exit.name, f"{error.reason}; {passed}; {self._place}", error.fix)
        self.tick()
        while time.monotonic() < until:
            time.sleep(min(1.0, max(0.0, until - time.monotonic())))
            self.tick()

    def tick(self) -> None:
        """Once a second or so, also while a try is under way: about every minute a line says how it stands."""
        now = time.monotonic()
        if self._since is None or (self._told and now - self._told < TOLD_SECONDS):
            return
        self._told = now
        passed = now - self._since
        left = max(0.0, self._seconds - passed)
        log.event(
            "waiting", stage="publish", seconds=round(passed), left=round(left), reason=self._reason, fix=self._fix
        )
