"""All checks of a run that is not submitted yet: is there a cluster, may I, is there room for it, does everything that it needs exist."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import TypeVar

from trainchart.checks import (
    claims,
    folder,
    identity,
    limit_range,
    names,
    nodes,
    preemption,
    queue,
    quota,
    rights,
    scheduler,
    secrets,
    server,
    sidecars,
)
from trainchart.checks.finding import Finding, ok, warning
from trainchart.checks.reader import ClusterReader, NoRightError, Refusal
from trainchart.checks.refusals import check_dry_run, explain
from trainchart.checks.run_spec import Claim, RunSpec
from trainchart.cluster import kinds
from trainchart.cluster.api import Api
from trainchart.cluster.fields import Object, mapping, text
from trainchart.cluster.kinds import Kind
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
        named: whether `spec` has its final name; otherwise the name is not checked.
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
            yield finding.on(api.connection)
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
    spec, limits = _limited(reader, replace(spec, namespace=reader.namespace))
    admitted = _admitted(reader, spec)
    if isinstance(admitted[-1], dict):
        spec = replace(spec, admitted=mapping(admitted[-1], "spec"))
    if not quick:
        yield "nodes", _nodes(reader, spec)
        yield "device classes", _device_classes(reader, spec)
        if spec.network_topology:
            check = partial(nodes.check_network_topology, spec)
            yield "HyperNodes", iter([_checked("HyperNodes", check, reader.objects, kinds.HYPER_NODES)])
    if spec.is_placed_by_another and not quick:
        yield "the scheduler", iter([_scheduler(reader, spec)])
    yield "the queue", _queue(reader, spec)
    if not quick and preemption.lacking(spec):
        yield "preemption", _preemption(reader, spec)
    yield "limits", iter([limits])
    yield "quotas", _quotas(reader, spec)
    yield "storage", _storage(reader, spec)
    yield "the run's folder", _folder(reader, spec)
    yield "what the pods name", _named(reader, spec)
    yield "the Job", _job(reader, spec)
    yield "a pod", _pod(spec, admitted)
    if not quick:
        yield "other objects", _objects(reader, spec)


def _is_repeated(refusal: Finding, found: Iterable[Finding]) -> bool:
    """A refused dry run whose reason has been found already."""
    keys = {finding.key for finding in found if finding.severity in ("problem", "warning", "waiting")}
    of_name = refusal.key in names.NAME_KEYS and keys & {*names.NAME_KEYS}
    # A queue that is closed may be refused by a webhook that looks at something else first.
    of_queue = refusal.key.startswith("queue-") and any(key.startswith("queue-") for key in keys)
    return bool(refusal.key in keys or of_name or of_queue)


def _checked(subject: str, check: Callable[[T], Finding], read: Callable[..., T], *arguments: object) -> Finding:
    """What the check says of what is read; not checked where the account may not read it."""
    try:
        return check(read(*arguments))
    except NoRightError as error:
        return error.finding(subject)


def _volcano(reader: ClusterReader, *, quick: bool) -> Iterator[Finding]:
    try:
        apis = {path: reader.kinds_of(path) for path in ([next(iter(server.APIS))] if quick else server.APIS)}
    except NoRightError as error:
        yield error.finding("Volcano")
        return
    found = server.check_apis(apis)
    if found.severity != "ok" or quick:
        yield found
        return
    pods = _pods_of_cluster(reader)
    yield found if isinstance(pods, NoRightError) else server.check_volcano(pods)
    yield _checked(_WEBHOOK, check_probe, reader.dry_run, kinds.JOBS, _PROBE)


def _pods_of_cluster(reader: ClusterReader) -> list[Object] | NoRightError:
    try:
        return reader.objects(kinds.PODS, fields=server.RUNNING, all_namespaces=True)
    except NoRightError as error:
        return error


_WEBHOOK = "Volcano's webhook"


def check_probe(answer: Object | Refusal) -> Finding:
    """Whether Volcano's webhook answers, shown by a Job that it must refuse."""
    if not isinstance(answer, Refusal):
        text = f"{_WEBHOOK} admits a Job that it must refuse: it is missing, or not for this namespace"
        fix = "without it mistakes show later and less clearly; let an administrator look at it"
        return warning("webhook-missing", _WEBHOOK, text, fix)
    if "minAvailable" in answer.text:
        return ok(_WEBHOOK, f"{_WEBHOOK} answers")
    return replace(explain(answer.text), subject=_WEBHOOK)


def _namespace(reader: ClusterReader) -> Iterator[Finding]:
    name = reader.namespace
    yield _checked(f"namespace {name}", partial(names.check_namespace, name), reader.get, kinds.NAMESPACES, name)


def _rights(reader: ClusterReader) -> Iterator[Finding]:
    def check(rules: Object) -> Finding:
        lacking = rights.lacking_rights(rules)
        if rules.get("incomplete"):
            # An authorizer that cannot list its rules can still be asked about each.
            denied = {
                right: [verb for verb in verbs if not reader.may(verb, right.kind, right.subresource)]
                for right, verbs in lacking.items()
            }
            lacking = {right: verbs for right, verbs in denied.items() if verbs}
        return rights.check_rights(lacking, reader.namespace)

    yield _checked(f"rights in {reader.namespace}", check, reader.rules)


