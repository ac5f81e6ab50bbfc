"""Steps: pieces of work that say when they start and end, keep a log, and fail with one clear message.

Every command of a step writes to the step's log file. A long step prints a heartbeat line; a failing one raises
StepError, which the command line prints without a traceback.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shlex
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

HEARTBEAT_SECONDS = 30
TAIL_LINES = 30
TABLE_SECONDS = 2.0


def _cache_directory() -> Path:
    if cache := os.environ.get("TRAINCHART_CACHE"):
        return Path(cache).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base).absolute() / "trainchart"


HERE = Path(__file__).resolve().parent
CACHE = _cache_directory()
BIN = CACHE / "bin"
SHARE = CACHE / "share"
LOGS = CACHE / "logs"
KUBECONFIG = CACHE / "kubeconfig"


class StepError(Exception):
    """What went wrong, in one sentence; `tail` holds the last lines of the step's output."""

    def __init__(self, message: str, advice: str = "", log: Path | None = None, tail: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.advice = advice
        self.log = log
        self.tail = list(tail)

    def report(self) -> str:
        lines = [f"  {line}" for line in self.tail]
        lines.append(f"error: {self}")
        if self.log:
            lines.append(f"log: {self.log}")
        if self.advice:
            lines.append(f"advice: {self.advice}")
        return "\n".join(lines)


def say(line: str) -> None:
    print(line, flush=True)


@dataclass
class Step:
    """A step in progress: runs commands into its log."""

    title: str
    advice: str
    log: Path
    is_cached: bool = False
    _stream: IO[bytes] | None = field(default=None, repr=False)
    _has_written: bool = False  # until then, the log is that of an earlier run

    def cached(self) -> None:
        """Marks the step as one with nothing to do."""
        self.is_cached = True

    def note(self, text: str) -> None:
        self._open().write(f"{text}\n".encode())
        self._open().flush()

    def run(
        self,
        command: Sequence[str | Path],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        text: str | None = None,
        timeout: float | None = None,
    ) -> None:
        """Runs a command, its output going to the log; `text` is its standard input."""
        self._execute(command, cwd=cwd, env=env, text=text, timeout=timeout, capture=False)

    def output(
        self, command: Sequence[str | Path], *, cwd: Path | None = None, env: Mapping[str, str] | None = None
    ) -> str:
        """Runs a command and returns its standard output; standard error goes to the log."""
        return self._execute(command, cwd=cwd, env=env, text=None, timeout=None, capture=True)

    def pipe(self, producer: Sequence[str | Path], consumer: Sequence[str | Path]) -> None:
        """Runs `producer | consumer`; both must succeed."""
        self.note(f"$ {_show(producer)} | {_show(consumer)}")
        log = self._open()
        with subprocess.Popen(_words(producer), stdout=subprocess.PIPE, stderr=log) as first:
            second = subprocess.run(_words(consumer), stdin=first.stdout, stdout=log, stderr=log, check=False)
            if first.stdout:
                first.stdout.close()  # a consumer that died must not leave the producer waiting
            first_code = first.wait()
        if first_code or second.returncode:
            raise self.failure(f"{self.title}: {_show(producer)} | {_show(consumer)} failed")

    def wait(self, what: str, check: Callable[[], bool], seconds: float, every: float = 1.0) -> None:
        """Waits until `check` holds."""
        deadline = time.monotonic() + seconds
        while not check():
            if time.monotonic() > deadline:
                raise self.failure(f"{self.title}: {what} did not happen within {seconds:.0f} s")
            time.sleep(every)

    def failure(self, message: str) -> StepError:
        self.close()
        if not self._has_written:
            return StepError(message, self.advice)
        lines = self.log.read_text(errors="replace").splitlines()
        return StepError(message, self.advice, self.log, lines[-TAIL_LINES:])

    def close(self) -> None:
        if self._stream:
            self._stream.close()
            self._stream = None

    def _open(self) -> IO[bytes]:
        if not self._stream:
            self.log.parent.mkdir(parents=True, exist_ok=True)
            self._stream = self.log.open("ab" if self._has_written else "wb")
            self._has_written = True
        return self._stream

    def _execute(
        self,
        command: Sequence[str | Path],
        *,
        cwd: Path | None,
        env: Mapping[str, str] | None,
        text: str | None,
        timeout: float | None,
        capture: bool,
    ) -> str:
        self.note(f"$ {_show(command)}")
        log = self._open()
        try:
            done = subprocess.run(
                _words(command),
                cwd=cwd,
                env={**os.environ, **(env or {})},
                input=(text or "").encode(),
                stdout=subprocess.PIPE if capture else log,
                stderr=log,
                timeout=timeout,
                check=False,
            )
        except FileNotFoundError as error:
            raise self.failure(f"{self.title}: {command[0]} is not installed") from error
        except subprocess.TimeoutExpired as error:
            raise self.failure(f"{self.title}: {_show(command[:3])} took longer than {timeout:.0f} s") from error
        if done.returncode:
            raise self.failure(f"{self.title}: {_show(command[:4])} failed with exit code {done.returncode}")
        return done.stdout.decode() if capture else ""


def quiet(command: Sequence[str | Path], *, timeout: float = 60, text: str = "") -> str | None:
    """The standard output of a command, or None if it failed."""
    try:
        done = subprocess.run(_words(command), input=text.encode(), capture_output=True, timeout=timeout, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode(errors="replace").strip() if done.returncode == 0 else None


@contextmanager
def alone() -> Iterator[None]:
    """Holds a lock on the cache: a second run waits for the first."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another run on this cache to finish")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


_finished: list[tuple[str, float]] = []


@contextmanager
def step(title: str, advice: str = "") -> Iterator[Step]:
    """Runs its body as one step."""
    log = LOGS / (re.sub(r"[^A-Za-z0-9.]+", "-", title).strip("-") + ".log")
    current = Step(title, advice, log)
    begin = time.monotonic()
    say(f"{title} ...")
    over = threading.Event()

    def heartbeat() -> None:
        while not over.wait(HEARTBEAT_SECONDS):
            say(f"{title} ... still running after {time.monotonic() - begin:.0f} s")

    threading.Thread(target=heartbeat, daemon=True).start()
    try:
        yield current
    except StepError:
        raise
    except OSError as error:
        raise current.failure(f"{title}: {error}") from error
    finally:
        over.set()
        current.close()
    seconds = time.monotonic() - begin
    if current.is_cached:
        say(f"{title} ... cached")
    else:
        say(f"{title} ... {seconds:.0f} s")
        _finished.append((title, seconds))


def print_table() -> None:
    """The steps that took noticeable time, and their sum."""
    slow = [(title, seconds) for title, seconds in _finished if seconds > TABLE_SECONDS]
    if not slow:
        return
    width = max(len(title) for title, _ in slow)
    say("")
    for title, seconds in slow:
        say(f"  {title:<{width}}  {seconds:6.0f} s")
    say(f"  {'all steps':<{width}}  {sum(seconds for _, seconds in _finished):6.0f} s")


def _words(command: Sequence[str | Path]) -> list[str]:
    return [str(word) for word in command]


def _show(command: Sequence[str | Path]) -> str:
    return shlex.join(_words(command))


def digest(*parts: str | bytes) -> str:
    """A short hash of the parts; equal only where every part is."""
    total = hashlib.sha256()
    for part in parts:
        total.update(hashlib.sha256(part.encode() if isinstance(part, str) else part).digest())
    return total.hexdigest()[:16]


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder on the cache's own disk, so that a rename out of it is one step."""
    parent = CACHE / "tmp"
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent) as folder:
        yield Path(folder)
