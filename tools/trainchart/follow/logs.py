"""What the pods of a run print: every line once, of all ranks and attempts, whatever happens to the connection.

Kubernetes returns the lines since a given second, and stamps each to the nanosecond. A stream that broke is therefore
resumed a little before the last line that came, and the lines that were taken already are skipped. Still lost are lines
that the node has discarded before they were read: it keeps some 10 MiB of a container's log, and nothing of a removed
pod's.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from trainchart.cluster import kinds
from trainchart.cluster.errors import NotFoundError, RefusedError, UnreachableError
from trainchart.cluster.fields import text
from trainchart.errors import TrainchartError
from trainchart.follow.pods import Pods
from trainchart.follow.retry import LONGEST_PAUSE, Retry
from trainchart.follow.watcher import RunWatcher, Status
from trainchart.run.state import Pod, Snapshot

if TYPE_CHECKING:
    from trainchart.cluster.api import Api

# Of the two streams of a container, a line may come after one that is a moment younger.
OVERLAP = timedelta(seconds=1)
FIRST_PAUSE = 0.5
# How long the rest of a finished pod's log is requested where its node does not answer.
LOST_SECONDS = 60.0
# How long the pods of a run that has finished may take to terminate: their grace period, and what precedes it.
ENDING_SECONDS = 150.0
# How long the logs are read on after an error.
LAST_SECONDS = 5.0
TICK_SECONDS = 0.2


@dataclass(frozen=True)
class Line:
    pod: Pod
    time: str
    text: bytes


class NoLogError(TrainchartError):
    """The node answered with an error message in place of a log."""


class Position:
    """How far a pod's log has been read; it recognizes the lines that come again."""

    def __init__(self, *, is_tail: bool = False, since: str = "") -> None:
        """`since`: where to begin, as a time for Kubernetes."""
        self._is_tail, self._since = is_tail, since
        self._first: bytes | None = None
        self._latest: datetime | None = None
        self._recent: list[tuple[datetime, bytes]] = []
        self._again: Counter[bytes] = Counter()
        self._parsed: tuple[bytes, datetime] | None = None

    def resume_from(self) -> str:
        """Return where the next connection begins, as a time for Kubernetes; empty: at the start."""
        if self._latest is None:
            return self._since
        since = self._latest.replace(microsecond=0) - OVERLAP
        self._recent = [(at, line) for at, line in self._recent if at >= since]
        self._again = Counter(line for _, line in self._recent)
        return since.strftime("%Y-%m-%dT%H:%M:%SZ")

    @property
    def has_begun(self) -> bool:
        return self._latest is not None

    def take(self, line: bytes) -> tuple[str, bytes] | None:
        """Return the line's time and text; None where it was taken before.

        Raises:
            NoLogError
        """
        stamp, _, content = line.partition(b" ")
        at = self._second(stamp)
        if at is None:
            raise NoLogError(line.decode("utf-8", "replace").strip())
        if self._again[line] > 0:
            self._again[line] -= 1
            return None
        self._first = self._first or stamp
        if self._is_tail and stamp < self._first:  # a connection is resumed at a whole second
            return None
        if self._latest is None or at > self._latest:
            self._latest = at
            # Of a verbose trainer no more than a second is kept.
            if self._recent and self._recent[0][0] < at - 2 * OVERLAP:
                self._recent = [(then, kept) for then, kept in self._recent if then >= at - OVERLAP]
        self._recent.append((at, line))
        return stamp.decode("ascii"), content

    def _second(self, stamp: bytes) -> datetime | None:
        """Return the second of a time such as 2026-11-24T18:10:32.123456789Z; a node may use its own time zone."""
        if self._parsed and self._parsed[0] == stamp[:19] and stamp.endswith(b"Z"):
            return self._parsed[1]
        try:
            value = stamp.decode("ascii")
            zone = value[19:].lstrip(".0123456789") if value[10:11] == "T" else "none"
            at = datetime.fromisoformat(value[:19] + zone.replace("Z", "+00:00")).astimezone(timezone.utc)
        except ValueError:
            return None
        if zone == "Z":
            self._parsed = (stamp[:19], at)
        return at


