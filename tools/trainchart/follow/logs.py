"""What the pods of a run print: every line once, whatever happens to the connection, of all ranks and attempts.

Kubernetes can be asked for what came since a second, and stamps each line to the nanosecond. So a stream that broke goes on a
little before the last line that came, and what was taken already is passed over. What is lost nevertheless: lines that the
node has thrown away before they were read (it keeps some 10 MiB of a container's log, and nothing of a removed pod's).
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
from trainchart.follow.retry import LONGEST_PAUSE, Patience
from trainchart.follow.watcher import Watching
from trainchart.run.state import Pod, Snapshot

if TYPE_CHECKING:
    from trainchart.cluster.api import Api

# Of two streams of a container, a line may stand behind one that is a moment younger.
OVERLAP = timedelta(seconds=1)
FIRST_PAUSE = 0.5
# How long the rest of an ended pod's log is asked for where its node does not answer.
LOST_SECONDS = 60.0
# How long a run that has ended may take to end its pods: their grace, and what lies between.
ENDING_SECONDS = 150.0


@dataclass(frozen=True)
class Line:
    pod: Pod
    time: str
    text: bytes


class NoLogError(TrainchartError):
    """What came instead of a log: a sentence of the node's."""


class Place:
    """How far a pod's log has been read; lines that come once more are known."""

    def __init__(self, *, is_tail: bool = False) -> None:
        self._is_tail = is_tail
        self._first: bytes | None = None
        self._latest: datetime | None = None
        self._recent: list[tuple[datetime, bytes]] = []
        self._again: Counter[bytes] = Counter()
        self._parsed: tuple[bytes, datetime] | None = None

    def go_on(self) -> str:
        """Where the next connection shall begin, as a time for Kubernetes; empty: at the start."""
        if self._latest is None:
            return ""
        since = self._latest.replace(microsecond=0) - OVERLAP
        self._recent = [(at, line) for at, line in self._recent if at >= since]
        self._again = Counter(line for _, line in self._recent)
        return since.strftime("%Y-%m-%dT%H:%M:%SZ")

    def take(self, line: bytes) -> tuple[str, bytes] | None:
        """The line's time and text; None where it was taken before.

        Raises:
            NoLogError
        """
        stamp, _, said = line.partition(b" ")
        at = self._second(stamp)
        if at is None:
            raise NoLogError(line.decode("utf-8", "replace").strip())
        if self._again[line] > 0:
            self._again[line] -= 1
            return None
        self._first = self._first or stamp
        if self._is_tail and stamp < self._first:  # a connection that goes on is asked for whole seconds
            return None
        if self._latest is None or at > self._latest:
            self._latest = at
            # A second of a chatty trainer is all that is kept.
            if self._recent and self._recent[0][0] < at - 2 * OVERLAP:
                self._recent = [(then, kept) for then, kept in self._recent if then >= at - OVERLAP]
        self._recent.append((at, line))
        return stamp.decode("ascii"), said

    def _second(self, stamp: bytes) -> datetime | None:
        """The whole second of a time such as 2026-11-24T18:10:32.123456789Z; a node may write its own time zone."""
        if self._parsed and self._parsed[0] == stamp[:19] and stamp.endswith(b"Z"):
            return self._parsed[1]
        try:
            words = stamp.decode("ascii")
            zone = words[19:].lstrip(".0123456789") if words[10:11] == "T" else "none"
            at = datetime.fromisoformat(words[:19] + zone.replace("Z", "+00:00")).astimezone(timezone.utc)
        except ValueError:
            return None
        if zone == "Z":
            self._parsed = (stamp[:19], at)
        return at


