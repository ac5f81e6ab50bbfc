"""What troubles a run that runs, or is about to end."""

from __future__ import annotations

from collections.abc import Iterator

from trainchart.checks.cause import STUCK_SECONDS, info, problem, seconds
from trainchart.checks.ended import why_failed
from trainchart.checks.facts import Facts, is_cut_off
from trainchart.checks.finding import Finding
from trainchart.checks.pending import restarting
from trainchart.checks.room import no_node
from trainchart.checks.waiting import waiting_pods
from trainchart.cluster.fields import items, moment, text
from trainchart.run.state import Pod, Snapshot
from trainchart.units import span


def running(run: Snapshot, facts: Facts) -> Iterator[Finding]:
    if lost := next(filter(is_cut_off, run.pods), None):
        yield _cut_off(lost, facts)
    if run.culprit:
        yield why_failed(run, run.culprit)
    if run.unscheduled:
        yield no_node(run, run.unscheduled, facts)
    yield from waiting_pods(run, facts)
    if run.attempt > 0:
        yield from restarting(run, facts)


def _cut_off(pod: Pod, facts: Facts) -> Finding:
    node = next((one for one in facts.nodes if text(one, "metadata", "name") == pod.node), {})
    ready = next((one for one in items(node, "status", "conditions") if text(one, "type") == "Ready"), {})
    words = text(ready, "message")
    since = moment(ready, "lastTransitionTime")
    known = text(ready, "status") not in ("", "True")
    text_ = f"rank {pod.rank} is on node {pod.node}, which " + (
        f"has been lost since {span(seconds(since, facts.now))}" if known else "no longer answers for it"
    )
    return problem(
        "node-lost", text_, "after five minutes Kubernetes gives the pod up, and Volcano restarts the run", words
    )


def ending(run: Snapshot, facts: Facts) -> Iterator[Finding]:
    waited = seconds(run.since, facts.now)
    left = [pod for pod in run.pods if not pod.has_finished]
    if left and waited > 2 * STUCK_SECONDS:
        names = ", ".join(sorted({pod.node for pod in left if pod.node}))
        yield problem(
            "pods-do-not-end",
            f"{len(left)} of its pods do not end for {span(waited)}"
            + (f"; are the nodes lost ({names})?" if names else ""),
            f"`kubectl -n {run.namespace} get pods -l volcano.sh/job-name={run.name}` shows them",
        )
    if run.phase == "Aborting":
        yield info("stopping", "a user stops it: its pods are ending")
    elif run.culprit:
        yield why_failed(run, run.culprit)
