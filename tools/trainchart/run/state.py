"""What an API server says of a run: its Volcano Job and its pods, as one snapshot in our own words."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING

from trainchart.cluster import kinds
from trainchart.cluster.errors import ForbiddenError, NotFoundError
from trainchart.cluster.fields import Object, dig, items, mapping, moment, number, parsed, text, whole

if TYPE_CHECKING:
    from trainchart.cluster.api import Api

PART_OF = "app.kubernetes.io/part-of=trainchart"
FAMILY = "trainchart.dev/family"
CONTAINER = "train"

PEER_LOST = 43
STOPPED = 143
# Killed from outside, by the signal KILL: the kernel for memory, or the kubelet after the grace period.
KILLED = 137


class State(Enum):
    """Where a run is, in a word for people."""

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
    """A release is there; its Job is not."""

    @property
    def is_final(self) -> bool:
        return self in (State.COMPLETED, State.FAILED, State.STOPPED, State.NO_JOB)


# Volcano says Terminated where an exit code ended the run, and Failed where all tries are used up.
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
class Failure:
    """Why a runner ended, in its own words."""

    stage: str
    code: int
    name: str
    reason: str
    fix: str


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
    """What JOB_ATTEMPT is in it, from 0."""
    uid: str = ""
    image: str = ""
    created: datetime | None = None
    started: datetime | None = None
    ended: datetime | None = None
    is_ending: bool = False
    """Somebody deleted it, and it has not gone yet."""
    is_ready: bool = False
    waiting_reason: str = ""
    """Of a container that has not started: ContainerCreating, ImagePullBackOff, CreateContainerConfigError, ..."""
    waiting_message: str = ""
    unscheduled: str = ""
    """Why no node has been found for it, in the scheduler's words."""
    disrupted: str = ""
    """Why the cluster took it away: PreemptionByScheduler, EvictionByEvictionAPI, DeletionByTaintManager, ..."""
    disrupted_message: str = ""
    exit_code: int | None = None
    """Of the container; None until it has ended."""
    exit_reason: str = ""
    """Completed, Error, OOMKilled, StartError, ContainerCannotRun, ContainerStatusUnknown."""
    termination: str = ""
    """What it wrote to /dev/termination-log, whole."""
    result: Mapping[str, object] | None = None
    """The same, where it is the runner's JSON object."""

    @property
    def has_ended(self) -> bool:
        return self.exit_code is not None or self.phase in ("Succeeded", "Failed")

    @property
    def has_failed(self) -> bool:
        return self.phase == "Failed" or bool(self.exit_code)

    @property
    def is_running(self) -> bool:
        return self.phase == "Running" and not self.has_ended

    @property
    def oom_killed(self) -> bool:
        return self.exit_reason == "OOMKilled"

    @property
    def failure(self) -> Failure | None:
        """The runner's own words on why it ended; None where it could leave none."""
        said = mapping(self.result, "failure")
        if not said:
            return None
        return Failure(
            stage=text(said, "stage"),
            code=number(said, "code"),
            name=text(said, "name"),
            reason=text(said, "reason"),
            fix=text(said, "fix"),
        )


