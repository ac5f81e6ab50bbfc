"""Why a run does not go on, or why it failed: the cause in a sentence, and what to do.

`diagnose` fetches (run/facts.py) and explains; `explain` and all below it are pure. The cluster's own words, where they help
whoever runs it, come along as `words`. Objects may be half empty: then there is less to say, and no error.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

from trainchart.cluster.fields import Object, dig, items, mapping, moment, number, text
from trainchart.cluster.quantities import amounts, pod_requests, written
from trainchart.run.capacity import misfit
from trainchart.run.facts import Facts, gather, is_cut_off, pod_spec, suspected_secret
from trainchart.run.state import KILLED, Pod, Snapshot, State
from trainchart.units import span

if TYPE_CHECKING:
    from trainchart.cluster.api import Api

Severity = Literal["problem", "waiting", "info"]

# Volcano answers within seconds; what has heard nothing for longer waits for somebody who is not there.
PATIENCE_SECONDS = 30
STUCK_SECONDS = 60


@dataclass(frozen=True)
class Cause:
    """One reason. A `problem` does not go away by itself, `waiting` does, `info` is good to know."""

    key: str
    """For programs: image-missing, queue-closed, ..."""
    severity: Severity
    text: str
    fix: str = ""
    words: str = ""
    """What the cluster said, unchanged."""


def diagnose(api: Api, run: Snapshot) -> list[Cause]:
    """The most telling cause first. The number of calls depends on the run alone, not on how many others there are.

    Raises:
        UnreachableError
    """
    return explain(run, gather(api, run))


def explain(run: Snapshot, facts: Facts) -> list[Cause]:
    """The causes that the objects tell of."""
    causes = list(_causes(run, facts))
    order = {"problem": 0, "waiting": 1, "info": 2}
    causes.sort(key=lambda cause: order[cause.severity])
    if facts.forbidden:
        causes.append(
            Cause(
                "not-looked-at",
                "info",
                f"not looked at: no right to {', '.join(facts.forbidden)}",
                "deploy/submitter.yaml and deploy/cluster-reader.yaml have the rights",
            )
        )
    return list(dict.fromkeys(causes))


def _causes(run: Snapshot, facts: Facts) -> Iterator[Cause]:
    if run.state is State.NO_JOB:
        yield _no_job(run, facts)
    elif run.state is State.STOPPED:
        yield _stopped(facts)
    elif run.state is State.FAILED:
        yield from _failed(run, facts)
    elif run.state in (State.PENDING, State.RESTARTING):
        yield from _not_running(run, facts)
    elif run.state is State.RUNNING:
        yield from _running(run, facts)
    elif run.state is State.ENDING:
        yield from _ending(run, facts)


# -- runs that have ended


def _no_job(run: Snapshot, facts: Facts) -> Cause:
    if facts.release_status in ("failed", "pending-install"):
        return Cause(
            "refused",
            "problem",
            f"release {run.name} could not be installed: Volcano or the API server refused its Job",
            f"`helm status {run.name}` has the words (a queue that is missing or closed, ...); "
            f"`helm uninstall {run.name}` removes the rest, and `trainchart doctor -f VALUES` says before what would be refused",
            f"helm: {facts.release_status}",
        )
    return Cause(
        "no-job",
        "problem",
        f"release {run.name} is there, and its Job is not: somebody deleted it, or it was cleaned up after its end",
        f"`helm uninstall {run.name}` removes the rest; a new release on the same claim goes on from its checkpoints",
    )


def _stopped(facts: Facts) -> Cause:
    by = next((event for event in facts.job_events if text(event, "reason") == "CommandIssued"), {})
    return Cause(
        "stopped-by-user",
        "info",
        "a user stopped it",
        "a new release on the same claim goes on from its checkpoints",
        text(by, "message"),
    )


def _failed(run: Snapshot, facts: Facts) -> Iterator[Cause]:
    culprit = run.culprit
    if culprit is None and "Running" not in (phase for phase, _ in run.conditions):
        # Volcano tries for some minutes to make pods, and then gives up.
        refused = _refused_pods(run, facts)
        if refused:
            yield replace(refused, fix=f"{refused.fix}; then install a new release: Volcano has given up this one")
            return
        yield Cause(
            "no-pods",
            "problem",
            "Volcano could not make its pods, and has given up; its events, which are kept for an hour, are gone",
            "install a new release: `trainchart doctor -f VALUES` says before what would keep its pods out",
        )
        return
    if culprit is None:
        if words := _last_words(facts.group_events, "Evict"):
            who = (
                "pods of another queue, which had more right to the resources"
                if "reclaim" in words
                else "a run of higher priority"
            )
            yield Cause("preempted", "problem", f"Volcano took its pods away for {who}", _again(run), words)
            return
        yield Cause(
            "pods-gone",
            "problem",
            "its pods were taken away from outside, and none is left to say why: deleted, evicted by a drain, or lost with their node",
            f"{_again(run)}; `kubectl -n {run.namespace} get events` may still know",
            _last_words(facts.group_events + facts.job_events, "PodGroupPending"),
        )
        return
    yield _no_secret(run, culprit, facts) or why_failed(run, culprit)
    if run.max_retry > 1:
        yield Cause("attempts", "info", f"that was attempt {run.attempt + 1} of {run.max_retry}")


def _no_secret(run: Snapshot, pod: Pod, facts: Facts) -> Cause | None:
    """A Secret of values is mounted as optional: that it lacks a key is all that the runner can tell."""
    name = suspected_secret(run)
    if not name or "secret" not in facts.seen or facts.secret is not None or pod.failure is None:
        return None
    return Cause(
        "secret-missing",
        "problem",
        f"there is no Secret {name} in namespace {run.namespace} (rank {pod.rank} failed in stage {pod.failure.stage}, "
        f"code {pod.failure.code}: {pod.failure.reason})",
        "make it (`kubectl create secret generic`, docs/values.md has its keys) or correct its name, and install a new release",
    )


def why_failed(run: Snapshot, pod: Pod) -> Cause:
    """Of a pod that has failed."""
    return (
        _taken_away(run, pod)
        or _out_of_memory(run, pod)
        or _runner_says(pod)
        or _not_started(pod)
        or _no_word(run, pod)
    )


def _taken_away(run: Snapshot, pod: Pod) -> Cause | None:
    words = pod.message or pod.disrupted_message
    if pod.reason == "DeadlineExceeded":
        return Cause(
            "deadline",
            "problem",
            f"rank {pod.rank} was killed at the pod's deadline, five minutes after timeLimit",
            "raise timeLimit; that the runner did not end it before is worth a report",
            words,
        )
    if pod.disrupted == "PreemptionByScheduler" or pod.reason == "Preempted" or "preempt" in words.lower():
        return Cause(
            "preempted", "problem", f"rank {pod.rank} was preempted by pods of higher priority", _again(run), words
        )
    if pod.reason == "NodeLost" or pod.disrupted in ("DeletionByTaintManager", "DeletionByPodGC"):
        return Cause("node-lost", "problem", f"rank {pod.rank} was lost with its node {pod.node}", _again(run), words)
    if pod.reason == "Evicted":
        return Cause(
            "evicted",
            "problem",
            f"rank {pod.rank} was evicted from {pod.node}: {words.strip()}",
            _room(run, words),
            words,
        )
    if pod.disrupted:
        return Cause(
            "evicted", "problem", f"rank {pod.rank} was evicted from {pod.node}", _again(run), words or pod.disrupted
        )
    return None


def _room(run: Snapshot, words: str) -> str:
    """What to give more of, by the kubelet's words."""
    if 'EmptyDir volume "workspace"' in words:
        return "raise workspace.size, or take a claim as workspace"
    if 'EmptyDir volume "shm"' in words:
        return "raise sharedMemory"
    if "ephemeral" in words:
        return "raise resources.limits.ephemeral-storage, or take a claim as workspace"
    if "memory" in words:
        return "raise resources.requests.memory to what the training takes: who asks for less than he uses goes first"
    return _again(run)


