"""A run as the API server has it: its Volcano Job and its pods, as one snapshot."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Literal

from trainchart.cluster import kinds
from trainchart.cluster.connection import NO_CONNECTION, Connection
from trainchart.cluster.errors import ForbiddenError, NotFoundError
from trainchart.cluster.fields import Object, dig, items, mapping, moment, number, parsed, text, whole
from trainchart.run.events import Failure, failure_of

if TYPE_CHECKING:
    from trainchart.cluster.api import Api

PART_OF = "app.kubernetes.io/part-of=trainchart"
FAMILY = "trainchart.dev/family"
DEVICES = "trainchart.dev/devices"
"""Annotation of a Job that has accelerators: how many its pods have together."""
FOLLOWER = "trainchart.dev/follower"
"""Annotation of a Job that has a guard: the pod that follows the run."""

PEER_LOST = 43
STOPPED = 143
# Killed from outside, by SIGKILL: by the kernel for its memory, or by the kubelet after the grace period.
KILLED = 137


class State(Enum):
    """The state of a run, in a word for people."""

    PENDING = "pending"
    RUNNING = "running"
    RESTARTING = "restarting"
    ENDING = "ending"
    """Volcano is stopping its pods, or the Job is being deleted."""
    COMPLETED = "completed"
    FAILED = "failed"
    STOPPED = "stopped"
    """Aborted by a command of a user: `trainchart stop`, `vcctl job suspend`."""
    NO_JOB = "no job"
    """The release exists; its Job does not."""

    @property
    def is_final(self) -> bool:
        return self in (State.COMPLETED, State.FAILED, State.STOPPED, State.NO_JOB)


# Volcano has Terminated for a run that an exit code ended, and Failed for one whose retries are used up.
_STATES = {
    "": State.PENDING,
    "Pending": State.PENDING,
    "Running": State.RUNNING,
    "Restarting": State.RESTARTING,
    "Aborting": State.ENDING,
    "Completing": State.ENDING,
    "Terminating": State.ENDING,
    "Aborted": State.STOPPED,
    "Completed": State.COMPLETED,
    "Terminated": State.FAILED,
    "Failed": State.FAILED,
}


@dataclass(frozen=True)
class Pod:
    """One rank, in its last attempt."""

    name: str
    rank: int
    phase: str = ""
    """Kubernetes' own: Pending, Running, Succeeded, Failed, Unknown."""
    reason: str = ""
    """Of the whole pod: Evicted, NodeLost, DeadlineExceeded, ..."""
    message: str = ""
    node: str = ""
    attempt: int | None = None
    """Its JOB_ATTEMPT, from 0."""
    uid: str = ""
    container: str = ""
    """Its main container: the first by name, as Volcano takes it."""
    others: tuple[str, ...] = ()
    """Its other containers that are running, which somebody has injected. A native sidecar, which ends with the pod, is none."""
    image: str = ""
    created: datetime | None = None
    started: datetime | None = None
    ended: datetime | None = None
    is_ending: bool = False
    """It was deleted, and is not gone yet."""
    is_silent: bool = False
    """Kubernetes has marked it, and none of its containers, as not ready: its node no longer reports."""
    waiting_reason: str = ""
    """Of a container that has not started: ContainerCreating, ImagePullBackOff, CreateContainerConfigError, ..."""
    waiting_message: str = ""
    unscheduled: str = ""
    """The scheduler's message where no node has been found for it."""
    disrupted: str = ""
    """Why the cluster removed it: PreemptionByScheduler, EvictionByEvictionAPI, DeletionByTaintManager, ..."""
    disrupted_message: str = ""
    exit_code: int | None = None
    """Of the main container; None until it has finished."""
    exit_reason: str = ""
    """Completed, Error, OOMKilled, StartError, ContainerCannotRun, ContainerStatusUnknown."""
    termination: str = ""
    """Its termination message."""
    result: Mapping[str, object] | None = None
    """The termination message, where it is the runner's JSON object."""

    @property
    def has_finished(self) -> bool:
        return self.exit_code is not None or self.phase in ("Succeeded", "Failed")

    @property
    def has_failed(self) -> bool:
        return self.phase == "Failed" or bool(self.exit_code)

    @property
    def is_running(self) -> bool:
        return self.phase == "Running" and not self.has_finished

    @property
    def is_kept_running(self) -> bool:
        """Whether other containers keep the pod running after the main one has ended."""
        return self.phase == "Running" and self.exit_code is not None and bool(self.others)

    @property
    def is_cut_off(self) -> bool:
        """Whether it ran by its last report, and its node has not reported since."""
        return self.phase == "Unknown" or self.reason == "NodeLost" or (self.is_running and self.is_silent)

    @property
    def removal(self) -> Literal["", "preempted", "node-lost", "evicted"]:
        """How the cluster took it away; empty where it did not."""
        message = self.message or self.disrupted_message
        if self.disrupted == "PreemptionByScheduler" or self.reason == "Preempted" or "preempt" in message.lower():
            return "preempted"
        if self.reason == "NodeLost" or self.disrupted in ("DeletionByTaintManager", "DeletionByPodGC"):
            return "node-lost"
        return "evicted" if self.reason == "Evicted" or self.disrupted else ""

    @property
    def oom_killed(self) -> bool:
        return self.exit_reason == "OOMKilled"

    @property
    def failure(self) -> Failure | None:
        """Why it failed, as the runner reported it; None where it reported nothing."""
        return failure_of(self.result)


