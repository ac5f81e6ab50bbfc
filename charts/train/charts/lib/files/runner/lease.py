"""The lease of a run's folder: one run at a time works in it, from prepare to its end, and rank 0 holds it for all its
ranks.

`state/lease.json` names the holder, and is written under a lock that is held only briefly. `state/heartbeat-<token>` is
the holder's own file, which has a counter: another run that wants the folder watches, by its own monotonic clock,
whether the number changes. No time is stored and no clocks are compared. A lock alone is not enough: it may outlive a
lost node, and a process that was frozen while its folder was taken over would not notice
(docs/decisions/0017-a-run-holds-its-folder.md).
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
# Without a heartbeat for this long, the holder counts as gone. NFS clients may serve an old file for 60 seconds
# (acregmax, acdirmax).
EXPIRY_SECONDS = 90.0
# One change may only be a stale cached file; two mean that the holder is alive.
LIVE_CHANGES = 2
RELEASE_SECONDS = 10.0  # how long the end of a run waits for the lock

COMPLETED, FAILED = "completed", "failed"

_FILE = "lease.json"
_HEARTBEAT = "heartbeat-"
_TOKEN = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Holder:
    """The run that holds, or held, the folder. `token` identifies the process; `ended` is the outcome once it is
    released.
    """

    uid: str
    attempt: int
    release: str
    token: str
    ended: str = ""

    def __str__(self) -> str:
        return f"run {self.release} (Job {self.uid})" if self.uid else "a run whose lease cannot be read"


class LostError(RunnerError):
    """Another run has taken the folder: whatever still runs here must not write to it."""

    immediate = True


class Lease:
    """For a folder that no other pod can see: does nothing."""

    def acquire(self) -> None:
        """Wait until this run holds the folder.

        Raises:
            RunnerError: another run holds it, or (on a rank above 0) rank 0 does not take it.
        """

    def check(self) -> None:
        """Call it before anything is deleted, replaced or published.

        Raises:
            Interrupted: this run no longer holds the folder, or the lease cannot be read.
        """

    def release(self, ended: str) -> None:
        """Release the folder; `ended` is COMPLETED or FAILED. Never raises: a lease that cannot be released expires."""

    def is_held_by_other(self) -> bool:
        """Whether another run, or a newer attempt of this one, holds the folder, so that this one must not write to
        it.
        """
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
        self._thread: Optional[threading.Thread] = None  # set while this run holds the folder
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
            self._verify()
        except OSError as error:
            interrupts.raise_now(self._unreadable_error(error, 0))
        except RunnerError as error:
            interrupts.raise_now(error)

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
                    self._write_released(replace(self._me, ended=ended))
        except OSError as error:
            log.event(
                "warning", reason=f"the lease of the run's folder could not be released, and has to expire: {error}"
            )
        with contextlib.suppress(OSError):
            self._workspace.remove(_HEARTBEAT + self._me.token)

    def is_held_by_other(self) -> bool:
        try:
            holder = self._holder()
        except OSError:
            return True
        if holder is None or holder.token == self._me.token:
            return False
        if holder.uid == self._me.uid:
            return holder.attempt > self._me.attempt
        return not holder.ended

    def _write_released(self, ended: Holder) -> None:
        try:
            self._write(ended)
        except OSError:  # a full disk: remove the file instead
            self._workspace.remove(_FILE)

    def _take(self) -> None:
        """Take the lease, under the lock. If another run holds it, watch its heartbeat, without the lock, until it is
        alive or expired.
        """
        watched: Optional[Tuple[Holder, str]] = None
        changes, since, logged = 0, 0.0, float("-inf")
        while True:
            # Read before the heartbeat: if this process is frozen in between, the heartbeat only seems younger than it
            # is.
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
                        reason=f"its heartbeat has stopped for {now - since:.0f} seconds; this run takes over its folder",
                    )
                    return self._become_holder()
            if seen != watched:
                changes += watched is not None
                watched, since = seen, time.monotonic()
                if changes >= LIVE_CHANGES:
                    raise self._taken_error(holder)
            if now - logged >= BEAT_SECONDS:
                logged = now
                log.event(
                    "waiting", reason=f"{holder} holds the folder {self._workspace.root}; checking whether it is alive"
                )
            time.sleep(BEAT_SECONDS / 3)

    def _may_take(self, holder: Holder) -> bool:
        if holder.uid != self._me.uid:
            return bool(holder.ended)
        if holder.attempt > self._me.attempt:
            raise self._lost_error(holder)
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
        until, logged = time.monotonic() + self._join_seconds, time.monotonic()
        while True:
            holder = self._holder()
            if holder and holder.uid == self._me.uid:
                if holder.attempt > self._me.attempt:
                    raise self._lost_error(holder)
                if holder.attempt == self._me.attempt and holder.ended != FAILED:
                    return
            now = time.monotonic()
            if now >= until:
                has = f"{holder} holds it" if holder and not holder.ended else "no run holds it"
                raise RunnerError(
                    "peer-lost",
                    f"rank {self._rank} waited {self._join_seconds:g} seconds for rank 0 to take the folder {self._workspace.root}; {has}",
                    "see the log of rank 0, and whether its pod has started (kubectl describe pod)",
                )
            if now - logged >= BEAT_SECONDS:
                logged = now
                log.event("waiting", reason=f"rank 0 has not taken the folder {self._workspace.root} yet")
            time.sleep(min(1.0, BEAT_SECONDS / 3))

    def _watch(self) -> None:
        """In its own thread: write the heartbeat, and interrupt the run if it loses the folder."""
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
                failure = self._unreadable_error(failure, now - failing_since)
            interrupts.request(failure)
            return

    def _beat(self, number: int) -> Union[RunnerError, OSError, None]:
        """Write the heartbeat. Returns why the run has to end, or an OSError that may be temporary, or None."""
        try:
            self._verify()
            if not self._follows:
                self._count(number)
        except (RunnerError, OSError) as error:
            return error
        return None

    def _verify(self) -> None:
        """Raise RunnerError if this run no longer holds the folder, OSError if the lease cannot be read."""
        holder = self._holder()
        for _ in range(2):  # some file systems rename by removing the target first
            if holder and holder.uid:
                break
            time.sleep(BEAT_SECONDS / 10)
            holder = self._holder()
        if holder is None:
            raise self._lost_error(None)
        if self._follows:
            mine = (holder.uid, holder.attempt) == (self._me.uid, self._me.attempt)
        else:
            mine = holder.token == self._me.token
        if not mine:
            raise self._lost_error(holder)

    def _holder(self) -> Optional[Holder]:
        """Return the holder, or None if there is no lease. A lease that cannot be parsed has a holder without a
        name.
        """
        text = self._read(_FILE)
        if text is None:
            return None
        with contextlib.suppress(ValueError, TypeError):
            holder = Holder(**json.loads(text))
            if _TOKEN.fullmatch(holder.token) and type(holder.attempt) is int:
                return holder
        return Holder("", 0, "", "")

    def _read(self, name: str) -> Optional[str]:
        """Return the content of a state file, if it exists. On NFS a file that is replaced while it is opened is stale,
        once.
        """
        for retries_left in (2, 1, 0):
            try:
                return self._workspace.read(name)
            except UnicodeDecodeError:  # noqa: PERF203
                break
            except OSError as error:
                if error.errno != errno.ESTALE or not retries_left:
                    raise
        return ""

    def _count(self, number: int) -> None:
        """Write the heartbeat. It is not synced: a disk that is busy with a checkpoint must not delay it."""
        beat = self._workspace.state / (_HEARTBEAT + self._me.token)
        scratch = beat.with_name(f".{beat.name}")
        scratch.write_text(f"{number}\n", encoding="ascii")
        scratch.replace(beat)

    def _write(self, holder: Holder) -> None:
        self._workspace.write(_FILE, json.dumps(asdict(holder)) + "\n")

    def _locked(self, seconds: float = float("inf")) -> ContextManager[None]:
        return locked(self._workspace.state / "lease.lock", "another pod holds the lock of the lease", seconds)

    def _taken_error(self, holder: Holder) -> RunnerError:
        stop = f"stop the other run (trainchart stop {holder.release})" if holder.release else "stop the other run"
        return RunnerError(
            "folder-taken",
            f"{holder} uses the folder {self._workspace.root}, and two runs cannot share one",
            f"use another workspace.directory, or {stop} and install this one again",
        )

    def _lost_error(self, holder: Optional[Holder]) -> RunnerError:
        root = self._workspace.root
        if holder and holder.uid == self._me.uid:
            reason = f"attempt {holder.attempt} of this run has taken the folder {root}; this pod is of attempt {self._me.attempt}, or older"
            return LostError("stopped", reason, "nothing; the newer attempt continues")
        if holder and holder.uid:
            reason = f"{holder} has taken the folder {root}, because this run's heartbeat had stopped for {EXPIRY_SECONDS:g} seconds or more"
        else:
            reason = f"the lease of this run, {self._workspace.state / _FILE}, is missing or cannot be read: another program has changed the folder"
        return LostError(
            "folder-taken", reason, "use a workspace.directory that no other run uses, and install the run again"
        )

    def _unreadable_error(self, error: OSError, seconds: float) -> RunnerError:
        what = f"the lease in {self._workspace.state} could not be renewed for {seconds:.0f} seconds: {error}"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return RunnerError("prepare-no-space", what, self._workspace.room.fix)
        return RunnerError("workspace-lost", what, "check the file system of the claim")
