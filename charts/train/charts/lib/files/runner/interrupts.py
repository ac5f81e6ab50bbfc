"""SIGTERM and the time limit, as one exception raised in the main thread: whatever runs is unwound and its child ended."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import Iterator, Optional

from .errors import Interrupted, RunnerError

_pending: Optional[RunnerError] = None
_held = False


def install(time_limit_seconds: float) -> None:
    def stopped(*_: object) -> None:
        _interrupt(
            RunnerError(
                "stopped",
                "the pod was told to stop (SIGTERM): deleted, evicted or preempted",
                "Volcano restarts the run while retries last",
            )
        )

    def too_long(*_: object) -> None:
        _interrupt(
            RunnerError(
                "time-limit",
                f"the run reached timeLimit ({time_limit_seconds:g} seconds)",
                "raise timeLimit, or train less",
            )
        )

    signal.signal(signal.SIGTERM, stopped)
    signal.signal(signal.SIGALRM, too_long)
    signal.setitimer(signal.ITIMER_REAL, time_limit_seconds)  # 0: no limit


@contextmanager
def held() -> Iterator[None]:
    """What must not be torn in two, such as starting a process; an interruption comes right after it."""
    global _held
    _held = True
    try:
        yield
    finally:
        _held = False
    if _pending is not None:
        raise Interrupted(_pending)


def ignore() -> None:
    """From here on the run only writes down how it ended."""
    for number in (signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, signal.SIG_IGN)


def _interrupt(error: RunnerError) -> None:
    global _pending
    if _pending is None:  # the first one decides; the kubelet's and Volcano's further signals change nothing
        _pending = error
        if not _held:
            raise Interrupted(error)
