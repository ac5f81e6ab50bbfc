"""What a diagnosis looks at: fetched by a number of calls that does not depend on how many runs there are."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, TypeVar

from trainchart.cluster import kinds
from trainchart.cluster.errors import ForbiddenError
from trainchart.cluster.fields import Object, items, text
from trainchart.run.state import Pod, Snapshot, State

if TYPE_CHECKING:
    from trainchart.cluster.api import Api

Found = TypeVar("Found")


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
    seen: set[str] = set()
    forbidden: list[str] = []

    def ask(field: str, right: str, call: Callable[[], Found], otherwise: Found) -> Found:
        try:
            answer = call()
        except ForbiddenError:
            forbidden.append(right)
            return otherwise
        seen.add(field)
        return answer

    def events(field: str, **of: str) -> tuple[Object, ...]:
        fields = ",".join(f"involvedObject.{key}={value}" for key, value in of.items() if value)
        nothing: tuple[Object, ...] = ()
        return ask(field, "list events", lambda: tuple(api.objects(kinds.EVENTS, fields=fields)[0]), nothing)

    job_events = group_events = pod_events = quotas = nodes = claim_events = ()  # type: tuple[Object, ...]
    group = queue = claim = secret = None
    if run.job is not None:
        job_events = events("job_events", kind="Job", name=run.name, uid=run.uid)
    group_name = f"{run.name}-{run.uid}"
    if run.job is not None and not run.has_ended:
        group = ask("group", "get podgroups", lambda: api.get(kinds.POD_GROUPS, group_name), None)
        if run.state in (State.PENDING, State.RESTARTING):
            queue = ask("queue", "get queues", lambda: api.get(kinds.QUEUES, run.queue), None)
    if run.job is not None and (not run.has_ended or (run.state is State.FAILED and run.culprit is None)):
        # They outlive the group, and say whether Volcano itself took the pods away.
        group_events = events("group_events", kind="PodGroup", name=group_name)
    pod = pod_of_interest(run)
    if pod is not None:
        pod_events = events("pod_events", kind="Pod", name=pod.name, uid=pod.uid)
    if run.state in (State.PENDING, State.RESTARTING) and len(run.pods) < run.replicas:
        quotas = ask("quotas", "list resourcequotas", lambda: tuple(api.objects(kinds.RESOURCE_QUOTAS)[0]), quotas)
    if needs_nodes(run):
        nodes = ask("nodes", "list nodes", lambda: tuple(api.objects(kinds.NODES)[0]), nodes)
    if name := suspected_claim(run):
        claim = ask("claim", "get persistentvolumeclaims", lambda: api.get(kinds.CLAIMS, name), None)
        claim_events = events("claim_events", kind="PersistentVolumeClaim", name=name)
    if name := suspected_secret(run):
        secret = ask("secret", "get secrets", lambda: api.metadata(kinds.SECRETS, name), None)
    release: list[Object] = []
    if run.state is State.NO_JOB:
        # Helm's record has it in a label; what is in the Secret stays where it is.
        selector = kinds.release_selector(run.name)
        release = ask("release_status", "list secrets", lambda: api.table(kinds.SECRETS, selector=selector), release)
    return Facts(
        now=datetime.now(timezone.utc),
        group=group,
        queue=queue,
        job_events=job_events,
        group_events=group_events,
        pod_events=pod_events,
        quotas=quotas,
        nodes=nodes,
        claim=claim,
        claim_events=claim_events,
        secret=secret,
        release_status=text(release, -1, "metadata", "labels", "status"),
        seen=frozenset(seen),
        forbidden=tuple(dict.fromkeys(forbidden)),
    )


def pod_of_interest(run: Snapshot) -> Pod | None:
    """The one pod whose events may say what its status does not: ranks mostly wait for the same thing."""
    if run.has_ended:
        return run.culprit
    waiting = [pod for pod in run.pods if not pod.is_running and pod.exit_code is None]
    bound = [pod for pod in waiting if not pod.unscheduled]
    # Of pods without a node the scheduler says it all, but where others make their devices' claims.
    claiming = [pod for pod in waiting if "ResourceClaim" in pod.unscheduled]
    return next(iter(bound + claiming), None)


def needs_nodes(run: Snapshot) -> bool:
    if run.state in (State.PENDING, State.RESTARTING):
        return not run.pods or any(pod.unscheduled for pod in run.pods)
    return not run.has_ended and any(is_cut_off(pod) for pod in run.pods)


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