def _out_of_memory(run: Snapshot, pod: Pod) -> Cause | None:
    # A limit that is too low even for the container runtime's own start ends in a start error.
    if not pod.oom_killed and not ("OOM" in pod.termination and pod.exit_reason == "StartError"):
        return None
    limit = text(pod_spec(run), "containers", 0, "resources", "limits", "memory")
    return Cause(
        "out-of-memory",
        "problem",
        f"rank {pod.rank} was killed for memory" + (f": its limit is {limit}" if limit else ""),
        "raise resources.limits.memory, or train with smaller batches or fewer workers",
        f"OOMKilled, exit code {pod.exit_code}",
    )


def _runner_says(pod: Pod) -> Cause | None:
    """A failure that the runner has put into words; of a worker that never joined, the words of the rank that waited for it."""
    failure = pod.failure
    if failure is None:
        return None
    where = f" in stage {failure.stage}" if failure.stage else ""
    return Cause(
        failure.name or "failed",
        "problem",
        f"rank {pod.rank} failed{where} ({failure.name}, code {failure.code}): {failure.reason}",
        failure.fix,
    )


def _not_started(pod: Pod) -> Cause | None:
    if pod.exit_reason not in ("StartError", "ContainerCannotRun") and pod.exit_code not in (126, 127, 128):
        return None
    words = pod.termination
    if re.search(r'exec: "?python3"?: executable file not found', words):
        return Cause(
            "no-python",
            "problem",
            f"image {pod.image} has no python3 on its PATH, which runs the runner",
            "take an image with Python 3.8 or newer on its PATH",
            words,
        )
    if "exec format error" in words:
        return Cause(
            "wrong-architecture",
            "problem",
            f"image {pod.image} is made for another processor than node {pod.node} has",
            "take an image for it, or choose nodes by nodeSelector: {kubernetes.io/arch: ...}",
            words,
        )
    return Cause(
        "start-error",
        "problem",
        f"rank {pod.rank} could not be started in image {pod.image}",
        "the words below are the container runtime's",
        words or f"{pod.exit_reason}, exit code {pod.exit_code}",
    )


