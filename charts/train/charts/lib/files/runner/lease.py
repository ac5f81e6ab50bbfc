"""The lease of a run's folder: one run works in it at a time, from prepare to its end, and rank 0 holds it for all its ranks.

`state/lease.json` names the holder, and is written under a lock that is held for a moment. `state/heartbeat-<token>` is the
holder's own file, in which it counts: whoever wants the folder sees the number change, or not, on its own monotonic clock. No
time is stored and no clocks are compared. A lock alone would not do: it may outlive a node that is lost, and it says nothing to
a process that was frozen while its folder went to another (docs/decisions/0017-a-run-holds-its-folder.md).
"""

from __future__ import annotations

import contextlib
import errno
import json
import re
import threading
import time
import uuid
from dataclasses import asdict, dataclass, replace
from typing import ContextManager, Optional, Tuple, Union

from . import interrupts, log
from .errors import RunnerError
from .workspace import Workspace, locked

BEAT_SECONDS = 15.0
# Without a beat for this long, the holder is gone. A client of NFS may show an old file for 60 seconds (acregmax, acdirmax).
EXPIRY_SECONDS = 90.0
# One change may be an old file that a cache has let go. Two are a heart that beats.
BEATS_OF_THE_LIVING = 2
RELEASE_SECONDS = 10.0  # for the lock at the end: a run that has ended does not hang on it

COMPLETED, FAILED = "completed", "failed"

_FILE = "lease.json"
_HEARTBEAT = "heartbeat-"
_TOKEN = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Holder:
    """Who has, or had, the folder. `token` tells one process from another; `ended` says how it gave the folder back."""

    uid: str
    attempt: int
    release: str
    token: str
    ended: str = ""

    def __str__(self) -> str:
        return f"run {self.release} (Job {self.uid})" if self.uid else "a run whose lease cannot be read"


class LostError(RunnerError):
    """The folder is another's by now: whatever still runs here must not write to it."""

    at_once = True


class Lease:
    """Of a folder that no other pod can see: there is nothing to hold."""

    def acquire(self) -> None:
        """Returns when the folder is this run's.

        Raises:
            RunnerError: another run has it, or (on a rank above 0) rank 0 does not come.
        """

    def check(self) -> None:
        """To be asked before anything is deleted, replaced or published.

        Raises:
            Interrupted: the folder is no longer this run's, or nobody can tell.
        """

    def release(self, ended: str) -> None:
        """Give the folder back; `ended` is COMPLETED or FAILED. Never fails: what is not given back expires."""

    def is_another_s(self) -> bool:
        """Whether another run, or a newer attempt of this one, has the folder: then nothing of it may be written."""
        return False


