"""Pipelines of Kubeflow, by its SDK's Docker runner against the cluster; and the pod of a task, as a backend makes it.

No backend: what it does to a pod (an owner, and a launcher that the first signal kills) is done here.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from e2e.cases import Values
from e2e.cases.custom import RESULTS as CUSTOM_RESULTS
from e2e.cases.follow import KEEPS_RUNNING
from e2e.cases.kubeflow import CASE, RESULTS, SEARCH, TRAINING
from e2e.cluster.kubeflow import PYTHON
from e2e.cluster.tools_image import name as tools_image
from e2e.engines import assert_pushed
from e2e.kube import Object, phase, poll
from e2e.runs import Release, Session, merged, objects_of, value_files
from e2e.scenario import ACCOUNT, ROOT
from trainchart.files import load_values

pytestmark = pytest.mark.family("kubeflow")

PIPELINE_SECONDS = 900


def values(family: str, *more: Values) -> str:
    """The text of a values file, which is JSON and therefore YAML."""
    whole = load_values(*(ROOT / file for file in value_files(family)))
    return json.dumps(merged(whole, {"image": CASE.image_name}, *more))


@dataclass(frozen=True)
class Ended:
    """What became of a pipeline."""

    code: int
    log: str
    outputs: Object  # empty of one that has failed

    def runs(self) -> list[str]:
        """The names of its runs, in the order in which they were submitted."""
        return re.findall(r"(\S+) is installed in ", self.log)


def run(session: Session, folder: Path, pipeline: str, arguments: Mapping[str, str]) -> Ended:
    process = subprocess.run(
        [PYTHON, ROOT / "e2e/kubeflow/run.py", pipeline, session.world.submitter.kubeconfig, folder],
        input=json.dumps(arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "tools")},
        timeout=PIPELINE_SECONDS,
        check=False,
    )
    written = folder / "outputs.json"
    return Ended(process.returncode, process.stdout, json.loads(written.read_text()) if written.exists() else {})


def assert_published(session: Session, repository: str, outputs: Object) -> None:
    assert_pushed(session.world, repository, outputs["branch"], outputs["commit"], outputs["metrics"])


def test_the_outputs_of_a_pipeline_are_those_on_the_git_server(session: Session, tmp_path: Path) -> None:
    ended = run(
        session,
        tmp_path,
        "train_pipeline",
        {"values": values("custom", {"replicas": 2}), "name": f"kfp{session.id}"},
    )
    assert ended.code == 0, ended.log
    assert ended.runs() == [ended.outputs["run"]]
    assert ended.outputs["run"].startswith(f"kfp{session.id}-")
    assert_published(session, CUSTOM_RESULTS, ended.outputs)
    assert ended.outputs["metrics"]["epochs"] == 6


def test_values_that_are_refused_fail_the_pipeline(session: Session, tmp_path: Path) -> None:
    refused = values("custom", {"replicas": "many"})
    ended = run(session, tmp_path, "train_pipeline", {"values": refused, "name": f"bad{session.id}"})
    assert (ended.code, ended.outputs, ended.runs()) == (1, {}, []), ended.log
    assert "'many'" in ended.log


def test_a_training_that_fails_fails_the_pipeline(session: Session, tmp_path: Path) -> None:
    fails = values("custom", {"train": {"command": ["python3", "-c", "raise SystemExit(3)"]}})
    ended = run(session, tmp_path, "train_pipeline", {"values": fails, "name": f"fails{session.id}"})
    assert (ended.code, ended.outputs) == (1, {}), ended.log
    (name,) = ended.runs()
    assert phase(Release(name, session.world, "").job()) in ("Failed", "Terminated")


def test_what_is_trained_is_checked_before_and_searched_from(session: Session, tmp_path: Path) -> None:
    ended = run(
        session,
        tmp_path,
        "tune_pipeline",
        {
            "values": values("yolov8", TRAINING),
            "tune_values": values("yolov8", SEARCH),
            "name": f"train{session.id}",
            "tune_name": f"tune{session.id}",
        },
    )
    assert ended.code == 0, ended.log
    trained, searched = (Release(name, session.world, "").result() for name in ended.runs())
    assert trained["commit"] != searched["commit"] == ended.outputs["commit"]
    model = searched["sources"]["model"]
    assert (model["repository"], model["commit"]) == (trained["repository"], trained["commit"])
    assert searched["search"]["trials"] == 2
    assert_published(session, RESULTS, ended.outputs)


def test_a_chain_whose_check_fails_trains_nothing(session: Session, tmp_path: Path) -> None:
    nowhere = values("yolov8", TRAINING, {"git": {"secretName": "no-such-secret"}})
    arguments = {"values": nowhere, "tune_values": nowhere, "name": f"none{session.id}", "tune_name": f"no{session.id}"}
    ended = run(session, tmp_path, "tune_pipeline", arguments)
    assert (ended.code, ended.outputs, ended.runs()) == (1, {}, []), ended.log
    assert "no-such-secret" in ended.log


# -- the pod of a task

# As the launcher of a backend: it starts the task's command, and dies by the first signal without passing it on.
LAUNCHER = "import os, signal, subprocess, sys; signal.signal(signal.SIGTERM, lambda *_: os._exit(143)); sys.exit(subprocess.run(sys.argv[1:]).returncode)"


class Task:
    """The pods of one task, its attempts; and what they belong to."""

    def __init__(self, session: Session, name: str) -> None:
        self.name = f"{name}{session.id}"
        self.kube, self.world = session.world.admin, session.world
        self.kube.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": self.name}})
        owner = self.kube.get("configmap", self.name)
        assert owner
        self.owner = {
            "apiVersion": "v1", "kind": "ConfigMap", "name": self.name, "uid": owner["metadata"]["uid"], "controller": True,
        }  # fmt: skip

    def start(self, attempt: int, text: str) -> str:
        """Starts an attempt, with the command line of the compiled pipeline; returns the name of its pod."""
        specification, _ = yaml.safe_load_all((ROOT / "deploy/kubeflow/train.yaml").read_text())
        (executor,) = specification["deploymentSpec"]["executors"].values()
        given = {"name": self.name, "values": text}

        def replaced(word: str) -> str:
            word = re.sub(r"\{\{\$\.inputs\.parameters\['(\w+)'\]\}\}", lambda found: given.get(found[1], "7"), word)
            return re.sub(r"\{\{\$\.outputs\.parameters\['(\w+)'\]\.output_file\}\}", r"/tmp/outputs/\1", word)

        container = executor["container"]
        words = [*container["command"], *map(replaced, container["args"]), "--guard-timeout", "20s"]
        pod = f"{self.name}-pod-{attempt}"
        security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
        spec = {
            "restartPolicy": "Never",
            "serviceAccountName": ACCOUNT,
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [
                {
                    "name": "main",
                    "image": tools_image(),
                    "command": ["python3", "-c", LAUNCHER],
                    "args": words,
                    "env": [{"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
                    "securityContext": security,
                }
            ],
        }
        metadata = {"name": pod, "ownerReferences": [self.owner]}
        self.kube.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
        return pod

    def run(self) -> Release:
        def installed() -> str:
            return next((job["metadata"]["name"] for job in self.kube.objects("vcjob") if self.is_ours(job)), "")

        return Release(poll(installed, 120, f"{self.name} has submitted its run"), self.world, "")

    def is_ours(self, one: Object) -> bool:
        return any(owner["uid"] == self.owner["uid"] for owner in one["metadata"].get("ownerReferences", []))

    def kill(self, pod: str) -> None:
        self.kube.kubectl("delete", "pod", pod, "--grace-period=5")

    def remove(self) -> None:
        self.kube.kubectl("delete", "configmap", self.name, "--ignore-not-found")


@pytest.fixture
def task(request: pytest.FixtureRequest, session: Session) -> Iterator[Task]:
    task = Task(session, request.param)
    yield task
    task.remove()


@pytest.mark.parametrize("task", ["killed"], indirect=True)
def test_a_run_whose_task_is_killed_is_stopped(task: Task) -> None:
    pod = task.start(0, values("custom", {"train": {"command": ["python3", "-c", KEEPS_RUNNING], "exportCommand": []}}))
    run = task.run()
    run.wait_for_log("still running")
    task.kill(pod)
    poll(lambda: phase(run.job()) == "Aborted", 180, f"{run.name} is aborted")


@pytest.mark.parametrize("task", ["again"], indirect=True)
def test_a_retry_follows_the_run_of_the_attempt_before_which_goes_with_its_owner(task: Task) -> None:
    text = values("custom", {"env": {"EPOCH_SECONDS": "6"}})
    first = task.start(0, text)
    run = task.run()
    run.wait_for_log("after epoch 1")
    uid = run.job()["metadata"]["uid"]
    task.kill(first)
    second = task.start(1, text)
    ended = poll(
        lambda: (state := task.kube.get("pod", second)["status"]["phase"]) in ("Succeeded", "Failed") and state,  # type: ignore[index]
        300,
        f"{second} has ended",
    )
    assert ended == "Succeeded", task.kube.log(second)
    assert f"{run.name} was submitted by an earlier attempt, and is followed" in task.kube.log(second)
    assert run.job()["metadata"]["uid"] == uid
    task.remove()
    poll(lambda: not objects_of(task.kube, run.name), 90, f"everything of {run.name} is gone")