def _name(reader: ClusterReader, spec: RunSpec) -> Iterator[Finding]:
    try:
        releases, job = reader.release(spec.name), reader.get(kinds.JOBS, spec.name)
        pods = reader.objects(kinds.PODS, selector=f"volcano.sh/job-name={spec.name}")
        yield names.check_name(spec, releases, job, pods)
    except NoRightError as error:
        yield error.finding(f"name {spec.name}")


def _limited(reader: ClusterReader, spec: RunSpec) -> tuple[RunSpec, Finding]:
    """The run with what the namespace's LimitRanges fill in, and whether they admit it."""
    try:
        spec = replace(spec, limit_ranges=tuple(reader.objects(kinds.LIMIT_RANGES)))
    except NoRightError as error:
        return spec, error.finding("LimitRange")
    return spec, limit_range.check_limit_ranges(spec)


def _nodes(reader: ClusterReader, spec: RunSpec) -> Iterator[Finding]:
    try:
        found = reader.objects(kinds.NODES)
    except NoRightError as error:
        yield error.finding("nodes")
        return
    pods = _pods_of_cluster(reader)
    if not isinstance(pods, NoRightError):
        yield from nodes.check_nodes(spec, found, pods)
    else:
        yield from nodes.check_nodes(spec, found)
        unknown = pods.finding("room on the nodes now")
        yield replace(unknown, fix=f"{unknown.fix}; nodes count as empty")


def _scheduler(reader: ClusterReader, spec: RunSpec) -> Finding:
    found = _pods_of_cluster(reader)
    if isinstance(found, NoRightError):
        return found.finding(f"scheduler {spec.scheduler}")
    return scheduler.check_scheduler(spec, found)


def _device_classes(reader: ClusterReader, spec: RunSpec) -> Iterator[Finding]:
    for name in spec.device_classes:
        check = partial(names.check_device_class, name)
        yield _checked(f"DeviceClass {name}", check, reader.get, kinds.DEVICE_CLASSES, name)


def _queue(reader: ClusterReader, spec: RunSpec) -> Iterator[Finding]:
    yield _checked(f"queue {spec.queue}", partial(queue.check_queue, spec), reader.queues, spec.queue)
    queues, known = reader.listed(kinds.QUEUES), reader.listed(kinds.NODES)
    if queues is not None and known is not None:
        yield from queue.check_guarantees(spec, queues, known)


def _preemption(reader: ClusterReader, spec: RunSpec) -> Iterator[Finding]:
    try:
        classes = reader.objects(kinds.PRIORITY_CLASSES)
    except NoRightError:  # queues alone tell something, too
        classes = []
    if found := preemption.check_preemption(spec, reader.listed(kinds.QUEUES) or [], classes):
        yield found


def _quotas(reader: ClusterReader, spec: RunSpec) -> Iterator[Finding]:
    try:
        quotas = reader.objects(kinds.RESOURCE_QUOTAS)
        if quota.BY_CLASS in str(quotas):
            spec = replace(spec, default_class=_default_class(reader))
        yield from (quota.check_quota(spec, one) for one in quotas)
        if not quotas:
            yield ok("ResourceQuota", "the namespace has no ResourceQuota")
    except NoRightError as error:
        yield error.finding("ResourceQuota")


def _default_class(reader: ClusterReader) -> str:
    try:
        defaults = claims.default_classes(reader.objects(kinds.STORAGE_CLASSES))
    except NoRightError:
        return ""
    return text(next(iter(defaults), {}), "metadata", "name")


def _storage(reader: ClusterReader, spec: RunSpec) -> Iterator[Finding]:
    for made in spec.made("PersistentVolumeClaim"):
        subject = f"StorageClass {made['spec'].get('storageClassName') or '(default)'}"
        yield _checked(
            subject, partial(claims.check_new_claim, made, spec.replicas), reader.objects, kinds.STORAGE_CLASSES
        )
    for template in spec.ephemeral_claims:
        subject = f"StorageClass {template['spec'].get('storageClassName') or '(default)'}"
        check = partial(claims.check_new_claim, template, 1)
        yield _checked(subject, check, reader.objects, kinds.STORAGE_CLASSES)
    for claim in spec.claims:
        yield _checked(
            f"claim {claim.name}", partial(_claim, reader, spec, claim), reader.get, kinds.CLAIMS, claim.name
        )


def _claim(reader: ClusterReader, spec: RunSpec, claim: Claim, found: Object | None) -> Finding:
    is_pending = found is not None and found["status"].get("phase") == "Pending"
    try:
        classes = reader.objects(kinds.STORAGE_CLASSES) if is_pending else None
    except NoRightError:
        classes = None
    return claims.check_claim(spec, claim, found, classes)


