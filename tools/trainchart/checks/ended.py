"""Pods that have failed: why, by what the cluster, the runner or the container runtime says."""

from __future__ import annotations

import re

from trainchart.checks.facts import Facts, suspected_secret
from trainchart.checks.finding import Finding, problem
from trainchart.checks.pods import resume
from trainchart.checks.run_spec import Keys, submitted
from trainchart.checks.secrets import missing
from trainchart.cluster.fields import text
from trainchart.run.state import KILLED, Pod, Snapshot


def missing_secret(run: Snapshot, pod: Pod, facts: Facts) -> Finding | None:
    """A Secret that the values name is mounted as optional: that it lacks a key is all that the runner can report."""
    if facts.secret_exists is not False or pod.failure is None:
        return None
    failure = pod.failure
    details = f"rank {pod.rank} failed in stage {failure.stage}, code {failure.code}: {failure.reason}"
    name, spec = suspected_secret(run), submitted(run)
    return missing("Secret", next((one for one in spec.secrets if one.name == name), Keys(name)), spec, details)


def why_failed(run: Snapshot, pod: Pod) -> Finding:
    """Of a pod that has failed."""
    return (
        _taken_away(run, pod)
        or _out_of_memory(run, pod)
        or _runner_says(pod)
        or _not_started(pod)
        or _unexplained(run, pod)
    )


def _taken_away(run: Snapshot, pod: Pod) -> Finding | None:
    message = pod.message or pod.disrupted_message
    if pod.reason == "DeadlineExceeded":
        return problem(
            "deadline",
            _rank(pod),
            f"rank {pod.rank} was killed at the pod's deadline, five minutes after timeLimit",
            "raise timeLimit; that the runner did not stop before is worth a report",
            message,
        )
    if pod.removal == "preempted":
        return problem(
            "preempted", _rank(pod), f"rank {pod.rank} was preempted by pods of higher priority", resume(run), message
        )
    if pod.removal == "node-lost":
        return problem(
            "node-lost", _rank(pod), f"rank {pod.rank} was lost with its node {pod.node}", resume(run), message
        )
    if pod.reason == "Evicted":
        return problem(
            "evicted",
            _rank(pod),
            f"rank {pod.rank} was evicted from {pod.node}: {message.strip()}",
            _room(run, message),
            message,
        )
    if pod.removal:
        return problem(
            "evicted", _rank(pod), f"rank {pod.rank} was evicted from {pod.node}", resume(run), message or pod.disrupted
        )
    return None


def _room(run: Snapshot, message: str) -> str:
    """What to give more of, by the kubelet's message."""
    if 'EmptyDir volume "workspace"' in message:
        return "raise workspace.size, or take a claim as workspace"
    if 'EmptyDir volume "shm"' in message:
        return "raise sharedMemory"
    if "ephemeral" in message:
        return "raise resources.limits.ephemeral-storage, or take a claim as workspace"
    if "memory" in message:
        return (
            "raise resources.requests.memory to what the training takes: pods that use more than they request go first"
        )
    return resume(run)


def _out_of_memory(run: Snapshot, pod: Pod) -> Finding | None:
    # A limit that is too low even for the container runtime's own start ends in a start error.
    if not pod.oom_killed and not ("OOM" in pod.termination and pod.exit_reason == "StartError"):
        return None
    limit = text(run.pod_spec, "containers", 0, "resources", "limits", "memory")
    return problem(
        "out-of-memory",
        _rank(pod),
        f"rank {pod.rank} was killed for memory" + (f": its limit is {limit}" if limit else ""),
        "raise resources.limits.memory, or train with smaller batches or fewer workers",
        f"OOMKilled, exit code {pod.exit_code}",
    )


def _runner_says(pod: Pod) -> Finding | None:
    """The runner's own reason; of a worker that never joined, that of the rank that waited for it."""
    failure = pod.failure
    if failure is None:
        return None
    where = f" in stage {failure.stage}" if failure.stage else ""
    return problem(
        failure.name or "failed",
        _rank(pod),
        f"rank {pod.rank} failed{where} ({failure.name}, code {failure.code}): {failure.reason}",
        failure.fix,
    )


def _not_started(pod: Pod) -> Finding | None:
    if pod.exit_reason not in ("StartError", "ContainerCannotRun") and pod.exit_code not in (126, 127, 128):
        return None
    message = pod.termination
    if re.search(r'exec: "?python3"?: executable file not found', message):
        return problem(
            "no-python",
            _rank(pod),
            f"image {pod.image} has no python3 on its PATH, which runs the runner",
            "take an image with Python 3.8 or newer on its PATH",
            message,
        )
    if "exec format error" in message:
        return problem(
            "wrong-architecture",
            _rank(pod),
            f"image {pod.image} is made for another processor than node {pod.node} has",
            "take an image for it, or choose nodes by nodeSelector: {kubernetes.io/arch: ...}",
            message,
        )
    return problem(
        "start-error",
        _rank(pod),
        f"rank {pod.rank} could not be started in image {pod.image}",
        "the message is the container runtime's",
        message or f"{pod.exit_reason}, exit code {pod.exit_code}",
    )


def _unexplained(run: Snapshot, pod: Pod) -> Finding:
    code, message = pod.exit_code, " ".join(pod.termination.split())[:400]
    log = f"`{run.command('logs {}')}` shows its last lines"
    if code == KILLED:
        text_ = f"rank {pod.rank} was killed (SIGKILL) before it could give a reason"
        return problem("killed", _rank(pod), text_, f"{log}; often the node ran out of memory", message)
    if code is not None and code > 128:
        text_ = f"rank {pod.rank} was ended by signal {code - 128}, with no reason reported"
        return problem("killed", _rank(pod), text_, log, message)
    said = f"with code {code}" if code is not None else "without an exit code"
    return problem(
        "no-word", _rank(pod), f"rank {pod.rank} ended {said}, with no reason reported", log, message or pod.message
    )


def _rank(pod: Pod) -> str:
    return f"rank {pod.rank}"
