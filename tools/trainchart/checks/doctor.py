"""All checks, in the order in which one would ask: is there a cluster, may I, is there a place for it, is all there that it needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from trainchart.checks.admission import job_checks, object_checks, pod_checks
from trainchart.checks.claims import storage_checks
from trainchart.checks.finding import Finding
from trainchart.checks.folder import folder_checks
from trainchart.checks.limits import limit_range_checks, quota_checks, with_defaults
from trainchart.checks.names import account_checks, name_checks, namespace_checks, priority_checks
from trainchart.checks.nodes import device_class_checks, node_checks
from trainchart.checks.queue import queue_checks
from trainchart.checks.reader import ClusterReader
from trainchart.checks.rights import rights_checks
from trainchart.checks.run_spec import RunSpec
from trainchart.checks.secrets import secret_checks
from trainchart.checks.server import server_checks, volcano_checks
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
    spec: RunSpec | None,
    *,
    quick: bool = False,
    named: bool = True,
    notify: Callable[[str], None] = lambda _: None,
) -> Iterator[Finding]:
    """The checks of the cluster, and with `spec` those of a run in it, each as soon as it is known.

    Args:
        api: the cluster, account and namespace.
        spec: what is to be submitted.
        quick: only what would refuse the run or fail it at once, in few calls: what `submit` asks.
        named: whether the name of `spec` is the one it shall have; else it is not looked at.
        notify: is told what is looked at, for a line of progress.

    Raises:
        UnreachableError, UnauthorizedError: there is nothing to check.
    """
    reader = ClusterReader(api)
    said: list[Finding] = []
    for title, checks in _steps(reader, spec, quick, named):
        notify(title)
        for check in checks:
            if not _is_repeated(check, said):
                said.append(check)
                yield check
        if said and said[-1].severity == "problem" and said[-1].subject.startswith("namespace "):
            return  # nothing can be found in a namespace that is not there


def _steps(
    reader: ClusterReader, spec: RunSpec | None, quick: bool, named: bool
) -> Iterator[tuple[str, Iterator[Finding]]]:
    if not quick:
        yield "the API server", server_checks(reader)
    yield "Volcano", volcano_checks(reader, quick=quick)
    yield "the namespace", namespace_checks(reader)
    yield "rights", rights_checks(reader)
    if spec is None:
        return
    if named:
        yield "the name", name_checks(reader, spec)
    ranges = reader.objects(kinds.LIMIT_RANGES)
    pod = with_defaults(spec.pod, ranges if isinstance(ranges, list) else [])
    if not quick:
        yield "nodes", node_checks(reader, spec, pod)
        yield "device classes", device_class_checks(reader, spec)
    yield "the queue", queue_checks(reader, spec, spec.of_gang(pod))
    yield "limits", limit_range_checks(ranges, spec, pod)
    yield "quotas", quota_checks(reader, spec, pod)
    yield "storage", storage_checks(reader, spec)
    yield "the run's folder", folder_checks(reader, spec)
    yield "secrets", secret_checks(reader, spec)
    yield "the account", account_checks(reader, spec)
    yield "the priority", priority_checks(reader, spec)
    yield "the Job", job_checks(reader, spec)
    yield "a pod", pod_checks(reader, spec)
    if not quick:
        yield "other objects", object_checks(reader, spec)


def _is_repeated(check: Finding, said: list[Finding]) -> bool:
    """A refused dry run whose reason is in a line above."""
    if check.key in ("namespace-missing", "webhook-down", "no-volcano", "no-right"):
        return any(before.key == check.key for before in said)
    topics = [topic for key, topic in _SAID_BY.items() if check.key.startswith(key)]
    return bool(topics) and any(
        before.severity in ("problem", "warning") and before.subject.startswith(topic)
        for before in said
        for topic in topics
    )
