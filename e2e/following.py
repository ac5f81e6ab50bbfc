"""`trainchart` as a user calls it, and what has to stand in the cluster for a run to go wrong."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from e2e.kube import Kube, Object, poll
from e2e.scenario import ROOT


def trainchart(kube: Kube, *arguments: str, text: str = "", timeout: float = 60) -> tuple[int, str, str]:
    """Exit code, output and errors of a command under this account, in this namespace."""
    command, *rest = arguments
    done = subprocess.run(
        [sys.executable, "-m", "trainchart", command, "-n", kube.namespace, *rest],
        env={**kube.environment(), "PYTHONPATH": str(ROOT / "tools")},
        input=text,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def status(kube: Kube, name: str) -> Object:
    code, output, errors = trainchart(kube, "status", name, "--output", "json")
    assert code == 0, errors
    found: Object = json.loads(output)
    return found


def cause(kube: Kube, name: str, key: str, seconds: float = 90) -> Object:
    """The cause of this key, as soon as `status` names it; none other may be called a problem until then but a passing
    one.
    """
    seen: list[Any] = []

    def named() -> Object | None:
        causes = status(kube, name)["findings"]
        seen[:] = causes
        return next((one for one in causes if one["key"] == key), None)

    try:
        found: Object = poll(named, seconds, f"status of {name} names {key}", every=1)
    except Exception as error:
        raise AssertionError(f"{error}; it says {seen}") from error
    return found


def queue(name: str, capability: dict[str, str] | None = None) -> Object:
    return {
        "apiVersion": "scheduling.volcano.sh/v1beta1",
        "kind": "Queue",
        "metadata": {"name": name},
        "spec": {"weight": 1, "reclaimable": True, **({"capability": capability} if capability else {})},
    }


def make_queue(admin: Kube, name: str, capability: dict[str, str] | None = None) -> None:
    admin.apply(queue(name, capability))
    poll(lambda: _queue_state(admin, name) == "Open", 30, f"queue {name} is open")


def _queue_state(admin: Kube, name: str) -> str:
    return str(((admin.get("queues.scheduling.volcano.sh", name) or {}).get("status") or {}).get("state", ""))


def close_queue(admin: Kube, name: str) -> None:
    found = admin.get("queues.scheduling.volcano.sh", name)
    assert found, f"there is no queue {name}"
    if _queue_state(admin, name) != "Open":
        return
    target = {"apiVersion": "scheduling.volcano.sh/v1beta1", "kind": "Queue", "name": name}
    command(admin, "CloseQueue", {**target, "uid": found["metadata"]["uid"]})
    poll(lambda: _queue_state(admin, name) in ("Closed", "Closing"), 30, f"queue {name} is closed")


def remove_queue(admin: Kube, name: str) -> None:
    """Volcano lets only queues go that are closed, and that hold nothing."""
    if admin.get("queues.scheduling.volcano.sh", name) is None:
        return
    if _queue_state(admin, name) != "Closed":
        close_queue(admin, name)

    def gone() -> bool:
        code, _ = admin.call("kubectl", "delete", "queues.scheduling.volcano.sh", name, "--ignore-not-found")
        return code == 0

    poll(gone, 60, f"queue {name} is gone")


def abort(admin: Kube, name: str) -> None:
    """What `vcctl job suspend` does."""
    job = admin.get("vcjob", name)
    assert job, f"there is no Job {name}"
    target = {"apiVersion": "batch.volcano.sh/v1alpha1", "kind": "Job", "name": name, "uid": job["metadata"]["uid"]}
    command(admin, "AbortJob", target)


def command(admin: Kube, action: str, target: dict[str, str]) -> None:
    body = {
        "apiVersion": "bus.volcano.sh/v1alpha1",
        "kind": "Command",
        "metadata": {"generateName": f"{target['name']}-", "namespace": admin.namespace},
        "action": action,
        "target": {**target, "controller": True},
    }
    admin.kubectl("create", "-f", "-", text=json.dumps(body))


def registry(name: str, image: str, port: int) -> list[Object]:
    """Answers every question with 404, as a registry does that has no such image; nodes reach it as localhost."""
    labels = {"app": name}
    container = {
        "name": "registry",
        "image": image,
        "command": ["python3", "-m", "http.server", "5000", "--directory", "/var/empty"],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}},
        "volumeMounts": [{"name": "empty", "mountPath": "/var/empty"}],
    }
    spec = {
        "containers": [container],
        "volumes": [{"name": "empty", "emptyDir": {}}],
        "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
        "terminationGracePeriodSeconds": 0,
    }
    service = {"type": "NodePort", "selector": labels, "ports": [{"port": 5000, "nodePort": port}]}
    return [
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": spec},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": service},
    ]


def cpu_seconds(call: Callable[[], Any]) -> float:
    """The processor time of the programs that `call` starts and waits for; other load hardly changes it."""

    def spent() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    begin = spent()
    call()
    return spent() - begin


def chart_with(folder: Path, chart: Path, file: str, before: str, after: str) -> Path:
    """A copy of a chart with one change, for what takes minutes in the real one."""
    import shutil

    target = folder / "changed"
    shutil.copytree(chart, target)
    path = target / file
    text = path.read_text()
    assert text.count(before) == 1, f"{file} has no {before!r} (any more)"
    path.write_text(text.replace(before, after))
    return target
