"""`trainchart doctor` and `submit` against a real cluster, by an account with the rights of deploy/submitter.yaml, once
without and once with those of deploy/cluster-reader.yaml.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from e2e import scenario
from e2e.cases import Case, yolov5
from e2e.cases import custom as custom_case
from e2e.cluster.kind import NODE
from e2e.cluster.steps import BIN, KUBECONFIG
from e2e.kube import Kube, Object, poll
from e2e.scenario import CA_BUNDLE, ROOT, SECRET, World

PLACE = "trainchart-doctor"
CLOSED, PARENT, CHILD, SMALL = (f"{PLACE}-{name}" for name in ("closed", "parent", "child", "small"))
AUTHORITY = (ROOT / "tests/data/ca.crt").read_text(encoding="ascii")
CANARY = "canary-6b1f2c"  # stands in every Secret; nothing that is printed may show it
VALUES = [
    word
    for file in ("values/custom.yaml", "values/accelerators/cpu.yaml", "e2e/values/custom.yaml")
    for word in ("-f", str(ROOT / file))
]


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str

    @property
    def both(self) -> str:
        return self.out + self.err

    def check(self, subject: str) -> dict[str, str]:
        """The finding about a subject, from the JSON output."""
        found = [check for check in json.loads(self.out)["findings"] if check["subject"] == subject]
        assert len(found) == 1, f"{subject} is not checked once: {self.both}"
        return dict(found[0])


@dataclass(frozen=True)
class Place:
    """A namespace with accounts: `kube` can submit, `reader` can also read the cluster, `nobody` has no rights."""

    admin: Kube
    kube: Kube
    reader: Kube
    nobody: Kube

    def trainchart(self, *arguments: str, values: Object | None = None, kube: Kube | None = None) -> Answer:
        kube = kube or self.reader
        done = subprocess.run(
            [sys.executable, "-m", "trainchart", *arguments],
            input=json.dumps(values or {}),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            env={
                **kube.environment(),
                "PYTHONPATH": str(ROOT / "tools"),
                "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            },
        )
        answer = Answer(done.returncode, done.stdout, done.stderr)
        assert "Traceback" not in answer.both, answer.both
        assert CANARY not in answer.both
        return answer

    def doctor(self, values: Object | None = None, *more: str, kube: Kube | None = None) -> Answer:
        arguments = ("doctor", *VALUES, "-f", "-", "--name", "run-1", "--output", "json", *more)
        return self.trainchart(*arguments, values=values, kube=kube)

    def submit(self, name: str, values: Object, *more: str, kube: Kube | None = None) -> Answer:
        return self.trainchart("submit", name, *VALUES, "-f", "-", *more, values=values, kube=kube)


def may(kube: Kube, question: list[str]) -> bool:
    return kube.call(*question)[0] == 0


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    admin = Kube(KUBECONFIG, PLACE)
    remove(admin)
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    admin.kubectl("create", "-f", "-", text=json.dumps(manifest("v1", "Namespace", PLACE, metadata={"labels": labels})))
    try:
        for file in ("submitter", "cluster-reader"):
            admin.kubectl("apply", "-f", str(ROOT / "deploy" / f"{file}.yaml"))
        kubes = {}
        for account in ("doctor-submits", "doctor-reads", "doctor-nobody"):
            admin.kubectl("create", "serviceaccount", account)
            kubes[account] = Kube(scenario.kubeconfig_of(admin, account), PLACE)
        for account in ("doctor-submits", "doctor-reads"):
            admin.kubectl(
                *f"create rolebinding {account} --role trainchart-submitter --serviceaccount {PLACE}:{account}".split()
            )
        admin.kubectl(
            *f"create clusterrolebinding {PLACE} --clusterrole trainchart-reader --serviceaccount {PLACE}:doctor-reads".split()
        )
        admin.apply(*secrets(CANARY, AUTHORITY), *queues())
        admin.kubectl("create", "-f", "-", text=json.dumps(close(CLOSED)))
        # The API server takes a moment to know of a new binding.
        for account, right in (("doctor-submits", "create pods"), ("doctor-reads", "list nodes")):
            question = ["kubectl", "auth", "can-i", *right.split()]
            poll(partial(may, kubes[account], question), 30, f"{account} may {right}")
        poll(lambda: state_of(admin, CLOSED) == "Closed", 30, "the queue is closed")
        poll(lambda: all(state_of(admin, queue) == "Open" for queue in (CHILD, SMALL)), 30, "the queues are open")
        yield Place(admin, kubes["doctor-submits"], kubes["doctor-reads"], kubes["doctor-nobody"])
    finally:
        remove(admin)


def remove(admin: Kube) -> None:
    admin.call("kubectl", "delete", "namespace", PLACE, "--ignore-not-found", timeout=180)
    admin.call("kubectl", "delete", "clusterrolebinding", PLACE, "--ignore-not-found")
    for queue in (CLOSED, CHILD, SMALL, PARENT):
        admin.call("kubectl", "delete", "queue", queue, "--ignore-not-found")


def manifest(version: str, kind: str, name: str, *, metadata: Object | None = None, **rest: Any) -> Object:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, **(metadata or {})}, **rest}


def secrets(token: str, ca: str) -> list[Object]:
    data = {"GIT_USER": "team", "GIT_TOKEN": token}
    return [
        manifest("v1", "Secret", SECRET, stringData=data),
        manifest("v1", "Secret", "without-token", stringData={"GIT_USER": CANARY}),
        manifest("v1", "ConfigMap", CA_BUNDLE, data={"ca.crt": ca, "empty.crt": "none"}),
    ]


def queues() -> list[Object]:
    def queue(name: str, **spec: Any) -> Object:
        return manifest("scheduling.volcano.sh/v1beta1", "Queue", name, spec={"weight": 1, **spec})

    small = {"capability": {"cpu": "100m", "memory": "256Mi"}}
    return [queue(CLOSED), queue(PARENT), queue(CHILD, parent=PARENT), queue(SMALL, **small)]


def close(queue: str) -> Object:
    target = {"apiVersion": "scheduling.volcano.sh/v1beta1", "kind": "Queue", "name": queue, "uid": queue}
    return {
        "apiVersion": "bus.volcano.sh/v1alpha1",
        "kind": "Command",
        "metadata": {"generateName": "close-"},
        "action": "CloseQueue",
        "target": target,
    }


def state_of(admin: Kube, queue: str) -> str:
    return str((admin.get("queue", queue) or {}).get("status", {}).get("state", ""))


def test_a_run_that_can_be_submitted_has_no_problem(place: Place) -> None:
    answer = place.doctor()
    assert answer.code == 0, answer.both
    report = json.loads(answer.out)
    assert report["ok"]
    # This run has no retries, and the cluster has other queues.
    assert {check["key"] for check in report["findings"]} == {"ok", "would-not-resume"}
    assert answer.check("Volcano")["text"].startswith("Volcano 1.")
    assert "restricted" in answer.check(f"namespace {PLACE}")["text"]


def test_without_the_right_to_read_the_cluster_it_says_what_was_not_checked(place: Place) -> None:
    answer = place.doctor(kube=place.kube)
    assert answer.code == 0, answer.both
    report = json.loads(answer.out)
    assert {check["severity"] for check in report["findings"]} == {"ok", "not-checked"}
    assert answer.check("nodes")["text"] == "nodes: no permission to list nodes"
    assert answer.check("queue default")["text"] == "queue default: no permission to list queues.scheduling.volcano.sh"
    assert answer.check(f"rights in {PLACE}")["severity"] == "ok"
    assert answer.check("Job run-1")["severity"] == "ok"


def test_an_account_without_rights_sees_which_rights_are_missing(place: Place) -> None:
    answer = place.doctor(kube=place.nobody)
    assert answer.code == 8
    check = answer.check(f"rights in {PLACE}")
    assert check["severity"] == "problem"
    assert "create/patch/delete jobs (every command)" in check["text"]
    assert "Role trainchart-submitter" in check["fix"]


def test_the_quick_checks_make_few_calls_to_the_api_server(place: Place) -> None:
    answer = place.doctor({}, "--quick", kube=place.kube)
    assert answer.code == 0, answer.both
    assert json.loads(answer.out)["calls"] <= 16


def test_the_cluster_alone_needs_no_values(place: Place) -> None:
    answer = place.trainchart("doctor", "--output", "json")
    assert answer.code == 0, answer.both
    assert [check["subject"] for check in json.loads(answer.out)["findings"]] == [
        "API server",
        "Volcano",
        "Volcano's webhook",
        f"namespace {PLACE}",
        f"rights in {PLACE}",
    ]


QUEUES = {
    "no-such-queue": "queue no-such-queue does not exist",
    CLOSED: f"queue {CLOSED} takes no runs: its state is Closed",
    PARENT: f"queue {PARENT} takes no runs itself: it has queues below it ({CHILD})",
}


@pytest.mark.parametrize("queue", QUEUES)
def test_a_queue_that_accepts_no_run_is_reported_with_those_that_do(place: Place, queue: str) -> None:
    answer = place.doctor({"queue": queue})
    assert answer.code == 8
    check = answer.check(f"queue {queue}")
    assert check["text"] == QUEUES[queue]
    assert "default" in check["fix"]
    assert not any(other["subject"].startswith("Job ") for other in json.loads(answer.out)["findings"]), "said twice"


@pytest.mark.parametrize("queue", QUEUES)
def test_without_the_right_to_see_queues_the_dry_run_reports_it(place: Place, queue: str) -> None:
    answer = place.doctor({"queue": queue}, kube=place.kube)
    assert answer.code == 8
    check = answer.check("Job run-1")
    assert check["key"] == {CLOSED: "queue-closed", PARENT: "queue-not-leaf"}.get(queue, "queue-missing")
    assert queue in check["text"]


def test_a_queue_that_is_too_small_for_the_gang_is_reported_in_numbers(place: Place) -> None:
    answer = place.doctor({"queue": SMALL, "replicas": 3})
    assert answer.code == 8
    text = answer.check(f"queue {SMALL}")["text"]
    assert text == (
        f"queue {SMALL} is too small: the gang requests cpu 150m, and the queue may have 100m, memory 384Mi, and the queue may have 256Mi"
    )


def test_in_a_full_queue_the_run_would_wait(place: Place) -> None:
    pod = {"restartPolicy": "Never", "containers": [container("80m", "128Mi")], "securityContext": RESTRICTED_POD}
    task = {"name": "fill", "replicas": 1, "template": {"spec": pod}}
    spec = {"schedulerName": "volcano", "queue": SMALL, "minAvailable": 1, "maxRetry": 1, "tasks": [task]}
    place.admin.apply(manifest("batch.volcano.sh/v1alpha1", "Job", "filler", spec=spec))
    try:

        def is_full() -> bool:
            queue = place.admin.get("queue", SMALL) or {}
            return str(queue.get("status", {}).get("allocated", {}).get("cpu")) == "80m"

        poll(is_full, 60, "the queue is full")
        answer = place.doctor({"queue": SMALL})
        assert answer.code == 0, answer.both
        check = answer.check(f"queue {SMALL}")
        assert check["severity"] == "waiting"
        assert check["text"] == (
            f"queue {SMALL} has no room for it now: the gang requests cpu 50m, and the queue has left 20m of 100m"
        )
    finally:
        place.admin.kubectl("delete", "vcjob", "filler", "--wait=false")


RESTRICTED_POD = {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}}


def container(cpu: str, memory: str) -> Object:
    return {
        "name": "fill",
        "image": "registry.k8s.io/pause:3.10.1",
        "resources": {"requests": {"cpu": cpu, "memory": memory}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }


WRONG: dict[str, tuple[Object, str, str]] = {
    "missing secret": ({"git": {"secretName": "no-such"}}, "Secret no-such", "Secret no-such does not exist"),
    "missing key": (
        {"git": {"secretName": "without-token"}},
        "Secret without-token",
        "Secret without-token has no key GIT_TOKEN; it has GIT_USER",
    ),
    "missing CA bundle": (
        {"caBundle": {"configMapName": "no-ca"}},
        "ConfigMap no-ca",
        "ConfigMap no-ca does not exist",
    ),
    "missing key of the CA bundle": (
        {"caBundle": {"key": "tls.crt"}},
        f"ConfigMap {CA_BUNDLE}",
        f"ConfigMap {CA_BUNDLE} has no key tls.crt; it has ca.crt, empty.crt",
    ),
    "a CA bundle without certificates": (
        {"caBundle": {"key": "empty.crt"}},
        f"ConfigMap {CA_BUNDLE}",
        f"key empty.crt of ConfigMap {CA_BUNDLE} has no CA certificates in PEM format",
    ),
    "missing pull secret": (
        {"imagePullSecrets": ["no-pull"]},
        "image pull secret no-pull",
        "image pull secret no-pull does not exist",
    ),
    "wrong type of pull secret": (
        {"imagePullSecrets": [SECRET]},
        f"image pull secret {SECRET}",
        f"image pull secret {SECRET} is of type Opaque, of which no registry's password is read",
    ),
    "missing claim": (
        {"workspace": {"type": "existingClaim", "claimName": "no-claim"}},
        "claim no-claim",
        "PersistentVolumeClaim no-claim does not exist",
    ),
    "missing StorageClass": (
        {"workspace": {"type": "newClaim", "storageClassName": "fast"}},
        "StorageClass fast",
        "StorageClass fast does not exist",
    ),
    "no accelerator": (
        {"accelerator": {"profile": "nvidia", "count": 1}},
        "accelerator",
        "no node has nvidia.com/gpu, of which each pod requests 1; nodes have no devices at all",
    ),
    "missing DeviceClass": (
        {"accelerator": {"profile": "nvidia-dra", "count": 1}},
        "DeviceClass gpu.nvidia.com",
        "DeviceClass gpu.nvidia.com does not exist",
    ),
    "request above every node": (
        {"resources": {"requests": {"cpu": "900"}, "limits": {"cpu": "900"}}},
        "nodes",
        f"each pod requests cpu 900, and the largest node ({NODE}) has 2",
    ),
    "no node with the label": (
        {"nodeSelector": {"disk": "fast"}},
        "nodes",
        "no node has the label disk=fast of nodeSelector",
    ),
    "missing priority": (
        {"priorityClassName": "urgent"},
        "PriorityClass urgent",
        "PriorityClass urgent does not exist",
    ),
    "missing account": (
        {"serviceAccount": {"name": "somebody"}},
        "ServiceAccount somebody",
        "ServiceAccount somebody does not exist",
    ),
}


@pytest.mark.parametrize("mistake", WRONG)
def test_missing_objects_are_reported_by_name(place: Place, mistake: str) -> None:
    values, subject, text = WRONG[mistake]
    answer = place.doctor(values)
    assert answer.code == 8
    check = answer.check(subject)
    assert check["severity"] == "problem"
    assert check["text"].startswith(text)
    assert check["fix"]
    if mistake == "missing StorageClass":
        assert "standard" in check["fix"], "those that exist"
    problems = [other["subject"] for other in json.loads(answer.out)["findings"] if other["severity"] == "problem"]
    assert problems == [subject], "one mistake, one line"


def test_a_quota_that_is_too_small_is_reported_in_numbers(place: Place) -> None:
    place.admin.kubectl(*["create", "quota", "tight", "--hard=requests.cpu=60m,limits.memory=4Gi"])
    try:
        poll(lambda: (place.admin.get("quota", "tight") or {}).get("status", {}).get("used"), 20, "the quota counts")
        assert place.doctor().code == 0
        answer = place.doctor({"replicas": 2})
        assert answer.code == 8
        assert answer.check("ResourceQuota tight")["text"] == (
            "ResourceQuota tight is too small: the run needs requests.cpu 100m, and 60m is allowed"
        )
    finally:
        place.admin.kubectl("delete", "quota", "tight")


def test_limits_of_the_namespace_are_reported_before_volcano_fails_to_create_pods(place: Place) -> None:
    limits = [{"type": "Container", "max": {"memory": "256Mi"}}]
    place.admin.apply(manifest("v1", "LimitRange", "range", spec={"limits": limits}))
    try:
        answer = place.doctor()
        assert answer.code == 8
        text = answer.check("LimitRange")["text"]
        assert text.endswith(": a container has a limit of memory 512Mi where 256Mi is the most")
    finally:
        place.admin.kubectl("delete", "limitrange", "range")


def test_refused_values_are_reported_as_validate_does(place: Place) -> None:
    answer = place.doctor({"replica": 2})
    assert answer.code == 2
    assert "<stdin>" in answer.err
    assert "did you mean 'replicas'?" in answer.err


def test_an_unreachable_api_server_has_an_exit_code_of_its_own(place: Place, tmp_path: Path) -> None:
    config = json.loads(place.kube.kubeconfig.read_text())
    config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:9"
    away = tmp_path / "kubeconfig"
    away.write_text(json.dumps(config))
    answer = place.doctor(kube=Kube(away, PLACE))
    assert answer.code == 5
    assert "is unreachable" in answer.err
    assert len(answer.err.splitlines()) == 1


# -- submit


@pytest.mark.parametrize("helm", ["helm", "helm3"])
def test_an_installation_that_the_webhook_refuses_is_explained_and_leaves_nothing(place: Place, helm: str) -> None:
    answer = place.submit("refused", {"queue": CLOSED}, "--no-doctor", "--helm", helm)
    assert answer.code == 2
    assert f"refused is not installed: queue {CLOSED} takes no runs: its state is Closed" in answer.err
    assert "what Helm created was removed" in answer.err
    assert place.admin.objects("secret", "owner=helm") == []
    assert place.admin.objects("serviceaccount", "app.kubernetes.io/instance=refused") == []


def test_submit_runs_doctor_first_and_installs_nothing_if_there_is_a_problem(place: Place) -> None:
    answer = place.submit("asked", {"queue": CLOSED})
    assert answer.code == 8
    assert "takes no runs: its state is Closed" in answer.err
    assert "--no-doctor" in answer.err
    assert place.admin.objects("secret", "owner=helm") == []


def test_a_dry_run_changes_nothing(place: Place) -> None:
    answer = place.submit("dry", {}, "--dry-run")
    assert answer.code == 0, answer.both
    assert "nothing was changed" in answer.out
    assert place.admin.objects("secret", "owner=helm") == []


def test_a_name_in_use_is_reported_and_the_release_stays(place: Place) -> None:
    first = place.submit("taken", {"queue": CHILD, "image": "registry.k8s.io/pause:3.10.1"}, "--no-wait")
    try:
        assert first.code == 0, first.both
        assert "helm test taken" in first.out
        again = place.trainchart("doctor", *VALUES, "--name", "taken", "--output", "json")
        assert again.code == 8
        assert again.check("name taken")["text"] == "a release of this name exists, and is deployed"
        for doctor in ("--doctor", "--no-doctor"):
            answer = place.submit("taken", {}, doctor)
            assert answer.code == (8 if doctor == "--doctor" else 2)
            assert "a release of this name" in answer.err
        assert len(place.admin.objects("secret", "owner=helm,name=taken")) == 1
    finally:
        place.admin.helm("uninstall", "taken")


def test_an_account_without_rights_cannot_submit_and_sees_which_are_missing(place: Place) -> None:
    answer = place.trainchart("submit", "nobody", *VALUES, "--no-doctor", kube=place.nobody)
    assert answer.code == 6
    assert "this account has no permission to" in answer.err
    assert f"in namespace {PLACE}" in answer.err


@pytest.fixture(scope="module")
def submits(place: Place) -> Place:
    """The namespace, with the program of the case `custom` on the git server, to run in the image of the quick set."""
    case = Case(yolov5.CASE.image, custom_case.CASE.sources, custom_case.CASE.results)
    world: World = scenario.ensure([case])
    place.admin.apply(*secrets(world.token, world.server.ca_file.read_text())[::2])
    return place


def test_submit_follows_a_run_until_it_finishes_with_the_rights_of_the_role_alone(submits: Place) -> None:
    answer = submits.submit("whole", {"image": yolov5.CASE.image_name}, kube=submits.kube)
    try:
        assert answer.code == 0, answer.both
        assert "whole completed" in answer.both
    finally:
        submits.admin.helm("uninstall", "whole")


def test_submit_exits_with_the_code_of_a_run_that_fails(submits: Place) -> None:
    values = {"image": yolov5.CASE.image_name, "model": {"revision": "no-such-branch"}}
    answer = submits.submit("fails", values)
    try:
        assert answer.code == 30, answer.both
        assert "no-such-branch" in answer.both
    finally:
        submits.admin.helm("uninstall", "fails")
