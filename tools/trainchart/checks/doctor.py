"""All checks of a run that is not submitted yet: is there a cluster, may I, is there a place for it, is all there that it needs."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import TypeVar

from trainchart.checks import claims, folder, limit_range, names, nodes, queue, quota, rights, secrets, server
from trainchart.checks.finding import Finding, ok, warning
from trainchart.checks.reader import ClusterReader, NoRight, Refusal
from trainchart.checks.refusals import check_dry_run, explain
from trainchart.checks.run_spec import RunSpec
from trainchart.cluster import kinds
from trainchart.cluster.api import Api
from trainchart.cluster.fields import Object
from trainchart.run.state import FAMILY, PART_OF

T = TypeVar("T")

_DRY_RUN_KINDS = {
    "ConfigMap": kinds.CONFIG_MAPS,
    "Service": kinds.SERVICES,
    "ServiceAccount": kinds.SERVICE_ACCOUNTS,
    "PersistentVolumeClaim": kinds.CLAIMS,
    "NetworkPolicy": kinds.NETWORK_POLICIES,
    "ResourceClaimTemplate": kinds.CLAIM_TEMPLATES,
}
# Refused by Volcano's webhook, and by nothing else: more pods must run than there are.
_PROBE: Object = {
    "apiVersion": "batch.volcano.sh/v1alpha1",
    "kind": "Job",
    "metadata": {"generateName": "trainchart-doctor-"},
    "spec": {
        "schedulerName": "volcano",
        "minAvailable": 2,
        "tasks": [
            {
                "name": "probe",
                "replicas": 1,
                "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "probe", "image": "probe"}]}},
            }
        ],
    },
}


def examine(
    api: Api,
    spec: RunSpec | None,
    *,
    quick: bool = False,
    named: bool = True,
    notify: Callable[[str], None] = lambda _: None,
) -> Iterator[Finding]:
    """The findings on the cluster, and with `spec` those on a run in it, each as soon as it is known.

    Args:
        api: the cluster, account and namespace.
        spec: what is to be submitted.
        quick: only what would refuse the run or fail it at once, in few calls: what `submit` asks.
        named: whether the name of `spec` is the one it shall have; else it is not checked.
        notify: is told what is checked, for a line of progress.

    Raises:
        UnreachableError, UnauthorizedError: there is nothing to check.
    """
    reader = ClusterReader(api)
    found: list[Finding] = []
    for title, findings in _steps(reader, spec, quick, named):
        notify(title)
        for finding in findings:
            if title in _DRY_RUNS and _is_repeated(finding, found):
                continue
            found.append(finding)
            yield finding
        if any(finding.key.startswith("namespace-") for finding in found):
            return  # nothing can be found in a namespace that does not exist


_DRY_RUNS = ("the Job", "a pod", "other objects")


def _steps(
    reader: ClusterReader, spec: RunSpec | None, quick: bool, named: bool
) -> Iterator[tuple[str, Iterator[Finding]]]:
    if not quick:
        yield "the API server", iter([server.check_version(reader.version(), reader.api.server)])
    yield "Volcano", _volcano(reader, quick=quick)
    yield "the namespace", _namespace(reader)
    yield "rights", _rights(reader)
    if spec is None:
        return
    if named:
        yield "the name", _name(reader, spec)
    ranges = reader.objects(kinds.LIMIT_RANGES)
    spec = replace(spec, namespace=reader.namespace, limit_ranges=() if isinstance(ranges, NoRight) else tuple(ranges))
    if not quick:
        yield "nodes", _nodes(reader, spec)
        yield "device classes", _device_classes(reader, spec)
    yield "the queue", _queue(reader, spec)
    yield "limits", _checked("LimitRange", ranges, lambda _: limit_range.check_limit_ranges(spec))
    yield "quotas", _quotas(reader, spec)
    yield "storage", _storage(reader, spec)
    yield "the run's folder", _folder(reader, spec)
    yield "secrets", _secrets(reader, spec)
    yield "the account", _account(reader, spec)
    yield "the priority", _priority(reader, spec)
    yield "the Job", _job(reader, spec)
    yield "a pod", _pod(reader, spec)
    if not quick:
        yield "other objects", _objects(reader, spec)


def _is_repeated(refusal: Finding, found: Iterable[Finding]) -> bool:
    """A refused dry run whose reason has been found already."""
    keys = {finding.key for finding in found if finding.severity in ("problem", "warning", "waiting")}
    of_name = refusal.key in names.NAME_KEYS and keys & {*names.NAME_KEYS}
    # A queue that is closed may be refused by a webhook that looks at something else first.
    of_queue = refusal.key.startswith("queue-") and any(key.startswith("queue-") for key in keys)
    return bool(refusal.key in keys or of_name or of_queue)


def _checked(subject: str, answer: T | NoRight, check: Callable[[T], Finding]) -> Iterator[Finding]:
    """What the check says of an answer; not checked where the account may not have it."""
    yield answer.finding(subject) if isinstance(answer, NoRight) else check(answer)


def _volcano(reader: ClusterReader, *, quick: bool) -> Iterator[Finding]:
    apis: dict[str, list[str] | None] = {}
    for path in [next(iter(server.APIS))] if quick else server.APIS:
        answer = reader.kinds_of(path)
        if isinstance(answer, NoRight):
            yield answer.finding("Volcano")
            return
        apis[path] = answer
    found = server.check_apis(apis)
    if found.severity != "ok" or quick:
        yield found
        return
    pods = reader.objects(kinds.PODS, fields=server.RUNNING, all_namespaces=True)
    yield found if isinstance(pods, NoRight) else server.check_volcano(pods)
    yield check_probe(reader.dry_run(kinds.JOBS, _PROBE))


def check_probe(answer: Object | Refusal | NoRight) -> Finding:
    """Whether Volcano's webhook answers, shown by a Job that it must refuse."""
    subject = "Volcano's webhook"
    if isinstance(answer, NoRight):
        return answer.finding(subject)
    if not isinstance(answer, Refusal):
        text = f"{subject} admits a Job that it must refuse: it is missing, or not for this namespace"
        fix = "without it mistakes show later and less clearly; let an administrator look at it"
        return warning("webhook-missing", subject, text, fix)
    if "minAvailable" in answer.text:
        return ok(subject, f"{subject} answers")
    return replace(explain(answer.text), subject=subject)


