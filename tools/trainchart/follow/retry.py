"""Retries calls to an API server: an outage that is shorter than the limit ends no command."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from trainchart.cluster.errors import UnreachableError
from trainchart.terminal import print_message

LIMIT_SECONDS = 600.0
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 5.0

T = TypeVar("T")


class Retry:
    """Shared by all threads of a command: each outage is reported once when it begins and once when it is over."""

    def __init__(self, notify: Callable[[str], None] = print_message, limit: float | None = None) -> None:
        """`limit`: how many seconds an outage may last (default: LIMIT_SECONDS); math.inf for as long as it takes."""
        self._notify = notify
        self._limit = LIMIT_SECONDS if limit is None else limit
        self._lock = threading.Lock()
        self._failing_since: float | None = None
        self._reported = False
        self._cancelled = threading.Event()
        self.trouble = ""
        """What there is to say of the present outage; empty while the API server answers."""

    def call(self, function: Callable[[], T]) -> T:
        """Return what the function returns, called again while the API server cannot be reached.

        Raises:
            UnreachableError: the outage lasted longer than the limit, or the command ended meanwhile.
            Whatever else the function raises.
        """
        pause = FIRST_PAUSE
        while True:
            try:
                answer = function()
            except UnreachableError as error:
                self._failed(error)
            else:
                self._succeeded()
                return answer
            self.pause(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    def pause(self, seconds: float) -> None:
        """Wait, but no longer than the command lives."""
        self._cancelled.wait(seconds)

    def cancel(self) -> None:
        """The command ends: nobody waits for an answer any longer."""
        self._cancelled.set()

    @property
    def is_cancelled(self) -> bool:
        return self._cancelled.is_set()

    def _failed(self, error: UnreachableError) -> None:
        if self.is_cancelled:
            raise error
        with self._lock:
            now = time.monotonic()
            self._failing_since = self._failing_since or now
            if now - self._failing_since > self._limit:
                raise UnreachableError(f"{error} (given up after {self._limit / 60:.0f} minutes)")
            is_first, self._reported = not self._reported, True
            until = f" for up to {self._limit / 60:.0f} minutes" if math.isfinite(self._limit) else ""
            self.trouble = f"{error}; trying again{until}"
        if is_first:
            self._notify(self.trouble)

    def _succeeded(self) -> None:
        with self._lock:
            since, self._failing_since, self.trouble = self._failing_since, None, ""
            was_reported, self._reported = self._reported, False
        if was_reported and since is not None and not self.is_cancelled:
            self._notify(f"the API server answers again, after {time.monotonic() - since:.0f} s")
