"""Runs a program, and passes on what it prints line by line."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

Show = Callable[[bytes], None]


def stream(
    argv: Sequence[str],
    show: Show,
    *,
    directory: Path | None = None,
    environment: Mapping[str, str] | None = None,
    grace: float = 5.0,
) -> int:
    """Run a program with its lines shown, and return its exit code, as a shell counts it.

    It has a session of its own, so that Ctrl-C in the terminal reaches it only by this process: SIGTERM first, and after
    `grace` seconds SIGKILL.

    Raises:
        OSError: it cannot be started.
    """
    child = subprocess.Popen(
        list(argv),
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    assert child.stdout is not None  # noqa: S101
    try:
        for line in child.stdout:
            show(line.rstrip(b"\r\n"))
        code = child.wait()
    finally:
        _stop(child, grace)
        child.stdout.close()
    return code if code >= 0 else 128 - code


def _stop(child: subprocess.Popen[bytes], grace: float) -> None:
    if child.poll() is not None:
        return
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(child.pid, number)
            child.wait(grace)
        except ProcessLookupError:
            child.wait()
        except subprocess.TimeoutExpired:
            continue
        return
