"""Why a run does not go on, or why it failed: the cause in a sentence, and what to do.

`diagnose` fetches (run/facts.py) and explains; `explain` and all below it are pure. The cluster's own words, where they help
whoever runs it, come along as `words`. Objects may be half empty: then there is less to say, and no error.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from trainchart.checks.ended import failed, no_job, stopped
from trainchart.checks.facts import Facts, gather
from trainchart.checks.finding import Finding, Severity, not_checked
from trainchart.checks.pending import not_running
from trainchart.checks.running import ending, running
from trainchart.run.state import Snapshot, State

if TYPE_CHECKING:
    from trainchart.cluster.api import Api


def diagnose(api: Api, run: Snapshot) -> list[Finding]:
    """The most telling cause first. The number of calls depends on the run alone, not on how many others there are.

    Raises:
        UnreachableError
    """
    return explain(run, gather(api, run))


def explain(run: Snapshot, facts: Facts) -> list[Finding]:
    """The causes that the objects tell of."""
    causes = list(_causes(run, facts))
    order: list[Severity] = ["problem", "warning", "waiting", "info"]
    causes.sort(key=lambda cause: order.index(cause.severity))
    if facts.forbidden:
        causes.append(
            not_checked(
                "cluster",
                f"not checked: no right to {', '.join(facts.forbidden)}",
                "deploy/submitter.yaml and deploy/cluster-reader.yaml have the rights",
            )
        )
    return list(dict.fromkeys(causes))


def _causes(run: Snapshot, facts: Facts) -> Iterator[Finding]:
    if run.state is State.NO_JOB:
        yield no_job(run, facts)
    elif run.state is State.STOPPED:
        yield stopped(run, facts)
    elif run.state is State.FAILED:
        yield from failed(run, facts)
    elif run.state in (State.PENDING, State.RESTARTING):
        yield from not_running(run, facts)
    elif run.state is State.RUNNING:
        yield from running(run, facts)
    elif run.state is State.ENDING:
        yield from ending(run, facts)
