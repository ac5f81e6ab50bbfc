"""`trainchart submit` as a step of a pipeline: a real process with real signals, a fake helm and a fake API server."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.checks.cluster import ROOT, stocked
from tests.fakes.api import FakeApi
from tests.fakes.runs import templates_of_helm
from tests.fakes.server import serving
from trainchart.cluster import kinds
from trainchart.cluster.fields import Object, text
from trainchart.cluster.kinds import Kind

NAME, UID = "run-42", "5f0c-job"
FILES = [
    word
    for file in ("values/custom.yaml", "values/accelerators/cpu.yaml", "e2e/values/custom.yaml")
    for word in ("-f", str(ROOT / file))
]
# Installs a release as helm does: its Secret, the run's settings, the Job, and at last the Secret's new status. After the first it
# waits while the file `slow` exists.
HELM = """\
import json, pathlib, signal, sys, time, urllib.request
command, name, *words = sys.argv[1:]
option = lambda key: words[words.index(key) + 1]
folder = pathlib.Path(__file__).parent
server = next(line.split("'")[1] for line in open(option("--kubeconfig")) if "server:" in line)
core, volcano = f"{server}/api/v1/namespaces/training", f"{server}/apis/batch.volcano.sh/v1alpha1/namespaces/training"
secret = f"sh.helm.release.v1.{name}.v1"

def send(method, path, body=None):
    urllib.request.urlopen(urllib.request.Request(path, json.dumps(body or {}).encode(), method=method)).read()

with open(folder / "calls", "a") as log:
    print(command, name, file=log)
if command == "uninstall":
    for path in (f"{volcano}/jobs/{name}", f"{core}/configmaps/{name}-run", f"{core}/secrets/{secret}"):
        send("DELETE", path)
    sys.exit()
values = json.loads(sys.stdin.read())
owners = [values["owner"]] if values.get("owner") else []
labels = dict(label.split("=") for label in option("--labels").split(","))
labels |= {"owner": "helm", "name": name, "version": "1", "status": "pending-install"}
send("POST", f"{core}/secrets", {"metadata": {"name": secret, "labels": labels}})
while (folder / "slow").exists():
    time.sleep(0.02)
