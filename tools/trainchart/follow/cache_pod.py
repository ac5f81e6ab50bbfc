"""A pod that mounts the cache volume of runs: placed where the claim can be mounted, followed to its end, and deleted."""

from __future__ import annotations

import contextlib
import copy
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from itertools import chain
from typing import TYPE_CHECKING

from trainchart.chart.exit_codes import runner_codes
from trainchart.checks import names
from trainchart.checks.claims import check_claim
from trainchart.checks.containers import waiting_containers
from trainchart.checks.facts import Facts
from trainchart.checks.finding import Finding, waiting
from trainchart.checks.pods import without_node, without_volume
from trainchart.checks.refusals import explain
from trainchart.checks.run_spec import Claim, RunSpec
from trainchart.cluster import kinds
from trainchart.cluster.errors import ForbiddenError, NotFoundError, RefusedError, UnreachableError
from trainchart.cluster.fields import Object, items, mapping, text, texts
from trainchart.cluster.quantities import is_device
from trainchart.errors import ExitCode, TrainchartError
from trainchart.follow.logs import NoLogError, Position
from trainchart.follow.retry import Retry
from trainchart.run import helper_pod
from trainchart.run.events import Event, parse
from trainchart.run.state import Pod, Snapshot, pod_of
from trainchart.units import span

if TYPE_CHECKING:
    from trainchart.cluster.api import Api

VOLUME = "cache"
START_SECONDS = 300.0
POLL_SECONDS = 1.0
_READ_BY_NOW = timedelta(minutes=10)
"""How long after its end somebody may still read the log of a pod."""
_MADE_BY_NOW = timedelta(minutes=1)
"""How long after its pod a command makes the ConfigMap of it at the latest."""
_COMPONENT = "app.kubernetes.io/component"
_ROLE = "cache"
_FINAL = ("image-name", "image-missing", "image-denied", "image-runs-as-root", "claim-missing", "storage-class-missing")
"""Findings that do not go away by waiting."""


class CacheError(TrainchartError):
    """It could not be done; the text says why, and what to do."""

    def __init__(self, message: str, code: int = ExitCode.PROBLEM) -> None:
        super().__init__(message)
        self.exit_code = code


