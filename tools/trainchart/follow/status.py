"""One run at one moment, with how far it is and what keeps it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from trainchart.checks.diagnosis import diagnose
from trainchart.checks.finding import Finding, not_checked
from trainchart.cluster.errors import ForbiddenError, NotFoundError, RefusedError
from trainchart.cluster.fields import Object, mapping, moment, text
from trainchart.cluster.quantities import format_quantities, format_quantity, pod_requests
from trainchart.follow.outcome import result_of
from trainchart.run.events import Event, Progress, patience
from trainchart.run.state import Pod, Snapshot, State, load
from trainchart.units import span, stamp

if TYPE_CHECKING:
    from trainchart.cluster.api import Api

# Enough for the latest epoch, and for the stage it is in where that has not said much; a whole log may have gigabytes.
TAIL_LINES = 2000


@dataclass(frozen=True)
class Status:
    run: Snapshot
    progress: Progress | None = None
    """By the tail of rank 0's log; None where that was not looked at."""
    causes: tuple[Finding, ...] = ()

    @property
    def is_over(self) -> bool:
        return self.run.has_ended


# Rank 0 has said nothing for so long, before its first epoch: perhaps it waits for a rank that does not come.
SILENT_SECONDS = 60
# So many other ranks are asked then.
PEERS = 4


def look(api: Api, name: str) -> Status:
    """Three calls for a run that is well: its Job, its pods, and the tail of one log. A sick one costs those of its diagnosis.

    Raises:
        NotFoundError, ForbiddenError, UnreachableError
    """
    run = load(api, name)
    progress, unread = _progress(api, run)
    causes = [] if run.is_well else diagnose(api, run)
    return Status(run, progress, (*causes, *unread))


def refreshed(api: Api, before: Status, *, with_causes: bool) -> Status:
    """The same a moment later. Causes change less often than they cost, and may be taken over while the state is the same."""
    run = load(api, before.run.name)
    progress, unread = _progress(api, run)
    if run.is_well:
        return Status(run, progress, unread)
    fresh = with_causes or run.has_ended or _looks(run) != _looks(before.run)
    return Status(run, progress, (*diagnose(api, run), *unread) if fresh else before.causes)


def _looks(run: Snapshot) -> tuple[object, ...]:
    return run.state, run.attempt, *map(pod_words, run.pods)


def _progress(api: Api, run: Snapshot) -> tuple[Progress | None, tuple[Finding, ...]]:
    pod = run.rank_0
    # How a run has ended is in its result.
    if pod is None or run.has_ended or (pod.started is None and not pod.is_running):
        return None, ()
    try:
        progress, last = _tail(api, pod, TAIL_LINES)
        if progress and progress.waiting:
            said = progress.waiting.get("reason", "")
            mend = progress.waiting.get("fix") or "see the git server"
            fix = f"{mend}; the run goes on by itself then, and on a claim its artifacts stay"
            return progress, (
                Finding("git-server-away", "waiting", "git server", patience(progress.waiting), fix, said),
            )
        if run.replicas > 1 and run.state is State.RUNNING and progress and progress.epoch is None:
            return progress, tuple(_stragglers(api, run, last))
    except ForbiddenError:
        return None, (not_checked("log", "not checked: no right to get pods/log, which says how far it is"),)
    return progress, ()


def _tail(api: Api, pod: Pod, count: int) -> tuple[Progress | None, Event | None]:
    """How far a rank is, and its latest event."""
    progress, last = Progress(), None
    try:
        for line in api.log(pod.name, tail=count):
            last = progress.feed(line.decode("utf-8", "replace")) or last
    except (NotFoundError, RefusedError):  # it went away, or has not begun
        return None, None
    return progress, last


def _stragglers(api: Api, run: Snapshot, last: Event | None) -> Iterator[Finding]:
    """Ranks that wait for another that does not come: each says so every ten seconds."""
    now = datetime.now(timezone.utc)
    if last and last.name == "waiting":
        yield _waits(0, last)
    spoken = moment({"at": last.time if last else ""}, "at") or (run.rank_0.started if run.rank_0 else None)
    silent = (now - spoken).total_seconds() if spoken else 0.0
    if silent < SILENT_SECONDS:
        return
    for pod in [pod for pod in run.pods if pod.rank > 0 and pod.is_running][:PEERS]:
        progress, event = _tail(api, pod, 50)
        if event and event.name == "waiting":
            yield _waits(pod.rank, event, f"; rank 0 has said nothing for {span(silent)}")
        elif progress is None or event is None:
            yield Finding("rank-silent", "waiting", pod.name, f"rank {pod.rank} has not begun to say anything")