def _no_word(run: Snapshot, pod: Pod) -> Cause:
    code, words = pod.exit_code, " ".join(pod.termination.split())[:400]
    log = f"`trainchart logs {run.name}` shows its last lines"
    if code == KILLED:
        text_ = f"rank {pod.rank} was killed (SIGKILL) before it could say why"
        return Cause("killed", "problem", text_, f"{log}; often the node ran out of memory", words)
    if code is not None and code > 128:
        text_ = f"rank {pod.rank} ended by signal {code - 128} and left no word"
        return Cause("killed", "problem", text_, log, words)
    said = f"with code {code}" if code is not None else "without an exit code"
    return Cause("no-word", "problem", f"rank {pod.rank} ended {said} and left no word", log, words or pod.message)


def _again(run: Snapshot) -> str:
    if run.max_retry > 1:
        return "a new release on the same claim goes on from its checkpoints"
    return "retries: N lets Volcano start it again; on a claim as workspace it goes on from its checkpoints"


# -- runs that do not run (yet)


def _not_running(run: Snapshot, facts: Facts) -> Iterator[Cause]:
    if run.state is State.RESTARTING or run.attempt > 0:
        yield from _restarting(run, facts)
    queue = list(_queue_state(run, facts))
    yield from queue
    waited = _seconds(run.since, facts.now)
    stuck = _stuck_restart(run, facts, waited)
    if stuck:
        yield stuck
        return
    if len(run.pods) < run.replicas and (refused := _refused_pods(run, facts)):
        yield refused
        return
    if not run.pods and not queue:
        yield from _no_pods(run, facts, waited)
    unscheduled = next((pod for pod in run.pods if pod.unscheduled), None)
    if unscheduled:
        yield _no_node(run, unscheduled, facts)
    yield from _waiting_pods(run, facts)


def _restarting(run: Snapshot, facts: Facts) -> Iterator[Cause]:
    which = run.attempt + 1 if run.attempt or run.pods else number(run.job, "status", "retryCount") + 1
    text_ = f"restart in progress: attempt {min(which, run.max_retry)} of {run.max_retry}"
    if run.attempt > 0 and run.state is State.RUNNING:
        text_ = f"attempt {run.attempt + 1} of {run.max_retry}: the one before failed"
    yield Cause(
        "restarted",
        "info",
        text_,
        "",
        _last_words(facts.group_events, "Evict") or _last_words(facts.job_events, "ExecuteAction"),
    )


def _stuck_restart(run: Snapshot, facts: Facts, waited: float) -> Cause | None:
    if run.state is not State.RESTARTING or run.pods or facts.group is not None or waited < STUCK_SECONDS:
        return None
    return Cause(
        "stuck-restart",
        "problem",
        f"Volcano has lost a restart: the Job is in Restarting for {span(waited)} and has no pods",
        f"`trainchart wait {run.name}` wakes it, and so does any change of the Job: "
        f"`kubectl -n {run.namespace} annotate vcjob {run.name} trainchart.dev/nudged=1 --overwrite`",
    )