@dataclass(frozen=True)
class Snapshot:
    """A run at one moment."""

    name: str
    namespace: str
    uid: str = ""
    family: str = ""
    job: Object | None = field(default=None, repr=False)
    """None: the release is there, and the Job is not."""
    pods: tuple[Pod, ...] = ()
    """By rank; of the last attempt. Pods that Volcano has removed are not among them."""
    phase: str = ""
    """Volcano's own."""
    state: State = State.PENDING
    attempt: int = 0
    """What JOB_ATTEMPT is (or was) in its pods, from 0."""
    max_retry: int = 1
    """How many attempts there may be."""
    replicas: int = 1
    queue: str = ""
    created: datetime | None = None
    since: datetime | None = None
    """When it came into this phase."""
    running_since: datetime | None = None
    """When its first attempt began to run; its creation, where that is not known."""
    ended_at: datetime | None = None
    conditions: tuple[tuple[str, datetime | None], ...] = ()
    """Its phases so far, and when each began."""

    @property
    def has_ended(self) -> bool:
        return self.state.is_final

    @property
    def is_well(self) -> bool:
        """Nothing needs a diagnosis."""
        if self.state is State.COMPLETED:
            return True
        running = self.state is State.RUNNING and len(self.pods) >= self.replicas
        return running and self.attempt == 0 and all(pod.is_running or pod.exit_code == 0 for pod in self.pods)

    @property
    def rank_0(self) -> Pod | None:
        return next((pod for pod in self.pods if pod.rank == 0), None)

    @property
    def culprit(self) -> Pod | None:
        """The rank that failed first for a reason of its own: not one that only lost a peer, or was stopped for another's sake."""
        failed = [pod for pod in self.pods if pod.has_failed]
        return min(failed, key=_blame, default=None)

    @property
    def pod_spec(self) -> Object:
        return mapping(self.job, "spec", "tasks", 0, "template", "spec")

    @property
    def workspace_claim(self) -> str:
        """The claim that outlives its pods; empty where the workspace is an emptyDir."""
        volume = next((one for one in items(self.pod_spec, "volumes") if text(one, "name") == "workspace"), {})
        return text(volume, "persistentVolumeClaim", "claimName")

    @property
    def uninstall(self) -> str:
        """How to remove the rest of it, and what goes with that."""
        command = f"`helm uninstall {self.name} -n {self.namespace}` removes it"
        if self.job and self.workspace_claim != f"{self.name}-workspace":
            return command
        claim = "its own claim" if self.job is None else f"its claim {self.workspace_claim}"
        return f"{command}, and {claim} with the checkpoints, unless workspace.keep is true"

    @property
    def goes_on(self) -> str:
        """Whether another release can go on where it stopped."""
        if self.job is None:
            return "a new release on its claim, where it had one, goes on from its checkpoints"
        if not self.workspace_claim:
            return "a new release begins anew, for its workspace was an emptyDir"
        where = f"workspace.claimName: {self.workspace_claim} and the same workspace.directory"
        return f"a new release with workspace.type: existingClaim, {where} goes on from its checkpoints"

    def command(self, words: str) -> str:
        """A command for this run, to be typed; `{}` in its words is the run's name."""
        return f"trainchart {words.format(self.name)} -n {self.namespace}"

    @property
    def reference(self) -> dict[str, str]:
        """What another object names the Job by."""
        version = f"{kinds.JOBS.group}/{kinds.JOBS.version}"
        return {"apiVersion": version, "kind": "Job", "name": self.name, "uid": self.uid}

    @property
    def unscheduled(self) -> Pod | None:
        """The first rank for which there is no node."""
        return next((pod for pod in self.pods if pod.unscheduled), None)


def load(api: Api, name: str) -> Snapshot:
    """A run by its name: two calls. One whose release has no Job costs a third.

    Raises:
        NotFoundError: there is neither; the text says what has a name like it.
        ForbiddenError, UnreachableError
    """
    job = api.get(kinds.JOBS, name)
    if job is None:
        return _without_job(api, name)
    if not text(job, "metadata", "labels", FAMILY):
        raise NotFoundError(
            f"Job {name} in namespace {api.namespace} is no run of trainchart: it has no label {FAMILY}; "
            f"`kubectl -n {api.namespace} get vcjob {name}` shows it"
        )
    pods, _ = api.objects(kinds.PODS, selector=pod_selector(name))
    return of(job, pods)


def pod_selector(name: str) -> str:
    return f"volcano.sh/job-name={name}"


def of(job: Object, pods: Iterable[Object]) -> Snapshot:
    """The same, of objects that are at hand. Pods of an earlier Job of this name are left out."""
    uid = text(job, "metadata", "uid")
    own = [pod for pod in pods if not is_of_another(pod, uid)]
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
    # Volcano keeps one time per phase, the latest: of several attempts, when the first began is not known any more.
    began = next((at for phase, at in conditions if phase == "Running"), None)
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
        running_since=began if attempt == 0 else moment(job, "metadata", "creationTimestamp"),
        ended_at=since if state.is_final else None,
        conditions=conditions,
    )


