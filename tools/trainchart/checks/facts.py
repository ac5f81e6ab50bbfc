"""What a diagnosis is given: read by a number of calls that does not depend on how many runs there are."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TypeVar

from trainchart.checks.reader import ClusterReader, NoRight
from trainchart.checks.run_spec import submitted
from trainchart.cluster import helm, kinds
from trainchart.cluster.fields import Object, text
from trainchart.run.state import Pod, Snapshot, State

T = TypeVar("T")


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
    """The claim that the scheduler complains about."""
    claim_events: tuple[Object, ...] = ()
    secret_exists: bool | None = None
    """Of the Secret that the runner complains about."""
    release_status: str = ""
    """Helm's, of a release without a Job: deployed, failed, ..."""
    forbidden: tuple[NoRight, ...] = ()

    @property
    def group(self) -> Object | None:
        return next(iter(self.groups or ()), None)


def gather(reader: ClusterReader, run: Snapshot) -> Facts:
    """At most nine calls, and fewer the better it is known what is wrong.

    Raises:
        UnreachableError, UnauthorizedError
    """
    forbidden: list[NoRight] = []

    def allowed(answer: T | NoRight) -> T | None:
        if isinstance(answer, NoRight):
            forbidden.append(answer)
            return None
        return answer

    def all_of(answer: list[Object] | NoRight) -> tuple[Object, ...] | None:
        found = allowed(answer)
        return None if found is None else tuple(found)

    is_waiting, name = run.state in (State.PENDING, State.RESTARTING), f"{run.name}-{run.uid}"
    has_job, pod = run.job is not None, pod_of_interest(run)
    job_events: Iterable[Object] | None = None
    group_events = pod_events = claim_events = job_events
    groups = queues = quotas = nodes = None
    claim, secret_exists, release_status = None, None, ""
    if has_job:
        job_events = all_of(reader.events(kind="Job", name=run.name, uid=run.uid))
    if has_job and not run.has_finished:
        group = reader.get(kinds.POD_GROUPS, name)
        groups = all_of(group if isinstance(group, NoRight) else [group] if group else [])
        if is_waiting:
            queues = all_of(reader.queues(run.queue))
    if has_job and (not run.has_finished or (run.state is State.FAILED and run.culprit is None)):
        # They outlive the group, and say whether Volcano itself took the pods away.
        group_events = all_of(reader.events(kind="PodGroup", name=name))
    if pod:
        pod_events = all_of(reader.events(kind="Pod", name=pod.name, uid=pod.uid))
    if is_waiting and len(run.pods) < run.replicas:
        quotas = all_of(reader.objects(kinds.RESOURCE_QUOTAS))
    if needs_nodes(run):
        nodes = all_of(reader.objects(kinds.NODES))
    if suspect := suspected_claim(run):
        claim = allowed(reader.get(kinds.CLAIMS, suspect))
        claim_events = all_of(reader.events(kind="PersistentVolumeClaim", name=suspect))
    if suspect := suspected_secret(run):
        secret_exists = allowed(reader.exists(kinds.SECRETS, suspect))
    if run.state is State.NO_JOB:
        release_status = text(helm.newest(allowed(reader.release(run.name)) or []), "metadata", "labels", "status")
    return Facts(
        now=datetime.now(timezone.utc),
        groups=groups,
        queues=queues,
        job_events=tuple(job_events or ()),
        group_events=tuple(group_events or ()),
        pod_events=tuple(pod_events or ()),
        quotas=quotas,
        nodes=nodes,
        claim=claim,
        claim_events=tuple(claim_events or ()),
        secret_exists=secret_exists,
        release_status=release_status,
        forbidden=tuple(dict.fromkeys(forbidden)),
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
    return not run.has_finished and any(is_cut_off(pod) for pod in run.pods)


def is_cut_off(pod: Pod) -> bool:
    """It runs by its last report, and its node has not reported since: there is no readiness probe that could fail."""
    return pod.phase == "Unknown" or pod.reason == "NodeLost" or (pod.is_running and not pod.is_ready)


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
