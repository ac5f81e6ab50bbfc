"""What ends a run from outside (stop signals, the time limit, a lost lease), as one exception raised in the main thread: whatever
runs is unwound and its child ended.
"""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import Iterator, NoReturn, Optional

from . import init
from .errors import Interrupted, RunnerError

_pending: Optional[RunnerError] = None
_held = False
_ignored = False
_asked: Optional[RunnerError] = None  # by another thread


def install() -> None:
    """Take the stop signals from here on, one that came before included.

    Raises:
        Interrupted: once at most, here or wherever the main thread is when it comes.
    """

    def stopped(number: int, _: object) -> None:
        _interrupt(
            RunnerError(
                "stopped",
                f"the pod was told to stop ({signal.Signals(number).name}): deleted, evicted or preempted",
                "Volcano restarts the run while retries last",
            )
        )

    def asked(*_: object) -> None:
        if _asked is not None:
            _interrupt(_asked)

    signal.signal(signal.SIGUSR1, asked)
    for number in init.STOP_SIGNALS:
        signal.signal(number, stopped)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, init.STOP_SIGNALS)


def limit(seconds: float) -> None:
    """End the run after so many seconds; 0: no limit."""

    def too_long(*_: object) -> None:
        _interrupt(
            RunnerError(
                "time-limit", f"the run reached timeLimit ({seconds:g} seconds)", "raise timeLimit, or train less"
            )
        )

    signal.signal(signal.SIGALRM, too_long)
    signal.setitimer(signal.ITIMER_REAL, seconds)


def stop(error: RunnerError) -> NoReturn:
    """In the main thread: the run ends here and now, with this error or one that came before."""
    global _pending
    _pending = _pending or error
    raise Interrupted(_pending)


def end(error: RunnerError) -> None:
    """From any thread: the main thread ends the run with this error, also where it waits."""
    global _asked
    _asked = error
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)


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
    global _ignored
    _ignored = True  # and not by SIG_IGN: Python complains about a signal that came just before


def _interrupt(error: RunnerError) -> None:
    global _pending
    # The first one decides; the kubelet's and Volcano's further signals change nothing.
    if _pending is None and not _ignored:
        _pending = error
        if not _held:
            raise Interrupted(error)
