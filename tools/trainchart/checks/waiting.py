"""Pods that have a node, and no container yet."""

from __future__ import annotations

import re
from collections.abc import Iterator

from trainchart.checks.cause import info, latest, problem, seconds, waiting
from trainchart.checks.facts import Facts
from trainchart.checks.finding import Finding
from trainchart.checks.volumes import absent, no_mount
from trainchart.cluster.fields import moment, text
from trainchart.run.state import Pod, Snapshot
from trainchart.units import span


def waiting_pods(run: Snapshot, facts: Facts) -> Iterator[Finding]:
    """Each cause once: ranks mostly wait for the same thing."""
    stuck = [pod for pod in run.pods if pod.node and not pod.has_finished and not pod.is_running]
    told: set[str] = set()
    for pod in stuck:
        cause = _waiting(run, pod, facts)
        if cause and cause.key not in told:
            told.add(cause.key)
            yield cause
    running = [pod for pod in run.pods if pod.is_running]
    if stuck and running:
        ranks = ", ".join(str(pod.rank) for pod in stuck[:8]) + (", ..." if len(stuck) > 8 else "")
        yield info("waits-for-peers", f"the other ranks are up and wait for rank {ranks}")


def _waiting(run: Snapshot, pod: Pod, facts: Facts) -> Finding | None:
    reason, words = pod.waiting_reason, pod.waiting_message
    if reason in ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"):
        return _image(pod, facts)
    if reason == "CreateContainerConfigError":
        return _configuration(run, words)
    if reason in ("CreateContainerError", "RunContainerError"):
        return problem("start-error", f"rank {pod.rank} cannot be started in image {pod.image}", "", words)
    mount = latest(
        event
        for event in facts.pod_events
        if text(event, "reason") in ("FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox")
    )
    if mount is not None:
        return no_mount(run, text(mount, "message"))
    since = seconds(pod.created, facts.now)
    pulling = latest(event for event in facts.pod_events if text(event, "reason") in ("Pulling", "Pulled"))
    if text(pulling, "reason") == "Pulling":
        begun = seconds(moment(pulling, "lastTimestamp"), facts.now)
        return waiting("pulling", f"node {pod.node} pulls image {pod.image} for {span(begun)}")
    return waiting("starting", f"rank {pod.rank} starts on {pod.node} since {span(since)}", "", words or reason)


def _image(pod: Pod, facts: Facts) -> Finding:
    failed = latest(event for event in facts.pod_events if "Failed to pull image" in text(event, "message"))
    words = text(failed, "message") or pod.waiting_message or pod.waiting_reason
    both = f"{words} {pod.waiting_message}"
    secret = latest(event for event in facts.pod_events if text(event, "reason") == "FailedToRetrieveImagePullSecret")
    if secret is not None:
        named = re.search(r"secrets \(([^)]*)\)", text(secret, "message"))
        return problem(
            "pull-secret-missing",
            f"the image pull secret{f' {named[1]}' if named else ''} is not there, and image {pod.image} cannot be pulled",
            "make the Secret, and the pull goes on; or correct imagePullSecrets",
            f"{text(secret, 'message')} {words}",
        )
    if pod.waiting_reason == "InvalidImageName" or "invalid reference format" in both:
        found = re.search(r"invalid reference format(?:: ([^\"]*))?", words)
        more = f": {found[1].strip()}" if found and found[1] else ""
        return problem("image-name", f"{pod.image!r} is no name of an image{more}", "correct image", words)
    if pod.waiting_reason == "ErrImageNeverPull":
        text_ = f"node {pod.node} has no image {pod.image}, and imagePullPolicy is Never"
        return problem("image-missing", text_, "load it onto the node, or change imagePullPolicy", words)
    if re.search(r"unauthorized|authorization failed|pull access denied|\b40[13]\b|forbidden", both, re.IGNORECASE):
        return problem(
            "image-denied",
            f"the registry does not give image {pod.image} to this cluster: it wants a login, or has no such image",
            "name a Secret with the login in imagePullSecrets, or correct image",
            words,
        )
    if re.search(r"no such host|dial tcp|i/o timeout|connection refused|TLS handshake|x509|server misbehaving", both):
        return problem(
            "registry-unreachable",
            f"image {pod.image} cannot be pulled: node {pod.node} does not reach its registry",
            "correct image, if the registry's name is wrong; the kubelet tries again by itself",
            words,
        )
    if re.search(r"not found|manifest unknown|does not exist", both):
        return problem(
            "image-missing", f"image {pod.image} does not exist in its registry", "correct image; mind the tag", words
        )
    return problem("image-pull", f"image {pod.image} cannot be pulled", "correct image or imagePullSecrets", words)


def _configuration(run: Snapshot, words: str) -> Finding:
    if "runAsNonRoot" in words:
        return problem(
            "image-runs-as-root",
            "the image runs as root, and the pod does not allow that",
            "set securityContext.runAsUser to a number above 0",
            words,
        )
    return absent(run, words) or problem("container-config", f"a container cannot be made: {words}", "", words)