class PodLog:
    """The log of one pod, to its end."""

    def __init__(
        self, api: Api, pod: Pod, pods: Pods, patience: Patience, say: Callable[[str], None], tail: int | None = None
    ) -> None:
        self._api, self._pod, self._pods, self._patience, self._say = api, pod, pods, patience, say
        self._tail = tail
        self._place = Place(is_tail=tail is not None)

    def lines(self) -> Iterator[Line]:
        pause, lost = FIRST_PAUSE, 0.0
        while not self._patience.over.is_set():
            # What is read from here on has the end of the log in it.
            last = self._pods.has_ended(self._pod.uid)
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
                if last and not self._patience.is_away:
                    lost = lost or time.monotonic()
                    if self._pods.is_gone(self._pod.uid) or time.monotonic() - lost > LOST_SECONDS:
                        self._say(f"the end of the log of rank {self._pod.rank} could not be read: {error}")
                        return
            self._patience.rest(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    def _read(self) -> Iterator[Line]:
        """One connection."""
        since = self._place.go_on()
        name, known = self._pod.name, False
        tail = None if since else self._tail
        for raw in self._api.log(name, follow=True, since=since, timestamps=True, tail=tail):
            taken = self._place.take(raw)
            if taken is None:
                continue
            if not known:  # Logs are asked for by name, and the next attempt's pod has the same.
                there = self._api.get(kinds.PODS, name)
                if text(there, "metadata", "uid") != self._pod.uid:
                    raise NotFoundError(f"pod {name} is another one now")
                known = True
            yield Line(self._pod, *taken)


class Logs:
    """A thread for each pod, as the pods come."""

    def __init__(
        self,
        api: Api,
        pods: Pods,
        patience: Patience,
        show: Callable[[Line], None],
        say: Callable[[str], None],
        *,
        ranks: Iterable[int] = (),
        tail: int | None = None,
    ) -> None:
        self._api, self._pods, self._patience, self._show, self._say = api, pods, patience, show, say
        self._ranks, self._tail = frozenset(ranks), tail
        self._threads: dict[str, threading.Thread] = {}  # by the pods' UIDs
        self.error: Exception | None = None

    def start_new(self) -> None:
        """Read what nobody reads yet."""
        for pod in self._pods.there():
            if pod.uid in self._threads or (self._ranks and pod.rank not in self._ranks):
                continue
            if not (pod.is_running or pod.has_ended):
                continue  # no container has started
            before = list(self._threads.values())
            thread = threading.Thread(target=self._follow, args=(pod, before), name=pod.name, daemon=True)
            self._threads[pod.uid] = thread
            thread.start()

    def are_drained(self) -> bool:
        return not any(thread.is_alive() for thread in self._threads.values())

    def drain(self, seconds: float) -> bool:
        """Wait for the end of all streams; whether it came in time."""
        deadline = time.monotonic() + seconds
        for thread in list(self._threads.values()):
            thread.join(max(deadline - time.monotonic(), 0))
        return self.are_drained()

    def _follow(self, pod: Pod, before: list[threading.Thread]) -> None:
        if pod.attempt:
            for thread in before:  # what the attempt before said comes first
                if thread.name == pod.name:
                    thread.join(10)
        try:
            for line in PodLog(self._api, pod, self._pods, self._patience, self._say, self._tail).lines():
                self._show(line)
        except Exception as error:  # raised again where somebody waits for it
            self.error = error


def so_far(api: Api, pods: Iterable[Pod], say: Callable[[str], None], tail: int | None = None) -> Iterator[Line]:
    """What the pods have printed, in the order of the times.

    Raises:
        ForbiddenError, UnreachableError
    """

    def of(pod: Pod) -> Iterator[Line]:
        place = Place()
        try:
            for raw in api.log(pod.name, timestamps=True, tail=tail):
                taken = place.take(raw)
                if taken:
                    yield Line(pod, *taken)
        except RefusedError:
            say(f"rank {pod.rank} has not started: {pod.waiting_reason or pod.unscheduled or 'its pod is pending'}")
        except (NotFoundError, NoLogError) as error:
            say(f"the log of rank {pod.rank} cannot be read: {error}")

    return heapq.merge(*(of(pod) for pod in pods), key=lambda line: line.time)


def follow(
    api: Api,
    snapshot: Snapshot,
    show: Callable[[Line], None],
    say: Callable[[str], None],
    *,
    over: threading.Event | None = None,
    ranks: Iterable[int] = (),
    tail: int | None = None,
    patience: Patience | None = None,
) -> Snapshot:
    """Every line of the run, from its present pods on, until it has ended and all is read, or `over` is set.

    Raises:
        NotFoundError: it was uninstalled meanwhile.
        ForbiddenError; UnreachableError: the API server was away for longer than the patience.
    """
    patience, over = patience or Patience(say), over or threading.Event()
    pods = Pods(api, snapshot.name, snapshot.uid, patience)
    watching = Watching(api, snapshot, pods, patience)
    logs = Logs(api, pods, patience, show, say, ranks=ranks, tail=tail)
    try:
        pods.start()
        watching.start()
        if not snapshot.pods:
            say(f"{snapshot.name} is {snapshot.state.value} and has no pods yet; waiting for them")
        ended_at = 0.0
        while not over.is_set():
            logs.start_new()
            if error := watching.error or pods.error or logs.error:
                logs.drain(5)
                raise error
            ended = watching.is_gone or (watching.snapshot.has_ended and pods.listed.is_set())
            if ended and logs.are_drained():
                break
            ended_at = ended_at or (time.monotonic() if ended else 0.0)
            if ended and time.monotonic() - ended_at > ENDING_SECONDS:
                say("the run has ended, and some of its pods' logs have not; gave up waiting for them")
                break
            over.wait(0.2)
        return watching.snapshot
    finally:
        patience.over.set()
