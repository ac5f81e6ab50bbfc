"""What must exist by name, and what must not: namespace, priority, account, device classes, and the run's own name."""

from __future__ import annotations

from collections.abc import Sequence

from trainchart.checks.finding import Finding, enumerate_names, ok, problem, warning
from trainchart.checks.run_spec import RunSpec
from trainchart.cluster import helm
from trainchart.cluster.fields import Object, mapping, text

_LEVEL = "pod-security.kubernetes.io/enforce"
ANOTHER = "choose another name: every run needs its own"
NAME_KEYS = ("name-in-use", "object-exists", "being-deleted", "pods-left")
"""All say that the run's name is not free."""


def check_namespace(name: str, namespace: Object | None) -> Finding:
    if namespace is None:
        return missing_namespace(name)
    subject = f"namespace {name}"
    if text(namespace, "status", "phase") == "Terminating":
        return problem("namespace-deleting", subject, f"{subject} is being deleted", "name another by -n")
    level = text(mapping(namespace, "metadata", "labels"), _LEVEL)
    keeps = f"{subject} has the Pod Security level {level}, to which the pods keep"
    return ok(subject, keeps if level else f"{subject} enforces no Pod Security level")


def missing_namespace(name: str) -> Finding:
    subject = f"namespace {name}"
    fix = f"`kubectl create namespace {name}`, or name another by -n"
    return problem("namespace-missing", subject, f"{subject} does not exist", fix)


def check_name(spec: RunSpec, releases: Sequence[Object], job: Object | None, pods: Sequence[Object]) -> Finding:
    """`releases` are Helm's Secrets of that name, without what is in them."""
    subject = f"name {spec.name}"
    if text(job, "metadata", "deletionTimestamp"):
        text_ = "a Job of this name is still being deleted"
        return problem("being-deleted", subject, text_, f"wait until it is gone, or {ANOTHER}")
    if releases:
        newest = helm.newest(releases)
        status = text(newest, "metadata", "labels", "status") or "present"
        removes = f"`helm uninstall {spec.name} -n {text(newest, 'metadata', 'namespace')}` removes it"
        text_ = f"a release of this name exists, and is {status}"
        return problem("name-in-use", subject, text_, f"{ANOTHER} ({removes})")
    if job:
        text_ = "a Job of this name exists, and belongs to no release"
        return problem("object-exists", subject, text_, ANOTHER)
    if pods:
        left = enumerate_names(text(pod, "metadata", "name") for pod in pods)
        text_ = f"pods of an earlier run of this name still exist: {left}"
        return warning("pods-left", subject, text_, f"wait until they are gone, or {ANOTHER}")
    return ok(subject, f"the name {spec.name} is free")


def check_account(name: str, account: Object | None) -> Finding:
    return missing_account(name) if account is None else _exists("ServiceAccount", name)


def missing_account(name: str) -> Finding:
    fix = "create it, or leave serviceAccount.name empty"
    return _missing("service-account", "ServiceAccount", name, fix)


def check_priority(name: str, priority: Object | None) -> Finding:
    if priority is None:
        return missing_priority(name)
    return ok(f"PriorityClass {name}", f"PriorityClass {name} exists, value {priority.get('value')}")


def missing_priority(name: str) -> Finding:
    fix = "name another in priorityClassName (`kubectl get priorityclasses` lists them)"
    return _missing("priority-class", "PriorityClass", name, fix)


def missing_runtime(name: str) -> Finding:
    fix = "name another in runtimeClassName, or in that of the accelerator profile (`kubectl get runtimeclasses` lists them)"
    return _missing("runtime-class", "RuntimeClass", name, fix)


def check_device_class(name: str, found: Object | None) -> Finding:
    if found is not None:
        return _exists("DeviceClass", name)
    fix = "let an administrator install the driver that makes it; `kubectl get deviceclasses` lists them"
    return _missing("device-class-missing", "DeviceClass", name, fix)


def _missing(key: str, kind: str, name: str, fix: str) -> Finding:
    return problem(key, f"{kind} {name}", f"{kind} {name} does not exist", fix)


def _exists(kind: str, name: str) -> Finding:
    return ok(f"{kind} {name}", f"{kind} {name} exists")
