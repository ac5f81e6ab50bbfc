"""What a cluster asks of a pod: labels and annotations, resources, runtime, service account."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.chart.accepted import is_accepted
from tests.chart.pod_options import POD_OPTIONS
from tests.chart.resources import RESOURCES
from tests.chart.rules import CPU, NVIDIA, OURS
from tests.chart.schemas import check_object
from tests.chart.test_kubernetes_types import DEFINITIONS
from tests.values.test_parity import SCHEMA
from trainchart.chart.render import render
from trainchart.files import Tree, overlay

MESHES = {"sidecar.istio.io/inject": "false", "linkerd.io/inject": "disabled"}
NONE = {"requests": {"cpu": "", "memory": ""}, "limits": {"cpu": "", "memory": ""}}


def template(values: Tree) -> dict[str, Any]:
    """The pod template of the gang."""
    (job,) = [manifest for manifest in render(values) if manifest["kind"] == "Job"]
    found: dict[str, Any] = job["spec"]["tasks"][0]["template"]
    return found


def test_pods_have_the_user_s_labels_and_annotations_beside_the_run_s_and_no_sidecar_is_injected() -> None:
    values = overlay(NVIDIA, {"podLabels": {"team": "vision"}, "podAnnotations": {"example.com/a": "1\n'2'"}})
    (check,) = [manifest for manifest in render(values) if manifest["kind"] == "Pod"]
    for metadata in (template(values)["metadata"], check["metadata"]):
        own = {"app.kubernetes.io/name": "train", "app.kubernetes.io/instance": "run-42"}
        assert metadata["labels"].items() >= {**own, "team": "vision", "sidecar.istio.io/inject": "false"}.items()
        assert metadata["annotations"].items() >= {**MESHES, "example.com/a": "1\n'2'"}.items()
    assert check["metadata"]["annotations"]["helm.sh/hook"] == "test"


def test_where_sidecars_are_allowed_nothing_keeps_a_mesh_from_injecting_them() -> None:
    metadata = template(overlay(NVIDIA, {"sidecars": "allow"}))["metadata"]
    assert not (metadata["labels"] | metadata["annotations"]).keys() & MESHES.keys()


def test_allowed_sidecars_start_before_the_run_and_let_it_end_them_unless_the_user_wants_otherwise() -> None:
    allowed = overlay(NVIDIA, {"sidecars": "allow"})
    assert template(allowed)["metadata"]["annotations"] == {
        "proxy.istio.io/config": '{"holdApplicationUntilProxyStarts":true}',
        "config.linkerd.io/proxy-admin-shutdown": "enabled",
        "kubectl.kubernetes.io/default-container": template(allowed)["spec"]["containers"][0]["name"],
    }
    own = {"config.linkerd.io/proxy-admin-shutdown": "disabled"}
    assert template(overlay(allowed, {"podAnnotations": own}))["metadata"]["annotations"].items() >= own.items()
    programs = [
        {*each["data"]} for values in (NVIDIA, allowed) for each in render(values) if each["kind"] == "ConfigMap"
    ]
    assert programs[1] - programs[0] == {"features.sidecars.__init__.py"}


def test_the_container_of_the_run_is_the_first_by_name_whatever_is_injected() -> None:
    """Volcano takes a pod's exit code from the first container status, and the kubelet sorts them by name."""
    (check,) = [manifest for manifest in render(NVIDIA) if manifest["kind"] == "Pod"]
    for spec in (template(NVIDIA)["spec"], check["spec"]):
        (container,) = spec["containers"]
        assert container["name"] < min("1", "aaa", "istio-proxy")


def test_what_the_user_sets_replaces_what_the_profile_has() -> None:
    profile = {
        **OURS,
        "annotations": {"example.com/mode": "a", "example.com/policy": "b"},
        "runtimeClassName": "vendor",
    }
    base = overlay(NVIDIA, {"accelerator": {"profile": "ours", "profiles": {"ours": profile}}})
    assert template(base)["spec"]["runtimeClassName"] == "vendor"
    found = template(overlay(base, {"podAnnotations": {"example.com/mode": "c"}, "runtimeClassName": "kata"}))
    assert found["metadata"]["annotations"] == {"example.com/mode": "c", "example.com/policy": "b", **MESHES}
    assert found["spec"]["runtimeClassName"] == "kata"


def test_resources_of_any_name_stand_beside_the_accelerator_s() -> None:
    more = {"limits": {"rdma/hca": 1, "vpc.amazonaws.com/efa": "4", "hugepages-2Mi": "1Gi", "example.com/none": ""}}
    resources = template(overlay(NVIDIA, {"resources": more}))["spec"]["containers"][0]["resources"]
    wanted = {"nvidia.com/gpu": "1", "rdma/hca": "1", "vpc.amazonaws.com/efa": "4", "hugepages-2Mi": "1Gi"}
    assert resources["limits"].items() >= wanted.items()
    assert "example.com/none" not in resources["limits"]


@pytest.mark.parametrize("option", POD_OPTIONS)
def test_every_option_of_a_pod_renders_objects_of_the_published_shapes(option: str) -> None:
    for manifest in render(overlay(NVIDIA, POD_OPTIONS[option])):
        check_object(manifest)