@dataclass
class CachePod:
    api: Api
    spec: RunSpec
    """Of the run whose image, account and settings it has."""
    notify: Callable[[str], None]
    start_seconds: float
    _failure: Event | None = field(default=None, init=False)

    @property
    def claim(self) -> str:
        return text(self.spec.settings, "cache", "claimName")

    def run(
        self, pod: Object, config_map: Object, purpose: str, take: Callable[[str], None], *, writes: bool = True
    ) -> None:
        """Run a pod with the volume `cache` to its end; `take` is given each line that it prints.

        Raises:
            CacheError: it does not start, or fails; with the exit code of the runner.
            ForbiddenError, UnreachableError
        """
        pod["metadata"]["labels"] = {**pod["metadata"]["labels"], _COMPONENT: _ROLE}
        modes = self._checked_modes()
        if modes == {"ReadOnlyMany"}:
            if writes:
                raise CacheError(f"claim {self.claim} can only be read (ReadOnlyMany); name one with ReadWriteMany")
            (volume,) = (one for one in items(pod, "spec", "volumes") if text(one, "name") == VOLUME)
            volume["persistentVolumeClaim"]["readOnly"] = True
        self._place(pod, modes)
        try:
            with helper_pod.created(self.api, pod, [config_map]) as name:
                self.notify(f"pod {name} {purpose} on claim {self.claim}")
                retry = Retry(self.notify)
                self._await_start(name, retry)
                for line in _lines(self.api, name, text(pod, "spec", "containers", 0, "name"), retry):
                    printed = line.decode("utf-8", "replace")
                    if (event := parse(printed)) and event.name == "failed":
                        self._failure = event
                    take(printed)
                self._check_end(retry.call(lambda: _ended(self.api, name)), name, purpose)
        except ForbiddenError as error:
            raise helper_pod.lacking_right(error, purpose) from None
        except (RefusedError, NotFoundError) as error:
            raise CacheError(f"the pod that {purpose} is refused: {explain(str(error))}") from None

    # -- the claim

    def _checked_modes(self) -> set[str]:
        """Return the access modes of the claim; none where this account may not read it.

        Raises:
            CacheError: it cannot be used.
        """
        try:
            claim = self.api.get(kinds.CLAIMS, self.claim)
        except ForbiddenError:
            return set()
        if claim is None and not self._has_namespace():
            raise CacheError(str(names.missing_namespace(self.api.namespace)), ExitCode.NOT_FOUND)
        spec = replace(self.spec, namespace=self.api.namespace)
        found = check_claim(spec, Claim(self.claim, read_only=True), claim)
        if found.key in ("claim-missing", "claim-deleting", "claim-lost", "claim-block"):
            raise CacheError(str(found), ExitCode.NOT_FOUND if claim is None else ExitCode.PROBLEM)
        modes = set(texts(claim, "spec", "accessModes"))
        if claim and text(claim, "status", "phase") == "Pending" and "ReadWriteMany" not in modes:
            self._warn_of_its_node()
        return modes

    def _warn_of_its_node(self) -> None:
        """Tell that a volume is made for the node of this pod, where the run needs another kind of node."""
        limits = mapping(self.spec.pod_template, "containers", 0, "resources", "limits")
        needs_devices = self.spec.device_classes or any(map(is_device, limits))
        if needs_devices and not (self.spec.pod_template.keys() & {"nodeSelector", "affinity"}):
            self.notify(
                f"claim {self.claim} has no volume yet, and may get it on the node of this pod, which need not be one with "
                "devices; name the run's nodes in nodeSelector"
            )

    def _has_namespace(self) -> bool:
        try:
            return self.api.get(kinds.NAMESPACES, self.api.namespace) is not None
        except ForbiddenError:
            return True

    def _place(self, pod: Object, modes: set[str]) -> None:
        """Bring the pod to the node where others use a claim that only one node can mount, and remove what commands that
        were killed have left.

        Raises:
            CacheError: the claim is one of a single pod, which uses it.
        """
        try:
            pods, _ = self.api.objects(kinds.PODS)
        except ForbiddenError:
            return
        left = [one for one in pods if text(one, "metadata", "labels", _COMPONENT) == _ROLE and self._is_left(one)]
        for one in left:
            self.api.delete(kinds.PODS, text(one, "metadata", "name"))
        user = next((one for one in pods if one not in left and self._uses(one)), None)
        if user is None or not modes or {"ReadWriteMany", "ReadOnlyMany"} & modes:
            return
        who, node = text(user, "metadata", "name"), text(user, "spec", "nodeName")
        if "ReadWriteOncePod" in modes:
            raise CacheError(
                f"claim {self.claim} is ReadWriteOncePod, and pod {who} uses it; wait until that has finished"
            )
        if text(user, "metadata", "labels", _COMPONENT) != _ROLE:
            self.notify(f"claim {self.claim} is ReadWriteOnce and used by pod {who} on node {node}: the pod goes there")
        _bind(pod["spec"], node)

    def _is_left(self, pod: Object) -> bool:
        """Whether a pod of a command ended long ago, or waits for the ConfigMap that its command, which was killed, did not make."""
        found, now = pod_of(pod), self.api.now()
        if found.ended:
            return now - found.ended > _READ_BY_NOW
        if found.phase != "Pending" or not found.created or now - found.created < _MADE_BY_NOW:
            return False
        mounted = {
            text(one, "configMap", "name") for one in items(pod, "spec", "volumes") if text(one, "name") == "run"
        }
        return any(self.api.get(kinds.CONFIG_MAPS, name) is None for name in mounted - {""})

    def _uses(self, pod: Object) -> bool:
        """Whether a pod has a node, where it mounts the claim."""
        mounted = [text(one, "persistentVolumeClaim", "claimName") for one in items(pod, "spec", "volumes")]
        has_ended = text(pod, "status", "phase") in ("Succeeded", "Failed")
        return self.claim in mounted and bool(text(pod, "spec", "nodeName")) and not has_ended

    # -- the life of the pod

    def _await_start(self, name: str, retry: Retry) -> None:
        """Raises CacheError: it does not start."""
        deadline, told, looked = time.monotonic() + self.start_seconds, "", 0.0
        while True:
            pod = retry.call(lambda: _load(self.api, name))
            if not pod.name:
                raise CacheError(f"pod {name} was deleted")
            if pod.is_running or pod.has_finished:
                return
            now = time.monotonic()
            if now - looked >= 5 * POLL_SECONDS or now > deadline:
                finding, looked = self._diagnosis(pod), now
                said = str(finding).replace("rank 0", f"pod {name}")
                if finding.key in _FINAL:
                    raise CacheError(said)
                if now > deadline:
                    raise CacheError(f"pod {name} did not start in {span(self.start_seconds)}: {said}")
                if finding.severity == "problem" and finding.text != told:
                    told = finding.text
                    self.notify(said)
            time.sleep(POLL_SECONDS)

    def _diagnosis(self, pod: Pod) -> Finding:
        run = Snapshot(self.spec.name, self.api.namespace, job=self.spec.job, pods=(pod,))
        facts = Facts(
            now=datetime.now(timezone.utc),
            pod_events=self._events(f"involvedObject.uid={pod.uid}"),
            claim=self._claim(),
            claim_events=self._events(
                f"involvedObject.kind=PersistentVolumeClaim,involvedObject.name={self.claim},reason=ProvisioningFailed"
            ),
        )
        found = without_node(run, pod, facts) if pod.unscheduled else waiting_containers(run, facts)
        return next(chain(found, without_volume(run, facts)), waiting("pending", "pods", f"pod {pod.name} is pending"))

    def _events(self, fields: str) -> tuple[Object, ...]:
        with contextlib.suppress(ForbiddenError, UnreachableError):
            return tuple(self.api.objects(kinds.EVENTS, fields=fields)[0])
        return ()

    def _claim(self) -> Object:
        with contextlib.suppress(ForbiddenError, UnreachableError):
            return self.api.get(kinds.CLAIMS, self.claim) or {}
        return {"metadata": {"name": self.claim}}

    def _check_end(self, pod: Pod, name: str, purpose: str) -> None:
        """Raises CacheError: it has failed."""
        if pod.exit_code == 0:
            return
        if self._failure:
            said = self._failure.fields
            reason = "; ".join(filter(None, (said.get("reason", ""), said.get("fix", ""))))
            raise CacheError(reason, pod.exit_code or ExitCode.RUN_FAILED)
        why = pod.message or pod.exit_reason or "its end was not seen"
        if pod.exit_code is not None:
            why += f", exit code {pod.exit_code}"
        if not pod.name:
            why = "it was deleted"
        if pod.oom_killed:
            why = "it needs more memory than its limit, which is that of the run, and at most 4Gi"
        code = pod.exit_code if pod.exit_code in runner_codes() else ExitCode.RUN_FAILED
        raise CacheError(f"pod {name}, which {purpose}, failed: {why}", code or ExitCode.RUN_FAILED)


