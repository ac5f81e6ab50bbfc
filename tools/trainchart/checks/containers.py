"""Pods that have a node, and no running container yet."""

from __future__ import annotations

import re
from collections.abc import Iterator

from trainchart.checks.events import latest, seconds
from trainchart.checks.facts import Facts
from trainchart.checks.finding import Finding, info, problem, waiting
from trainchart.checks.run_spec import submitted
from trainchart.checks.secrets import check_pull_secret, explain_kubelet
from trainchart.cluster.fields import moment, text
from trainchart.run.state import Pod, Snapshot
from trainchart.units import span


def waiting_containers(run: Snapshot, facts: Facts) -> Iterator[Finding]:
    """Each finding once: ranks mostly wait for the same thing."""
    stuck = [pod for pod in run.pods if pod.node and not pod.has_finished and not pod.is_running]
    keys: set[str] = set()
    for pod in stuck:
        finding = _waiting(run, pod, facts)
        if finding.key not in keys:
            keys.add(finding.key)
            yield finding
    if stuck and any(pod.is_running for pod in run.pods):
        ranks = ", ".join(str(pod.rank) for pod in stuck[:8]) + (", ..." if len(stuck) > 8 else "")
        yield info("waits-for-peers", "pods", f"the other ranks are up and wait for rank {ranks}")


def _waiting(run: Snapshot, pod: Pod, facts: Facts) -> Finding:
    reason, message, subject = pod.waiting_reason, pod.waiting_message, f"rank {pod.rank}"
    if reason in ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"):
        return _image(run, pod, facts)
    if reason == "CreateContainerConfigError":
        return _configuration(run, subject, message)
    if reason in ("CreateContainerError", "RunContainerError"):
        log = f"`kubectl -n {run.namespace} describe pod {pod.name}` has all that the kubelet says"
        text_ = f"{subject} cannot be started in image {pod.image}"
        return problem("start-error", subject, text_, log, message)
    mount = latest(
        event
        for event in facts.pod_events
        if text(event, "reason") in ("FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox")
    )
    if mount is not None:
        failed = text(mount, "message")
        return explain_kubelet(submitted(run), failed) or problem(
            "mount",
            subject,
            f"a volume of {subject} cannot be mounted: {failed}",
            "the kubelet tries again by itself; the message is its own",
            failed,
        )
    pulling = latest(event for event in facts.pod_events if text(event, "reason") in ("Pulling", "Pulled"))
    if text(pulling, "reason") == "Pulling":
        begun = seconds(moment(pulling, "lastTimestamp"), facts.now)
        return waiting("pulling", subject, f"node {pod.node} pulls image {pod.image} for {span(begun)}")
    since = seconds(pod.created, facts.now)
    return waiting("starting", subject, f"{subject} starts on {pod.node} since {span(since)}", "", message or reason)


def _image(run: Snapshot, pod: Pod, facts: Facts) -> Finding:
    subject = f"image {pod.image}"
    failed = latest(event for event in facts.pod_events if "Failed to pull image" in text(event, "message"))
    message = text(failed, "message") or pod.waiting_message or pod.waiting_reason
    both = f"{message} {pod.waiting_message}"
    secret = latest(event for event in facts.pod_events if text(event, "reason") == "FailedToRetrieveImagePullSecret")
    if secret is not None:
        named = re.search(r"secrets \(([^)]*)\)", text(secret, "message"))
        name = named[1] if named else ", ".join(submitted(run).pull_secrets)
        return check_pull_secret(submitted(run), name, None, f"{text(secret, 'message')} {message}")
    if pod.waiting_reason == "InvalidImageName" or "invalid reference format" in both:
        found = re.search(r"invalid reference format(?:: ([^\"]*))?", message)
        more = f": {found[1].strip()}" if found and found[1] else ""
        return problem("image-name", subject, f"{pod.image!r} is no name of an image{more}", "correct image", message)
    if pod.waiting_reason == "ErrImageNeverPull":
        text_ = f"node {pod.node} has no image {pod.image}, and imagePullPolicy is Never"
        return problem("image-missing", subject, text_, "load it onto the node, or change imagePullPolicy", message)
    if re.search(r"unauthorized|authorization failed|pull access denied|\b40[13]\b|forbidden", both, re.IGNORECASE):
        text_ = f"the registry does not give {subject} to this cluster: it requires a login, or has no such image"
        fix = "name a Secret with the login in imagePullSecrets, or correct image"
        return problem("image-denied", subject, text_, fix, message)
    if re.search(r"no such host|dial tcp|i/o timeout|connection refused|TLS handshake|x509|server misbehaving", both):
        text_ = f"{subject} cannot be pulled: node {pod.node} does not reach its registry"
        fix = "correct image, if the registry's name is wrong; the kubelet tries again by itself"
        return problem("registry-unreachable", subject, text_, fix, message)
    if re.search(r"not found|manifest unknown|does not exist", both):
        text_ = f"{subject} does not exist in its registry"
        return problem("image-missing", subject, text_, "correct image; mind the tag", message)
    return problem("image-pull", subject, f"{subject} cannot be pulled", "correct image or imagePullSecrets", message)


def _configuration(run: Snapshot, subject: str, message: str) -> Finding:
    if "runAsNonRoot" in message:
        return problem(
            "image-runs-as-root",
            subject,
            "the image runs as root, and the pod does not allow that",
            "set securityContext.runAsUser to a number above 0",
            message,
        )
    text_ = f"a container of {subject} cannot be created: {message}"
    return explain_kubelet(submitted(run), message) or problem("container-config", subject, text_, "", message)