@dataclass(frozen=True)
class Snapshot:
    """A run at one moment."""

    name: str
    namespace: str
    uid: str = ""
    family: str = ""
    job: Object | None = field(default=None, repr=False)
    """None where the Job does not exist."""
    pods: tuple[Pod, ...] = ()
    """Of the last attempt, by rank. Pods that Volcano has removed are not among them."""
    phase: str = ""
    """The phase of the Volcano Job."""
    state: State = State.PENDING
    attempt: int = 0
    """JOB_ATTEMPT in its pods, from 0."""
    max_retry: int = 1
    """How many attempts there may be in all."""
    replicas: int = 1
    queue: str = ""
    created: datetime | None = None
    since: datetime | None = None
    """When it entered this phase."""
    running_since: datetime | None = None
    """When its first attempt started to run, or its creation where that is not known."""
    ended_at: datetime | None = None
    conditions: tuple[tuple[str, datetime | None], ...] = ()
    """Its phases so far, and when it entered each."""
    connection: Connection = NO_CONNECTION
    """For commands that are printed."""

    @property
    def has_finished(self) -> bool:
        return self.state.is_final

    @property
    def is_well(self) -> bool:
        """Whether there is nothing to diagnose."""
        if self.state is State.COMPLETED:
            return True
        running = self.state is State.RUNNING and len(self.pods) >= self.replicas
        return (
            running
            and self.attempt == 0
            and all(pod.is_running or (pod.exit_code == 0 and not pod.is_kept_running) for pod in self.pods)
        )

    @property
    def rank_0(self) -> Pod | None:
        return next((pod for pod in self.pods if pod.rank == 0), None)

    @property
    def culprit(self) -> Pod | None:
        """The rank that caused the failure: not one that only lost its peer, or was stopped because of another."""
        failed = [pod for pod in self.pods if pod.has_failed]
        return min(failed, key=_blame, default=None)

    @property
    def pod_spec(self) -> Object:
        return mapping(self.job, "spec", "tasks", 0, "template", "spec")

    @property
    def workspace_claim(self) -> str:
        """The claim that outlives its pods; empty where each pod has its own."""
        volume = next((one for one in items(self.pod_spec, "volumes") if text(one, "name") == "workspace"), {})
        return text(volume, "persistentVolumeClaim", "claimName")

    @property
    def uninstall(self) -> str:
        """How to remove the run, and what is removed with it."""
        command = f"`{self.command('delete {}')}` removes it"
        if self.job and self.workspace_claim != f"{self.name}-workspace":
            return command
        claim = "its own claim" if self.job is None else f"its claim {self.workspace_claim}"
        return f"{command}, and {claim} with the checkpoints, unless workspace.keep is true"

    @property
    def resume_hint(self) -> str:
        """Whether another release can resume where it stopped, and how."""
        if self.job is None:
            return "a new release on its claim, if it had one, resumes from its checkpoints"
        if not self.workspace_claim:
            return "a new release starts from scratch, because its workspace is deleted with its pods"
        where = f"workspace.claimName: {self.workspace_claim} and the same workspace.directory"
        return f"a new release with workspace.type: existingClaim, {where} resumes from its checkpoints"

    def command(self, command: str) -> str:
        """Return a command of trainchart for this run, to be typed; `{}` in it stands for the run's name."""
        return self.connection.command(f"trainchart {command.format(self.name)} -n {self.namespace}")

    @property
    def reference(self) -> dict[str, str]:
        """The Job as an owner reference."""
        version = f"{kinds.JOBS.group}/{kinds.JOBS.version}"
        return {"apiVersion": version, "kind": "Job", "name": self.name, "uid": self.uid}

    @property
    def unscheduled(self) -> Pod | None:
        """The first rank for which no node has been found."""
        return next((pod for pod in self.pods if pod.unscheduled), None)