class SharedLease(Lease):
    def __init__(
        self, workspace: Workspace, uid: str, attempt: int, release: str, rank: int, join_seconds: float
    ) -> None:
        self._workspace = workspace
        self._me = Holder(uid, attempt, release, uuid.uuid4().hex)
        self._follows = rank > 0
        self._rank = rank
        self._join_seconds = join_seconds
        self._thread: Optional[threading.Thread] = None  # there is one from when the folder is ours
        self._ended = threading.Event()

    def acquire(self) -> None:
        if self._follows:
            self._wait_for_rank_0()
        else:
            self._take()
        self._thread = threading.Thread(target=self._watch, name="lease", daemon=True)
        self._thread.start()

    def check(self) -> None:
        if self._thread is None:
            return
        try:
            self._look()
        except OSError as error:
            interrupts.stop(self._unreadable(error, 0))
        except RunnerError as error:
            interrupts.stop(error)

    def release(self, ended: str) -> None:
        if self._thread is None:
            return
        self._ended.set()
        self._thread.join(RELEASE_SECONDS)
        if self._follows:
            return
        try:
            with self._locked(RELEASE_SECONDS):
                holder = self._holder()
                if holder and holder.token == self._me.token:
                    self._give_back(replace(self._me, ended=ended))
        except OSError as error:
            log.event("warning", reason=f"the lease of the run's folder was not given back, and has to expire: {error}")
        with contextlib.suppress(OSError):
            self._workspace.remove(_HEARTBEAT + self._me.token)

    def is_another_s(self) -> bool:
        try:
            holder = self._holder()
        except OSError:
            return True
        if holder is None or holder.token == self._me.token:
            return False
        if holder.uid == self._me.uid:
            return holder.attempt > self._me.attempt
        return not holder.ended

    def _give_back(self, ended: Holder) -> None:
        try:
            self._write(ended)
        except OSError:  # a full disk takes nothing, and lets go of everything
            self._workspace.remove(_FILE)

    def _take(self) -> None:
        """Under the lock where nobody has it; else watch whoever has, without the lock, until it beats or is taken for gone."""
        watched: Optional[Tuple[Holder, str]] = None
        changes, since, told = 0, 0.0, float("-inf")
        while True:
            # Taken before the look: were this process frozen behind it, nothing would be older than it seemed.
            now = time.monotonic()
            with self._locked():
                holder = self._holder()
                if holder is None or self._may_take(holder):
                    return self._become_holder()
                seen = (holder, self._read(_HEARTBEAT + holder.token) or "")
                if seen == watched and now - since >= EXPIRY_SECONDS:
                    log.event(
                        "takeover",
                        holder=holder,
                        reason=f"it has given no sign of life for {now - since:.0f} seconds; this run takes over its folder",
                    )
                    return self._become_holder()
            if seen != watched:
                changes += watched is not None
                watched, since = seen, time.monotonic()
                if changes >= BEATS_OF_THE_LIVING:
                    raise self._refused(holder)
            if now - told >= BEAT_SECONDS:
                told = now
                log.event("waiting", reason=f"{holder} has the folder {self._workspace.root}; is it alive?")
            time.sleep(BEAT_SECONDS / 3)

    def _may_take(self, holder: Holder) -> bool:
        if holder.uid != self._me.uid:
            return bool(holder.ended)
        if holder.attempt > self._me.attempt:
            raise self._lost(holder)
        return True

    def _become_holder(self) -> None:
        mine = _HEARTBEAT + self._me.token
        self._count(0)
        self._write(self._me)
        for path in self._workspace.state.glob(f"{_HEARTBEAT}*"):
            if path.name != mine:
                with contextlib.suppress(OSError):
                    path.unlink()

    def _wait_for_rank_0(self) -> None:
        until, told = time.monotonic() + self._join_seconds, time.monotonic()
        while True:
            holder = self._holder()
            if holder and holder.uid == self._me.uid:
                if holder.attempt > self._me.attempt:
                    raise self._lost(holder)
                if holder.attempt == self._me.attempt and holder.ended != FAILED:
                    return
            now = time.monotonic()
            if now >= until:
                has = f"{holder} has it" if holder and not holder.ended else "nobody has it"
                raise RunnerError(
                    "peer-lost",
                    f"rank {self._rank} waited {self._join_seconds:g} seconds for rank 0 to take the folder {self._workspace.root}; {has}",
                    "see the log of rank 0, and whether its pod could start (kubectl describe pod)",
                )
            if now - told >= BEAT_SECONDS:
                told = now
                log.event("waiting", reason=f"rank 0 has not taken the folder {self._workspace.root} yet")
            time.sleep(min(1.0, BEAT_SECONDS / 3))

    def _watch(self) -> None:
        """In a thread of its own: beat, and end the run where the folder is another's."""
        beats, failing_since = 0, 0.0
        while not self._ended.wait(BEAT_SECONDS):
            beats += 1
            failure = self._beat(beats)
            now = time.monotonic()
            if failure is None:
                failing_since = 0.0
                continue
            if isinstance(failure, OSError):
                if not failing_since:
                    failing_since = now
                    log.event("warning", reason=f"the heartbeat in the run's folder fails: {failure}")
                if now - failing_since < EXPIRY_SECONDS - 2 * BEAT_SECONDS:  # before others take this run for gone
                    continue
                failure = self._unreadable(failure, now - failing_since)
            interrupts.end(failure)
            return

    def _beat(self, number: int) -> Union[RunnerError, OSError, None]:
        """Why the run has to end, or what may be over in a moment, or None."""
        try:
            self._look()
            if not self._follows:
                self._count(number)
        except (RunnerError, OSError) as error:
            return error
        return None

    def _look(self) -> None:
        """Raises RunnerError where the folder is no longer this run's, OSError where nobody can tell."""
        holder = self._holder()
        for _ in range(2):  # some file systems rename by removing first
            if holder and holder.uid:
                break
            time.sleep(BEAT_SECONDS / 10)
            holder = self._holder()
        if holder is None:
            raise self._lost(None)
        if self._follows:
            mine = (holder.uid, holder.attempt) == (self._me.uid, self._me.attempt)
        else:
            mine = holder.token == self._me.token
        if not mine:
            raise self._lost(holder)

    def _holder(self) -> Optional[Holder]:
        """None where there is no lease; one that cannot be understood belongs to a holder without a name."""
        text = self._read(_FILE)
        if text is None:
            return None
        with contextlib.suppress(ValueError, TypeError):
            holder = Holder(**json.loads(text))
            if _TOKEN.fullmatch(holder.token) and type(holder.attempt) is int:
                return holder
        return Holder("", 0, "", "")

    def _read(self, name: str) -> Optional[str]:
        """On NFS a file that is replaced while it is opened is stale, once."""
        for patience in (2, 1, 0):
            try:
                return self._workspace.read(name)
            except UnicodeDecodeError:  # noqa: PERF203
                break
            except OSError as error:
                if error.errno != errno.ESTALE or not patience:
                    raise
        return ""

    def _count(self, number: int) -> None:
        """Not synced: a disk that is busy with a checkpoint must not keep the heart from beating."""
        beat = self._workspace.state / (_HEARTBEAT + self._me.token)
        scratch = beat.with_name(f".{beat.name}")
        scratch.write_text(f"{number}\n", encoding="ascii")
        scratch.replace(beat)

    def _write(self, holder: Holder) -> None:
        self._workspace.write(_FILE, json.dumps(asdict(holder)) + "\n")

    def _locked(self, seconds: float = float("inf")) -> ContextManager[None]:
        return locked(
            self._workspace.state / "lease.lock", "another pod looks at the lease of the run's folder", seconds
        )

    def _refused(self, holder: Holder) -> RunnerError:
        stop = f"stop the other run (trainchart stop {holder.release})" if holder.release else "stop the other run"
        return RunnerError(
            "folder-taken",
            f"{holder} works in the folder {self._workspace.root}, and two runs cannot share one",
            f"use another workspace.directory, or {stop} and install this one again",
        )

    def _lost(self, holder: Optional[Holder]) -> RunnerError:
        root = self._workspace.root
        if holder and holder.uid == self._me.uid:
            reason = f"attempt {holder.attempt} of this run has taken the folder {root}; this pod is of attempt {self._me.attempt}, or older"
            return LostError("stopped", reason, "nothing; the newer attempt goes on")
        if holder and holder.uid:
            reason = f"{holder} has taken the folder {root}, for this run gave no sign of life for {EXPIRY_SECONDS:g} seconds or more"
        else:
            reason = f"the lease of this run, {self._workspace.state / _FILE}, is gone or cannot be read: somebody has changed the folder"
        return LostError("folder-taken", reason, "use a workspace.directory of this run's own, and install it again")

    def _unreadable(self, error: OSError, seconds: float) -> RunnerError:
        what = f"the lease in {self._workspace.state} could not be kept for {seconds:.0f} seconds: {error}"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return RunnerError("prepare-no-space", what, self._workspace.room.fix)
        return RunnerError("workspace-lost", what, "see whether the file system of the claim answers")
