"""The pods of a run as they come and go, kept by a watch: what an ended pod said is still here when the pod is gone."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING

from trainchart.cluster import kinds
from trainchart.cluster.errors import UnreachableError
from trainchart.cluster.fields import Object
from trainchart.errors import TrainchartError
from trainchart.follow.retry import FIRST_PAUSE, LONGEST_PAUSE, Patience
from trainchart.run.state import Pod, is_of_another, pod_of, pod_selector

if TYPE_CHECKING:
    from trainchart.cluster.api import Api

# A watch is silent where nothing changes. Ended by the server before the client takes it for dead, it is known to be alive.
WATCH_SECONDS = 50
BETWEEN_SECONDS = 1.0


class Pods:
    """Every pod of the run since the watch began, of every attempt, as it was last seen."""

    def __init__(self, api: Api, name: str, uid: str, patience: Patience) -> None:
        self._api, self._selector, self._patience = api, pod_selector(name), patience
        self._uid = uid  # of the Job: an earlier one of this name may still have pods that end
        self._lock = threading.Lock()
        self._seen: dict[str, Pod] = {}  # by UID
        self._gone: set[str] = set()
        self.changed = threading.Event()
        self.listed = threading.Event()  # what was there at the beginning is known
        self.error: Exception | None = None

    def start(self) -> None:
        threading.Thread(target=self._run, name="pods", daemon=True).start()

    def seen(self) -> list[Pod]:
        """All, in the order of their coming."""
        with self._lock:
            return list(self._seen.values())

    def there(self) -> list[Pod]:
        with self._lock:
            return [pod for uid, pod in self._seen.items() if uid not in self._gone]

    def is_gone(self, uid: str) -> bool:
        with self._lock:
            return uid in self._gone

    def has_ended(self, uid: str) -> bool:
        """Its container has, or it is gone."""
        with self._lock:
            pod = self._seen.get(uid)
            return uid in self._gone or (pod is not None and pod.has_ended)

    def take(self, objects: Iterable[Object]) -> None:
        """All pods that are there: those that are not among them are gone."""
        pods = [pod_of(each) for each in objects if not is_of_another(each, self._uid)]
        with self._lock:
            self._seen.update((pod.uid, pod) for pod in pods)
            self._gone = self._seen.keys() - {pod.uid for pod in pods}
        self.listed.set()
        self.changed.set()

    def learn(self, pods: Iterable[Pod]) -> None:
        """What somebody else saw of them; a watch that is cut off knows less."""
        with self._lock:
            for pod in pods:
                known = self._seen.get(pod.uid)
                if known is None or (pod.has_ended and not known.has_ended):
                    self._seen[pod.uid] = pod

    def _run(self) -> None:
        pause = FIRST_PAUSE
        while not self._patience.over.is_set():
            try:
                objects, version = self._api.objects(kinds.PODS, selector=self._selector)
            except UnreachableError as error:
                try:
                    self._patience.missed(error)
                except UnreachableError as last:
                    self.error = last
                    break
                self._patience.rest(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
                continue
            except Exception as error:  # raised again where somebody waits for it
                self.error = error
                break
            self._patience.answered()
            pause = FIRST_PAUSE
            self.take(objects)
            # However a watch ends: whether the server is away shows when it is asked for the list.
            with contextlib.suppress(TrainchartError, ValueError):
                self._watch(version)
                continue
            self._patience.rest(BETWEEN_SECONDS)  # without the right to watch, lists must do
        self.listed.set()
        self.changed.set()

    def _watch(self, version: str) -> None:
        for change in self._api.watch(kinds.PODS, since=version, selector=self._selector, seconds=WATCH_SECONDS):
            if self._patience.over.is_set():
                return
            if change["type"] not in ("ADDED", "MODIFIED", "DELETED") or is_of_another(change["object"], self._uid):
                continue
            pod = pod_of(change["object"])
            with self._lock:
                self._seen[pod.uid] = pod
                if change["type"] == "DELETED":
                    self._gone.add(pod.uid)
            self.changed.set()