def pod_of(pod: Object) -> Pod:
    name, status = text(pod, "metadata", "name"), mapping(pod, "status")
    statuses = items(status, "containerStatuses")
    container = next((one for one in statuses if text(one, "name") == CONTAINER), statuses[0] if statuses else {})
    ended = dig(container, "state", "terminated")
    # A lost node's pod may say how its container ended only where it used to.
    ended = ended if isinstance(ended, dict) else mapping(container, "lastState", "terminated")
    conditions = {text(condition, "type"): condition for condition in items(status, "conditions")}
    scheduled, disrupted = mapping(conditions, "PodScheduled"), mapping(conditions, "DisruptionTarget")
    said = text(ended, "message")
    return Pod(
        name=name,
        rank=_rank(pod, name),
        phase=text(status, "phase"),
        reason=text(status, "reason"),
        message=text(status, "message"),
        node=text(pod, "spec", "nodeName"),
        attempt=whole(dig(pod, "metadata", "annotations", "volcano.sh/job-retry-count")),
        uid=text(pod, "metadata", "uid"),
        image=text(container, "image") or text(pod, "spec", "containers", 0, "image"),
        created=moment(pod, "metadata", "creationTimestamp"),
        started=moment(container, "state", "running", "startedAt") or moment(ended, "startedAt"),
        ended=moment(ended, "finishedAt"),
        is_ending=bool(text(pod, "metadata", "deletionTimestamp")),
        is_ready=dig(container, "ready") is True,
        waiting_reason=text(container, "state", "waiting", "reason"),
        waiting_message=text(container, "state", "waiting", "message"),
        unscheduled=text(scheduled, "message") if text(scheduled, "status") == "False" else "",
        disrupted=text(disrupted, "reason") if text(disrupted, "status") == "True" else "",
        disrupted_message=text(disrupted, "message"),
        exit_code=whole(ended.get("exitCode")) if ended else None,
        exit_reason=text(ended, "reason"),
        termination=said,
        result=parsed(said) or None,
    )


def _blame(pod: Pod) -> tuple[int, float, int]:
    """Least for the rank with the cause."""
    code = pod.exit_code if pod.failure is None else pod.failure.code
    taken_away = pod.reason or pod.disrupted or pod.oom_killed
    kind = 2 if code == STOPPED and not taken_away else 1 if code == PEER_LOST else 0
    return kind, pod.ended.timestamp() if pod.ended else 0.0, pod.rank


def _rank(pod: Object, name: str) -> int:
    index = whole(dig(pod, "metadata", "labels", "volcano.sh/task-index"))
    if index is None:
        index = whole(name.rpartition("-")[2])
    return index or 0


def is_of_another(pod: Object, uid: str) -> bool:
    owners = [text(owner, "uid") for owner in items(pod, "metadata", "ownerReferences")]
    return bool(uid and owners) and uid not in owners


def _attempt(job: Object, pods: tuple[Pod, ...], max_retry: int) -> int:
    """Volcano counts the failure that used up the last try as well, which was no new attempt: the pods know better."""
    known = [pod.attempt for pod in pods if pod.attempt is not None]
    return max(known) if known else min(number(job, "status", "retryCount"), max_retry - 1)


def _without_job(api: Api, name: str) -> Snapshot:
    """A release whose Job is gone, by its ConfigMap; an error where there is none either."""
    settings = api.get(kinds.CONFIG_MAPS, f"{name}-run")
    if settings is not None:
        return Snapshot(
            name=name,
            namespace=api.namespace,
            family=text(settings, "metadata", "labels", FAMILY),
            state=State.NO_JOB,
            created=moment(settings, "metadata", "creationTimestamp"),
        )
    raise NotFoundError(
        f"there is no run {name} in namespace {api.namespace}{_like_it(api, name)}; "
        "`trainchart list -A` shows the runs of all namespaces"
    )


def _like_it(api: Api, name: str) -> str:
    try:
        jobs, _ = api.objects(kinds.JOBS, selector=PART_OF)
    except ForbiddenError:
        return ""
    close = difflib.get_close_matches(name, [text(job, "metadata", "name") for job in jobs], n=1)
    return f"; did you mean {close[0]}?" if close else ""
