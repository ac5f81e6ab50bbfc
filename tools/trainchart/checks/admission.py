"""What the API server and its webhooks say when the run's objects are sent without being kept: the honest test."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace

from trainchart.checks.finding import Finding, ok, problem
from trainchart.checks.reader import ClusterReader, NoRight, Refusal
from trainchart.checks.refusals import explain
from trainchart.checks.run_spec import RunSpec
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


def job_checks(reader: ClusterReader, spec: RunSpec) -> Iterator[Finding]:
    yield check_dry_run(
        f"Job {spec.name}", reader.dry_run(kinds.JOBS, spec.job), "Volcano's webhook admits it, so its queue takes runs"
    )


def pod_checks(reader: ClusterReader, spec: RunSpec) -> Iterator[Finding]:
    """A pod as Volcano would make it: Pod Security, quota, limits, priority, and whatever policies the cluster has."""
    check = check_dry_run(
        "a pod of the gang", reader.dry_run(kinds.PODS, pod_of(spec)), "the cluster's admission takes it"
    )
    if check.key == "quota":  # what is used now; what can never fit is told by the quota itself
        check = replace(check, severity="warning", text=check.text.replace("would be refused", "would be refused now"))
    yield check


def object_checks(reader: ClusterReader, spec: RunSpec) -> Iterator[Finding]:
    """All other objects of the release."""
    answers: list[Finding] = []
    for item in spec.manifests:
        kind = _KINDS.get(item["kind"])
        if kind is None or kind is kinds.JOBS:
            continue
        topic, answer = f"{item['kind']} {item['metadata']['name']}", reader.dry_run(kind, item)
        if isinstance(answer, NoRight) and kind is kinds.NETWORK_POLICIES:  # a right that a run can do without
            answer = Refusal(f'cannot {answer.verb} resource "{kind.plural}" in the namespace "{reader.namespace}"')
        answers.append(check_dry_run(topic, answer, ""))
    bad = [check for check in answers if check.severity != "ok"]
    yield from bad
    if not bad:
        yield ok("other objects", f"the API server takes all {len(answers)}")


def pod_of(spec: RunSpec) -> Object:
    pod = copy.deepcopy(spec.pod)
    metadata = copy.deepcopy(spec.pod_metadata)
    if not spec.account:
        pod["serviceAccountName"] = "default"  # the run's own is not there yet: nothing of a dry run is
    if spec.priority_class:
        pod["priorityClassName"] = spec.priority_class
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {**metadata, "name": f"{spec.name}-train-0"}, "spec": pod}


def check_dry_run(topic: str, answer: Object | Refusal | NoRight, admitted: str) -> Finding:
    if isinstance(answer, NoRight):
        return answer.check(topic)
    if isinstance(answer, Refusal):
        found = explain(answer.text)
        return problem(topic, f"would be refused: {found.text}", found.fix or "change what it names", found.key)
    return ok(topic, admitted)
