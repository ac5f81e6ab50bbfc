"""Runs as an engine's steps submit them: charts/platform in the namespace, and Tekton or Argo Workflows to start, read
and cancel what it installs.

Somebody who may use the engine creates the PipelineRun or Workflow; its steps have the rights of a submitter and no more.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

import pytest
import yaml

from e2e.cases import Values, custom, yolov5
from e2e.cases.tekton import CASE
from e2e.cluster import engines, tools_image
from e2e.cluster.steps import StepError, step
from e2e.kube import Kube, Object, phase, poll
from e2e.runs import Release, Session, merged, value_files
from e2e.scenario import (
    CA_BUNDLE,
    ROOT,
    SECRET,
    TEAM,
    World,
    ca_bundle,
    credentials,
    kubeconfig_of,
    restricted_namespace,
)
from trainchart.files import load_values

CHART = ROOT / "charts" / "platform"
PLACE = "platform"
"""A namespace of its own, which begins empty: charts/platform brings the rights that `training` has from deploy/."""
ACCOUNT = "trainchart"
"""The ServiceAccount that charts/platform creates for the steps."""
END_SECONDS = 420


@dataclass(frozen=True)
class Ended:
    """How a PipelineRun or a Workflow ended."""

    succeeded: bool
    reason: str
    results: Mapping[str, str]


def ensure_platform(world: World, cases: Iterable[str]) -> World:
    """charts/platform for the engines among the cases, in an empty namespace that enforces Pod Security; returns the world
    with it as the namespace, and the account of the steps as the one that submits.
    """
    wanted = [name for name in engines.ENGINES if name in cases]
    for name in wanted:
        if not engines.is_ready(name):
            raise StepError(f"{name} is not in the cluster", f"`python3 -m e2e.cluster engines {name}` installs it.")
    admin = Kube(world.admin.kubeconfig, PLACE)
    remove_platform(admin)
    with step(f"scenario: charts/platform in namespace {PLACE}"):
        admin.apply(
            restricted_namespace(PLACE), credentials(SECRET, world.token, PLACE), ca_bundle(world.server, PLACE)
        )
        install_platform(admin, {name: {"enabled": True} for name in wanted})
        return replace(world, admin=admin, submitter=Kube(kubeconfig_of(admin, ACCOUNT), PLACE))


def install_platform(admin: Kube, values: Values) -> None:
    """As somebody installs or upgrades it who may give rights in the namespace; an upgrade keeps what it does not name."""
    command = ["upgrade", "--install", "platform", str(CHART), "--reset-then-reuse-values", "-f", "-"]
    admin.helm(*command, text=json.dumps({"image": tools_image.name(), **values}))


def remove_platform(admin: Kube) -> None:
    admin.run("kubectl", "delete", "namespace", PLACE, "--ignore-not-found", timeout=300)


class Engine(ABC):
    """One engine, in the namespace of the tests. What it starts has the names of the runs that come of it."""

    kind: str
    pod_label: str
    """On the pods of its steps: the name of what they are steps of."""

    def __init__(self, session: Session, world: World) -> None:
        self.session = session
        self.world = world
        self.kube = world.admin

    @abstractmethod
    def start(self, name: str, template: str, parameters: Mapping[str, str], *, timeout: str = "") -> Release:
        """Starts a Pipeline or WorkflowTemplate of charts/platform."""

    @abstractmethod
    def cancel(self, name: str) -> None:
        """Does what the engine's users do to cancel."""

    @abstractmethod
    def ended(self, name: str) -> Ended | None:
        """How it ended; None while it runs."""

    def run(self, name: str, values: Values, *, timeout: str = "") -> Release:
        """Starts a training of the custom program, with everything it needs in one values file."""
        whole = merged(load_values(*(ROOT / file for file in value_files("custom"))), values)
        text = json.dumps(merged(whole, {"image": self.image}))
        return self.start(name, "training", {"values": text}, timeout=timeout)

    @property
    def image(self) -> str:
        return CASE.image_name

    def named(self, name: str) -> str:
        return f"{name}{self.session.id}"

    def release(self, name: str) -> Release:
        """The run that it submits, which exists some seconds after the start."""
        return Release(self.named(name), self.world, "")

    def end(self, name: str, seconds: float = END_SECONDS) -> Ended:
        """Waits for the end."""
        ended: Ended = poll(lambda: self.ended(name), seconds, f"{self.kind} {self.named(name)} has ended", every=1)
        return ended

    def wait_for_log(self, name: str, text: str) -> None:
        """Waits for a line of rank 0, whose pod exists some seconds after the step's."""
        self.release(name).wait_for_log(text)

    def object(self, name: str) -> Object:
        found = self.kube.get(self.kind, self.named(name))
        assert found, f"there is no {self.kind} {self.named(name)}"
        return found

    def pods(self, name: str) -> list[Object]:
        """The pods of its steps, oldest first."""
        found = self.kube.objects("pods", f"{self.pod_label}={self.named(name)}")
        return sorted(found, key=lambda pod: pod["metadata"]["creationTimestamp"])

    def logs(self, name: str) -> str:
        """What its steps have printed, as far as their pods are there."""
        names = [pod["metadata"]["name"] for pod in self.pods(name)]
        logs = ["kubectl", "-n", self.kube.namespace, "logs", "--all-containers"]
        return "".join(self.kube.call(*logs, pod)[1] for pod in names)

    def delete(self, name: str) -> None:
        self.kube.kubectl("delete", self.kind, self.named(name))


