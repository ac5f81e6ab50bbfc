"""What the API server and its webhooks say when the run's objects are sent without being kept: the honest test."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace

from trainchart.checks.ask import Ask
from trainchart.checks.check import Check, Verdict, ok, problem
from trainchart.checks.look import Look, NoRight, Refusal
from trainchart.checks.refusal import explain
from trainchart.cluster import kinds
from trainchart.cluster.fields import Object

_KINDS = {
    "Job": kinds.JOBS,
    "ConfigMap": kinds.CONFIG_MAPS,
    "Service": kinds.SERVICES,
    "ServiceAccount": kinds.SERVICE_ACCOUNTS,
    "PersistentVolumeClaim": kinds.CLAIMS,
    "NetworkPolicy": kinds.NETWORK_POLICIES,
    "ResourceClaimTemplate": kinds.CLAIM_TEMPLATES,
}


def job_checks(look: Look, ask: Ask) -> Iterator[Check]:
    yield judge_dry_run(
        f"Job {ask.name}", look.dry_run(kinds.JOBS, ask.job), "Volcano's webhook admits it, so its queue takes runs"
    )


def pod_checks(look: Look, ask: Ask) -> Iterator[Check]:
    """A pod as Volcano would make it: Pod Security, quota, limits, priority, and whatever policies the cluster has."""
    check = judge_dry_run(
        "a pod of the gang", look.dry_run(kinds.PODS, pod_of(ask)), "the cluster's admission takes it"
    )
    if check.cause == "quota":  # what is used now; what can never fit is told by the quota itself
        check = replace(
            check, verdict=Verdict.WARNING, text=check.text.replace("would be refused", "would be refused now")
        )
    yield check


def object_checks(look: Look, ask: Ask) -> Iterator[Check]:
    """All other objects of the release."""
    answers: list[Check] = []
    for item in ask.manifests:
        kind = _KINDS.get(item["kind"])
        if kind is None or kind is kinds.JOBS:
            continue
        topic, answer = f"{item['kind']} {item['metadata']['name']}", look.dry_run(kind, item)
        if isinstance(answer, NoRight) and kind is kinds.NETWORK_POLICIES:  # a right that a run can do without
            answer = Refusal(f'cannot {answer.verb} resource "{kind.plural}" in the namespace "{look.namespace}"')
        answers.append(judge_dry_run(topic, answer, ""))
    bad = [check for check in answers if check.verdict != "ok"]
    yield from bad
    if not bad:
        yield ok("other objects", f"the API server takes all {len(answers)}")


def pod_of(ask: Ask) -> Object:
    spec = copy.deepcopy(ask.pod)
    metadata = copy.deepcopy(ask.pod_metadata)
    if not ask.account:
        spec["serviceAccountName"] = "default"  # the run's own is not there yet: nothing of a dry run is
    if ask.priority_class:
        spec["priorityClassName"] = ask.priority_class
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {**metadata, "name": f"{ask.name}-train-0"}, "spec": spec}


def judge_dry_run(topic: str, answer: Object | Refusal | NoRight, admitted: str) -> Check:
    if isinstance(answer, NoRight):
        return answer.check(topic)
    if isinstance(answer, Refusal):
        found = explain(answer.text)
        return problem(topic, f"would be refused: {found.text}", found.fix or "change what it names", found.key)
    return ok(topic, admitted)