def _namespace(reader: ClusterReader) -> Iterator[Finding]:
    name = reader.namespace
    found = reader.get(kinds.NAMESPACES, name)
    yield from _checked(f"namespace {name}", found, partial(names.check_namespace, name))


def _rights(reader: ClusterReader) -> Iterator[Finding]:
    rules = reader.rules()
    if isinstance(rules, NoRight):
        yield rules.finding(f"rights in {reader.namespace}")
        return
    lacking = rights.lacking_rights(rules)
    if rules.get("incomplete"):
        # An authorizer that cannot list its rules can still be asked about each.
        denied = {
            right: [verb for verb in verbs if not reader.may(verb, right.kind, right.subresource)]
            for right, verbs in lacking.items()
        }
        lacking = {right: verbs for right, verbs in denied.items() if verbs}
    yield rights.check_rights(lacking, reader.namespace)


def _name(reader: ClusterReader, spec: RunSpec) -> Iterator[Finding]:
    releases = reader.release(spec.name)
    job = reader.get(kinds.JOBS, spec.name)
    pods = reader.objects(kinds.PODS, selector=f"volcano.sh/job-name={spec.name}")
    if no_right := next((answer for answer in (releases, job, pods) if isinstance(answer, NoRight)), None):
        yield no_right.finding(f"name {spec.name}")
    else:
        yield names.check_name(spec, releases, job, pods)  # type: ignore[arg-type]


def _nodes(reader: ClusterReader, spec: RunSpec) -> Iterator[Finding]:
    found = reader.objects(kinds.NODES)
    if isinstance(found, NoRight):
        yield found.finding("nodes")
        return
    pods = reader.objects(kinds.PODS, fields=server.RUNNING, all_namespaces=True)
    yield from nodes.check_nodes(spec, found, None if isinstance(pods, NoRight) else pods)
    if isinstance(pods, NoRight):
        finding = pods.finding("room on the nodes now")
        yield replace(finding, fix=f"{finding.fix}; nodes count as empty")


def _device_classes(reader: ClusterReader, spec: RunSpec) -> Iterator[Finding]:
    for name in spec.device_classes:
        found = reader.get(kinds.DEVICE_CLASSES, name)
        yield from _checked(f"DeviceClass {name}", found, partial(names.check_device_class, name))


def _queue(reader: ClusterReader, spec: RunSpec) -> Iterator[Finding]:
    queues = reader.queues(spec.queue)
    if isinstance(queues, NoRight):
        yield queues.finding(f"queue {spec.queue}")
        return
    yield queue.check_queue(spec, queues)
    if (known := reader.listed(kinds.NODES)) is not None:
        yield from queue.check_guarantees(spec, queues, known)


def _quotas(reader: ClusterReader, spec: RunSpec) -> Iterator[Finding]:
    quotas = reader.objects(kinds.RESOURCE_QUOTAS)
    if isinstance(quotas, NoRight):
        yield quotas.finding("ResourceQuota")
    elif not quotas:
        yield ok("ResourceQuota", "the namespace has no ResourceQuota")
    else:
        yield from (quota.check_quota(spec, one) for one in quotas)


