"""Programs that a signal ended. That is the fault of the machine or of its memory, so the run is tried again."""

from __future__ import annotations

import contextlib
import re
import signal
from pathlib import Path
from typing import List, Optional

from .errors import RunnerError

# cgroup v2, then v1, as a container sees them
OOM_COUNTERS = (Path("/sys/fs/cgroup/memory.events"), Path("/sys/fs/cgroup/memory/memory.oom_control"))

# A shell says 128 + n of what signal n ended, and Python's sys.exit(-n), which launchers call, becomes 256 - n. Only these
# signals are believed in such a number, as programs use others for themselves: git 128 and 129, many 255; and SIGPIPE (141) is
# what a script under pipefail ends with whenever `head` has read enough. SIGSEGV, SIGABRT, SIGBUS, SIGFPE and SIGILL may be a bug
# of the program, which another attempt meets again, but they are as often a broken device, driver or node (NCCL and CUDA abort),
# which it does not: the attempts that a bug costs are bounded by `retries` and start from the last checkpoint.
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

# What launchers and libraries say of a worker that a signal killed; their own exit code does not tell. A "Bus error" of a
# DataLoader's worker is not among them: it means that /dev/shm is too small.
_WORKER = re.compile(
    r"Signal \d+ \((SIG\w+)\) received by PID"
    r"|LAUNCH INFO .*Exit code -(\d+)$"
    r"|terminated with signal (SIG\w+)"
    r"|died with <Signals\.(SIG\w+)"
    r"|is killed by signal: (Killed|Terminated|Aborted|Segmentation fault)"
)


def signal_of(code: int) -> str:
    """The name of the signal behind an exit code (negative: as `subprocess` gives it), "" where there is none."""
    number = -code if code < 0 else _BY_CODE.get(code, 0)
    try:
        return signal.Signals(number).name if number else ""
    except ValueError:
        return f"signal {number}"


def signal_in(tail: List[str]) -> str:
    """The signal that a worker died of, by the last lines that its launcher printed; "" where none is told."""
    for line in tail:
        found = _WORKER.search(line)
        if found:
            word = next(filter(None, found.groups()))
            return signal_of(-int(word)) if word.isdigit() else word
    return ""


def failure(what: str, code: int, tail: List[str], out_of_memory: bool) -> Optional[RunnerError]:
    """The failure of a program that was killed, or None where it ended by itself. `what` begins the sentence."""
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
    """How many processes of this container the kernel has killed for memory."""
    for path in OOM_COUNTERS:
        with contextlib.suppress(OSError, ValueError, KeyError):
            counters = dict(line.split() for line in path.read_text(encoding="ascii").splitlines())
            return int(counters["oom_kill"])
    return 0
