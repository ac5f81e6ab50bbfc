"""The run's pods, as far as no container says anything: not created, without a node, taken away, or cut off."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from trainchart.checks.claims import explain_unscheduled, unbound
from trainchart.checks.events import last_message, latest, seconds
from trainchart.checks.facts import Facts, silent_pod
from trainchart.checks.finding import Finding, count, problem, waiting
from trainchart.checks.job import taken_away
from trainchart.checks.nodes import check_nodes
from trainchart.checks.queue import check_queue
from trainchart.checks.quota import check_quota
from trainchart.checks.refusals import explain
from trainchart.checks.run_spec import RunSpec, submitted
from trainchart.cluster.fields import items, moment, text
from trainchart.cluster.quantities import format_quantities
from trainchart.run.state import Pod, Snapshot
from trainchart.units import span

_PODS = "pods"


def refused(run: Snapshot, facts: Facts) -> Finding | None:
    """Pods that the API server does not take from Volcano; or would not take, where its events are gone."""
    spec = submitted(run)
    quotas = [check_quota(spec, quota) for quota in facts.quotas or ()]
    # Of a run that has failed, what is left now says nothing about what was left then.
    severities = ("problem",) if run.has_finished else ("problem", "waiting")
    by_quota = next((finding for finding in quotas if finding.severity in severities), None)
    event = latest(event for event in facts.job_events if text(event, "reason") == "FailedCreate")
    if event is None:
        return by_quota
    message = text(event, "message")
    quoted = re.search(r'Message:"((?:[^"\\]|\\.)*)"', message)
    found = explain(quoted[1].replace('\\"', '"') if quoted else message)
    if found.key == "quota" and by_quota:
        return replace(by_quota, details=found.details)
    if found.key == "refused":
        return replace(found, key="pods-refused", subject=_PODS, text=f"the API server refuses its pods: {found.text}")
    return replace(found, subject=found.subject or _PODS)


def never_created(run: Snapshot, facts: Facts) -> Finding:
    """Volcano tries for some minutes to create pods, and then gives up."""
    if found := refused(run, facts):
        fix = f"{found.fix}; then install a new release: Volcano has given up this one"
        return replace(found, severity="problem", fix=fix)
    return problem(
        "no-pods",
        _PODS,
        "Volcano could not create its pods, and has given up; its events, which are kept for an hour, are gone",
        f"install a new release: `trainchart doctor -n {run.namespace} -f VALUES` says before what would keep its pods out",
    )


def gone(run: Snapshot, facts: Facts) -> Finding:
    """Of a run that has failed and has no pod left."""
    if message := last_message(facts.group_events, "Evict"):
        fix = resume(run)
        if run.max_retry > 1:
            fix = f"raise retries, of which every preemption takes one; {fix}"
        return problem("preempted", _PODS, f"it was {taken_away(message)}", fix, message)
    return problem(
        "pods-gone",
        _PODS,
        "its pods were taken away from outside, and none is left to say why: deleted, evicted by a drain, or lost with their node",
        f"{resume(run)}; `kubectl -n {run.namespace} get events` may still know",
        last_message(facts.group_events + facts.job_events, "PodGroupPending"),
    )


def resume(run: Snapshot) -> str:
    """What lets the run, or another one, continue."""
    if run.max_retry > 1:
        return run.resume_hint
    return "retries: N lets Volcano start it again; on a claim as workspace it continues from its checkpoints"


def cut_off(pod: Pod, facts: Facts) -> Finding:
    node = next((one for one in facts.nodes or () if text(one, "metadata", "name") == pod.node), {})
    ready = next((one for one in items(node, "status", "conditions") if text(one, "type") == "Ready"), {})
    since = moment(ready, "lastTransitionTime")
    is_known = text(ready, "status") not in ("", "True")
    return problem(
        "node-lost",
        f"rank {pod.rank}",
        f"rank {pod.rank} is on node {pod.node}, which "
        + (f"has been lost since {span(seconds(since, facts.now))}" if is_known else "no longer answers for it"),
        "after five minutes Kubernetes gives the pod up, and Volcano restarts the run",
        text(ready, "message"),
    )


# -- no room: in the queue, in the cluster, or on any node


def without_pods(run: Snapshot, facts: Facts) -> Iterator[Finding]:
    """Volcano creates pods when the gang could start."""
    event = latest(event for event in facts.group_events if "0/0 tasks in gang" not in text(event, "message"))
    message = text(event, "message")
    in_queue = check_queue(submitted(run), facts.queues) if facts.queues is not None else None
    if in_queue and in_queue.severity != "ok":
        yield replace(in_queue, details=message)
    elif "quota insufficient" in message or "queue" in message:
        lacking = re.search(r"insufficient (.*)", message)
        text_ = f"queue {run.queue}, or one above it, has no room for it: "
        text_ += f"it is short of {lacking[1]}" if lacking else "its quota is used up"
        yield waiting("queue-full", f"queue {run.queue}", text_, "it starts when others of the queue finish", message)
    elif "overused" in message:
        yield from _no_room(run, facts, message)
    else:
        yield waiting("waiting", _PODS, "Volcano has not created its pods yet", "", message)


def _no_room(run: Snapshot, facts: Facts, message: str) -> Iterator[Finding]:
    """The whole cluster has no room, or never had."""
    spec = submitted(run)
    short = message.rpartition("overused ")[2] if "overused " in message else ""
    lacking = [name for name in re.split(r"[,\s]+", short) if name]
    unfit = list(_unfit(spec, facts, message))
    yield from unfit
    if any(found.severity == "problem" or any(name in found.text for name in lacking) for found in unfit):
        return
    gang = spec.gang_requests
    named = format_quantities({name: gang[name] for name in lacking if name in gang})
    what = (short or "of what it requests") + (f" (it requests {named} in all)" if named else "")
    if facts.nodes is not None:
        text_ = f"the nodes are large enough, but too much {what} is in use now"
        yield waiting("in-use", "nodes", text_, "it starts when other pods finish", message)
    else:
        text_ = f"the cluster has not enough {what.removeprefix('of ')}: in use now, or more than it has"
        fix = "it starts when other pods finish, if a node is large enough at all"
        yield waiting("cluster-full", "nodes", text_, fix, message)


def without_volume(run: Snapshot, facts: Facts) -> Iterator[Finding]:
    """A volume cannot be made: meanwhile the scheduler says nothing of the pod."""
    why, name = last_message(facts.claim_events, "ProvisioningFailed"), text(facts.claim, "metadata", "name")
    if why and silent_pod(run) and text(facts.claim, "status", "phase") == "Pending":
        yield unbound(name, run.namespace, why)


def without_node(run: Snapshot, pod: Pod, facts: Facts) -> Iterator[Finding]:
    """Pods exist, and the scheduler finds no node. For resources it often gives no reason at all."""
    spec, message = submitted(run), pod.unscheduled
    condition = next(
        (one for one in items(facts.group, "status", "conditions") if text(one, "type") == "Unschedulable"), {}
    )
    # Of a pod that another scheduler places, Volcano's group knows nothing.
    details, origin = (not spec.is_placed_by_another and text(condition, "message")) or message, _origin(message)
    if found := explain_unscheduled(spec, message, facts.claim, last_message(facts.claim_events, "")):
        yield found
        return
    if "DynamicResources" in message or "ResourceClaim" in message:
        why = last_message(facts.job_events + facts.pod_events, "FailedResourceClaimCreation")
        yield problem(
            "device-claim",
            pod.name,
            f"the devices of pod {pod.name} cannot be claimed: {why or origin}",
            f"doctor checks DeviceClasses and the devices' driver: `trainchart doctor -n {run.namespace} -f VALUES`",
            details,
        )
        return
    unfit = list(_unfit(spec, facts, details))
    yield from unfit
    if any(found.severity == "problem" for found in unfit):
        return
    requests = format_quantities(spec.pod_requests)
    if origin:
        yield waiting(
            "no-node", "nodes", f"no node takes pod {pod.name}: {origin}", "it starts when a node fits", details
        )
    elif facts.nodes is not None:
        text_ = f"the nodes are large enough, but have no room for {count(run.replicas, 'pod')} of {requests} now"
        yield waiting("in-use", "nodes", text_, "it starts when other pods finish", details)
    else:
        by = f"scheduler {spec.scheduler}" if spec.is_placed_by_another else "Volcano"
        text_ = (
            f"{by} finds no node for pods of {requests}, and does not say why: in use now, or more than any node has"
        )
        fix = "`kubectl describe nodes`, by somebody who may, shows what nodes have and what is in use"
        yield waiting("no-node", "nodes", text_, fix, details)


def _unfit(spec: RunSpec, facts: Facts, details: str) -> Iterator[Finding]:
    """Why no node takes the gang even while nothing else runs."""
    for finding in check_nodes(spec, facts.nodes) if facts.nodes is not None else ():
        if finding.severity != "ok":
            yield replace(finding, details=details)


def _origin(message: str) -> str:
    """`0/3 nodes are unavailable: ...` without the gang's counts, which say nothing; empty where there is no more."""
    found = re.search(r"\d+/\d+ nodes are (?:un)?available: (.*)", message)
    return found[1].rstrip(". ") if found else ""