@pytest.mark.parametrize(
    ("name", "locks"),
    [
        *[(name, True) for name in ("rdma/hca_shared", "vpc.amazonaws.com/efa", "aliyun/erdma", "mellanox.com/ib")],
        *[(name, False) for name in ("hugepages-2Mi", "example.com/efast", "example.com/library")],
    ],
)
def test_a_device_for_rdma_is_known_by_the_name_of_its_resource(name: str, locks: bool) -> None:
    values = overlay(NVIDIA, {"resources": {"limits": {name: "1Gi" if name.startswith("huge") else "1"}}})
    (run,) = [manifest for manifest in render(values) if manifest["kind"] == "ConfigMap"]
    assert json.loads(run["data"]["settings.json"])["run"]["rdma"] is locks
    assert ("features.rdma.__init__.py" in run["data"]) is locks


@pytest.mark.parametrize(("requests", "limits", "accepted"), RESOURCES.values(), ids=RESOURCES)
def test_resources_are_accepted_where_kubernetes_accepts_them(requests: Tree, limits: Tree, accepted: bool) -> None:
    base = overlay(CPU, {"resources": NONE, "workspace": {"type": "newClaim"}})
    assert is_accepted(overlay(base, {"resources": {"requests": requests, "limits": limits}})) is accepted


def test_a_claim_that_a_pod_also_writes_to_is_read_only_in_its_mounts_alone() -> None:
    """Else the kubelet mounts all of it read-only: the workspace beside the dataset on one claim."""
    dataset = {"type": "claim", "repository": "", "revision": "", "claimName": "data", "subPath": "coco"}
    further = {"name": "further", "claimName": "base", "mountPath": "/mnt/base", "readOnly": True}

    def read_only(**values: Any) -> dict[str, Any]:
        spec = template(overlay(CPU, {"dataset": dataset, "volumes": [further], **values}))["spec"]
        mounts = {mount["name"]: mount.get("readOnly") for mount in spec["containers"][0]["volumeMounts"]}
        assert mounts["dataset"] is mounts["volume-further"] is True
        claims = {volume["name"]: volume.get("persistentVolumeClaim", {}) for volume in spec["volumes"]}
        return {name: claims[name].get("readOnly") for name in ("dataset", "volume-further")}

    on_the_claim = {"type": "existingClaim", "claimName": "data", "accessMode": "ReadWriteMany"}
    assert read_only() == {"dataset": True, "volume-further": True}
    assert read_only(workspace=on_the_claim) == {"dataset": None, "volume-further": True}
    assert read_only(cache={"claimName": "base"}) == {"dataset": True, "volume-further": None}
    assert read_only(cache={"claimName": "base", "readOnly": True}) == {"dataset": True, "volume-further": True}


def test_a_token_is_mounted_only_where_it_is_asked_for() -> None:
    assert template(CPU)["spec"]["automountServiceAccountToken"] is False
    own = template(overlay(CPU, {"serviceAccount": {"name": "trainer", "automount": True}}))["spec"]
    assert (own["serviceAccountName"], own["automountServiceAccountToken"]) == ("trainer", True)


def test_the_pods_of_the_gang_are_spread_and_no_other() -> None:
    constraint = {"topologyKey": "zone", "maxSkew": 2, "minDomains": 3, "nodeTaintsPolicy": "Honor"}
    spec = template(overlay(NVIDIA, {"topologySpread": [constraint, {"topologyKey": "kubernetes.io/hostname"}]}))[
        "spec"
    ]
    own = {"labelSelector": {"matchLabels": {"volcano.sh/job-name": "run-42"}}, "whenUnsatisfiable": "DoNotSchedule"}
    assert spec["topologySpreadConstraints"] == [
        {**constraint, **own},
        {"topologyKey": "kubernetes.io/hostname", "maxSkew": 1, **own},
    ]
    assert "topologySpreadConstraints" not in template(NVIDIA)["spec"]


def test_a_constraint_has_the_fields_that_kubernetes_has_but_for_its_pods() -> None:
    published = DEFINITIONS["io.k8s.api.core.v1.TopologySpreadConstraint"]["properties"]
    assert {*SCHEMA["$defs"]["TopologySpread"]["properties"], "labelSelector", "matchLabelKeys"} == {*published}


@pytest.mark.parametrize(
    "topology",
    [{"mode": "hard", "highestTierAllowed": 1}, {"mode": "hard", "highestTierName": "rack"}, {"mode": "soft"}],
)
def test_the_job_has_the_network_topology(topology: Tree) -> None:
    (job,) = [
        manifest for manifest in render(overlay(NVIDIA, {"networkTopology": topology})) if manifest["kind"] == "Job"
    ]
    assert job["spec"]["networkTopology"] == topology


def test_without_a_mode_the_job_has_no_network_topology() -> None:
    (job,) = [manifest for manifest in render(NVIDIA) if manifest["kind"] == "Job"]
    assert "networkTopology" not in job["spec"]
