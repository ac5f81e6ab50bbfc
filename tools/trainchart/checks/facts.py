"""What a diagnosis looks at: fetched by a number of calls that does not depend on how many runs there are."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from trainchart.cluster import helm, kinds
from trainchart.cluster.errors import ForbiddenError
from trainchart.cluster.fields import Object, items, text
from trainchart.cluster.kinds import Kind
from trainchart.run.state import Pod, Snapshot, State

if TYPE_CHECKING:
    from trainchart.cluster.api import Api


@dataclass(frozen=True)
class Facts:
    """What else an API server has about a run. What was not looked at is None or empty, as what is not there is; `seen` tells
    the two apart."""

    now: datetime
    group: Object | None = None
    queue: Object | None = None
    job_events: tuple[Object, ...] = ()
    group_events: tuple[Object, ...] = ()
    pod_events: tuple[Object, ...] = ()
    """Of the pod that `pod_of_interest` names."""
    quotas: tuple[Object, ...] = ()
    nodes: tuple[Object, ...] = ()
    claim: Object | None = None
    """The claim that the scheduler complains about."""
    claim_events: tuple[Object, ...] = ()
    secret: Object | None = None
    """Whether the Secret is there that the runner complains about: its metadata, never its values."""
    release_status: str = ""
    """Helm's, of a release without a Job: deployed, failed, ..."""
    seen: frozenset[str] = frozenset()
    """The fields above that were asked for and answered."""
    forbidden: tuple[str, ...] = ()
    """What this account has no right to, as `list nodes`."""


def gather(api: Api, run: Snapshot) -> Facts:
    """At most nine calls, and fewer the better it is known what is wrong.

    Raises:
        UnreachableError
    """
    asked, is_waiting, group = _Asked(api), run.state in (State.PENDING, State.RESTARTING), f"{run.name}-{run.uid}"
    if run.job is not None:
        asked.events("job_events", kind="Job", name=run.name, uid=run.uid)
    if run.job is not None and not run.has_finished:
        asked.get("group", kinds.POD_GROUPS, group)
        if is_waiting:
            asked.get("queue", kinds.QUEUES, run.queue)
    if run.job is not None and (not run.has_finished or (run.state is State.FAILED and run.culprit is None)):
        # They outlive the group, and say whether Volcano itself took the pods away.
        asked.events("group_events", kind="PodGroup", name=group)
    if pod := pod_of_interest(run):
        asked.events("pod_events", kind="Pod", name=pod.name, uid=pod.uid)
    if is_waiting and len(run.pods) < run.replicas:
        asked.list("quotas", kinds.RESOURCE_QUOTAS)
    if needs_nodes(run):
        asked.list("nodes", kinds.NODES)
    if claim := suspected_claim(run):
        asked.get("claim", kinds.CLAIMS, claim)
        asked.events("claim_events", kind="PersistentVolumeClaim", name=claim)
    if secret := suspected_secret(run):
        asked.ask("secret", "get", kinds.SECRETS, lambda: api.metadata(kinds.SECRETS, secret))
    if run.state is State.NO_JOB:
        asked.ask("release_status", "list", kinds.SECRETS, lambda: _release_status(api, run.name))
    forbidden = tuple(dict.fromkeys(asked.forbidden))
    return Facts(datetime.now(timezone.utc), **asked.found, seen=frozenset(asked.found), forbidden=forbidden)


class _Asked:
    """Answers by their field of Facts, and what there is no right to ask."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self.found: dict[str, Any] = {}
        self.forbidden: list[str] = []

    def ask(self, field: str, verb: str, kind: Kind, call: Callable[[], object]) -> None:
        try:
            self.found[field] = call()
        except ForbiddenError:
            self.forbidden.append(f"{verb} {kind.plural}")

    def get(self, field: str, kind: Kind, name: str) -> None:
        self.ask(field, "get", kind, lambda: self._api.get(kind, name))

    def list(self, field: str, kind: Kind, fields: str = "") -> None:
        self.ask(field, "list", kind, lambda: tuple(self._api.objects(kind, fields=fields)[0]))

    def events(self, field: str, **of: str) -> None:
        fields = ",".join(f"involvedObject.{key}={value}" for key, value in of.items() if value)
        self.list(field, kinds.EVENTS, fields)


def _release_status(api: Api, name: str) -> str:
    """Helm's record has it in a label; what is in the Secret stays where it is."""
    records, _ = api.objects(kinds.SECRETS, selector=helm.release_selector(name), metadata_only=True)
    return text(helm.newest(records), "metadata", "labels", "status")


def pod_of_interest(run: Snapshot) -> Pod | None:
    """The one pod whose events may say what its status does not: ranks mostly wait for the same thing."""
    if run.has_finished:
        return run.culprit
    waiting = [pod for pod in run.pods if not pod.is_running and pod.exit_code is None]
    bound = [pod for pod in waiting if not pod.unscheduled]
    # Of pods without a node the scheduler says it all, but where others make their devices' claims.
    claiming = [pod for pod in waiting if "ResourceClaim" in pod.unscheduled]
    return next(iter(bound + claiming), None)


def needs_nodes(run: Snapshot) -> bool:
    if run.state in (State.PENDING, State.RESTARTING):
        return not run.pods or any(pod.unscheduled for pod in run.pods)
    return not run.has_finished and any(is_cut_off(pod) for pod in run.pods)


def is_cut_off(pod: Pod) -> bool:
    """It runs by its last word, and its node has not said anything since: there is no readiness probe that could fail."""
    return pod.phase == "Unknown" or pod.reason == "NodeLost" or (pod.is_running and not pod.is_ready)


def suspected_claim(run: Snapshot) -> str:
    """The claim that keeps the scheduler from finding a node, by what it says; else, where it names none, the workspace's."""
    said = " ".join(pod.unscheduled for pod in run.pods)
    if not re.search(r"persistentvolumeclaim|PersistentVolume|storageclass|volume", said, re.IGNORECASE):
        return ""
    if named := re.search(r'persistentvolumeclaim "([^"]+)"', said):
        return named[1]
    claims = [text(volume, "persistentVolumeClaim", "claimName") for volume in items(run.pod_spec, "volumes")]
    return run.workspace_claim or next(filter(None, claims), "")


def suspected_secret(run: Snapshot) -> str:
    """The Secret of which the runner says that it lacks a key: perhaps it is not there at all."""
    failure = run.culprit.failure if run.culprit else None
    found = re.search(r"\bsecret (\S+) has no key", failure.reason) if failure else None
    return found[1] if found else ""
