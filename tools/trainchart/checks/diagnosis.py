"""Why a run is not running, or why it failed: findings on its Job in the cluster, by the same checks that doctor makes before.

`diagnose` reads (checks/facts.py) and explains; `explain` and all below it are pure. Objects may be half empty: then there is
less to say, and no error.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from trainchart.checks import job, pods, scheduler, sidecars
from trainchart.checks.containers import waiting_containers
from trainchart.checks.ended import missing_secret, why_failed
from trainchart.checks.facts import Facts, gather
from trainchart.checks.finding import Finding, by_severity, not_checked
from trainchart.checks.queue import check_queue
from trainchart.checks.reader import ClusterReader
from trainchart.checks.run_spec import submitted
from trainchart.run.state import Snapshot, State

if TYPE_CHECKING:
    from trainchart.cluster.api import Api


def diagnose(api: Api, run: Snapshot) -> list[Finding]:
    """The most telling finding first. The number of calls depends on the run alone, not on how many others there are.

    Raises:
        UnreachableError, UnauthorizedError
    """
    return [finding.on(api.connection) for finding in explain(run, gather(ClusterReader(api), run))]


def explain(run: Snapshot, facts: Facts) -> list[Finding]:
    """The findings that the objects give."""
    findings = list(_findings(run, facts))
    if facts.forbidden:
        fix = "the Role trainchart-submitter and the ClusterRole trainchart-reader have these rights (trainchart docs rights)"
        findings.append(not_checked("cluster", f"not checked: no permission to {', '.join(facts.forbidden)}", fix))
    return list(by_severity(findings))


def _findings(run: Snapshot, facts: Facts) -> Iterator[Finding]:
    if run.state is State.NO_JOB:
        yield job.check_release(run, facts)
    elif run.state is State.STOPPED:
        yield job.stopped(run, facts)
    elif run.state is State.FAILED:
        yield from _failed(run, facts)
    elif run.state in (State.PENDING, State.RESTARTING):
        yield from _not_running(run, facts)
    elif run.state is State.RUNNING:
        yield from _running(run, facts)
    elif run.state is State.ENDING:
        yield from job.ending(run, facts)
        if run.phase != "Aborting" and run.culprit:
            yield why_failed(run, run.culprit)


def _failed(run: Snapshot, facts: Facts) -> Iterator[Finding]:
    if run.culprit is None:
        has_run = "Running" in (phase for phase, _ in run.conditions)
        yield pods.gone(run, facts) if has_run else pods.never_created(run, facts)
        return
    yield missing_secret(run, run.culprit, facts) or why_failed(run, run.culprit)
    if run.max_retry > 1:
        yield job.attempts(run)


def _not_running(run: Snapshot, facts: Facts) -> Iterator[Finding]:
    if run.state is State.RESTARTING or run.attempt > 0:
        yield job.restarting(run, facts)
    in_queue = check_queue(submitted(run), facts.queues) if facts.queues is not None else None
    takes_none = in_queue is not None and in_queue.key in ("queue-missing", "queue-closed", "queue-not-leaf")
    if in_queue and takes_none:
        yield in_queue
    if stuck := job.stuck_restart(run, facts):
        yield stuck
        return
    if len(run.pods) < run.replicas and (refused := pods.refused(run, facts)):
        yield refused
        return
    if not run.pods and not takes_none:
        unanswered = job.unanswered(run, facts)
        yield from [unanswered] if unanswered else pods.without_pods(run, facts)
    yield from _incomplete(run, facts)


def _running(run: Snapshot, facts: Facts) -> Iterator[Finding]:
    if lost := next((pod for pod in run.pods if pod.is_cut_off), None):
        yield pods.cut_off(lost, facts)
    # Of one that the cluster took away, Volcano is about to restart the run, which is told then.
    if run.culprit and not (run.culprit.removal and run.attempt + 1 < run.max_retry):
        yield why_failed(run, run.culprit)
    if kept := sidecars.kept_running(run, facts):
        yield kept
    yield from _incomplete(run, facts)
    if run.attempt > 0:
        yield job.restarting(run, facts)


def _incomplete(run: Snapshot, facts: Facts) -> Iterator[Finding]:
    """Ranks that do not run yet."""
    if run.unscheduled:
        yield from pods.without_node(run, run.unscheduled, facts)
    yield from pods.without_volume(run, facts)
    yield from scheduler.unplaced(run, facts)
    yield from waiting_containers(run, facts)
