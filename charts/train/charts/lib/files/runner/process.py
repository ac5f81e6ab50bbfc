"""Runs subprocesses: their output goes to the log line by line, and nothing of them is left running."""

from __future__ import annotations

import collections
import contextlib
import os
import selectors
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Callable, Deque, Dict, Iterator, List, Optional, Sequence, Union, cast

from . import init, interrupts, kills, log
from .errors import Interrupted, RunnerError

GRACE_SECONDS = 25.0  # from SIGTERM to SIGKILL; Kubernetes gives the pod 30
PROGRESS_SECONDS = 10.0  # between logged states of a progress bar, whose lines end with a carriage return
TAIL_LINES = 200


@dataclass(frozen=True)
class Finished:
    code: int  # -n if signal n killed it
    output: str  # its stdout, if captured
    tail: List[str]  # the last lines of what was not captured
    out_of_memory: bool = False  # the kernel killed a process for memory meanwhile
    stalled: bool = False  # it was stopped for making no progress

    def killed(self, what: str) -> Optional[RunnerError]:
        """Return the failure of a program that was killed; None if it exited by itself. `what` begins the message."""
        return kills.failure(what, self.code, self.tail, self.out_of_memory)


def run(
    argv: Sequence[str],
    cwd: Path,
    environment: Dict[str, str],
    capture: bool = False,
    tick: Optional[Callable[[], None]] = None,
    stall_seconds: float = float("inf"),
    stdin: bytes = b"",
    quiet: bool = False,
) -> Finished:
    """Run a program in its own process group, and wait for it.

    With `capture` only stderr goes to the log, with `quiet` nothing does. `tick` is called about once a second. The
    group is stopped if for `stall_seconds` it neither prints anything nor reads or writes a byte.

    Raises:
        OSError: it cannot be started.
    """
    captured = bytearray()
    killed_before = kills.oom_kills()
    stalled = False
    lines = _Lines(quiet)
    grace = GRACE_SECONDS
    child: Optional[subprocess.Popen[bytes]] = None
    with selectors.DefaultSelector() as selector, _open_stdin(stdin) as input_file:
        try:
            with interrupts.deferred():
                child = subprocess.Popen(
                    list(argv),
                    cwd=str(cwd),
                    env=environment,
                    stdin=input_file,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE if capture else subprocess.STDOUT,
                    start_new_session=True,
                )
                selector.register(
                    cast("IO[bytes]", child.stdout), selectors.EVENT_READ, captured.extend if capture else lines.feed
                )
                if capture:
                    selector.register(cast("IO[bytes]", child.stderr), selectors.EVENT_READ, lines.feed)
            stalled = not _pump(child, selector, tick, stall_seconds=stall_seconds)
        except Interrupted as interruption:
            grace = 0.0 if interruption.error.immediate else GRACE_SECONDS
            raise
        finally:
            if child is not None:
                _stop(child, selector, grace)
            lines.flush()
    return Finished(
        child.returncode or (-signal.SIGTERM if stalled else 0),
        captured.decode("utf-8", "replace"),
        list(lines.tail),
        kills.oom_kills() > killed_before,
        stalled,
    )


@contextlib.contextmanager
def _open_stdin(data: bytes) -> Iterator[Union[int, IO[bytes]]]:
    """Open a standard input; a file if there is data, because a pipe takes only 64 KiB before it blocks."""
    if not data:
        yield subprocess.DEVNULL
        return
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.seek(0)
        yield file


def _pump(
    child: subprocess.Popen[bytes],
    selector: selectors.BaseSelector,
    tick: Optional[Callable[[], None]],
    until: float = float("inf"),
    stall_seconds: float = float("inf"),
) -> bool:
    """Pass on the output until the child has exited and is silent, or `until`. Returns False if it stalls."""
    ticked = moved = time.monotonic()
    transferred: Optional[int] = None
    while time.monotonic() < until:
        exited = child.poll() is not None
        readable = selector.select(timeout=0.2 if selector.get_map() else 0) or []
        for key, _ in readable:
            data = os.read(key.fd, 65536)
            if data:
                key.data(data)
                moved = time.monotonic()
            else:
                selector.unregister(key.fileobj)
        if exited and not readable:  # a grandchild may hold the pipe open forever
            return True
        if not selector.get_map() and not exited:
            time.sleep(0.02)
        if time.monotonic() - ticked >= 1:
            ticked = time.monotonic()
            if tick:
                tick()
            if stall_seconds != float("inf"):
                before, transferred = transferred, _transferred(child.pid)
                if transferred is None or transferred != before:
                    moved = ticked
                elif ticked - moved >= stall_seconds:
                    return False
    return True


def _transferred(group: int) -> Optional[int]:
    """Return the bytes that the group's processes have read and written so far; None if the kernel does not show
    them.
    """
    total, known = 0, False
    for folder in Path("/proc").iterdir():
        # A process may exit at any moment, and other users' are not readable.
        with contextlib.suppress(OSError, ValueError, IndexError):
            if folder.name.isdigit() and os.getpgid(int(folder.name)) == group:
                counters = dict(line.split(": ") for line in (folder / "io").read_text(encoding="ascii").splitlines())
                total += int(counters["rchar"]) + int(counters["wchar"])
                known = True
    return total if known else None


def _stop(child: subprocess.Popen[bytes], selector: selectors.BaseSelector, grace: float) -> None:
    """Stop the child's group: SIGTERM, and its output for the grace period; then kill the group and what has left
    it.
    """
    if child.poll() is None and grace:
        _signal(child, signal.SIGTERM)
        _pump(child, selector, None, time.monotonic() + grace)
    _signal(child, signal.SIGKILL)
    child.wait()
    init.kill_strays()


def _signal(child: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, number)


class _Lines:
    """Splits output into lines for the log. Only one state of a progress bar every few seconds becomes a line."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self.tail: Deque[str] = collections.deque(maxlen=TAIL_LINES)
        self._rest = b""
        self._written_at = time.monotonic()

    def feed(self, data: bytes) -> None:
        *lines, rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._write(_last_state(line))
        if b"\r" in rest[:-1] or len(rest) > 65536:
            state = _last_state(rest)
            if time.monotonic() - self._written_at >= PROGRESS_SECONDS:
                self._write(state)
            rest = b"\r" + state + (b"\r" if rest.endswith(b"\r") else b"")
        self._rest = rest[-65536:]

    def flush(self) -> None:
        if self._rest:
            self.feed(b"\n")

    def _write(self, line: bytes) -> None:
        self._written_at = time.monotonic()
        text = log.without_secrets(line.decode("utf-8", "replace"))
        self.tail.append(text[:2000])
        if not self._quiet:
            log.line(text)


def _last_state(line: bytes) -> bytes:
    """Return what a terminal would finally show: the part after the last carriage return that is followed by text."""
    return line.rstrip(b"\r").rsplit(b"\r", 1)[-1]
