"""The pods of a run as they come and go, kept up to date by a watch: what a pod reported outlives the pod."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING

from trainchart.cluster import kinds
from trainchart.cluster.fields import Object
from trainchart.errors import TrainchartError
from trainchart.follow.retry import Retry
from trainchart.run.state import Pod, belongs_to_another, pod_of, pod_selector

if TYPE_CHECKING:
    from trainchart.cluster.api import Api

# A watch is silent while nothing changes: the server ends it before the client would take it for dead.
WATCH_SECONDS = 50
BETWEEN_SECONDS = 1.0


class Pods:
    """Every pod of the run since the watch began, of every attempt, as it was last seen."""

    def __init__(self, api: Api, name: str, uid: str, retry: Retry) -> None:
        self._api, self._selector, self._retry = api, pod_selector(name), retry
        self._uid = uid  # of the Job: an earlier one of this name may still have pods that terminate
        self._lock = threading.Lock()
        self._seen: dict[str, Pod] = {}  # by UID
        self._gone: set[str] = set()
        self.changed = threading.Event()
        self.listed = threading.Event()
        """Set once the pods that existed at the beginning are known."""
        self.error: Exception | None = None
        """What ended the watch."""

    def start(self) -> None:
        threading.Thread(target=self._run, name="pods", daemon=True).start()

    def seen(self) -> list[Pod]:
        """Return all pods, in the order in which they appeared."""
        with self._lock:
            return list(self._seen.values())

    def present(self) -> list[Pod]:
        """Return the pods that still exist."""
        with self._lock:
            return [pod for uid, pod in self._seen.items() if uid not in self._gone]

    def is_gone(self, uid: str) -> bool:
        with self._lock:
            return uid in self._gone

    def has_finished(self, uid: str) -> bool:
        """Return whether its container has finished, or the pod is gone."""
        with self._lock:
            pod = self._seen.get(uid)
            return uid in self._gone or (pod is not None and pod.has_finished)

    def replace(self, objects: Iterable[Object]) -> None:
        """Take a complete list of pods: those that are not in it are gone."""
        pods = [pod_of(each) for each in objects if not belongs_to_another(each, self._uid)]
        with self._lock:
            self._seen.update((pod.uid, pod) for pod in pods)
            self._gone = self._seen.keys() - {pod.uid for pod in pods}
        self.listed.set()
        self.changed.set()

    def learn(self, pods: Iterable[Pod]) -> None:
        """Take what another call has seen of them; a watch that is cut off knows less."""
        with self._lock:
            for pod in pods:
                known = self._seen.get(pod.uid)
                if known is None or (pod.has_finished and not known.has_finished):
                    self._seen[pod.uid] = pod

    def _run(self) -> None:
        try:
            while not self._retry.is_cancelled:
                objects, version = self._retry.call(lambda: self._api.objects(kinds.PODS, selector=self._selector))
                self.replace(objects)
                # However a watch ends, the list that follows shows whether the server can be reached.
                with contextlib.suppress(TrainchartError, ValueError):
                    self._watch(version)
                    continue
                self._retry.pause(BETWEEN_SECONDS)  # without the right to watch, lists must do
        except Exception as error:  # raised again where somebody waits for it
            self.error = error
        self.listed.set()
        self.changed.set()

    def _watch(self, version: str) -> None:
        for change in self._api.watch(kinds.PODS, since=version, selector=self._selector, seconds=WATCH_SECONDS):
            if self._retry.is_cancelled:
                return
            if change["type"] not in ("ADDED", "MODIFIED", "DELETED") or belongs_to_another(
                change["object"], self._uid
            ):
                continue
            pod = pod_of(change["object"])
            with self._lock:
                self._seen[pod.uid] = pod
                if change["type"] == "DELETED":
                    self._gone.add(pod.uid)
            self.changed.set()