def load(api: Api, name: str) -> Snapshot:
    """Load a run by its name: two calls, and a third for a release that has no Job.

    Raises:
        NotFoundError: neither exists; the text suggests a run of a similar name.
        ForbiddenError, UnreachableError
    """
    job = api.get(kinds.JOBS, name)
    if job is None:
        return _without_job(api, name)
    if not text(job, "metadata", "labels", FAMILY):
        raise NotFoundError(
            f"Job {name} in namespace {api.namespace} is not a run of trainchart: it has no label {FAMILY}; "
            f"`{api.connection.command(f'kubectl -n {api.namespace} get vcjob {name}')}` shows it"
        )
    pods, _ = api.objects(kinds.PODS, selector=pod_selector(name))
    return replace(snapshot_of(job, pods), connection=api.connection)


def pod_selector(name: str) -> str:
    return f"volcano.sh/job-name={name}"


def snapshot_of(job: Object, pods: Iterable[Object]) -> Snapshot:
    """Return the snapshot of objects that were read already. Pods of an earlier Job of this name are left out."""
    uid = text(job, "metadata", "uid")
    own = [pod for pod in pods if not belongs_to_another(pod, uid)]
    ranks = tuple(sorted((pod_of(pod) for pod in own), key=lambda pod: (pod.rank, pod.name)))
    phase = text(job, "status", "state", "phase")
    state = _STATES.get(phase, State.PENDING)
    if text(job, "metadata", "deletionTimestamp") and not state.is_final:
        state = State.ENDING
    conditions = tuple(
        (text(condition, "status"), moment(condition, "lastTransitionTime"))
        for condition in items(job, "status", "conditions")
    )
    since = moment(job, "status", "state", "lastTransitionTime")
    max_retry = number(job, "spec", "maxRetry") or 1
    attempt = _attempt(job, ranks, max_retry)
    # Volcano keeps only the latest time of each phase: with several attempts, the start of the first is not known.
    started = next((at for phase, at in conditions if phase == "Running"), None)
    return Snapshot(
        name=text(job, "metadata", "name"),
        namespace=text(job, "metadata", "namespace"),
        uid=uid,
        family=text(job, "metadata", "labels", FAMILY),
        job=job,
        pods=ranks,
        phase=phase,
        state=state,
        attempt=attempt,
        max_retry=max_retry,
        replicas=number(job, "spec", "tasks", 0, "replicas") or 1,
        queue=text(job, "spec", "queue"),
        created=moment(job, "metadata", "creationTimestamp"),
        since=since or moment(job, "metadata", "creationTimestamp"),
        running_since=started if attempt == 0 else moment(job, "metadata", "creationTimestamp"),
        ended_at=since if state.is_final else None,
        conditions=conditions,
    )