def _waits(rank: int, event: Event, more: str = "") -> Finding:
    what = event.fields.get("what", "")
    return Finding(
        "waits-for-rank",
        "waiting",
        f"rank {rank}",
        f"rank {rank} waits for {what or event.fields.get('reason', 'another')}{more}",
        "the log of that rank says what it does (`trainchart logs --rank`); after ten minutes the runner gives up (peer-lost)",
        event.fields.get("reason", "") if what else "",
    )


def place(status: Status) -> str:
    """Where the run is: `train, epoch 3 of 10, metrics/mAP_0.5 0.61`; empty where nothing is known."""
    progress = status.progress
    if progress is None:
        return ""
    if not progress.stage and not progress.completed and progress.failed is None:
        if progress.epoch is None and not progress.trials:
            return "the runner says nothing yet" if not progress.latest else ""
        # The line that began the stage is further up than the tail reaches.
        progress.stage = "train"
    return progress.summary()


def asked(run: Snapshot) -> str:
    """`2 pods of cpu 200m, memory 1Gi`."""
    each = format_quantities(pod_requests(run.pod_spec))
    return f"{run.replicas} pod{'' if run.replicas == 1 else 's'}" + (f" of {each}" if each else "")


def pod_words(pod: Pod) -> str:
    """What a pod does, in a few words."""
    if pod.has_ended:
        if pod.exit_code == 0 or pod.phase == "Succeeded":
            return "completed"
        if pod.reason in ("Evicted", "NodeLost", "DeadlineExceeded", "Preempted"):
            return pod.reason.lower()
        if pod.oom_killed:
            return "killed for memory"
        failure = pod.failure
        return f"failed ({failure.name}, {failure.code})" if failure else f"failed (exit code {pod.exit_code})"
    if pod.is_ending:
        return "ending"
    if pod.is_running:
        return "running" if pod.is_ready else "running, not ready"
    if pod.waiting_reason in ("", "ContainerCreating", "PodInitializing"):
        return "starting" if pod.node else "waits for a node"
    return pod.waiting_reason


def as_object(status: Status) -> Object:
    """For programs. Fields are only ever added."""
    run = status.run
    return {
        "name": run.name,
        "namespace": run.namespace,
        "uid": run.uid,
        "family": run.family,
        "state": run.state.value,
        "phase": run.phase,
        "attempt": run.attempt,
        "attempts": run.max_retry,
        "replicas": run.replicas,
        "queue": run.queue,
        "created": stamp(run.created),
        "since": stamp(run.since),
        "ended": stamp(run.ended_at),
        "requests": {name: format_quantity(name, value) for name, value in pod_requests(run.pod_spec).items()},
        "stage": status.progress.stage if status.progress else "",
        "epoch": status.progress.epoch if status.progress else None,
        "epochs": status.progress.epochs if status.progress else None,
        "metrics": dict(status.progress.metrics[-1]) if status.progress and status.progress.metrics else {},
        "pods": [_pod_object(pod) for pod in run.pods],
        "findings": [asdict(finding) for finding in status.causes],
    }


def _pod_object(pod: Pod) -> Object:
    return {
        "name": pod.name,
        "rank": pod.rank,
        "state": pod_words(pod),
        "phase": pod.phase,
        "reason": pod.reason or pod.waiting_reason or pod.exit_reason,
        "node": pod.node,
        "started": stamp(pod.started),
        "ended": stamp(pod.ended),
        "exitCode": pod.exit_code,
        "failure": asdict(pod.failure) if pod.failure else None,
    }


def published(run: Snapshot) -> str:
    """`branch of repository`, where a run has pushed: a completed one, or one that the server refused the branch it asked for."""
    result = result_of(run)
    branch, repository = text(result, "branch"), text(result, "repository")
    if not run.has_ended or not branch:
        return ""
    commit = text(result, "commit")[:12]
    return f"{branch}" + (f" ({commit})" if commit else "") + f" of {repository}"


def metrics(run: Snapshot) -> dict[str, float]:
    """Of a run that has ended."""
    return {
        str(key): value for key, value in mapping(result_of(run), "metrics").items() if isinstance(value, (int, float))
    }