def _queue_state(run: Snapshot, facts: Facts) -> Iterator[Cause]:
    if "queue" not in facts.seen:
        return
    if facts.queue is None:
        yield Cause(
            "queue-missing",
            "problem",
            f"queue {run.queue} does not exist (any more)",
            "install a new release with a queue that is there (`kubectl get queues`), or have it made again",
        )
        return
    state = text(facts.queue, "status", "state")
    if state != "Open":
        # A queue that was just made has no state yet, and takes nothing either.
        yield Cause(
            "queue-closed",
            "problem",
            f"queue {run.queue} is {'closed' if state in ('Closed', 'Closing') else 'not open'}: "
            f"its state is {state or 'empty'}, and Volcano starts nothing in it",
            f"ask whoever runs the queues to open it (`vcctl queue operate -n {run.queue} -a open`), or install a new release with another queue",
            f"Queue {run.queue}: status.state {state}",
        )


def _refused_pods(run: Snapshot, facts: Facts) -> Cause | None:
    """Pods that the API server does not take from Volcano; or would not take, where its events are gone."""
    event = _latest(event for event in facts.job_events if text(event, "reason") == "FailedCreate")
    if event is None:
        return _quota_would_refuse(run, facts)
    message = text(event, "message")
    quoted = re.search(r'Message:"((?:[^"\\]|\\.)*)"', message)
    words = quoted[1].replace('\\"', '"') if quoted else message
    if found := re.search(r"exceeded quota: ([^,]+), requested: (.*), used: (.*), limited: (.*)", words):
        short = "; ".join(_quota_words(found[2], found[3], found[4]))
        return Cause(
            "namespace-quota",
            "problem",
            f"ResourceQuota {found[1]} of namespace {run.namespace} does not let its pods in: {short}",
            "wait for other runs to end, lower replicas or resources, or ask for a larger quota",
            words,
        )
    if found := re.search(r'violates PodSecurity "([^"]+)": (.*)', words):
        return Cause(
            "pod-security",
            "problem",
            f"namespace {run.namespace} enforces Pod Security {found[1]}, and the pods are not as it demands: {found[2]}",
            "the chart's pods meet `restricted`; what a webhook or values add does not",
            words,
        )
    if found := re.search(r'serviceaccount "([^"]+)" not found', words):
        return Cause(
            "no-service-account",
            "problem",
            f"ServiceAccount {found[1]} is not there, which the release brings along",
            "make it, or uninstall the release",
            words,
        )
    if found := re.search(r"no PriorityClass with name (\S+)", words):
        return Cause(
            "no-priority-class",
            "problem",
            f"there is no PriorityClass {found[1]}",
            "install a new release with a priorityClassName that is there (`kubectl get priorityclasses`)",
            words,
        )
    return Cause(
        "pods-refused", "problem", f"the API server refuses its pods: {words}", "", message if not quoted else words
    )


def _quota_words(*parts: str) -> Iterator[str]:
    """`requests.cpu: asks for 40m, 10m of 50m are left`."""
    requested, used, limited = (dict(word.split("=", 1) for word in part.split(",") if "=" in word) for part in parts)
    for name, asked in requested.items():
        have, hard = amounts(used).get(name), amounts(limited).get(name)
        if have is None or hard is None:
            yield f"{name} {asked}"
        else:
            left = max(hard - have, Decimal(0))
            yield f"a pod asks for {name} {asked}, and {written(name, left)} of {written(name, hard)} is left"


def _quota_would_refuse(run: Snapshot, facts: Facts) -> Cause | None:
    asked = pod_requests(pod_spec(run))
    limits = amounts(dig(pod_spec(run), "containers", 0, "resources", "limits"))
    wanted = {"pods": Decimal(1), **asked}
    wanted |= {f"requests.{name}": value for name, value in asked.items()}
    wanted |= {f"limits.{name}": value for name, value in limits.items()}
    missing = run.replicas - len(run.pods)
    for quota in facts.quotas:
        hard, used = amounts(dig(quota, "status", "hard")), amounts(dig(quota, "status", "used"))
        for name, value in wanted.items():
            left = hard.get(name, Decimal("Infinity")) - used.get(name, Decimal(0))
            if value * missing > left:
                return Cause(
                    "namespace-quota",
                    "problem",
                    f"ResourceQuota {text(quota, 'metadata', 'name')} of namespace {run.namespace} has no room: "
                    f"its {missing} missing pods ask for {name} {written(name, value * missing)}, "
                    f"and {written(name, max(left, Decimal(0)))} of {written(name, hard[name])} is left",
                    "wait for other runs to end, lower replicas or resources, or ask for a larger quota",
                )
    return None