def assert_published(engine: Engine, repository: str, results: Mapping[str, str]) -> None:
    """The results name what is on the git server."""
    assert_pushed(engine.world, repository, results["branch"], results["commit"], json.loads(results["metrics"]))


def assert_pushed(world: World, repository: str, branch: str, commit: str, metrics: Mapping[str, float]) -> None:
    """The commit is that of the branch on the git server, and its README has the metrics."""
    assert commit
    assert world.server.branch_commit(TEAM, repository, branch) == commit
    _, front, _ = world.server.read_file(TEAM, repository, "README.md", commit).decode().split("---\n", 2)
    # A pod's termination message, where the metrics are from, has six digits of each number.
    assert metrics == pytest.approx(yaml.safe_load(front)["trainchart"]["metrics"], rel=1e-5, abs=0)


def assert_completed(engine: Engine, name: str, branch: str) -> None:
    """A run of family custom has completed, and its results are those on the git server."""
    ended = engine.end(name)
    assert ended.succeeded, engine.logs(name)
    assert ended.results["branch"] == branch
    assert ended.results["exit-code"] == "0"
    assert_published(engine, custom.RESULTS, ended.results)
    metrics = json.loads(ended.results["metrics"])
    assert metrics["epochs"] == custom.EPOCHS
    assert metrics["loss"] < 1e-6


def assert_prints_every_rank(engine: Engine, name: str, ranks: int) -> None:
    """The log of a step has the lines of every rank."""
    engine.end(name)
    lines = engine.logs(name).splitlines()
    for rank in range(ranks):
        ours = [line[4:] for line in lines if line.startswith(f"[{rank}] ")]
        assert ours == engine.release(name).log(rank).splitlines()


def assert_stopped(engine: Engine, name: str) -> None:
    """The run was aborted, and nothing of it runs."""
    release = engine.release(name)
    poll(lambda: phase(release.job()) == "Aborted", 120, f"{release.name} is aborted")
    poll(lambda: not release.kube.pods(release.name), 60, f"the pods of {release.name} are gone")


# What has no parameter: the CA of this git server, and that this image's Pillow cannot draw YOLOv5's pictures.
BESIDE: Values = {"caBundle": {"configMapName": CA_BUNDLE}, "train": {"arguments": ["--noplots"]}}


def reference_parameters(engine: Engine) -> dict[str, str]:
    """The 27 parameters of the reference's document, for its YOLOv5. Its own values, but for the repositories, the image, and what a cluster without
    GPUs and with two cores needs: no NVIDIA_GPU*, the device, smaller requests, and a training of a minute.
    """
    team = "https://gitea.git.svc:3000/team"
    return {
        "MODEL_REPO_URL": f"{team}/yolov5.git",
        "MODEL_REPO_BRANCH": "",
        "DATASET_REPO_URL": f"{team}/shapes.git",
        "DATASET_REPO_BRANCH": "",
        "DATASET_DIR": "/mnt/workspace/datasets/shapes",
        "OUTPUT_MODEL_REPO_URL": f"{team}/{yolov5.RESULTS}.git",
        "OUTPUT_MODEL_REPO_BRANCH": engine.named(engine.kind),
        "GIT_CREDENTIAL_SECRET_NAME": SECRET,
        "TRAINING_IMAGE": engine.image,
        "TEMPORARY_STORAGE_SIZE": "5Gi",
        "REPLICAS": "1",
        "SHARE_MEMORY_LIMIT_SIZE": "2Gi",
        "CPU_REQUEST": "200m",
        "MEMORY_REQUEST": "1Gi",
        "CPU_LIMIT": "8",
        "MEMORY_LIMIT": "20Gi",
        "NVIDIA_GPUALLOC": "",
        "NVIDIA_GPUCORES": "",
        "NVIDIA_GPUMEM": "",
        "NVIDIA_GPU": "",
        "TRAIN_ARG_IMAGE_SIZE": "128",
        "TRAIN_ARG_BATCH_SIZE": "4",
        "TRAIN_ARG_EPOCHS": "2",
        "TRAIN_ARG_DATA": "shapes.yaml",
        "TRAIN_ARG_WEIGHTS": "models/yolov5n.pt",
        "TRAIN_ARG_WORKERS": "0",
        "TRAIN_ARG_DEVICE": "cpu",
        "values": json.dumps(BESIDE),
    }


