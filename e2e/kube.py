"""kubectl and helm as functions, under one account and in one namespace; and how a run is waited for."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2e.cluster.steps import BIN

Object = dict[str, Any]

GOOD_END = "Completed"
BAD_ENDS = ("Failed", "Terminated", "Aborted")
# Volcano can lose the last event of a restart (docs/following.md): any change of the Job wakes it.
STUCK_SECONDS = 60


class CommandError(Exception):
    """A program ended with an error; the text is what it printed."""

    def __init__(self, command: Sequence[str], code: int, output: str) -> None:
        super().__init__(f"{' '.join(command[:6])} ... ended with code {code}:\n{output.strip()}")
        self.code = code
        self.output = output


class NotEndedError(Exception):
    """The run did not end in time."""


@dataclass(frozen=True)
class Kube:
    """Where commands go: a kubeconfig, whose account they run as, and a namespace."""

    kubeconfig: Path
    namespace: str

    def environment(self) -> dict[str, str]:
        return {**os.environ, "KUBECONFIG": str(self.kubeconfig), "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}

    def call(self, *command: str, text: str | None = None, timeout: float = 120) -> tuple[int, str]:
        """Exit code, and both streams as one text."""
        done = subprocess.run(
            command,
            env=self.environment(),
            input=text,
            stdin=subprocess.DEVNULL if text is None else None,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
        return done.returncode, done.stdout

    def run(self, *command: str, text: str | None = None, timeout: float = 120) -> str:
        code, output = self.call(*command, text=text, timeout=timeout)
        if code:
            raise CommandError(command, code, output)
        return output

    def kubectl(self, *arguments: str, text: str | None = None, timeout: float = 120) -> str:
        return self.run("kubectl", "-n", self.namespace, *arguments, text=text, timeout=timeout)

    def helm(self, *arguments: str, text: str | None = None, timeout: float = 120) -> str:
        return self.run("helm", *arguments, "-n", self.namespace, text=text, timeout=timeout)

    def get(self, kind: str, name: str) -> Object | None:
        """One object, or None if it does not exist."""
        text = self.kubectl("get", kind, name, "-o", "json", "--ignore-not-found")
        return json.loads(text) if text.strip() else None

    def objects(self, kind: str, selector: str = "", fields: str = "") -> list[Object]:
        arguments = ["get", kind, "-o", "json", "--selector", selector, "--field-selector", fields]
        items: list[Object] = json.loads(self.kubectl(*arguments))["items"]
        return items

    def apply(self, *objects: Object) -> str:
        return self.kubectl("apply", "-f", "-", text=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))

    def pods(self, release: str) -> list[Object]:
        """The pods of a run, by rank; those of `helm test` are not among them."""
        return sorted(self.objects("pods", f"volcano.sh/job-name={release}"), key=lambda pod: pod["metadata"]["name"])

    def log(self, pod: str) -> str:
        return self.kubectl("logs", pod)


def phase(job: Object | None) -> str:
    return job.get("status", {}).get("state", {}).get("phase", "") if job else ""


def has_ended(job: Object | None) -> bool:
    return phase(job) in (GOOD_END, *BAD_ENDS)


def poll(check: Callable[[], Any], seconds: float, what: str, every: float = 0.5) -> Any:
    """The first true value of `check`."""
    deadline = time.monotonic() + seconds
    while True:
        value = check()
        if value:
            return value
        if time.monotonic() > deadline:
            raise NotEndedError(f"{what}: not within {seconds:.0f} s")
        time.sleep(every)


def wait_for_end(kube: Kube, release: str, seconds: float) -> str:
    """The phase in which the run's Job ended. Wakes Volcano where it has lost a restart.

    `helm --wait` cannot do this: it takes a Volcano Job for ready at once.
    """
    begin, stuck_since = time.monotonic(), None
    while True:
        job = kube.get("vcjob", release)
        if job is None:
            raise NotEndedError(f"there is no Job {release} (any more) in namespace {kube.namespace}")
        if has_ended(job):
            return phase(job)
        now = time.monotonic()
        if now - begin > seconds:
            raise NotEndedError(f"{release} is {phase(job) or 'without a phase'} after {seconds:.0f} s")
        if phase(job) == "Restarting" and not kube.pods(release):
            stuck_since = stuck_since or now
            if now - stuck_since > STUCK_SECONDS:
                kube.kubectl("annotate", "vcjob", release, f"trainchart.dev/nudged={int(time.time())}", "--overwrite")
                stuck_since = None
        else:
            stuck_since = None
        time.sleep(1)


def why_pending(kube: Kube, release: str) -> list[str]:
    """What Volcano says about a run that has no running pods: conditions and events of its PodGroup, and its pods' own."""
    lines = []
    for group in kube.objects("podgroups", f"app.kubernetes.io/instance={release}"):
        name, status = group["metadata"]["name"], group.get("status", {})
        lines.append(f"still pending: PodGroup {name} is {status.get('phase', 'new')}")
        said = [condition.get("message") for condition in status.get("conditions", [])]
        # A group that does not fit into the queue or the cluster has no condition that says so, only events.
        said += [event["message"] for event in kube.objects("events", fields=f"involvedObject.name={name}")]
        lines += [f"  {message}" for message in dict.fromkeys(said) if message]
    for pod in kube.pods(release):
        lines += [f"  pod {pod['metadata']['name']}: {text}" for text in _waiting(pod)]
    return lines or ["still pending: Volcano has made no PodGroup for it yet; is its controller running?"]