def _no_pods(run: Snapshot, facts: Facts, waited: float) -> Iterator[Cause]:
    """Volcano makes pods when the gang could start."""
    event = _latest(event for event in facts.group_events if "0/0 tasks in gang" not in text(event, "message"))
    words = text(event, "message")
    if "group" in facts.seen and facts.group is None:
        if waited > PATIENCE_SECONDS:
            yield Cause(
                "controller-silent",
                "problem",
                f"Volcano's controller has not looked at the Job for {span(waited)}: there is no PodGroup",
                "ask whoever runs the cluster whether volcano-controllers runs (`kubectl -n volcano-system get pods`)",
            )
        else:
            yield Cause("new", "waiting", "Volcano has not looked at it yet")
    elif "quota insufficient" in words or "queue" in words:
        yield _queue_full(run, facts, words)
    elif "overused" in words:
        yield _no_room(run, facts, words)
    elif facts.group is not None and not facts.group_events and not items(facts.group, "status", "conditions"):
        if text(facts.group, "status", "phase") in ("", "Pending") and waited > PATIENCE_SECONDS:
            yield Cause(
                "scheduler-silent",
                "problem",
                f"Volcano's scheduler has said nothing about it for {span(waited)}",
                "ask whoever runs the cluster whether volcano-scheduler runs (`kubectl -n volcano-system get pods`)",
            )
        else:
            yield Cause("new", "waiting", "Volcano is about to make its pods")
    else:
        yield Cause("waiting", "waiting", "Volcano has not made its pods yet", "", words)


def _queue_full(run: Snapshot, facts: Facts, words: str) -> Cause:
    """Of queue.spec.capability, what is left for the whole gang."""
    asked = _gang(run)
    capability = amounts(dig(facts.queue, "spec", "capability"))
    allocated = amounts(dig(facts.queue, "status", "allocated"))
    never, later = [], []
    for name, value in asked.items():
        if name not in capability:
            continue
        left = max(capability[name] - allocated.get(name, Decimal(0)), Decimal(0))
        said = f"the gang asks for {name} {written(name, value)}, the queue may have {written(name, capability[name])}"
        if value > capability[name]:
            never.append(said)
        elif value > left:
            later.append(f"{said}, of which {written(name, left)} is left")
    if never:
        return Cause(
            "queue-too-small",
            "problem",
            f"queue {run.queue} is too small for it: {'; '.join(never)}",
            "lower replicas or resources, take another queue, or ask for a larger one: it will never start like this",
            words,
        )
    found = re.search(r"insufficient (.*)", words)
    short = "; ".join(later) or (f"it is short of {found[1]}" if found else "its quota is used up")
    text_ = f"queue {run.queue} has no room for it now: {short}"
    if not later:
        text_ = f"queue {run.queue}, or one above it, has no room for it: {short}"
    return Cause("queue-full", "waiting", text_, "it starts when other runs of the queue end", words)


def _no_room(run: Snapshot, facts: Facts, words: str) -> Cause:
    """The whole cluster has no room, or never had."""
    if "nodes" in facts.seen and (found := misfit(pod_spec(run), run.replicas, facts.nodes)):
        return Cause(found.key, "problem", found.text, found.fix, words)
    short = words.rpartition("overused ")[2] if "overused " in words else ""
    asked = _gang(run)
    named = [f"{name} {written(name, asked[name])}" for name in re.split(r"[,\s]+", short) if name in asked]
    what = (short or "of what it asks for") + (f" (it asks for {', '.join(named)} in all)" if named else "")
    if "nodes" in facts.seen:
        return Cause(
            "in-use",
            "waiting",
            f"the nodes are large enough, but too much {what} is in use now",
            "it starts when other pods end",
            words,
        )
    return Cause(
        "cluster-full",
        "waiting",
        f"the cluster has not enough {what.removeprefix('of ')}: in use now, or more than there is",
        "it starts when other pods end, if a node is large enough at all",
        words,
    )


