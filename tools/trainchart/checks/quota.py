"""ResourceQuotas: what the namespace lets the run's pods and objects request together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from decimal import Decimal

from trainchart.checks.finding import Finding, enumerate_names, not_checked, ok, problem, waiting
from trainchart.checks.run_spec import RunSpec
from trainchart.cluster.fields import Object, dig, items, mapping, text, texts
from trainchart.cluster.quantities import Amounts, amounts, counted, format_quantity, minus, of_pod, short, times, total

LATER = "it starts when other runs of the namespace finish; Volcano gives up after some minutes"
_LESS = "lower replicas or resources, or let the quota be raised"


def check_quota(spec: RunSpec, quota: Object) -> Finding:
    """Whether the gang, and what Helm makes, passes under a quota; of a submitted run the pods that are missing."""
    subject = f"ResourceQuota {text(quota, 'metadata', 'name')}"
    hard = amounts(dig(quota, "spec", "hard")) or amounts(dig(quota, "status", "hard"))
    scopes = _scopes(quota)
    if unknown := next((scope for scope, _, _ in scopes if scope not in _KNOWN_SCOPES), ""):
        return not_checked(subject, f"{subject}: its scope {unknown} is not known here")
    pod: Amounts = {}
    if all(_in_scope(scope, spec.pod, spec.priority_class) for scope in scopes):
        requests, limits = of_pod(spec.pod)
        pod = counted(requests, limits)
        if lacking := [name for name in _MUST_SPECIFY if name in hard and name not in pod]:
            return unspecified(subject, ", ".join(lacking))
    if not scopes:  # scopes are of pods
        pod = total([pod, _claims(spec, spec.ephemeral_claims)])
    objects = {} if scopes or spec.is_submitted else _objects(spec)
    wanted = total([times(pod, spec.replicas), objects])
    if over := short(wanted, hard):
        return problem("quota", subject, f"{subject} is too small: {_needs('the run', over, wanted, hard)}", _LESS)
    if spec.missing_pods is not None:
        wanted = times(pod, spec.missing_pods)
    left = minus(hard, amounts(dig(quota, "status", "used")))
    over = short(wanted, left)
    if any(name in objects and name not in pod for name in over):
        fix = "remove what is not needed, or let the quota be raised"
        return problem("quota", subject, f"{subject} is used up: {_needs('the run', over, wanted, left, hard)}", fix)
    if over:
        return no_room(subject, _needs("the run", over, wanted, left, hard))
    counts = set(wanted) & set(hard)
    return ok(subject, f"{subject} has room for the run" if counts else f"{subject} does not count this run")


def no_room(subject: str, needs: str) -> Finding:
    return waiting("quota", subject, f"{subject} has no room for it now: {needs}", LATER)


def unspecified(subject: str, lacking: str) -> Finding:
    text_ = f"{subject} counts {lacking}, which the pods do not set: they would be refused"
    return problem("quota-unspecified", subject, text_, "set it in resources.requests and resources.limits")


def refused(name: str, requested: str, used: str, limited: str) -> Finding:
    """What the API server said when it refused a pod, such as `requests.cpu=40m`, as the quota's own finding."""
    parts = (
        {key: value for key, _, value in (word.partition("=") for word in part.split(","))}
        for part in (requested, used, limited)
    )
    wanted, have, hard = (amounts(part) for part in parts)
    return no_room(f"ResourceQuota {name}", _needs("a pod", list(wanted), wanted, minus(hard, have), hard))


def _needs(who: str, over: list[str], wanted: Amounts, left: Amounts, hard: Amounts | None = None) -> str:
    return f"{who} needs " + enumerate_names(
        f"{name} {format_quantity(name, wanted[name])}, and {_left(name, left, hard)}" for name in over
    )


def _left(name: str, left: Amounts, hard: Mapping[str, Decimal] | None) -> str:
    if hard is None or name not in hard or name not in left:
        return f"{format_quantity(name, left.get(name, Decimal(0)))} is allowed"
    return f"{format_quantity(name, left[name])} of {format_quantity(name, hard[name])} is left"