def pod_of(pod: Object) -> Pod:
    name, status = text(pod, "metadata", "name"), mapping(pod, "status")
    statuses = sorted(items(status, "containerStatuses"), key=_name)
    spec = min(items(pod, "spec", "containers"), key=_name, default={})
    container, others = statuses[0] if statuses else {}, statuses[1:]
    ended = dig(container, "state", "terminated")
    # The pod of a lost node may have this in its last state only.
    ended = ended if isinstance(ended, dict) else mapping(container, "lastState", "terminated")
    conditions = {text(condition, "type"): condition for condition in items(status, "conditions")}
    scheduled, disrupted = mapping(conditions, "PodScheduled"), mapping(conditions, "DisruptionTarget")
    ready = mapping(conditions, "Ready")
    termination = text(ended, "message")
    return Pod(
        name=name,
        rank=_rank(pod, name),
        phase=text(status, "phase"),
        reason=text(status, "reason"),
        message=text(status, "message"),
        node=text(pod, "spec", "nodeName"),
        attempt=whole(dig(pod, "metadata", "annotations", "volcano.sh/job-retry-count")),
        uid=text(pod, "metadata", "uid"),
        container=_name(spec),
        others=tuple(_name(one) for one in others if dig(one, "state", "running") is not None),
        image=text(container, "image") or text(spec, "image"),
        created=moment(pod, "metadata", "creationTimestamp"),
        started=moment(container, "state", "running", "startedAt") or moment(ended, "startedAt"),
        ended=moment(ended, "finishedAt"),
        is_ending=bool(text(pod, "metadata", "deletionTimestamp")),
        # Where a container is not ready, as in a run with a guard (docs/decisions/0022), the condition has a reason.
        is_silent=text(ready, "status") == "False" and not text(ready, "reason"),
        waiting_reason=text(container, "state", "waiting", "reason"),
        waiting_message=text(container, "state", "waiting", "message"),
        unscheduled=text(scheduled, "message") if text(scheduled, "status") == "False" else "",
        disrupted=text(disrupted, "reason") if text(disrupted, "status") == "True" else "",
        disrupted_message=text(disrupted, "message"),
        exit_code=whole(ended.get("exitCode")) if ended else None,
        exit_reason=text(ended, "reason"),
        termination=termination,
        result=parsed(termination) or None,
    )


def _name(container: object) -> str:
    return text(container, "name")


def _blame(pod: Pod) -> tuple[int, float, int]:
    """A sort key that is least for the rank that caused the failure."""
    code = pod.exit_code if pod.failure is None else pod.failure.code
    was_removed = pod.reason or pod.disrupted or pod.oom_killed
    kind = 2 if code == STOPPED and not was_removed else 1 if code == PEER_LOST else 0
    return kind, pod.ended.timestamp() if pod.ended else 0.0, pod.rank


def _rank(pod: Object, name: str) -> int:
    index = whole(dig(pod, "metadata", "labels", "volcano.sh/task-index"))
    if index is None:
        index = whole(name.rpartition("-")[2])
    return index or 0


def belongs_to_another(pod: Object, uid: str) -> bool:
    """Return whether the pod is owned by another Job than the one of this UID."""
    owners = [text(owner, "uid") for owner in items(pod, "metadata", "ownerReferences")]
    return bool(uid and owners) and uid not in owners


def _attempt(job: Object, pods: tuple[Pod, ...], max_retry: int) -> int:
    """Volcano also counts the failure of the last attempt, after which there was none: what the pods have is exact."""
    known = [pod.attempt for pod in pods if pod.attempt is not None]
    return max(known) if known else min(number(job, "status", "retryCount"), max_retry - 1)


def _without_job(api: Api, name: str) -> Snapshot:
    """Return a release whose Job is gone, by its ConfigMap; raise NotFoundError where that does not exist either."""
    settings = api.get(kinds.CONFIG_MAPS, f"{name}-run")
    if settings is not None:
        return Snapshot(
            name=name,
            namespace=api.namespace,
            family=text(settings, "metadata", "labels", FAMILY),
            state=State.NO_JOB,
            created=moment(settings, "metadata", "creationTimestamp"),
            connection=api.connection,
        )
    raise not_found(api, name)


def not_found(api: Api, name: str) -> NotFoundError:
    """The error for a run that does not exist, which suggests one of a similar name."""
    return NotFoundError(
        f"run {name} not found in namespace {api.namespace}{_suggestion(api, name)}; "
        f"`{api.connection.command('trainchart list -A')}` shows the runs of all namespaces"
    )


def _suggestion(api: Api, name: str) -> str:
    try:
        jobs, _ = api.objects(kinds.JOBS, selector=PART_OF)
    except ForbiddenError:
        return ""
    close = difflib.get_close_matches(name, [text(job, "metadata", "name") for job in jobs], n=1)
    return f"; did you mean {close[0]}?" if close else ""
