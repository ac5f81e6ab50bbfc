"""The run's Job as a whole: missing, stopped, restarting, not looked at by Volcano, or slow to finish."""

from __future__ import annotations

from collections.abc import Iterator

from trainchart.checks.events import STUCK_SECONDS, last_message, latest, seconds, time_of
from trainchart.checks.facts import Facts
from trainchart.checks.finding import Finding, info, problem, waiting
from trainchart.cluster.fields import items, number, text
from trainchart.run.state import Snapshot, State
from trainchart.units import span

# Volcano answers within seconds; what has heard nothing for longer waits for a program that does not run.
SILENT_SECONDS = 30
# Between the eviction of a pod and its end: the grace period, and some time to report it.
_EVICTION_SECONDS = 90


def check_release(run: Snapshot, facts: Facts) -> Finding:
    """Of a release without a Job."""
    if facts.release_status in ("failed", "pending-install"):
        return problem(
            "refused",
            f"release {run.name}",
            f"release {run.name} could not be installed: Volcano or the API server refused its Job",
            f"`helm status {run.name} -n {run.namespace}` has the reason (a queue that is missing or closed, ...); {run.uninstall}; "
            f"`trainchart doctor -n {run.namespace} -f VALUES` says before what would be refused",
            f"helm: {facts.release_status}",
        )
    return problem(
        "no-job",
        f"release {run.name}",
        f"run {run.name} is installed, and its Job does not exist: somebody deleted it, or it was removed when it had finished",
        f"{run.resume_hint}; {run.uninstall}",
    )


def stopped(run: Snapshot, facts: Facts) -> Finding:
    by = next((event for event in facts.job_events if text(event, "reason") == "CommandIssued"), {})
    return info("stopped-by-user", _job(run), "a user stopped it", run.resume_hint, text(by, "message"))


def attempts(run: Snapshot) -> Finding:
    return info("attempts", _job(run), f"that was attempt {run.attempt + 1} of {run.max_retry}")


def restarting(run: Snapshot, facts: Facts) -> Finding:
    """Which attempt it is, and why it is not the first."""
    failed = number(run.job, "status", "retryCount") if run.state is State.RESTARTING else run.attempt
    which = f"attempt {min(failed + 1, run.max_retry)} of {run.max_retry}"
    if why := _eviction(facts):
        text_ = f"attempt {failed} was {taken_away(why)}; {which} starts when there is room"
        if run.state is State.RUNNING:
            text_ = f"{which}: the one before was {taken_away(why)}"
        return info("preempted", _job(run), text_, "", f"Evict: {why}")
    text_ = f"{which}: the one before failed" if run.state is State.RUNNING else f"restart in progress: {which}"
    return info("restarted", _job(run), text_, "", last_message(facts.job_events, "ExecuteAction"))


def _eviction(facts: Facts) -> str:
    """Why Volcano's scheduler took the pods of the attempt before, in its own word; empty where it did not."""
    evicted = latest(event for event in facts.group_events if text(event, "reason") == "Evict")
    restarted = latest(event for event in facts.job_events if text(event, "reason") == "ExecuteAction")
    # An earlier attempt may have been evicted, and the one before has failed since.
    is_last = not restarted or time_of(restarted) - time_of(evicted) < _EVICTION_SECONDS
    return text(evicted, "message") if is_last else ""


def taken_away(reason: str) -> str:
    """What Volcano's reason of an eviction means, as a participle."""
    if "reclaim" in reason:
        return "stopped by Volcano, which reclaimed its resources for another queue"
    return "preempted by Volcano, for pods of higher priority" if "preempt" in reason else "evicted by Volcano"


def stuck_restart(run: Snapshot, facts: Facts) -> Finding | None:
    waited = seconds(run.since, facts.now)
    if run.state is not State.RESTARTING or run.pods or facts.group is not None or waited < STUCK_SECONDS:
        return None
    # Its last event can get lost in Volcano; then nothing happens until the Job changes (docs/following.md).
    return problem(
        "stuck-restart",
        _job(run),
        f"Volcano has lost a restart: the Job is in Restarting for {span(waited)} and has no pods",
        f"`{run.command('wait {}')}` wakes it, and so does any change of the Job: "
        f"`kubectl -n {run.namespace} annotate vcjob {run.name} trainchart.dev/nudged=1 --overwrite`",
    )


def unanswered(run: Snapshot, facts: Facts) -> Finding | None:
    """Volcano has not looked at the Job, or at its PodGroup; None where both have been looked at."""
    waited = seconds(run.since, facts.now)
    if facts.groups == ():
        if waited > SILENT_SECONDS:
            text_ = f"Volcano's controller has not looked at the Job for {span(waited)}: it has no PodGroup"
            return problem("controller-silent", "Volcano", text_, _whether_runs("volcano-controllers"))
        return waiting("new", _job(run), "Volcano has not looked at it yet")
    if facts.group is None or facts.group_events or items(facts.group, "status", "conditions"):
        return None
    if text(facts.group, "status", "phase") in ("", "Pending") and waited > SILENT_SECONDS:
        text_ = f"Volcano's scheduler has said nothing about it for {span(waited)}"
        return problem("scheduler-silent", "Volcano", text_, _whether_runs("volcano-scheduler"))
    return waiting("new", _job(run), "Volcano is about to create its pods")


def _whether_runs(program: str) -> str:
    return f"ask the cluster's administrator whether {program} runs (`kubectl -n volcano-system get pods`)"


def ending(run: Snapshot, facts: Facts) -> Iterator[Finding]:
    waited = seconds(run.since, facts.now)
    left = [pod for pod in run.pods if not pod.has_finished]
    if left and waited > 2 * STUCK_SECONDS:
        names = ", ".join(sorted({pod.node for pod in left if pod.node}))
        yield problem(
            "pods-do-not-end",
            _job(run),
            f"{len(left)} of its pods have not ended for {span(waited)}"
            + (f"; are the nodes lost ({names})?" if names else ""),
            f"`kubectl -n {run.namespace} get pods -l volcano.sh/job-name={run.name}` shows them",
        )
    if run.phase == "Aborting":
        yield info("stopping", _job(run), "a user stops it: its pods are ending")


def _job(run: Snapshot) -> str:
    return f"Job {run.name}"