BY_CLASS = ".storageclass.storage.k8s.io/"
_MUST_SPECIFY = ("cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory")
_PLURALS = {"NetworkPolicy": "networkpolicies"}
_CORE = ("configmaps", "secrets", "services", "persistentvolumeclaims", "resourcequotas")


def _objects(spec: RunSpec) -> Amounts:
    """What the release's objects count for; Helm adds a Secret of its own, and Volcano a Service and a ConfigMap."""
    counts: Counter[str] = Counter({"secrets": 1, "count/secrets": 1})
    for item in spec.manifests:
        group = item["apiVersion"].rpartition("/")[0]
        plural = _PLURALS.get(item["kind"], f"{item['kind'].lower()}s")
        counts[f"count/{plural}.{group}" if group else f"count/{plural}"] += 1
        if plural in _CORE and item["kind"] != "PersistentVolumeClaim":
            counts[plural] += 1
    claims = spec.made("PersistentVolumeClaim")
    del counts["count/persistentvolumeclaims"]
    return total([{name: Decimal(count) for name, count in counts.items()}, _claims(spec, claims)])


def _claims(spec: RunSpec, claims: Iterable[Object]) -> Amounts:
    """What claims count for, whether Helm makes them or Kubernetes for a pod."""
    counted: list[Amounts] = []
    for claim in claims:
        sizes = {"persistentvolumeclaims": Decimal(1), **_storage(claim)}
        of_class = text(claim, "spec", "storageClassName") or spec.default_class
        counted += [sizes, {"count/persistentvolumeclaims": Decimal(1)}]
        if of_class:
            counted.append({f"{of_class}{BY_CLASS}{name}": size for name, size in sizes.items()})
    return total(counted)


def _storage(claim: Object) -> Amounts:
    return {"requests.storage": amounts(dig(claim, "spec", "resources", "requests")).get("storage", Decimal(0))}


_KNOWN_SCOPES = (
    "Terminating",
    "NotTerminating",
    "BestEffort",
    "NotBestEffort",
    "PriorityClass",
    "CrossNamespacePodAffinity",
)


def _scopes(quota: Object) -> list[tuple[str, str, tuple[str, ...]]]:
    scopes = [(scope, "Exists", ()) for scope in texts(quota, "spec", "scopes")]
    selected = items(quota, "spec", "scopeSelector", "matchExpressions")
    return [
        *scopes,
        *((text(one, "scopeName"), text(one, "operator"), tuple(texts(one, "values"))) for one in selected),
    ]


def _in_scope(scope: tuple[str, str, tuple[str, ...]], pod: Object, priority_class: str) -> bool:
    name, operator, values = scope
    if name in ("Terminating", "NotTerminating"):
        return (pod.get("activeDeadlineSeconds") is not None) == (name == "Terminating")
    if name in ("BestEffort", "NotBestEffort"):
        requests = any(set(part) & {"cpu", "memory"} for part in of_pod(pod))
        return requests == (name == "NotBestEffort")
    if name == "CrossNamespacePodAffinity":
        return _crosses_namespaces(pod)
    if operator in ("In", "NotIn"):
        return (priority_class in values) == (operator == "In")
    return bool(priority_class) == (operator == "Exists")


def _crosses_namespaces(pod: Object) -> bool:
    """Whether an affinity of the pod is to pods of namespaces that it names."""
    return any(
        term.get("namespaces") or term.get("namespaceSelector") is not None
        for kind in ("podAffinity", "podAntiAffinity")
        for term in (
            *items(pod, "affinity", kind, "requiredDuringSchedulingIgnoredDuringExecution"),
            *(
                mapping(one, "podAffinityTerm")
                for one in items(pod, "affinity", kind, "preferredDuringSchedulingIgnoredDuringExecution")
            ),
        )
    )
