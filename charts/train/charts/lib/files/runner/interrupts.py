"""Interruptions of a run (stop signals, the time limit, a lost lease), as one exception in the main thread, which
unwinds whatever runs there and ends its subprocess.
"""

from __future__ import annotations

import signal
import threading
import time
from contextlib import contextmanager
from typing import Iterator, NoReturn, Optional

from . import init
from .errors import Interrupted, RunnerError

_pending: Optional[RunnerError] = None
_deferred = False
_ignored = False
_missed: Optional[RunnerError] = None  # the last one that was ignored
_requested: Optional[RunnerError] = None  # by another thread


def install() -> None:
    """Handle the stop signals from here on, including one that is pending.

    Raises:
        Interrupted: at most once, here or wherever the main thread is when the signal arrives.
    """

    def stopped(number: int, _: object) -> None:
        _interrupt(
            RunnerError(
                "stopped",
                f"the pod received {signal.Signals(number).name}: it was deleted, evicted or preempted",
                "Volcano restarts the run while retries last",
            )
        )

    def requested(*_: object) -> None:
        if _requested is not None:
            _interrupt(_requested)

    signal.signal(signal.SIGUSR1, requested)
    for number in init.STOP_SIGNALS:
        signal.signal(number, stopped)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, init.STOP_SIGNALS)


def limit(seconds: float) -> None:
    """Interrupt the run after that many seconds; 0 means no limit."""

    def too_long(*_: object) -> None:
        _interrupt(
            RunnerError(
                "time-limit", f"the run reached timeLimit ({seconds:g} seconds)", "raise timeLimit, or train less"
            )
        )

    signal.signal(signal.SIGALRM, too_long)
    signal.setitimer(signal.ITIMER_REAL, seconds)


def raise_now(error: RunnerError) -> NoReturn:
    """Interrupt the run from the main thread, with this error or the pending one."""
    global _pending
    _pending = _pending or error
    raise Interrupted(_pending)


def request(error: RunnerError) -> None:
    """Interrupt the run from any thread: raises in the main thread, even while it waits."""
    global _requested
    _requested = error
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)


@contextmanager
def deferred() -> Iterator[None]:
    """Defer an interruption to the end of the block, which must not be torn in two, such as starting a process."""
    global _deferred
    _deferred = True
    try:
        yield
    finally:
        _deferred = False
    if _pending is not None:
        raise Interrupted(_pending)


def ignore() -> None:
    """Ignore interruptions from here on: the run only records its outcome."""
    global _ignored
    _ignored = True  # not with SIG_IGN: Python complains about a signal that arrived just before


def pause(seconds: float) -> str:
    """Wait, though the outcome is known. Returns why it took less: a stop signal, or the time limit; "" if it did not."""
    global _ignored
    try:
        _ignored = False
        if _missed is None:
            time.sleep(seconds)
            return ""
    except Interrupted as interruption:
        return interruption.error.reason
    finally:
        _ignored = True
    return _missed.reason


def _interrupt(error: RunnerError) -> None:
    global _pending, _missed
    _missed = error if _ignored else _missed
    # The first one counts; further signals of the kubelet or Volcano change nothing.
    if _pending is None and not _ignored:
        _pending = error
        if not _deferred:
            raise Interrupted(error)
