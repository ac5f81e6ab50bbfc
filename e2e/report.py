"""What a person wants to see when a test against the cluster has failed."""

from __future__ import annotations

from e2e.kube import Kube, phase, terminated

TAIL = 25


def namespace_report(kube: Kube, releases: list[str] | None = None) -> str:
    """Jobs, pods, last events and the ends of the logs; of the named runs, or of all."""
    lines = ["", f"---- namespace {kube.namespace} ----"]
    for job in kube.objects("vcjob"):
        status = job.get("status", {})
        counters = {key: status[key] for key in ("running", "succeeded", "failed", "retryCount") if key in status}
        lines.append(
            f"vcjob {job['metadata']['name']}: {phase(job)} {status.get('state', {}).get('message', '')} {counters}"
        )
    for pod in kube.objects("pods"):
        name, labels = pod["metadata"]["name"], pod["metadata"].get("labels", {})
        ended = terminated(pod)
        lines.append(
            f"pod {name}: {pod['status'].get('phase')}" + (f", exit code {ended.get('exitCode')}" if ended else "")
        )
        if releases is not None and labels.get("app.kubernetes.io/instance") not in releases:
            continue
        code, text = kube.call("kubectl", "-n", kube.namespace, "logs", "--tail", str(TAIL), name)
        lines += [f"    {line}" for line in text.splitlines()] if code == 0 else [f"    (no log: {text.strip()[:200]})"]
    _, events = kube.call("kubectl", "-n", kube.namespace, "get", "events", "--sort-by=.lastTimestamp")
    lines += ["events:", *(f"    {line}" for line in events.splitlines()[-TAIL:])]
    return "\n".join(lines)
