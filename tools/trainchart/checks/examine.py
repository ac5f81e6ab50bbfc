"""All checks, in the order in which one would ask: is there a cluster, may I, is there a place for it, is all there that it needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from trainchart.checks.admission import job_checks, object_checks, pod_checks
from trainchart.checks.ask import Ask
from trainchart.checks.check import Check, Verdict
from trainchart.checks.folder import folder_checks
from trainchart.checks.limits import limit_range_checks, quota_checks, with_defaults
from trainchart.checks.look import Look
from trainchart.checks.names import account_checks, name_checks, namespace_checks, priority_checks
from trainchart.checks.nodes import device_class_checks, node_checks
from trainchart.checks.queue import queue_checks
from trainchart.checks.rights import rights_checks
from trainchart.checks.secrets import secret_checks
from trainchart.checks.server import server_checks, volcano_checks
from trainchart.checks.storage import storage_checks
from trainchart.cluster import kinds
from trainchart.cluster.api import Api

# What a dry run was refused for, and the check that has said so already in more detail.
_SAID_BY = {
    "queue-": "queue ",
    "quota": "ResourceQuota",
    "limit-range": "LimitRange",
    "priority-class": "PriorityClass",
    "service-account": "ServiceAccount",
    "object-exists": "name ",
    "being-deleted": "name ",
}


def examine(
    api: Api,
    ask: Ask | None,
    *,
    quick: bool = False,
    named: bool = True,
    say: Callable[[str], None] = lambda _: None,
) -> Iterator[Check]:
    """The checks of the cluster, and with `ask` those of a run in it, each as soon as it is known.

    Args:
        api: the cluster, account and namespace.
        ask: what is to be submitted.
        quick: only what would refuse the run or fail it at once, in few calls: what `submit` asks.
        named: whether the name of `ask` is the one it shall have; else it is not looked at.
        say: is told what is looked at, for a line of progress.

    Raises:
        UnreachableError, UnauthorizedError: there is nothing to check.
    """
    look = Look(api)
    said: list[Check] = []
    for title, checks in _steps(look, ask, quick, named):
        say(title)
        for check in checks:
            if not _is_repeated(check, said):
                said.append(check)
                yield check
        if said and said[-1].verdict is Verdict.PROBLEM and said[-1].topic.startswith("namespace "):
            return  # nothing can be found in a namespace that is not there


def _steps(look: Look, ask: Ask | None, quick: bool, named: bool) -> Iterator[tuple[str, Iterator[Check]]]:
    if not quick:
        yield "the API server", server_checks(look)
    yield "Volcano", volcano_checks(look, quick=quick)
    yield "the namespace", namespace_checks(look)
    yield "rights", rights_checks(look)
    if ask is None:
        return
    if named:
        yield "the name", name_checks(look, ask)
    ranges = look.objects(kinds.LIMIT_RANGES)
    pod = with_defaults(ask.pod, ranges if isinstance(ranges, list) else [])
    if not quick:
        yield "nodes", node_checks(look, ask, pod)
        yield "device classes", device_class_checks(look, ask)
    yield "the queue", queue_checks(look, ask, ask.of_gang(pod))
    yield "limits", limit_range_checks(ranges, ask, pod)
    yield "quotas", quota_checks(look, ask, pod)
    yield "storage", storage_checks(look, ask)
    yield "the run's folder", folder_checks(look, ask)
    yield "secrets", secret_checks(look, ask)
    yield "the account", account_checks(look, ask)
    yield "the priority", priority_checks(look, ask)
    yield "the Job", job_checks(look, ask)
    yield "a pod", pod_checks(look, ask)
    if not quick:
        yield "other objects", object_checks(look, ask)


def _is_repeated(check: Check, said: list[Check]) -> bool:
    """A refused dry run whose reason is in a line above."""
    if check.cause in ("namespace-missing", "webhook-down", "no-volcano", "no-right"):
        return any(before.cause == check.cause for before in said)
    topics = [topic for key, topic in _SAID_BY.items() if check.cause.startswith(key)]
    return bool(topics) and any(
        before.verdict in (Verdict.PROBLEM, Verdict.WARNING) and before.topic.startswith(topic)
        for before in said
        for topic in topics
    )
