"""What the account may do, against what the commands need. deploy/submitter.yaml grants it; docs/rights.md explains it."""

from __future__ import annotations

from dataclasses import dataclass

from trainchart.checks.finding import Finding, enumerate_names, ok, problem, warning
from trainchart.cluster import kinds
from trainchart.cluster.fields import Object
from trainchart.cluster.kinds import Kind

_READ = ("get", "list", "watch")
_ALL = (*_READ, "create", "update", "patch", "delete")


@dataclass(frozen=True)
class Right:
    """Verbs on a resource in the namespace of the runs. `vital` ones are those without which nothing can be submitted."""

    kind: Kind
    verbs: tuple[str, ...]
    used_by: str
    vital: tuple[str, ...] = ()
    subresource: str = ""

    @property
    def resource(self) -> str:
        return f"{self.kind.plural}/{self.subresource}" if self.subresource else self.kind.plural


RIGHTS: tuple[Right, ...] = (
    Right(kinds.JOBS, (*_READ, "create", "patch", "delete"), "every command", ("get", "create")),
    Right(kinds.COMMANDS, ("create",), "stop, submit --on-signal stop, guard"),
    Right(kinds.POD_GROUPS, _READ, "status, wait: why a run is pending"),
    Right(
        kinds.PODS,
        (*_READ, "create", "patch", "delete"),
        "status, wait, logs; create: helm test, doctor's dry run and --data, logs --attempt, cache, submit --guard, wait: closing MLflow's run",
        ("list",),
    ),
    Right(kinds.PODS, _READ, "logs, wait, result", ("get",), "log"),
    Right(kinds.EVENTS, _READ, "status, wait: why a run is pending"),
    Right(kinds.SERVICES, _ALL, "submit, helm", ("get", "create")),
    Right(
        kinds.CONFIG_MAPS,
        _ALL,
        "submit, helm; status of a release without a Job; doctor --data; cache",
        ("get", "create"),
    ),
    Right(kinds.SERVICE_ACCOUNTS, _ALL, "submit, helm", ("get", "create")),
    Right(kinds.CLAIMS, _ALL, "submit, helm with a new claim; doctor"),
    Right(
        kinds.SECRETS,
        _ALL,
        "submit, helm: releases are kept in Secrets; doctor: their keys",
        ("list", "create", "update"),
    ),
    Right(kinds.NETWORK_POLICIES, _ALL, "submit, helm; networkPolicy.enabled: false does without"),
    Right(kinds.CLAIM_TEMPLATES, _ALL, "submit, helm with devices by dynamic resource allocation"),
    Right(kinds.RESOURCE_QUOTAS, ("get", "list"), "doctor, status: whether the gang fits into the namespace"),
    Right(kinds.LIMIT_RANGES, ("get", "list"), "doctor: whether the namespace admits the pods"),
)

READER: tuple[Right, ...] = (
    Right(kinds.QUEUES, ("get", "list"), "doctor, status: state and room of the queue"),
    Right(kinds.NODES, ("get", "list"), "doctor, status: which node could take a pod"),
    Right(kinds.PODS, ("list",), "doctor, status: what is free on the nodes now; Volcano's version"),
    Right(kinds.NAMESPACES, ("get",), "doctor: Pod Security level"),
    Right(kinds.JOBS, ("list",), "list --all-namespaces"),
    Right(kinds.STORAGE_CLASSES, ("get", "list"), "doctor, status: StorageClass of a claim"),
    Right(kinds.PRIORITY_CLASSES, ("get", "list"), "doctor: priorityClassName"),
    Right(kinds.DEVICE_CLASSES, ("get", "list"), "doctor: devices by dynamic resource allocation"),
    Right(kinds.HYPER_NODES, ("get", "list"), "doctor: networkTopology"),
)
"""Of deploy/cluster-reader.yaml: optional, of the whole cluster, and only to read."""


def lacking_rights(rules: Object) -> dict[Right, list[str]]:
    """The verbs that the rules of a SelfSubjectRulesReview do not grant."""
    lacking = {right: [verb for verb in right.verbs if not allows(rules, verb, right)] for right in RIGHTS}
    return {right: verbs for right, verbs in lacking.items() if verbs}


def check_rights(lacking: dict[Right, list[str]], namespace: str) -> Finding:
    subject = f"rights in {namespace}"
    if not lacking:
        return ok(subject, f"this account has all rights in {namespace} that the commands need")
    parts = [f"{'/'.join(verbs)} {right.resource} ({right.used_by})" for right, verbs in lacking.items()]
    vital = {right.kind for right, verbs in lacking.items() if set(verbs) & set(right.vital)}
    another_way = "; or submit without Helm's releases, as that page says" if vital == {kinds.SECRETS} else ""
    return (problem if vital else warning)(
        "rights",
        subject,
        f"this account has no permission in {namespace} to {enumerate_names(parts)}",
        f"let an administrator bind the Role trainchart-submitter to this account (trainchart docs rights){another_way}",
    )


def allows(rules: Object, verb: str, right: Right) -> bool:
    """Whether one of the rules of a SelfSubjectRulesReview grants it, of all objects of the kind."""
    return any(
        {verb, "*"} & set(rule["verbs"])
        and {right.kind.group, "*"} & set(rule.get("apiGroups") or [])
        and {right.resource, "*", f"*/{right.subresource}" if right.subresource else "*"}
        & set(rule.get("resources") or [])
        and not rule.get("resourceNames")
        for rule in rules.get("resourceRules") or []
    )
