"""The container's first process: it forwards signals and reaps orphans, and leaves the run itself to a child.

Orphans become children of the container's first process, which must wait for them. The runner cannot: waiting for any
child would steal the exit codes of its own children from `subprocess`. docs/decisions/0020 has the reasons.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import Dict, List, NoReturn, Tuple

# The image or the pod may name any of these as its stop signal; the default is SIGTERM.
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)

# How long to wait for processes that the kernel cannot end because they hang in a driver or a file system.
STRAYS_SECONDS = 2.0

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36

_init = 0  # in the runner: the PID of its init


def start() -> None:
    """Return in a forked child; the parent supervises it, and exits with its exit code.

    A stop signal that arrives before the runner handles it stays pending until `interrupts.install`.
    """
    global _init
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_BLOCK, {*STOP_SIGNALS, signal.SIGCHLD})
    init = os.getpid()
    if init != 1:  # such as in a PID namespace that the pod's containers share
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    try:
        child = os.fork()
    except OSError:  # no process can be started; the run reports it when it needs its first one
        child = 0
    else:
        if child:
            _supervise(child)
        _init = init
        if init != 1:  # end the runner with its init, as the kernel does for PID 1
            _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != init:
                os._exit(128 + signal.SIGKILL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})


def _supervise(child: int) -> NoReturn:
    while True:
        number = signal.sigwait({*STOP_SIGNALS, signal.SIGCHLD})
        if number != signal.SIGCHLD:
            os.kill(child, number)
            continue
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            if pid == child:
                _end(os.getpid(), 0)
                _end_sidecars()
                os._exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status))


def _end_sidecars() -> None:
    """End the pod's sidecars, where the run allows any. Whatever fails, the run's exit code stays."""
    try:
        from features import sidecars
    except ImportError:
        return
    with contextlib.suppress(Exception):
        sidecars.end()


def kill_strays() -> None:
    """Kill what a subprocess left running outside of its process group, such as a daemon: the orphans that the init has
    adopted.

    Does nothing in a process that `start` did not fork.
    """
    if _init:
        _end(_init, os.getpid())


def _end(init: int, spared: int) -> None:
    """Send SIGKILL to all descendants of the init except one child and its descendants, until none is left."""
    until = time.monotonic() + STRAYS_SECONDS
    while True:
        strays = _strays(init, spared)
        for pid in strays:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if not strays or time.monotonic() > until:
            return
        time.sleep(0.005)


def _strays(init: int, spared: int) -> List[int]:
    children: Dict[int, List[Tuple[int, bool]]] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208
        if not name.isdecimal():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123
                state, parent = file.read().rpartition(b") ")[2].split()[:2]
        except (OSError, ValueError):  # it has just exited
            continue
        children.setdefault(int(parent), []).append((int(name), state in (b"Z", b"X")))
    found, parents = [], [init]
    while parents:
        for pid, has_exited in children.get(parents.pop(), []):
            if pid != spared:
                parents.append(pid)
                if not has_exited:
                    found.append(pid)
    return found


def _prctl(option: int, value: int) -> None:
    """Call prctl, if the image's Python has ctypes. A process with PID 1 needs neither option."""
    with contextlib.suppress(ImportError, OSError, AttributeError):
        import ctypes

        ctypes.CDLL(None).prctl(option, ctypes.c_ulong(value), 0, 0, 0)
