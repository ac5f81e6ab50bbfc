"""What must be there by name, and what must not: namespace, priority, account, and the run's own name."""

from __future__ import annotations

from collections.abc import Iterator

from trainchart.checks.finding import Finding, listed, ok, problem, warning
from trainchart.checks.reader import ClusterReader, NoRight, existence
from trainchart.checks.run_spec import RunSpec
from trainchart.cluster import helm, kinds
from trainchart.cluster.fields import Object, text

_LEVEL = "pod-security.kubernetes.io/enforce"


def namespace_checks(reader: ClusterReader) -> Iterator[Finding]:
    topic = f"namespace {reader.namespace}"
    found = reader.get(kinds.NAMESPACES, reader.namespace)
    yield found.check(topic) if isinstance(found, NoRight) else check_namespace(topic, found)


def name_checks(reader: ClusterReader, spec: RunSpec) -> Iterator[Finding]:
    """Calls: the release's labels, the Job, its pods."""
    topic = f"name {spec.name}"
    releases = reader.release(spec.name)
    job = reader.get(kinds.JOBS, spec.name)
    pods = reader.objects(kinds.PODS, selector=f"volcano.sh/job-name={spec.name}")
    blind = next((answer for answer in (releases, job, pods) if isinstance(answer, NoRight)), None)
    yield (
        check_name(
            topic,
            releases if isinstance(releases, list) else [],
            job if isinstance(job, dict) else None,
            pods if isinstance(pods, list) else [],
        )
        if blind is None
        else blind.check(topic)
    )


def account_checks(reader: ClusterReader, spec: RunSpec) -> Iterator[Finding]:
    if spec.account:
        fix = "make it, or leave serviceAccount.name empty"
        yield existence(reader, kinds.SERVICE_ACCOUNTS, f"ServiceAccount {spec.account}", spec.account, fix)


def priority_checks(reader: ClusterReader, spec: RunSpec) -> Iterator[Finding]:
    if spec.priority_class:
        topic = f"PriorityClass {spec.priority_class}"
        found = reader.get(kinds.PRIORITY_CLASSES, spec.priority_class)
        if isinstance(found, NoRight):
            yield found.check(topic)
        elif found is None:
            fix = "name another in priorityClassName:; `kubectl get priorityclasses` lists them"
            yield problem(topic, "does not exist", fix)
        else:
            yield ok(topic, f"exists, value {found.get('value')}")


def check_namespace(topic: str, namespace: Object | None) -> Finding:
    if namespace is None:
        name = topic.partition(" ")[2]
        return problem(topic, "does not exist", f"`kubectl create namespace {name}`, or name another by -n")
    if (namespace.get("status") or {}).get("phase") == "Terminating":
        return problem(topic, "is being deleted", "name another by -n")
    level = (namespace["metadata"].get("labels") or {}).get(_LEVEL)
    return ok(
        topic, f"Pod Security level {level}, to which the pods keep" if level else "enforces no Pod Security level"
    )


def check_name(topic: str, releases: list[Object], job: Object | None, pods: list[Object]) -> Finding:
    """`releases` are Helm's Secrets of that name, without what is in them."""
    other = "choose another name: every run needs its own"
    name = topic.partition(" ")[2]
    if job and job["metadata"].get("deletionTimestamp"):
        return problem(topic, "a Job of this name is still being deleted", f"wait until it is gone, or {other}")
    if releases:
        newest = helm.newest(releases)
        status = text(newest, "metadata", "labels", "status") or "there"
        removes = f"`helm uninstall {name} -n {text(newest, 'metadata', 'namespace')}` removes it"
        return problem(topic, f"a release of this name is {status}", f"{other} ({removes})")
    if job:
        return problem(topic, "there is a Job of this name, of no release", other)
    if pods:
        there = listed([pod["metadata"]["name"] for pod in pods])
        text_ = f"pods of an earlier run of this name are still there: {there}"
        return warning(topic, text_, f"wait until they are gone, or {other}")
    return ok(topic, "is free")
