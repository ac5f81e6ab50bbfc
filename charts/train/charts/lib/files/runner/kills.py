"""Recognizes programs that a signal killed. The machine or its memory is to blame, so the run is retried."""

from __future__ import annotations

import contextlib
import re
import signal
from pathlib import Path
from typing import List, Optional

from .errors import RunnerError

# cgroup v2, then v1, as a container sees them
OOM_COUNTERS = (Path("/sys/fs/cgroup/memory.events"), Path("/sys/fs/cgroup/memory/memory.oom_control"))

# A shell exits with 128 + n when signal n killed its program, and Python's sys.exit(-n), which launchers call, becomes
# 256 - n. Only these signals are recognized in such a code, because programs use others themselves: git 128 and 129,
# many 255; and a script under pipefail exits with SIGPIPE's 141 whenever `head` has read enough. SIGSEGV, SIGABRT,
# SIGBUS, SIGFPE and SIGILL may be a bug of the program, which the next attempt hits again, but as often they are a
# broken device, driver or node (NCCL and CUDA abort), which it does not: the attempts that a bug costs are limited by
# `retries`, and start from the last checkpoint.
_REPORTED = (
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGILL,
    signal.SIGABRT,
    signal.SIGBUS,
    signal.SIGFPE,
    signal.SIGKILL,
    signal.SIGSEGV,
    signal.SIGTERM,
)
_BY_CODE = {code: number for number in _REPORTED for code in (128 + number, 256 - number)}

# What launchers and libraries print about a worker that a signal killed, which their own exit codes do not show. A "Bus
# error" of a DataLoader's worker is not among them: it means that /dev/shm is too small.
_WORKER = re.compile(
    r"Signal \d+ \((SIG\w+)\) received by PID"
    r"|LAUNCH INFO .*Exit code -(\d+)$"
    r"|terminated with signal (SIG\w+)"
    r"|died with <Signals\.(SIG\w+)"
    r"|is killed by signal: (Killed|Terminated|Aborted|Segmentation fault)"
)


def signal_of(code: int) -> str:
    """Return the name of the signal behind an exit code (negative: from `subprocess`), or ""."""
    number = -code if code < 0 else _BY_CODE.get(code, 0)
    try:
        return signal.Signals(number).name if number else ""
    except ValueError:
        return f"signal {number}"


def signal_in(tail: List[str]) -> str:
    """Return the name of the signal that killed a worker, according to its launcher's last lines, or ""."""
    for line in tail:
        found = _WORKER.search(line)
        if found:
            name = next(filter(None, found.groups()))
            return signal_of(-int(name)) if name.isdigit() else name
    return ""


def failure(what: str, code: int, tail: List[str], out_of_memory: bool) -> Optional[RunnerError]:
    """Return the failure of a program that was killed; None if it exited by itself. `what` begins the message."""
    if code == 0:
        return None
    if out_of_memory:
        return RunnerError(
            "process-killed",
            f"{what} was killed by the kernel: it needed more memory than the pod's limit",
            "raise resources.limits.memory",
        )
    number = signal_of(code) or signal_in(tail)
    if not number:
        return None
    return RunnerError(
        "process-killed",
        f"{what} was killed by {number}",
        "see the lines above; Volcano restarts the run while retries last",
    )


def oom_kills() -> int:
    """Return how many processes of this container the kernel has killed for memory."""
    for path in OOM_COUNTERS:
        with contextlib.suppress(OSError, ValueError, KeyError):
            counters = dict(line.split() for line in path.read_text(encoding="ascii").splitlines())
            return int(counters["oom_kill"])
    return 0