def _bind(spec: Object, node: str) -> None:
    """Let a pod run on one node only, whatever else it asks of its node."""
    affinity = copy.deepcopy(mapping(spec, "affinity"))
    required = affinity.setdefault("nodeAffinity", {}).setdefault("requiredDuringSchedulingIgnoredDuringExecution", {})
    here = {"key": "metadata.name", "operator": "In", "values": [node]}
    terms = items(required, "nodeSelectorTerms") or [{}]
    required["nodeSelectorTerms"] = [{**term, "matchFields": [*items(term, "matchFields"), here]} for term in terms]
    spec["affinity"] = affinity


def _load(api: Api, name: str) -> Pod:
    """The pod; without a name if it does not exist."""
    return pod_of(api.get(kinds.PODS, name) or {})


def _lines(api: Api, name: str, container: str, retry: Retry) -> Iterable[bytes]:
    """Yield the lines of the pod's log, each once, to its end."""
    position = Position()
    while True:
        pod = retry.call(lambda: _load(api, name))
        last = pod.has_finished or not pod.name
        try:
            since = position.resume_from()
            for raw in api.log(name, container=container, follow=True, since=since, timestamps=True):
                if taken := position.take(raw):
                    yield taken[1]
            if last:
                return
        except NotFoundError:
            return
        except (UnreachableError, NoLogError, RefusedError):
            if last and not retry.trouble:
                return
        retry.pause(POLL_SECONDS)


def _ended(api: Api, name: str) -> Pod:
    """The pod once its container has finished, which its status shows a moment after its log has ended."""
    until = time.monotonic() + 60
    while True:
        pod = _load(api, name)
        if pod.has_finished or not pod.name or time.monotonic() > until:
            return pod
        time.sleep(POLL_SECONDS / 5)
