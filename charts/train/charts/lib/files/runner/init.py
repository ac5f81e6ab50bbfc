"""The first process of the container: it takes the signals and reaps orphans, and leaves the run itself to a child.

What loses its parent in a container becomes a child of its first process, which has to wait for it. The runner cannot: waiting for any
child would take the exit codes of its own children from `subprocess`. docs/decisions/0020 has the reasons.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import Dict, List, NoReturn, Tuple

# Whichever of them the image or the pod names as its stop signal; Kubernetes' own is SIGTERM.
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)

# A process that the kernel cannot end (hanging in a driver or a file system) is not waited for any longer.
STRAYS_SECONDS = 2.0

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36

_init = 0  # in the runner: the process ID of its init


def start() -> None:
    """Go on in a child; the caller stays in here, and ends as the child does.

    A stop signal that comes before the runner can take it stays pending until `interrupts.install`.
    """
    global _init
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_BLOCK, {*STOP_SIGNALS, signal.SIGCHLD})
    init = os.getpid()
    if init != 1:  # another process is the first one, as in a namespace that the pod's containers share
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    try:
        child = os.fork()
    except OSError:  # no process can be started here; the run says so in words when it needs its first
        child = 0
    else:
        if child:
            _supervise(child)
        _init = init
        if init != 1:  # the runner ends with its init also where the kernel does not see to it
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
                os._exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status))


def end_strays() -> None:
    """End what a subprocess of the runner has left running outside of its process group, such as a daemon in a session of its own.

    These are the processes that have lost their parent and so have come to the init. Nothing happens in a process that has none.
    """
    if _init:
        _end(_init, os.getpid())


def _end(init: int, spared: int) -> None:
    """SIGKILL to all descendants of the init but one child and its descendants, until none is left."""
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
        except (OSError, ValueError):  # it has just ended
            continue
        children.setdefault(int(parent), []).append((int(name), state in (b"Z", b"X")))
    found, parents = [], [init]
    while parents:
        for pid, has_ended in children.get(parents.pop(), []):
            if pid != spared:
                parents.append(pid)
                if not has_ended:
                    found.append(pid)
    return found


def _prctl(option: int, value: int) -> None:
    """Nothing where the image's Python has no ctypes; a first process needs neither option."""
    with contextlib.suppress(ImportError, OSError, AttributeError):
        import ctypes

        ctypes.CDLL(None).prctl(option, ctypes.c_ulong(value), 0, 0, 0)