def _no_node(run: Snapshot, pod: Pod, facts: Facts) -> Cause:
    """Pods are there, and the scheduler finds no node. For resources it often gives no reason at all."""
    words = pod.unscheduled
    condition = next(
        (one for one in items(facts.group, "status", "conditions") if text(one, "type") == "Unschedulable"), {}
    )
    said = text(condition, "message") or words
    if claim := _claim(run, words, facts):
        return claim
    if "DynamicResources" in words or "ResourceClaim" in words:
        why = _last_words(facts.job_events + facts.pod_events, "FailedResourceClaimCreation")
        return Cause(
            "device-claim",
            "problem",
            f"the devices of pod {pod.name} cannot be claimed: {why or _origin(words)}",
            "doctor looks at DeviceClasses and the devices' driver: `trainchart doctor -f VALUES`",
            said,
        )
    if "nodes" in facts.seen and (found := misfit(pod_spec(run), run.replicas, facts.nodes)):
        return Cause(found.key, "problem", found.text, found.fix, said)
    if reason := _origin(words):
        return Cause(
            "no-node", "waiting", f"no node takes pod {pod.name}: {reason}", "it starts when a node fits", said
        )
    asked = ", ".join(f"{name} {written(name, value)}" for name, value in pod_requests(pod_spec(run)).items())
    if "nodes" in facts.seen:
        return Cause(
            "in-use",
            "waiting",
            f"the nodes are large enough, but no {run.replicas} pods of {asked} are free now",
            "it starts when other pods end",
            said,
        )
    return Cause(
        "no-node",
        "waiting",
        f"Volcano finds no node for pods of {asked}, and does not say why: in use now, or more than any node has",
        "`kubectl describe nodes`, by somebody who may, shows what nodes have and what is in use",
        said,
    )


def _origin(words: str) -> str:
    """`0/3 nodes are unavailable: ...` without the gang's counts, which say nothing; empty where there is no more."""
    found = re.search(r"\d+/\d+ nodes are unavailable: (.*)", words)
    return found[1].rstrip(". ") if found else ""


def _claim(run: Snapshot, words: str, facts: Facts) -> Cause | None:
    if found := re.search(r'persistentvolumeclaim "([^"]+)" not found', words):
        return Cause(
            "claim-missing",
            "problem",
            f"there is no PersistentVolumeClaim {found[1]} in namespace {run.namespace}",
            f"make it, and the run starts; or name one that is there (`kubectl -n {run.namespace} get pvc`)",
            words,
        )
    name, why = text(facts.claim, "metadata", "name"), _last_words(facts.claim_events, "")
    named = f"PersistentVolumeClaim {name}" if name else "its PersistentVolumeClaim"
    if found := re.search(r'storageclass\.storage\.k8s\.io "([^"]+)" not found', words):
        return Cause(
            "storage-class-missing",
            "problem",
            f"there is no StorageClass {found[1]}, which {named} asks for",
            "install a new release with a storageClassName that is there (`kubectl get storageclasses`)",
            words,
        )
    if re.search(r"had no pv name|unbound immediate|PersistentVolume", words, re.IGNORECASE):
        return Cause(
            "claim-unbound",
            "problem",
            f"{named} is not bound to a volume" + (f": {why}" if why else ""),
            f"`kubectl -n {run.namespace} describe pvc {name or ''}`".replace(" `", "`") + " says what it waits for",
            words,
        )
    return None


def _waiting_pods(run: Snapshot, facts: Facts) -> Iterator[Cause]:
    """Pods that have a node, and no container yet."""
    stuck = [pod for pod in run.pods if pod.node and not pod.has_ended and not pod.is_running]
    told: set[str] = set()
    for pod in stuck:
        cause = _waiting(run, pod, facts)
        if cause and cause.key not in told:
            told.add(cause.key)
            yield cause
    running = [pod for pod in run.pods if pod.is_running]
    if stuck and running:
        ranks = ", ".join(str(pod.rank) for pod in stuck[:8]) + (", ..." if len(stuck) > 8 else "")
        yield Cause("waits-for-peers", "info", f"the other ranks are up and wait for rank {ranks}")


