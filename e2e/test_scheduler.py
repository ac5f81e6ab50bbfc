"""A scheduler of the devices' own places the one pod of a run; Volcano lets the run in, and ends it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from e2e import following
from e2e.cases.scheduler import DEVICE, DEVICES, NAME, PROFILE, UNLISTED
from e2e.cluster import kind
from e2e.kube import CommandError, Kube, Object
from e2e.runs import Session
from e2e.scenario import ROOT
from trainchart.chart.families import profile_data

SYSTEM = "kube-system"
FILES = ["values/custom.yaml", "values/accelerators/hami.yaml", "e2e/values/custom.yaml"]

pytestmark = [pytest.mark.family("scheduler"), pytest.mark.usefixtures("device")]


@pytest.fixture(scope="module")
def device(session: Session) -> Iterator[None]:
    """A node that lists one device, as a device plugin would have it."""
    admin, system = session.world.admin, Kube(session.world.admin.kubeconfig, SYSTEM)
    _offer(admin, "1")
    try:
        yield
    finally:
        session.remove([run for run in session.releases if run.startswith("scheduler-")])
        system.kubectl(
            "delete", "deployment,configmap,serviceaccount,rolebinding,clusterrolebinding", "-l", f"app={NAME}"
        )
        _offer(admin, None)


def _offer(admin: Kube, amount: str | None) -> None:
    patch = json.dumps({"status": {"capacity": {DEVICE: amount}, "allocatable": {DEVICE: amount}}})
    admin.kubectl("patch", "node", kind.NODE, "--subresource=status", "--type=merge", "-p", patch)


def test_one_pod_is_placed_by_the_scheduler_of_its_devices_and_a_missing_one_is_told(session: Session) -> None:
    admin, system = session.world.admin, Kube(session.world.admin.kubeconfig, SYSTEM)
    assert _doctor(admin)["key"] == "scheduler-missing"

    release = session.release("scheduler-one")
    missing = following.cause(admin, release.name, "scheduler-missing")
    assert missing["severity"] == "problem"
    assert missing["text"].startswith(f"scheduler {NAME} has said nothing about pod {release.name}-train-0")

    system.apply(*_scheduler(system))
    system.kubectl("rollout", "status", f"deployment/{NAME}", "--timeout=120s")
    assert release.end() == "Completed", release.log()
    pod = release.pod()
    assert pod["spec"]["schedulerName"] == NAME
    limits = pod["spec"]["containers"][0]["resources"]["limits"]
    assert {DEVICE, *UNLISTED} <= limits.keys()
    placed = admin.objects("events", fields=f"involvedObject.name={pod['metadata']['name']},reason=Scheduled")
    assert {event.get("reportingComponent") or event["source"]["component"] for event in placed} == {NAME}
    assert release.result()["branch"] == session.named("scheduled{session}")

    assert _doctor(admin)["key"] == "ok"
    listed = _finding(admin, "accelerator")
    assert listed["severity"] == "ok", listed


def test_the_stand_in_requests_what_the_profile_requests() -> None:
    data = profile_data("hami")
    assert data["scheduler"]["name"] == NAME
    for key, resource in PROFILE["resources"].items():
        assert resource.items() <= data["resources"][key].items()


def test_a_gang_is_refused_with_what_to_use_for_it(session: Session) -> None:
    with pytest.raises(CommandError) as refused:
        session.install_as("scheduler-gang", "custom", {"accelerator": {"profile": "hami", **DEVICES}, "replicas": 2})
    assert f"replicas: is 2, but {NAME}, the scheduler of profile hami, places each pod alone" in refused.value.output
    assert "volcano-vgpu" in refused.value.output


def _doctor(admin: Kube) -> Object:
    return _finding(admin, f"scheduler {NAME}")


def _finding(admin: Kube, subject: str) -> Object:
    files = [word for file in FILES for word in ("-f", str(ROOT / file))]
    _, output, errors = following.trainchart(admin, "doctor", *files, "--name", "scheduler-asked", "--output", "json")
    findings = {finding["subject"]: finding for finding in json.loads(output)["findings"]}
    assert subject in findings, (errors, findings)
    found: Object = findings[subject]
    return found


def _scheduler(system: Kube) -> list[Object]:
    """The cluster's own kube-scheduler once more, under another name.

    Like HAMi's, it passes over the resources that only its extender knows.
    """
    (own,) = system.objects("pods", "component=kube-scheduler")
    labels = {"app": NAME}
    metadata = {"name": NAME, "namespace": SYSTEM, "labels": labels}
    fit = {"name": "NodeResourcesFit", "args": {"ignoredResources": UNLISTED}}
    configuration = {
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "leaderElection": {"leaderElect": False},
        "profiles": [{"schedulerName": NAME, "pluginConfig": [fit]}],
    }
    container = {
        "name": "kube-scheduler",
        "image": own["spec"]["containers"][0]["image"],
        "command": ["kube-scheduler", "--config=/etc/scheduler/config.json"],
        "volumeMounts": [{"name": "config", "mountPath": "/etc/scheduler"}],
    }
    pod = {
        "serviceAccountName": NAME,
        "containers": [container],
        "tolerations": [{"operator": "Exists"}],
        "volumes": [{"name": "config", "configMap": {"name": NAME}}],
    }
    subjects = [{"kind": "ServiceAccount", "name": NAME, "namespace": SYSTEM}]

    def binding(name: str, role: str, kind: str = "ClusterRole") -> Object:
        return {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": f"{kind}Binding",
            "metadata": {**metadata, "name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
            "subjects": subjects,
        }

    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
        binding(NAME, "system:kube-scheduler"),
        binding(f"{NAME}-volumes", "system:volume-scheduler"),
        binding(NAME, "extension-apiserver-authentication-reader", "Role"),
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata,
            "data": {"config.json": json.dumps(configuration)},
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata,
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        },
    ]