def _storage(reader: ClusterReader, spec: RunSpec) -> Iterator[Finding]:
    for made in spec.made("PersistentVolumeClaim"):
        classes = reader.objects(kinds.STORAGE_CLASSES)
        subject = f"StorageClass {made['spec'].get('storageClassName') or '(default)'}"
        yield from _checked(subject, classes, partial(claims.check_new_claim, spec, made))
    for claim in spec.claims:
        found = reader.get(kinds.CLAIMS, claim.name)
        if isinstance(found, NoRight):
            yield found.finding(f"claim {claim.name}")
            continue
        pending = found is not None and found["status"].get("phase") == "Pending"
        of_cluster = reader.objects(kinds.STORAGE_CLASSES) if pending else None
        yield claims.check_claim(spec, claim, found, None if isinstance(of_cluster, NoRight) else of_cluster)


def _folder(reader: ClusterReader, spec: RunSpec) -> Iterator[Finding]:
    """Calls: the namespace's runs, where this one has a claim."""
    if wanted := folder.folder_of(spec.job):
        jobs = reader.objects(kinds.JOBS, selector=f"{PART_OF},{FAMILY}")
        yield from _checked(f"folder {wanted}", jobs, partial(folder.check_folder, spec, wanted))


def _secrets(reader: ClusterReader, spec: RunSpec) -> Iterator[Finding]:
    for keys in spec.secrets:
        secret = reader.secret(keys.name)
        yield from _checked(f"Secret {keys.name}", secret, partial(secrets.check_secret, spec, keys))
    for name in spec.pull_secrets:
        secret = reader.secret(name)
        subject = f"image pull secret {name}"
        yield from _checked(subject, secret, partial(secrets.check_pull_secret, spec, name))
    for keys in spec.config_maps:
        found = reader.get(kinds.CONFIG_MAPS, keys.name)
        yield from _checked(f"ConfigMap {keys.name}", found, partial(secrets.check_config_map, spec, keys))


def _account(reader: ClusterReader, spec: RunSpec) -> Iterator[Finding]:
    if name := spec.account:
        found = reader.get(kinds.SERVICE_ACCOUNTS, name)
        yield from _checked(f"ServiceAccount {name}", found, partial(names.check_account, name))


def _priority(reader: ClusterReader, spec: RunSpec) -> Iterator[Finding]:
    if name := spec.priority_class:
        found = reader.get(kinds.PRIORITY_CLASSES, name)
        yield from _checked(f"PriorityClass {name}", found, partial(names.check_priority, name))


# -- dry runs: what the API server and its webhooks say of objects that are not kept


def _job(reader: ClusterReader, spec: RunSpec) -> Iterator[Finding]:
    answer = reader.dry_run(kinds.JOBS, spec.job)
    yield check_dry_run(f"Job {spec.name}", answer, ": Volcano's webhook admits it, so its queue takes runs")


def _pod(reader: ClusterReader, spec: RunSpec) -> Iterator[Finding]:
    """A pod as Volcano would make it: Pod Security, quota, limits, priority, and whatever policies the cluster has."""
    yield check_dry_run("a pod of the gang", reader.dry_run(kinds.PODS, pod_of(spec)))


def _objects(reader: ClusterReader, spec: RunSpec) -> Iterator[Finding]:
    """All other objects of the release."""
    findings: list[Finding] = []
    for item in spec.manifests:
        kind = _DRY_RUN_KINDS.get(item["kind"])
        if kind is None:
            continue
        answer = reader.dry_run(kind, item)
        if isinstance(answer, NoRight) and kind is kinds.NETWORK_POLICIES:  # a right that a run can do without
            answer = Refusal(f'cannot {answer.verb} resource "{kind.plural}" in the namespace "{reader.namespace}"')
        findings.append(check_dry_run(f"{item['kind']} {item['metadata']['name']}", answer))
    refused = [finding for finding in findings if finding.severity != "ok"]
    yield from refused
    if not refused:
        yield ok("other objects", f"the API server takes all {len(findings)} other objects")


def pod_of(spec: RunSpec) -> Object:
    pod = copy.deepcopy(spec.pod_template)
    metadata = copy.deepcopy(spec.pod_metadata)
    if not spec.account:
        pod["serviceAccountName"] = "default"  # the run's own does not exist yet: nothing of a dry run is kept
    if spec.priority_class:
        pod["priorityClassName"] = spec.priority_class
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {**metadata, "name": f"{spec.name}-train-0"}, "spec": pod}