def _waiting(run: Snapshot, pod: Pod, facts: Facts) -> Cause | None:
    reason, words = pod.waiting_reason, pod.waiting_message
    if reason in ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"):
        return _image(pod, facts)
    if reason == "CreateContainerConfigError":
        return _configuration(run, words)
    if reason in ("CreateContainerError", "RunContainerError"):
        return Cause("start-error", "problem", f"rank {pod.rank} cannot be started in image {pod.image}", "", words)
    mount = _latest(
        event
        for event in facts.pod_events
        if text(event, "reason") in ("FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox")
    )
    if mount is not None:
        return _mount(run, text(mount, "message"))
    since = _seconds(pod.created, facts.now)
    pulling = _latest(event for event in facts.pod_events if text(event, "reason") in ("Pulling", "Pulled"))
    if text(pulling, "reason") == "Pulling":
        begun = _seconds(moment(pulling, "lastTimestamp"), facts.now)
        return Cause("pulling", "waiting", f"node {pod.node} pulls image {pod.image} for {span(begun)}")
    return Cause(
        "starting", "waiting", f"rank {pod.rank} starts on {pod.node} since {span(since)}", "", words or reason
    )


def _image(pod: Pod, facts: Facts) -> Cause:
    failed = _latest(event for event in facts.pod_events if "Failed to pull image" in text(event, "message"))
    words = text(failed, "message") or pod.waiting_message or pod.waiting_reason
    both = f"{words} {pod.waiting_message}"
    secret = _latest(event for event in facts.pod_events if text(event, "reason") == "FailedToRetrieveImagePullSecret")
    if secret is not None:
        named = re.search(r"secrets \(([^)]*)\)", text(secret, "message"))
        return Cause(
            "pull-secret-missing",
            "problem",
            f"the image pull secret {named[1] if named else ''} is not there, and image {pod.image} cannot be pulled".replace(
                "  ", " "
            ),
            "make the Secret, and the pull goes on; or correct imagePullSecrets",
            f"{text(secret, 'message')} {words}",
        )
    if pod.waiting_reason == "InvalidImageName" or "invalid reference format" in both:
        found = re.search(r"invalid reference format(?:: ([^\"]*))?", words)
        more = f": {found[1].strip()}" if found and found[1] else ""
        return Cause("image-name", "problem", f"{pod.image!r} is no name of an image{more}", "correct image", words)
    if pod.waiting_reason == "ErrImageNeverPull":
        text_ = f"node {pod.node} has no image {pod.image}, and imagePullPolicy is Never"
        return Cause("image-missing", "problem", text_, "load it onto the node, or change imagePullPolicy", words)
    if re.search(r"unauthorized|authorization failed|pull access denied|\b40[13]\b|forbidden", both, re.IGNORECASE):
        return Cause(
            "image-denied",
            "problem",
            f"the registry does not give image {pod.image} to this cluster: it wants a login, or has no such image",
            "name a Secret with the login in imagePullSecrets, or correct image",
            words,
        )
    if re.search(r"no such host|dial tcp|i/o timeout|connection refused|TLS handshake|x509|server misbehaving", both):
        return Cause(
            "registry-unreachable",
            "problem",
            f"image {pod.image} cannot be pulled: node {pod.node} does not reach its registry",
            "correct image, if the registry's name is wrong; the kubelet tries again by itself",
            words,
        )
    if re.search(r"not found|manifest unknown|does not exist", both):
        return Cause(
            "image-missing",
            "problem",
            f"image {pod.image} does not exist in its registry",
            "correct image; mind the tag",
            words,
        )
    return Cause(
        "image-pull", "problem", f"image {pod.image} cannot be pulled", "correct image or imagePullSecrets", words
    )


def _configuration(run: Snapshot, words: str) -> Cause:
    if "runAsNonRoot" in words:
        return Cause(
            "image-runs-as-root",
            "problem",
            "the image runs as root, and the pod does not allow that",
            "set securityContext.runAsUser to a number above 0",
            words,
        )
    return _absent(run, words) or Cause(
        "container-config", "problem", f"a container cannot be made: {words}", "", words
    )


def _mount(run: Snapshot, words: str) -> Cause:
    return _absent(run, words) or Cause(
        "mount",
        "problem",
        f"a volume cannot be mounted: {words}",
        "the kubelet tries again by itself; the words are its own",
        words,
    )


