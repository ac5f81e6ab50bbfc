"""What is asked of an API server again and again until it answers: a network that is cut for a while ends nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from trainchart.cluster.errors import UnreachableError
from trainchart.terminal import tell

LIMIT_SECONDS = 600.0
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 5.0

T = TypeVar("T")


class Patience:
    """One for all threads of a command: each outage is told once when it begins and once when it is over."""

    def __init__(self, say: Callable[[str], None] = tell, limit: float = LIMIT_SECONDS) -> None:
        self._say = say
        self.limit = limit
        self._lock = threading.Lock()
        self._since: float | None = None
        self._told = False
        self.over = threading.Event()  # nobody waits any longer: the command ends

    def ask(self, call: Callable[[], T]) -> T:
        """What the call answers, asked again while the API server is away.

        Raises:
            UnreachableError: it was away for longer than the limit, or the command is over and nobody waits.
            Whatever else the call raises.
        """
        pause = FIRST_PAUSE
        while True:
            try:
                answer = call()
            except UnreachableError as error:
                self.missed(error)
                if self.over.is_set():
                    raise
            else:
                self.answered()
                return answer
            self.rest(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    def missed(self, error: UnreachableError) -> None:
        """An answer did not come.

        Raises:
            UnreachableError: the same error, with how long this has been so, when that is longer than the limit.
        """
        with self._lock:
            now = time.monotonic()
            self._since = self._since or now
            if now - self._since > self.limit:
                raise UnreachableError(f"{error} (given up after {self.limit / 60:.0f} minutes)")
            first, self._told = not self._told, True
        if first and not self.over.is_set():
            self._say(f"{error}; trying again for up to {self.limit / 60:.0f} minutes")

    @property
    def is_away(self) -> bool:
        return self._since is not None

    def answered(self) -> None:
        with self._lock:
            since, self._since = self._since, None
            told, self._told = self._told, False
        if told and since is not None and not self.over.is_set():
            self._say(f"the API server answers again, after {time.monotonic() - since:.0f} s")

    def rest(self, seconds: float) -> None:
        """Wait, but not longer than the command lives."""
        self.over.wait(seconds)
