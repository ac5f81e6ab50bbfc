"""What keeps a run that Volcano has not started, or starts again."""

from __future__ import annotations

from collections.abc import Iterator

from trainchart.checks.cause import STUCK_SECONDS, info, last_words, latest, problem, seconds, waiting
from trainchart.checks.facts import Facts
from trainchart.checks.finding import Finding
from trainchart.checks.refused import refused_pods
from trainchart.checks.room import no_node, no_room, queue_full
from trainchart.checks.waiting import waiting_pods
from trainchart.cluster.fields import items, number, text
from trainchart.run.state import Snapshot, State
from trainchart.units import span

# Volcano answers within seconds; what has heard nothing for longer waits for somebody who is not there.
PATIENCE_SECONDS = 30


def not_running(run: Snapshot, facts: Facts) -> Iterator[Finding]:
    if run.state is State.RESTARTING or run.attempt > 0:
        yield from restarting(run, facts)
    queue = list(_queue_state(run, facts))
    yield from queue
    waited = seconds(run.since, facts.now)
    if stuck := _stuck_restart(run, facts, waited):
        yield stuck
        return
    if len(run.pods) < run.replicas and (refused := refused_pods(run, facts)):
        yield refused
        return
    if not run.pods and not queue:
        yield from _no_pods(run, facts, waited)
    if run.unscheduled:
        yield no_node(run, run.unscheduled, facts)
    yield from waiting_pods(run, facts)


def restarting(run: Snapshot, facts: Facts) -> Iterator[Finding]:
    which = run.attempt + 1 if run.attempt or run.pods else number(run.job, "status", "retryCount") + 1
    text_ = f"restart in progress: attempt {min(which, run.max_retry)} of {run.max_retry}"
    if run.attempt > 0 and run.state is State.RUNNING:
        text_ = f"attempt {run.attempt + 1} of {run.max_retry}: the one before failed"
    yield info(
        "restarted", text_, "", last_words(facts.group_events, "Evict") or last_words(facts.job_events, "ExecuteAction")
    )


def _stuck_restart(run: Snapshot, facts: Facts, waited: float) -> Finding | None:
    if run.state is not State.RESTARTING or run.pods or facts.group is not None or waited < STUCK_SECONDS:
        return None
    # Its last event can get lost in Volcano; then nothing goes on until the Job changes (docs/following.md).
    return problem(
        "stuck-restart",
        f"Volcano has lost a restart: the Job is in Restarting for {span(waited)} and has no pods",
        f"`{run.command('wait {}')}` wakes it, and so does any change of the Job: "
        f"`kubectl -n {run.namespace} annotate vcjob {run.name} trainchart.dev/nudged=1 --overwrite`",
    )


def _queue_state(run: Snapshot, facts: Facts) -> Iterator[Finding]:
    if "queue" not in facts.seen:
        return
    if facts.queue is None:
        yield problem(
            "queue-missing",
            f"queue {run.queue} does not exist (any more)",
            "install a new release with a queue that is there (`kubectl get queues`), or have it made again",
        )
        return
    state = text(facts.queue, "status", "state")
    if state != "Open":
        # A queue that was just made has no state yet, and takes nothing either.
        yield problem(
            "queue-closed",
            f"queue {run.queue} is {'closed' if state in ('Closed', 'Closing') else 'not open'}: "
            f"its state is {state or 'empty'}, and Volcano starts nothing in it",
            f"ask whoever runs the queues to open it (`vcctl queue operate -n {run.queue} -a open`), or install a new release with another queue",
            f"Queue {run.queue}: status.state {state}",
        )


def _no_pods(run: Snapshot, facts: Facts, waited: float) -> Iterator[Finding]:
    """Volcano makes pods when the gang could start."""
    event = latest(event for event in facts.group_events if "0/0 tasks in gang" not in text(event, "message"))
    words = text(event, "message")
    if "group" in facts.seen and facts.group is None:
        if waited > PATIENCE_SECONDS:
            yield problem(
                "controller-silent",
                f"Volcano's controller has not looked at the Job for {span(waited)}: there is no PodGroup",
                "ask whoever runs the cluster whether volcano-controllers runs (`kubectl -n volcano-system get pods`)",
            )
        else:
            yield waiting("new", "Volcano has not looked at it yet")
    elif "quota insufficient" in words or "queue" in words:
        yield queue_full(run, facts, words)
    elif "overused" in words:
        yield no_room(run, facts, words)
    elif facts.group is not None and not facts.group_events and not items(facts.group, "status", "conditions"):
        if text(facts.group, "status", "phase") in ("", "Pending") and waited > PATIENCE_SECONDS:
            yield problem(
                "scheduler-silent",
                f"Volcano's scheduler has said nothing about it for {span(waited)}",
                "ask whoever runs the cluster whether volcano-scheduler runs (`kubectl -n volcano-system get pods`)",
            )
        else:
            yield waiting("new", "Volcano is about to make its pods")
    else:
        yield waiting("waiting", "Volcano has not made its pods yet", "", words)