def _absent(run: Snapshot, words: str) -> Cause | None:
    """A Secret or ConfigMap, or a key of one, that a pod cannot do without. (Those of values are optional, and told by the runner.)"""
    if found := re.search(r'\b(secret|configmap) "([^"]+)" not found', words, re.IGNORECASE):
        kind = {"secret": "Secret", "configmap": "ConfigMap"}[found[1].lower()]
        own = found[2] == f"{run.name}-run"
        return Cause(
            f"{kind.lower()}-missing",
            "problem",
            f"there is no {kind} {found[2]} in namespace {run.namespace}",
            "it belongs to the release: install a new one"
            if own
            else "make it, and the pod starts; or correct its name",
            words,
        )
    if found := re.search(r"key:? (\S+?)(?: in (Secret|ConfigMap) \S+?/(\S+))?$", words):
        where = f"{found[2]} {found[3]} has" if found[2] else "a Secret or ConfigMap lacks"
        text_ = f"{where} no key {found[1]}" if found[2] else f"{where} the key {found[1]}"
        return Cause("key-missing", "problem", text_, "add the key, and the pod starts", words)
    return None


# -- runs that run, or are about to end


def _running(run: Snapshot, facts: Facts) -> Iterator[Cause]:
    for pod in run.pods:
        if is_cut_off(pod):
            yield _cut_off(pod, facts)
            break
    failed = run.culprit
    if failed is not None:
        yield why_failed(run, failed)
    unscheduled = next((pod for pod in run.pods if pod.unscheduled), None)
    if unscheduled:
        yield _no_node(run, unscheduled, facts)
    yield from _waiting_pods(run, facts)
    if run.attempt > 0:
        yield from _restarting(run, facts)


def _cut_off(pod: Pod, facts: Facts) -> Cause:
    node = next((one for one in facts.nodes if text(one, "metadata", "name") == pod.node), {})
    ready = next((one for one in items(node, "status", "conditions") if text(one, "type") == "Ready"), {})
    words = text(ready, "message")
    since = moment(ready, "lastTransitionTime")
    known = text(ready, "status") not in ("", "True")
    text_ = f"rank {pod.rank} is on node {pod.node}, which " + (
        f"has been lost since {span(_seconds(since, facts.now))}" if known else "no longer answers for it"
    )
    return Cause(
        "node-lost",
        "problem",
        text_,
        "after five minutes Kubernetes gives the pod up, and Volcano restarts the run",
        words,
    )


def _ending(run: Snapshot, facts: Facts) -> Iterator[Cause]:
    waited = _seconds(run.since, facts.now)
    left = [pod for pod in run.pods if not pod.has_ended]
    if left and waited > 2 * STUCK_SECONDS:
        names = ", ".join(sorted({pod.node for pod in left if pod.node}))
        yield Cause(
            "pods-do-not-end",
            "problem",
            f"{len(left)} of its pods do not end for {span(waited)}"
            + (f"; are the nodes lost ({names})?" if names else ""),
            f"`kubectl -n {run.namespace} get pods -l volcano.sh/job-name={run.name}` shows them",
        )
    if run.phase == "Aborting":
        yield Cause("stopping", "info", "a user stops it: its pods are ending")
    elif (culprit := run.culprit) is not None:
        yield why_failed(run, culprit)


# -- words


def _gang(run: Snapshot) -> dict[str, Decimal]:
    return {name: value * run.replicas for name, value in pod_requests(pod_spec(run)).items()}


def _latest(events: Iterable[Object]) -> Object | None:
    return max(events, key=_said_at, default=None)


def _said_at(event: Object) -> float:
    times = (
        moment(event, "series", "lastObservedTime"),
        moment(event, "lastTimestamp"),
        moment(event, "eventTime"),
        moment(mapping(event, "metadata"), "creationTimestamp"),
    )
    return next((at.timestamp() for at in times if at), 0.0)


def _last_words(events: Iterable[Object], *reasons: str) -> str:
    """The message of the latest event of these reasons; an empty reason stands for any."""
    return text(
        _latest(event for event in events if any(text(event, "reason").startswith(one) for one in reasons)), "message"
    )


def _seconds(since: datetime | None, now: datetime) -> float:
    return max((now - since).total_seconds(), 0.0) if since else 0.0
