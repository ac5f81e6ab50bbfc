"""One run at one moment, with its progress and what keeps it from going on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from trainchart.checks.finding import Finding, not_checked
from trainchart.cluster.errors import ForbiddenError, NotFoundError, RefusedError
from trainchart.cluster.fields import Object, items, mapping, moment, text
from trainchart.cluster.quantities import format_quantities, format_quantity, pod_requests
from trainchart.follow.outcome import result_of
from trainchart.follow.retry import Retry
from trainchart.follow.watcher import RunWatcher, Status
from trainchart.run.events import Event, Progress, format_waiting
from trainchart.run.state import Pod, Snapshot, State, load
from trainchart.units import clock, span, stamp

if TYPE_CHECKING:
    from trainchart.cluster.api import Api

# Enough for the latest epoch, and mostly for the start of the stage; a whole log may have gigabytes.
TAIL_LINES = 2000
# If rank 0 has been silent for so long before its first epoch, it may be waiting for a rank that does not come.
SILENT_SECONDS = 60
# The logs of at most this many other ranks are read then.
PEERS = 4


def load_status(api: Api, name: str) -> Status:
    """Return a run's status. A healthy run costs three calls: its Job, its pods, and the tail of one log.

    Raises:
        NotFoundError, ForbiddenError, UnreachableError
    """
    run = load(api, name)
    progress, findings = _read_progress(api, run)
    return Status(run, progress, findings if run.is_well else (*diagnosed(api, run), *findings))


def refresh(api: Api, before: Status, /, *, diagnose: bool) -> Status:
    """Return the status that follows. Findings are taken over while the run looks the same and no diagnosis is due."""
    run = load(api, before.run.name)
    progress, findings = _read_progress(api, run)
    if run.is_well:
        return Status(run, progress, findings)
    is_new = diagnose or run.has_finished or _appearance(run) != _appearance(before.run)
    return Status(run, progress, (*diagnosed(api, run), *findings) if is_new else before.findings)


def diagnosed(api: Api, run: Snapshot) -> list[Finding]:
    """Why a run does not go on, or has not finished well. The checks are loaded for such runs only."""
    from trainchart.checks.diagnosis import diagnose

    return diagnose(api, run)


def watch(api: Api, first: Status, retry: Retry) -> RunWatcher:
    """Return a watcher of the run, which has been started."""
    watcher = RunWatcher(api, first, retry, refresh, watch_pods=False)
    watcher.start()
    return watcher


def _appearance(run: Snapshot) -> tuple[object, ...]:
    return run.state, run.attempt, *map(format_pod, run.pods)


def _read_progress(api: Api, run: Snapshot) -> tuple[Progress | None, tuple[Finding, ...]]:
    pod = run.rank_0
    # How a run has finished is in its result.
    if pod is None or run.has_finished or (pod.started is None and not pod.is_running):
        return None, ()
    try:
        progress, last = _tail(api, pod, TAIL_LINES)
        if progress and progress.waiting:
            reason = progress.waiting.get("reason", "")
            remedy = progress.waiting.get("fix") or "check the server of the result"
            fix = f"{remedy}; the run then continues by itself, and on a claim its artifacts stay"
            message = format_waiting(progress.waiting)
            return progress, (Finding("server-away", "waiting", "server", message, fix, reason),)
        if progress and progress.held_until:
            until = clock(moment({"at": progress.held_until}, "at"))
            message = f"the run has failed, and holdAfterFailure keeps its pods until {until}"
            fix = f"`{run.command('exec {}')}` opens a shell in it; `{run.command('stop {}')}` ends it"
            return progress, (Finding("held", "waiting", "hold", message, fix),)
        if run.replicas > 1 and run.state is State.RUNNING and progress and progress.epoch is None:
            return progress, tuple(_stragglers(api, run, last))
    except ForbiddenError:
        return None, (not_checked("log", "not checked: no permission to get pods/log, which has the run's progress"),)
    return progress, ()


def _tail(api: Api, pod: Pod, count: int) -> tuple[Progress | None, Event | None]:
    """Return the progress of a rank, and its latest event."""
    progress, last = Progress(), None
    try:
        for line in api.log(pod.name, container=pod.container, tail=count):
            last = progress.feed(line.decode("utf-8", "replace")) or last
    except (NotFoundError, RefusedError):  # it is gone, or has not started
        return None, None
    return progress, last


def _stragglers(api: Api, run: Snapshot, last: Event | None) -> Iterator[Finding]:
    """Yield the ranks that wait for another one that does not come: each reports it every ten seconds."""
    now = datetime.now(timezone.utc)
    if last and last.name == "waiting":
        yield _waits(run, 0, last)
    latest = moment({"at": last.time if last else ""}, "at") or (run.rank_0.started if run.rank_0 else None)
    silent = (now - latest).total_seconds() if latest else 0.0
    if silent < SILENT_SECONDS:
        return
    for pod in [pod for pod in run.pods if pod.rank > 0 and pod.is_running][:PEERS]:
        progress, event = _tail(api, pod, 50)
        if event and event.name == "waiting":
            yield _waits(run, pod.rank, event, f"; rank 0 has printed nothing for {span(silent)}")
        elif progress is None or event is None:
            yield Finding("rank-silent", "waiting", pod.name, f"rank {pod.rank} has not printed anything yet")


def _waits(run: Snapshot, rank: int, event: Event, more: str = "") -> Finding:
    what = event.fields.get("what", "")
    return Finding(
        "waits-for-rank",
        "waiting",
        f"rank {rank}",
        f"rank {rank} waits for {what or event.fields.get('reason', 'another')}{more}",
        f"the log of that rank shows what it does (`{run.command('logs {} --rank RANK')}`); after ten minutes the runner "
        "gives up (peer-lost)",
        event.fields.get("reason", "") if what else "",
    )


def place(status: Status) -> str:
    """Return where the run is: `train, epoch 3 of 10, metrics/mAP_0.5 0.61`; empty where nothing is known."""
    progress = status.progress
    if progress is None:
        return ""
    if not progress.stage and not progress.completed and progress.failed is None:
        if progress.epoch is None and not progress.trials:
            return "the runner has logged nothing yet" if not progress.latest else ""
        # The line at which the stage began is above the tail.
        progress.stage = "train"
    return progress.summary()


def dataset_parts(status: Status) -> list[Object]:
    """Return which records of the dataset the trainer uses; empty where that is not known, or above the tail."""
    known = list(status.progress.used.values()) if status.progress else []
    return known or items(result_of(status.run), "dataset", "parts")


def format_requests(run: Snapshot) -> str:
    """Return what the run requests: `2 pods of cpu 200m, memory 1Gi`."""
    each = format_quantities(pod_requests(run.pod_spec))
    return f"{run.replicas} pod{'' if run.replicas == 1 else 's'}" + (f" of {each}" if each else "")


def format_pod(pod: Pod) -> str:
    """Return the state of a pod in a few words."""
    if pod.has_finished:
        if pod.exit_code == 0 or pod.phase == "Succeeded":
            return "completed"
        if pod.reason in ("Evicted", "NodeLost", "DeadlineExceeded", "Preempted"):
            return pod.reason.lower()
        if pod.oom_killed:
            return "killed for memory"
        failure = pod.failure
        return f"failed ({failure.name}, {failure.code})" if failure else f"failed (exit code {pod.exit_code})"
    if pod.is_ending:
        return "terminating"
    if pod.is_running:
        return "running, its node is silent" if pod.is_cut_off else "running"
    if pod.waiting_reason in ("", "ContainerCreating", "PodInitializing"):
        return "starting" if pod.node else "waiting for a node"
    return pod.waiting_reason


def as_object(status: Status) -> Object:
    """Return the status as JSON for programs, which lose no field in a later version."""
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
        "dataset": dataset_parts(status),
        "metrics": dict(status.progress.metrics[-1]) if status.progress and status.progress.metrics else {},
        "pods": [_pod_object(pod) for pod in run.pods],
        "findings": [asdict(finding) for finding in status.findings],
    }


def _pod_object(pod: Pod) -> Object:
    return {
        "name": pod.name,
        "rank": pod.rank,
        "state": format_pod(pod),
        "phase": pod.phase,
        "reason": pod.reason or pod.waiting_reason or pod.exit_reason,
        "node": pod.node,
        "started": stamp(pod.started),
        "ended": stamp(pod.ended),
        "exitCode": pod.exit_code,
        "failure": asdict(pod.failure) if pod.failure else None,
    }


def format_published(run: Snapshot) -> str:
    """Return `branch of repository`, or `folder of bucket`, where a finished run has published its result, even to
    another branch.
    """
    result = result_of(run)
    branch, repository = text(result, "branch"), text(result, "repository")
    if not run.has_finished or not branch:
        return ""
    commit = text(result, "commit")[:12]
    return f"{branch}" + (f" ({commit})" if commit else "") + f" of {repository}"


def metrics(run: Snapshot) -> dict[str, float]:
    """Return the metrics of a run that has finished."""
    return {
        str(key): value for key, value in mapping(result_of(run), "metrics").items() if isinstance(value, (int, float))
    }
