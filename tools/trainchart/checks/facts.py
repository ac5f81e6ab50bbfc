"""What a diagnosis is given: read by a number of calls that does not depend on how many runs there are."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, TypeVar

from trainchart.checks.reader import ClusterReader, NoRightError
from trainchart.checks.run_spec import submitted
from trainchart.cluster import helm, kinds
from trainchart.cluster.fields import Object, items, text
from trainchart.run.state import Pod, Snapshot, State

T = TypeVar("T")


_UNMADE = "involvedObject.kind=PersistentVolumeClaim,reason=ProvisioningFailed"


@dataclass(frozen=True)
class Facts:
    """What else an API server has about a run. None stands for what was not read, or may not be."""

    now: datetime
    groups: tuple[Object, ...] | None = None
    """The run's PodGroup, or none."""
    queues: tuple[Object, ...] | None = None
    job_events: tuple[Object, ...] = ()
    group_events: tuple[Object, ...] = ()
    pod_events: tuple[Object, ...] = ()
    """Of the pod that `pod_of_interest` names."""
    quotas: tuple[Object, ...] | None = None
    nodes: tuple[Object, ...] | None = None
    claim: Object | None = None
    """The claim that the scheduler complains about, or whose volume could not be made."""
    claim_events: tuple[Object, ...] = ()
    secret_exists: bool | None = None
    """Of the Secret that the runner complains about."""
    release_status: str = ""
    """Helm's, of a release without a Job: deployed, failed, ..."""
    forbidden: tuple[str, ...] = ()
    """What this account has no right to, as `list nodes`."""

    @property
    def group(self) -> Object | None:
        return next(iter(self.groups or ()), None)


def gather(reader: ClusterReader, run: Snapshot) -> Facts:
    """At most ten calls, and fewer the better it is known what is wrong.

    Raises:
        UnreachableError, UnauthorizedError
    """
    forbidden: list[str] = []

    def read(is_needed: object, call: Callable[..., T], *arguments: object, **options: str) -> T | None:
        try:
            return call(*arguments, **options) if is_needed else None
        except NoRightError as error:
            forbidden.append(f"{error.verb} {error.kind.plural}")
            return None

    has_job, pod, group = run.job is not None, pod_of_interest(run), f"{run.name}-{run.uid}"
    is_active = has_job and not run.has_finished
    is_waiting = run.state in (State.PENDING, State.RESTARTING)
    has_no_culprit = run.state is State.FAILED and run.culprit is None
    events, of_kind, secret = reader.events, reader.objects, suspected_secret(run)
    unmade = read(silent_pod(run), of_kind, kinds.EVENTS, fields=_UNMADE)
    claim = suspected_claim(run) or _unmade_claim(run, unmade or [])
    found: dict[str, Any] = {
        "job_events": read(has_job, events, kind="Job", name=run.name, uid=run.uid),
        "groups": read(is_active, lambda: [one for one in [reader.get(kinds.POD_GROUPS, group)] if one]),
        "queues": read(has_job and is_waiting, reader.queues, run.queue),
        # They outlive the group, and say whether Volcano itself took the pods away.
        "group_events": read(has_job and (is_active or has_no_culprit), events, kind="PodGroup", name=group),
        "pod_events": read(pod, lambda: events(kind="Pod", name=pod.name, uid=pod.uid)) if pod else None,
        "quotas": read((is_waiting or has_no_culprit) and len(run.pods) < run.replicas, of_kind, kinds.RESOURCE_QUOTAS),
        "nodes": read(needs_nodes(run), of_kind, kinds.NODES),
        "claim": read(claim, reader.get, kinds.CLAIMS, claim),
        "claim_events": read(claim, events, kind="PersistentVolumeClaim", name=claim),
        "secret_exists": read(secret, reader.exists, kinds.SECRETS, secret),
    }
    release = helm.newest(read(run.state is State.NO_JOB, reader.release, run.name) or [])
    given: dict[str, Any] = {
        name: tuple(one) if isinstance(one, list) else one for name, one in found.items() if one is not None
    }
    return Facts(
        now=datetime.now(timezone.utc),
        release_status=text(release, "metadata", "labels", "status"),
        forbidden=tuple(dict.fromkeys(forbidden)),
        **given,
    )


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
    return not run.has_finished and any(pod.is_cut_off for pod in run.pods)


def silent_pod(run: Snapshot) -> Pod | None:
    """The pod of which no scheduler has said anything: it may wait for a volume that is being made."""
    return next((pod for pod in run.pods if not pod.node and not pod.unscheduled and not pod.has_finished), None)


def _unmade_claim(run: Snapshot, events: Iterable[Object]) -> str:
    """The claim of a run whose volume could not be made, by events of the namespace."""
    names = {text(one, "persistentVolumeClaim", "claimName") for one in items(run.pod_spec, "volumes")}
    return next((name for one in events if (name := text(one, "involvedObject", "name")) in names), "")


def suspected_claim(run: Snapshot) -> str:
    """The claim that keeps the scheduler from finding a node, by its message; else, where it names none, the workspace's."""
    message = " ".join(pod.unscheduled for pod in run.pods)
    if not re.search(r"persistentvolumeclaim|PersistentVolume|storageclass|volume", message, re.IGNORECASE):
        return ""
    if named := re.search(r'persistentvolumeclaim "([^"]+)"', message):
        return named[1]
    return run.workspace_claim or next((claim.name for claim in submitted(run).claims), "")


def suspected_secret(run: Snapshot) -> str:
    """The Secret of which the runner says that it lacks a key: perhaps it does not exist at all."""
    failure = run.culprit.failure if run.culprit else None
    found = re.search(r"\bsecret (\S+) has no key", failure.reason) if failure else None
    return found[1] if found else ""
