"""Signals: Ctrl-C, SIGTERM and a closed terminal interrupt a command, which then cleans up.

Imports that cost time wait until they are needed: this is loaded before anything else.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False  # as in typing, whose import costs time too
if TYPE_CHECKING:
    from types import FrameType

INTERRUPTED = 130  # ExitCode.INTERRUPTED, before it is imported

_received = 0  # the first of them
_once = False
_raised = False


def handle(*, raising: bool) -> None:
    """On a signal, raise KeyboardInterrupt in the main thread; without `raising`, with nothing to clean up, exit at once."""
    import signal

    def interrupt(number: int, frame: FrameType | None) -> None:
        global _received, _raised
        if _once and _raised:
            return
        if not raising:
            os._exit(INTERRUPTED)
        _received = _received or number
        if _is_importing(frame):  # an exception there makes some libraries in C and Rust print messages of their own
            interrupt_again()
            return
        _raised = True
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
        # Ignored signals stay ignored: nohup and background jobs of shells rely on it.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, interrupt)


def interrupt_again() -> None:
    """Interrupt in a moment, where a signal came at a place that takes no exception."""
    global _raised
    import signal

    _raised = False
    signal.setitimer(signal.ITIMER_REAL, 0.01)  # SIGALRM


def finish() -> None:
    """Take no more signals, at the end of the program. Raises KeyboardInterrupt if one is still to interrupt again.

    Its SIGALRM would kill a Python that has put back the handlers of the system.
    """
    import signal

    handle(raising=False)
    if signal.setitimer(signal.ITIMER_REAL, 0)[0]:
        raise KeyboardInterrupt


def interrupt_once() -> None:
    """Let no further signal interrupt the cleaning up after the first, for a command that ends it in a bounded time."""
    global _once
    _once = True


def ignore() -> None:
    """Let no signal interrupt what is left to do, for a command that has called `interrupt_once`."""
    global _raised
    _raised = True


def exit_code() -> int:
    """The exit code of a command that was told to stop: 128 and the number of the signal, as shells count it."""
    import signal

    return 128 + (_received or signal.SIGINT)


def _is_importing(frame: FrameType | None) -> bool:
    while frame and not frame.f_code.co_filename.startswith("<frozen importlib"):
        frame = frame.f_back
    return frame is not None