def _folder(reader: ClusterReader, spec: RunSpec) -> Iterator[Finding]:
    """Calls: the namespace's runs, where this one has a claim."""
    if wanted := folder.folder_of(spec.job):
        runs = partial(reader.objects, selector=f"{PART_OF},{FAMILY}")
        yield _checked(f"folder {wanted}", partial(folder.check_folder, spec, wanted), runs, kinds.JOBS)


def _named(reader: ClusterReader, spec: RunSpec) -> Iterator[Finding]:
    """Objects that the pods name."""
    for keys in spec.secrets:
        yield _checked(f"Secret {keys.name}", partial(secrets.check_secret, spec, keys), reader.secret, keys.name)
    for name in spec.pull_secrets:
        check = partial(secrets.check_pull_secret, spec, name)
        yield _checked(f"image pull secret {name}", check, reader.secret, name)
    for keys in spec.config_maps:
        check_keys = partial(secrets.check_config_map, spec, keys)
        yield _checked(f"ConfigMap {keys.name}", check_keys, reader.get, kinds.CONFIG_MAPS, keys.name)
    if name := spec.account:
        check_account = partial(names.check_account, name)
        yield _checked(f"ServiceAccount {name}", check_account, reader.get, kinds.SERVICE_ACCOUNTS, name)
    if name := spec.priority_class:
        check_priority = partial(names.check_priority, name)
        yield _checked(f"PriorityClass {name}", check_priority, reader.get, kinds.PRIORITY_CLASSES, name)


# -- dry runs: what the API server and its webhooks say of objects that are not kept


def _job(reader: ClusterReader, spec: RunSpec) -> Iterator[Finding]:
    admitted = ": Volcano's webhook admits it, so its queue takes runs"
    yield _dry_run(reader, f"Job {spec.name}", kinds.JOBS, spec.job, admitted)


def _admitted(reader: ClusterReader, spec: RunSpec) -> list[Object | Refusal | NoRightError]:
    """A pod as Volcano would make it: Pod Security, quota, limits, priority, and whatever policies the cluster has. Before it, what
    the API server says of the same pod with a RuntimeClass that does not exist.

    Without the names that `_named` finds missing: the API server would refuse the pod for the first of them, and say nothing more.
    """
    pod = pod_of(spec)
    if spec.priority_class and _is_missing(reader, kinds.PRIORITY_CLASSES, spec.priority_class):
        del pod["spec"]["priorityClassName"]
    if spec.account and _is_missing(reader, kinds.SERVICE_ACCOUNTS, spec.account):
        pod["spec"]["serviceAccountName"] = "default"
    try:
        admitted = reader.dry_run(kinds.PODS, pod)
        # Few accounts may read RuntimeClasses, so the refusal has to say that one is missing.
        if isinstance(admitted, Refusal) and explain(admitted.text).key == "runtime-class":
            del pod["spec"]["runtimeClassName"]
            return [admitted, reader.dry_run(kinds.PODS, pod)]
        return [admitted]
    except NoRightError as error:
        return [error]


def _is_missing(reader: ClusterReader, kind: Kind, name: str) -> bool:
    try:
        return reader.get(kind, name) is None
    except NoRightError:
        return False


def _pod(spec: RunSpec, answers: list[Object | Refusal | NoRightError]) -> Iterator[Finding]:
    subject = "a pod of the gang"
    for admitted in answers:
        if isinstance(admitted, NoRightError):
            yield admitted.finding(subject)
            continue
        if isinstance(admitted, Refusal) or len(answers) == 1:
            yield check_dry_run(subject, admitted)
        if not isinstance(admitted, Refusal):
            yield from sidecars.check_injected(spec, admitted)
            yield from identity.check_identity(spec, admitted)


def _objects(reader: ClusterReader, spec: RunSpec) -> Iterator[Finding]:
    """All other objects of the release."""
    findings = [
        _dry_run(reader, f"{item['kind']} {item['metadata']['name']}", _DRY_RUN_KINDS[item["kind"]], item)
        for item in spec.manifests
        if item["kind"] in _DRY_RUN_KINDS
    ]
    refused = [finding for finding in findings if finding.severity != "ok"]
    yield from refused or [ok("other objects", f"the API server takes all {len(findings)} other objects")]


def _dry_run(reader: ClusterReader, subject: str, kind: Kind, body: Object, admitted: str = "") -> Finding:
    try:
        answer = reader.dry_run(kind, body)
    except NoRightError as error:
        if kind is not kinds.NETWORK_POLICIES:
            return error.finding(subject)
        # A right that a run can do without, and without which it cannot be submitted as it is.
        answer = Refusal(f'cannot {error.verb} resource "{kind.plural}" in the namespace "{reader.namespace}"')
    return check_dry_run(subject, answer, admitted)


def pod_of(spec: RunSpec) -> Object:
    pod = copy.deepcopy(spec.pod_template)
    metadata = copy.deepcopy(spec.pod_metadata)
    if not spec.account:
        pod["serviceAccountName"] = "default"  # the run's own does not exist yet: nothing of a dry run is kept
    if spec.priority_class:
        pod["priorityClassName"] = spec.priority_class
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {**metadata, "name": f"{spec.name}-train-0"}, "spec": pod}
