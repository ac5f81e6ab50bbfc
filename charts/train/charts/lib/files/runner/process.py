"""Subprocesses: their output goes to the log line by line, and they never outlive the runner's interest in them."""

from __future__ import annotations

import collections
import contextlib
import os
import selectors
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Callable, Deque, Dict, List, Optional, Sequence, cast

from . import init, interrupts, log
from .errors import Interrupted

GRACE_SECONDS = 25.0  # from SIGTERM to SIGKILL; Kubernetes gives the pod 30
PROGRESS_SECONDS = 10.0  # how often a progress bar, which ends its lines with a carriage return, is shown
TAIL_LINES = 200


@dataclass(frozen=True)
class Finished:
    code: int  # negative: the number of the signal that killed it
    output: str  # what it wrote to stdout, where that was captured
    tail: List[str]  # the last lines of the rest


def run(
    argv: Sequence[str],
    cwd: Path,
    environment: Dict[str, str],
    capture: bool = False,
    tick: Optional[Callable[[], None]] = None,
) -> Finished:
    """Run to the end, in a process group of its own. With `capture` only stderr goes to the log. `tick` is called about once a second."""
    captured = bytearray()
    lines = _Lines()
    grace = GRACE_SECONDS
    child: Optional[subprocess.Popen[bytes]] = None
    with selectors.DefaultSelector() as selector:
        try:
            with interrupts.held():
                child = subprocess.Popen(
                    list(argv),
                    cwd=str(cwd),
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE if capture else subprocess.STDOUT,
                    start_new_session=True,
                )
                selector.register(
                    cast("IO[bytes]", child.stdout), selectors.EVENT_READ, captured.extend if capture else lines.feed
                )
                if capture:
                    selector.register(cast("IO[bytes]", child.stderr), selectors.EVENT_READ, lines.feed)
            _pump(child, selector, tick)
        except Interrupted as interruption:
            grace = 0.0 if interruption.error.at_once else GRACE_SECONDS
            raise
        finally:
            if child is not None:
                _end(child, selector, grace)
            lines.flush()
    return Finished(child.returncode, captured.decode("utf-8", "replace"), list(lines.tail))


def _pump(
    child: subprocess.Popen[bytes],
    selector: selectors.BaseSelector,
    tick: Optional[Callable[[], None]],
    until: float = float("inf"),
) -> None:
    """Pass the output on until the child has ended and is silent, or the time is up."""
    ticked = time.monotonic()
    while time.monotonic() < until:
        ended = child.poll() is not None
        readable = selector.select(timeout=0.2 if selector.get_map() else 0) or []
        for key, _ in readable:
            data = os.read(key.fd, 65536)
            if data:
                key.data(data)
            else:
                selector.unregister(key.fileobj)
        if ended and not readable:  # a grandchild may hold the pipe open for ever
            return
        if not selector.get_map() and not ended:
            time.sleep(0.02)
        if tick and time.monotonic() - ticked >= 1:
            ticked = time.monotonic()
            tick()


def _end(child: subprocess.Popen[bytes], selector: selectors.BaseSelector, grace: float) -> None:
    """Leave nothing of the child: ask its group first, listening to its last words, then kill that and what has left the group."""
    if child.poll() is None and grace:
        _signal(child, signal.SIGTERM)
        _pump(child, selector, None, time.monotonic() + grace)
    _signal(child, signal.SIGKILL)
    child.wait()
    init.end_strays()


def _signal(child: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, number)


class _Lines:
    """Cuts output into lines for the log. Of a progress bar's many states only one every few seconds becomes a line."""

    def __init__(self) -> None:
        self.tail: Deque[str] = collections.deque(maxlen=TAIL_LINES)
        self._rest = b""
        self._shown = time.monotonic()

    def feed(self, data: bytes) -> None:
        *lines, rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._write(_last_state(line))
        if b"\r" in rest[:-1] or len(rest) > 65536:
            state = _last_state(rest)
            if time.monotonic() - self._shown >= PROGRESS_SECONDS:
                self._write(state)
            rest = b"\r" + state + (b"\r" if rest.endswith(b"\r") else b"")
        self._rest = rest[-65536:]

    def flush(self) -> None:
        if self._rest:
            self.feed(b"\n")

    def _write(self, line: bytes) -> None:
        self._shown = time.monotonic()
        text = line.decode("utf-8", "replace")
        self.tail.append(text[:2000])
        log.line(text)


def _last_state(line: bytes) -> bytes:
    """What a terminal would show in the end: the part after the last carriage return that is followed by anything."""
    return line.rstrip(b"\r").rsplit(b"\r", 1)[-1]