def _waiting(pod: Object) -> Iterator[str]:
    for status in pod["status"].get("containerStatuses", []):
        waiting = status.get("state", {}).get("waiting", {})
        if waiting:
            yield f"{waiting.get('reason', 'waiting')}: {waiting.get('message', '')}"
    for condition in pod["status"].get("conditions", []):
        if condition.get("status") == "False" and condition.get("message"):
            yield f"{condition.get('reason', condition['type'])}: {condition['message']}"


def terminated(pod: Object) -> Object | None:
    """How the pod's container ended: exitCode, message, ...; None while it runs."""
    for status in pod["status"].get("containerStatuses", []):
        ended: Object | None = status.get("state", {}).get("terminated")
        return ended
    return None


def result(pod: Object) -> Object:
    """The runner's result from the pod's termination message."""
    ended = terminated(pod)
    if ended is None:
        raise NotEndedError(f"pod {pod['metadata']['name']} has not ended")
    answer: Object = json.loads(ended.get("message", ""))
    return answer


class KeptLog:
    """The log of a pod from its start on, kept while it is written: it outlives the pod."""

    def __init__(self, kube: Kube, pod: str, target: Path, seconds: float = 300) -> None:
        self._target = target
        self._command = ["kubectl", "-n", kube.namespace, "logs", "-f", pod]
        self._environment = kube.environment()
        self._deadline = time.monotonic() + seconds
        threading.Thread(target=self._follow, name=f"log of {pod}", daemon=True).start()

    def text(self) -> str:
        return self._target.read_text(errors="replace") if self._target.exists() else ""

    def _follow(self) -> None:
        while time.monotonic() < self._deadline and not self.text():
            with self._target.open("wb") as stream:
                subprocess.run(
                    self._command,
                    env=self._environment,
                    stdin=subprocess.DEVNULL,
                    stdout=stream,
                    stderr=subprocess.DEVNULL,
                    check=False,
                )
            time.sleep(0.5)


@contextmanager
def following(kube: Kube, pod: str, out: Any) -> Iterator[subprocess.Popen[bytes]]:
    """`kubectl logs -f` into a file or stream, for as long as the block lasts."""
    command = ["kubectl", "-n", kube.namespace, "logs", "-f", pod]
    follower = subprocess.Popen(
        command, env=kube.environment(), stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.DEVNULL
    )
    try:
        yield follower
    finally:
        follower.terminate()
        follower.wait(timeout=10)