class PodLog:
    """The log of one pod, to its end."""

    def __init__(
        self,
        api: Api,
        pod: Pod,
        pods: Pods,
        retry: Retry,
        notify: Callable[[str], None],
        tail: int | None = None,
        since: str = "",
    ) -> None:
        self._api, self._pod, self._pods, self._retry, self._notify = api, pod, pods, retry, notify
        self._tail = tail
        self._position = Position(is_tail=tail is not None, since=since)

    def lines(self) -> Iterator[Line]:
        """Yield each line once, through as many connections as it takes."""
        pause, lost = FIRST_PAUSE, 0.0
        while not self._retry.is_cancelled:
            last = self._pods.has_finished(self._pod.uid)  # then this connection has the end of the log
            try:
                for line in self._read():
                    pause = FIRST_PAUSE
                    yield line
                if last:
                    return
            except NotFoundError:
                return
            except RefusedError:  # the container has not started, and now never will
                if last:
                    return
            except (UnreachableError, NoLogError) as error:
                if last and not self._retry.trouble:
                    lost = lost or time.monotonic()
                    if self._pods.is_gone(self._pod.uid) or time.monotonic() - lost > LOST_SECONDS:
                        self._notify(f"the end of the log of rank {self._pod.rank} could not be read: {error}")
                        return
            self._retry.pause(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    def _read(self) -> Iterator[Line]:
        """Read one connection."""
        since = self._position.resume_from()
        name, container, known = self._pod.name, self._pod.container, False
        tail = None if self._position.has_begun else self._tail
        for raw in self._api.log(name, container=container, follow=True, since=since, timestamps=True, tail=tail):
            taken = self._position.take(raw)
            if taken is None:
                continue
            if not known:  # Logs are requested by name, and the next attempt's pod has the same.
                found = self._api.get(kinds.PODS, name)
                if text(found, "metadata", "uid") != self._pod.uid:
                    raise NotFoundError(f"pod {name} was replaced by another")
                known = True
            yield Line(self._pod, *taken)


class Logs:
    """Reads the logs of all pods, in a thread for each, as the pods appear."""

    def __init__(
        self,
        api: Api,
        pods: Pods,
        retry: Retry,
        show: Callable[[Line], None],
        notify: Callable[[str], None],
        *,
        ranks: Iterable[int] = (),
        tail: int | None = None,
        since: str = "",
    ) -> None:
        self._api, self._pods, self._retry, self._show, self._notify = api, pods, retry, show, notify
        self._ranks, self._tail, self._since = frozenset(ranks), tail, since
        self._threads: dict[str, threading.Thread] = {}  # by the pods' UIDs
        self.error: Exception | None = None

    def start_new(self) -> None:
        """Start reading the logs that have appeared since the last call."""
        for pod in self._pods.present():
            if pod.uid in self._threads or (self._ranks and pod.rank not in self._ranks):
                continue
            if not (pod.is_running or pod.has_finished):
                continue  # its container has not started
            before = list(self._threads.values())
            thread = threading.Thread(target=self._follow, args=(pod, before), name=pod.name, daemon=True)
            self._threads[pod.uid] = thread
            thread.start()

    def are_drained(self) -> bool:
        return not any(thread.is_alive() for thread in self._threads.values())

    def drain(self, seconds: float) -> bool:
        """Wait until all logs have ended; return whether they did in time."""
        deadline = time.monotonic() + seconds
        for thread in list(self._threads.values()):
            thread.join(max(deadline - time.monotonic(), 0))
        return self.are_drained()

    def _follow(self, pod: Pod, before: list[threading.Thread]) -> None:
        if pod.attempt:
            for thread in before:  # the log of the attempt before comes first
                if thread.name == pod.name:
                    thread.join(10)
        try:
            log = PodLog(self._api, pod, self._pods, self._retry, self._notify, self._tail, self._since)
            for line in log.lines():
                self._show(line)
        except Exception as error:  # raised again where somebody waits for it
            self.error = error


def no_pods(snapshot: Snapshot, command: Callable[[str], str]) -> str:
    """Why a run has no log to print, and what to type instead; `command` is how a command of trainchart is typed for its cluster."""
    name = snapshot.name
    if not snapshot.has_finished:
        return f"{name} is {snapshot.state.value} and has no pods yet; `{command(f'status {name}')}` says why"
    if snapshot.job and not snapshot.workspace_claim:
        return f"{name} has no pods any more; its log was in their workspace, and is lost"
    saved = command(f"logs {name} --attempt {snapshot.attempt + 1}")
    return f"{name} has no pods any more; for the log saved in its workspace, run: {saved}"


def current_lines(
    api: Api, pods: Iterable[Pod], notify: Callable[[str], None], tail: int | None = None, since: str = ""
) -> Iterator[Line]:
    """Yield what the pods have printed so far, ordered by time; `since` is a time for Kubernetes.

    Raises:
        ForbiddenError, UnreachableError
    """

    def lines_of(pod: Pod) -> Iterator[Line]:
        position = Position()
        try:
            for raw in api.log(pod.name, container=pod.container, since=since, timestamps=True, tail=tail):
                taken = position.take(raw)
                if taken:
                    yield Line(pod, *taken)
        except RefusedError:
            notify(f"rank {pod.rank} has not started: {pod.waiting_reason or pod.unscheduled or 'its pod is pending'}")
        except (NotFoundError, NoLogError) as error:
            notify(f"the log of rank {pod.rank} cannot be read: {error}")

    return heapq.merge(*(lines_of(pod) for pod in pods), key=lambda line: line.time)


def follow(
    api: Api,
    snapshot: Snapshot,
    show: Callable[[Line], None],
    notify: Callable[[str], None],
    *,
    closed: threading.Event | None = None,
    ranks: Iterable[int] = (),
    tail: int | None = None,
    since: str = "",
    retry: Retry | None = None,
) -> None:
    """Show every line of the run, from its present pods on, until it has finished and all is read, or `closed` is set.

    Raises:
        NotFoundError: it was uninstalled meanwhile.
        ForbiddenError
        UnreachableError: the API server was away for longer than the limit.
    """
    retry, closed = retry or Retry(notify), closed or threading.Event()
    watcher = RunWatcher(api, Status(snapshot), retry)
    logs = Logs(api, watcher.pods, retry, show, notify, ranks=ranks, tail=tail, since=since)
    try:
        watcher.start()
        if not snapshot.pods:
            notify(f"{snapshot.name} is {snapshot.state.value} and has no pods yet; waiting for them")
        for _ in watcher.statuses(lambda: closed.wait(TICK_SECONDS)):
            if closed.is_set():
                return
            _read_more(watcher, logs)
        _read_to_the_end(watcher, logs, closed, notify)
    except TrainchartError:
        logs.drain(LAST_SECONDS)
        raise
    finally:
        retry.cancel()


def _read_more(watcher: RunWatcher, logs: Logs) -> None:
    logs.start_new()
    if error := watcher.pods.error or logs.error:
        raise error


def _read_to_the_end(watcher: RunWatcher, logs: Logs, closed: threading.Event, notify: Callable[[str], None]) -> None:
    """The run has finished; its pods may take a while to."""
    deadline = time.monotonic() + ENDING_SECONDS
    while not closed.is_set():
        listed = watcher.pods.listed.is_set()
        _read_more(watcher, logs)
        if listed and logs.are_drained():
            return
        if time.monotonic() > deadline:
            notify("the run has finished, but the logs of some pods have not ended; gave up waiting for them")
            return
        closed.wait(TICK_SECONDS)