metadata = {"labels": {"trainchart.dev/family": "custom"}, "ownerReferences": owners}
send("POST", f"{core}/configmaps", {"metadata": {"name": f"{name}-run", **metadata}, "data": {"settings.json": "{}"}})
task = {"name": "train", "replicas": 1, "template": {"spec": {"containers": [{"name": "train", "image": "a/b:1"}]}}}
send("POST", f"{volcano}/jobs", {"metadata": {"name": name, **metadata}, "spec": {"maxRetry": 1, "tasks": [task]}})
send("PATCH", f"{core}/secrets/{secret}", {"metadata": {"labels": {"status": "deployed"}}})
print("NOTES: made")
"""


class Volcano(FakeApi):
    """A cluster that starts a run at once, and stops it at once."""

    def __init__(self) -> None:
        super().__init__()
        self.answers = threading.Event()
        self.answers.set()

    def objects(self, kind: Kind, **selection: Any) -> tuple[list[Object], str]:
        found = super().objects(kind, **selection)
        self.answers.wait(60)
        return found

    def create(self, kind: Kind, body: Object, *, dry_run: bool = False) -> Object:
        if kind is kinds.JOBS and not dry_run and text(body, "metadata", "name"):
            body["metadata"] |= {"namespace": "training", "uid": UID, "creationTimestamp": "2026-11-24T18:00:00Z"}
            body["status"] = {"state": {"phase": "Running"}}
        if kind is kinds.COMMANDS:
            self.finish("Aborted")
        return super().create(kind, body, dry_run=dry_run)

    def finish(self, phase: str) -> None:
        for job in self.there[kinds.JOBS]:
            job["status"] = {"state": {"phase": phase, "lastTransitionTime": "2026-11-24T18:05:00Z"}}

    def names(self, *of: Kind) -> list[str]:
        """What is there of the run."""
        made = (kinds.JOBS, kinds.CONFIG_MAPS, kinds.SECRETS)
        found = [text(one, "metadata", "name") for kind in of or made for one in self.there.get(kind, [])]
        return [name for name in found if NAME in name]


class Step:
    """The pod that runs `trainchart submit`, again and again."""

    def __init__(self, folder: Path, kubeconfig: Path, api: Volcano) -> None:
        self.folder, self.kubeconfig, self.api = folder, kubeconfig, api
        self.helm = folder / "helm"
        self.helm.write_text(f"#!{sys.executable}\n{templates_of_helm()}{HELM}")
        self.helm.chmod(0o755)

    def start(self, *more: str, name: str = NAME, **environment: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "trainchart", "submit", *([name] if name else []), *FILES, "--helm"]
        return subprocess.Popen(
            [*command, str(self.helm), "--no-doctor", "--kubeconfig", str(self.kubeconfig), *more],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT / "tools", start_new_session=True,
            env={**os.environ, **environment},
        )  # fmt: skip

    def run(self, *more: str, name: str = NAME, **environment: str) -> tuple[int, str]:
        return ended(self.start(*more, name=name, **environment))

    @property
    def calls(self) -> list[str]:
        log = self.folder / "calls"
        return log.read_text().splitlines() if log.exists() else []

    @contextlib.contextmanager
    def slow(self) -> Iterator[None]:
        """Helm takes long after it has made the release."""
        (self.folder / "slow").touch()
        yield
        (self.folder / "slow").unlink()


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    said, _ = process.communicate(timeout=60)
    assert "Traceback" not in said
    return process.returncode, said


def wait_for(what: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 60
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def step(tmp_path: Path) -> Iterator[Step]:
    api = Volcano()
    stocked(api)
    with serving(api, tmp_path) as kubeconfig:
        yield Step(tmp_path, kubeconfig, api)


# -- signals


@pytest.mark.parametrize(
    ("number", "option", "code"),
    [(signal.SIGTERM, "stop", 143), (signal.SIGINT, "stop", 130), (signal.SIGTERM, "leave", 130)],
)
def test_a_signal_while_helm_runs_removes_what_it_has_made(number: int, option: str, code: int, step: Step) -> None:
    with step.slow():
        process = step.start("--on-signal", option)
        wait_for(lambda: step.api.names(kinds.SECRETS))
        os.killpg(process.pid, number)
        returned, said = ended(process)
    assert returned == code
    assert f"{NAME} is not installed: it was interrupted (what Helm created was removed)" in said
    assert step.api.names() == []
    assert step.calls == [f"install {NAME}", f"uninstall {NAME}"]


def test_a_second_signal_does_not_interrupt_the_removal(step: Step) -> None:
    with step.slow():
        process = step.start("--on-signal", "stop")
        wait_for(lambda: step.api.names(kinds.SECRETS))
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT):
            os.killpg(process.pid, number)
            time.sleep(0.02)
        assert ended(process)[0] == 143
    assert step.api.names() == []


def test_a_signal_before_anything_is_installed_just_ends(step: Step) -> None:
    step.api.answers.clear()
    process = step.start("--on-signal", "stop")
    wait_for(lambda: step.api.asked)
    os.killpg(process.pid, signal.SIGTERM)
    code, said = ended(process)
    step.api.answers.set()
    assert code == 143
    assert f"{NAME} is not installed: it was interrupted" in said
    assert step.calls == []


def test_a_signal_while_the_run_is_followed_stops_it(step: Step) -> None:
    process = step.start("--on-signal", "stop")
    assert process.stdout
    assert any("is running" in line for line in iter(process.stdout.readline, ""))
    os.killpg(process.pid, signal.SIGTERM)
    code, said = ended(process)
    assert code == 143
    assert f"{NAME} is stopped; its release stays" in said
    assert step.api.names(kinds.JOBS) == [NAME]
