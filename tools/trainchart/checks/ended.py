"""Why a run has ended: its Job is gone, somebody stopped it, or a rank failed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from trainchart.checks.cause import info, last_words, problem
from trainchart.checks.facts import Facts, suspected_secret
from trainchart.checks.finding import Finding
from trainchart.checks.refused import refused_pods
from trainchart.cluster.fields import text
from trainchart.run.state import KILLED, Pod, Snapshot


def no_job(run: Snapshot, facts: Facts) -> Finding:
    if facts.release_status in ("failed", "pending-install"):
        return problem(
            "refused",
            f"release {run.name} could not be installed: Volcano or the API server refused its Job",
            f"`helm status {run.name} -n {run.namespace}` has the words (a queue that is missing or closed, ...); {run.uninstall}; "
            f"`trainchart doctor -n {run.namespace} -f VALUES` says before what would be refused",
            f"helm: {facts.release_status}",
        )
    return problem(
        "no-job",
        f"release {run.name} is there, and its Job is not: somebody deleted it, or it was cleaned up after its end",
        f"{run.resume_hint}; {run.uninstall}",
    )


def stopped(run: Snapshot, facts: Facts) -> Finding:
    by = next((event for event in facts.job_events if text(event, "reason") == "CommandIssued"), {})
    return info(
        "stopped-by-user",
        "a user stopped it",
        run.resume_hint,
        text(by, "message"),
    )


def failed(run: Snapshot, facts: Facts) -> Iterator[Finding]:
    if run.culprit is None:
        has_run = "Running" in (phase for phase, _ in run.conditions)
        yield _pods_gone(run, facts) if has_run else _never_made(run, facts)
        return
    yield _no_secret(run, run.culprit, facts) or why_failed(run, run.culprit)
    if run.max_retry > 1:
        yield info("attempts", f"that was attempt {run.attempt + 1} of {run.max_retry}")


def _never_made(run: Snapshot, facts: Facts) -> Finding:
    """Volcano tries for some minutes to make pods, and then gives up."""
    if refused := refused_pods(run, facts):
        return replace(refused, fix=f"{refused.fix}; then install a new release: Volcano has given up this one")
    return problem(
        "no-pods",
        "Volcano could not make its pods, and has given up; its events, which are kept for an hour, are gone",
        f"install a new release: `trainchart doctor -n {run.namespace} -f VALUES` says before what would keep its pods out",
    )


def _pods_gone(run: Snapshot, facts: Facts) -> Finding:
    if words := last_words(facts.group_events, "Evict"):
        reclaimed = "pods of another queue, which had more right to the resources"
        who = reclaimed if "reclaim" in words else "a run of higher priority"
        return problem("preempted", f"Volcano took its pods away for {who}", _again(run), words)
    return problem(
        "pods-gone",
        "its pods were taken away from outside, and none is left to say why: deleted, evicted by a drain, or lost with their node",
        f"{_again(run)}; `kubectl -n {run.namespace} get events` may still know",
        last_words(facts.group_events + facts.job_events, "PodGroupPending"),
    )


def _no_secret(run: Snapshot, pod: Pod, facts: Facts) -> Finding | None:
    """A Secret of values is mounted as optional: that it lacks a key is all that the runner can tell."""
    name = suspected_secret(run)
    if not name or "secret" not in facts.seen or facts.secret is not None or pod.failure is None:
        return None
    return problem(
        "secret-missing",
        f"there is no Secret {name} in namespace {run.namespace} (rank {pod.rank} failed in stage {pod.failure.stage}, "
        f"code {pod.failure.code}: {pod.failure.reason})",
        f"make it (`kubectl -n {run.namespace} create secret generic`, docs/values.md has its keys) or correct its name, and install a new release",
    )


def why_failed(run: Snapshot, pod: Pod) -> Finding:
    """Of a pod that has failed."""
    return (
        _taken_away(run, pod)
        or _out_of_memory(run, pod)
        or _runner_says(pod)
        or _not_started(pod)
        or _no_word(run, pod)
    )


def _taken_away(run: Snapshot, pod: Pod) -> Finding | None:
    words = pod.message or pod.disrupted_message
    if pod.reason == "DeadlineExceeded":
        return problem(
            "deadline",
            f"rank {pod.rank} was killed at the pod's deadline, five minutes after timeLimit",
            "raise timeLimit; that the runner did not end it before is worth a report",
            words,
        )
    if pod.disrupted == "PreemptionByScheduler" or pod.reason == "Preempted" or "preempt" in words.lower():
        return problem("preempted", f"rank {pod.rank} was preempted by pods of higher priority", _again(run), words)
    if pod.reason == "NodeLost" or pod.disrupted in ("DeletionByTaintManager", "DeletionByPodGC"):
        return problem("node-lost", f"rank {pod.rank} was lost with its node {pod.node}", _again(run), words)
    if pod.reason == "Evicted":
        return problem(
            "evicted", f"rank {pod.rank} was evicted from {pod.node}: {words.strip()}", _room(run, words), words
        )
    if pod.disrupted:
        return problem("evicted", f"rank {pod.rank} was evicted from {pod.node}", _again(run), words or pod.disrupted)
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


def _out_of_memory(run: Snapshot, pod: Pod) -> Finding | None:
    # A limit that is too low even for the container runtime's own start ends in a start error.
    if not pod.oom_killed and not ("OOM" in pod.termination and pod.exit_reason == "StartError"):
        return None
    limit = text(run.pod_spec, "containers", 0, "resources", "limits", "memory")
    return problem(
        "out-of-memory",
        f"rank {pod.rank} was killed for memory" + (f": its limit is {limit}" if limit else ""),
        "raise resources.limits.memory, or train with smaller batches or fewer workers",
        f"OOMKilled, exit code {pod.exit_code}",
    )


def _runner_says(pod: Pod) -> Finding | None:
    """A failure that the runner has put into words; of a worker that never joined, the words of the rank that waited for it."""
    failure = pod.failure
    if failure is None:
        return None
    where = f" in stage {failure.stage}" if failure.stage else ""
    return problem(
        failure.name or "failed",
        f"rank {pod.rank} failed{where} ({failure.name}, code {failure.code}): {failure.reason}",
        failure.fix,
    )


def _not_started(pod: Pod) -> Finding | None:
    if pod.exit_reason not in ("StartError", "ContainerCannotRun") and pod.exit_code not in (126, 127, 128):
        return None
    words = pod.termination
    if re.search(r'exec: "?python3"?: executable file not found', words):
        return problem(
            "no-python",
            f"image {pod.image} has no python3 on its PATH, which runs the runner",
            "take an image with Python 3.8 or newer on its PATH",
            words,
        )
    if "exec format error" in words:
        return problem(
            "wrong-architecture",
            f"image {pod.image} is made for another processor than node {pod.node} has",
            "take an image for it, or choose nodes by nodeSelector: {kubernetes.io/arch: ...}",
            words,
        )
    return problem(
        "start-error",
        f"rank {pod.rank} could not be started in image {pod.image}",
        "the words below are the container runtime's",
        words or f"{pod.exit_reason}, exit code {pod.exit_code}",
    )


def _no_word(run: Snapshot, pod: Pod) -> Finding:
    code, words = pod.exit_code, " ".join(pod.termination.split())[:400]
    log = f"`{run.command('logs {}')}` shows its last lines"
    if code == KILLED:
        text_ = f"rank {pod.rank} was killed (SIGKILL) before it could say why"
        return problem("killed", text_, f"{log}; often the node ran out of memory", words)
    if code is not None and code > 128:
        text_ = f"rank {pod.rank} ended by signal {code - 128} and left no word"
        return problem("killed", text_, log, words)
    said = f"with code {code}" if code is not None else "without an exit code"
    return problem("no-word", f"rank {pod.rank} ended {said} and left no word", log, words or pod.message)


def _again(run: Snapshot) -> str:
    if run.max_retry > 1:
        return run.resume_hint
    return "retries: N lets Volcano start it again; on a claim as workspace it goes on from its checkpoints"