def assert_trained_as_asked(engine: Engine, name: str, results: Mapping[str, str]) -> None:
    """The run of `reference_parameters` did what they say, and its result is published."""
    assert_published(engine, yolov5.RESULTS, results)
    assert results["branch"] == engine.named(engine.kind)
    assert json.loads(results["metrics"])["epochs"] == 2
    release = engine.release(name)
    (container,) = release.pod()["spec"]["containers"]
    assert container["image"] == engine.image
    assert container["resources"]["requests"] == {"cpu": "200m", "memory": "1Gi"}
    assert container["resources"]["limits"] == {"cpu": "8", "memory": "20Gi"}
    options = yaml.safe_load(engine.world.server.read_file(TEAM, yolov5.RESULTS, "opt.yaml", results["commit"]))
    names = ("imgsz", "batch_size", "epochs", "workers", "device")
    assert [options[name] for name in names] == [128, 4, 2, 0, "cpu"]
    assert options["weights"].endswith("models/yolov5n.pt")
    assert options["data"].endswith("shapes.yaml")


def evict(kube: Kube, pod: str) -> None:
    """Evicts a pod by the API, as `kubectl drain` does."""
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": kube.namespace}}
    path = f"/api/v1/namespaces/{kube.namespace}/pods/{pod}/eviction"
    kube.kubectl("create", "--raw", path, "-f", "-", text=json.dumps(eviction))


class Tekton(Engine):
    kind = "pipelinerun"
    pod_label = "tekton.dev/pipelineRun"

    def start(self, name: str, template: str, parameters: Mapping[str, str], *, timeout: str = "") -> Release:
        spec = {
            "pipelineRef": {"name": template},
            "taskRunTemplate": {"serviceAccountName": ACCOUNT},
            "params": [{"name": key, "value": value} for key, value in parameters.items()],
            **({"timeouts": {"pipeline": timeout}} if timeout else {}),
        }
        self.kube.kubectl("create", "-f", "-", text=json.dumps(self.manifest(name, spec)))
        return self.release(name)

    def manifest(self, name: str, spec: Object) -> Object:
        metadata = {"name": self.named(name), "namespace": PLACE}
        return {"apiVersion": "tekton.dev/v1", "kind": "PipelineRun", "metadata": metadata, "spec": spec}

    def cancel(self, name: str) -> None:
        patch = json.dumps({"spec": {"status": "Cancelled"}})
        self.kube.kubectl("patch", self.kind, self.named(name), "--type", "merge", "--patch", patch)

    def ended(self, name: str) -> Ended | None:
        status = self.object(name).get("status", {})
        for condition in status.get("conditions", []):
            if condition["type"] == "Succeeded" and condition["status"] != "Unknown":
                results = {result["name"]: result["value"] for result in status.get("results", [])}
                return Ended(condition["status"] == "True", condition["reason"], results)
        return None

    def seconds(self, name: str) -> float:
        """From its start to its end."""
        status = self.object(name)["status"]
        begin, end = (datetime.fromisoformat(status[key].rstrip("Z")) for key in ("startTime", "completionTime"))
        return (end - begin).total_seconds()

    def task_runs(self, name: str) -> list[Object]:
        """Oldest first."""
        found = self.kube.objects("taskruns", f"{self.pod_label}={self.named(name)}")
        return sorted(found, key=lambda item: item["metadata"]["creationTimestamp"])


class Argo(Engine):
    kind = "workflow"
    pod_label = "workflows.argoproj.io/workflow"

    def start(self, name: str, template: str, parameters: Mapping[str, str], *, timeout: str = "") -> Release:
        arguments = [{"name": key, "value": value} for key, value in parameters.items()]
        spec = {
            "workflowTemplateRef": {"name": template},
            "arguments": {"parameters": arguments},
            **({"activeDeadlineSeconds": int(timeout)} if timeout else {}),
        }
        metadata = {"name": self.named(name), "namespace": PLACE}
        workflow = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": metadata, "spec": spec}
        self.kube.kubectl("create", "-f", "-", text=json.dumps(workflow))
        return self.release(name)

    def cancel(self, name: str, strategy: str = "Terminate") -> None:
        patch = json.dumps({"spec": {"shutdown": strategy}})
        self.kube.kubectl("patch", self.kind, self.named(name), "--type", "merge", "--patch", patch)

    def ended(self, name: str) -> Ended | None:
        status = self.object(name).get("status", {})
        if status.get("phase") not in ("Succeeded", "Failed", "Error"):
            return None
        # An attempt before it has outputs too, which are empty.
        parameters = [
            parameter
            for attempt in self.attempts(name)[-1:]
            for parameter in attempt.get("outputs", {}).get("parameters", [])
        ]
        results = {parameter["name"]: parameter.get("value", "") for parameter in parameters}
        return Ended(status["phase"] == "Succeeded", status.get("message", ""), results)

    def attempts(self, name: str) -> list[Object]:
        """The nodes of the step's pods, oldest first."""
        nodes = self.object(name)["status"]["nodes"].values()
        return sorted((node for node in nodes if node["type"] == "Pod"), key=lambda node: node["startedAt"])
