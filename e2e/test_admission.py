"""What the chart accepts, the API server and Volcano's webhooks accept as well."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

import pytest

from e2e.kube import Object
from e2e.scenario import World
from tests.chart.accepted import accepted, is_accepted, manifests
from tests.chart.matrix import ADMITTED
from tests.chart.pod_options import POD_OPTIONS
from tests.chart.resources import RESOURCES
from tests.chart.rules import CPU, NVIDIA, OWN, UPLOADED
from tests.chart.test_kubernetes_types import LEGAL
from tests.chart.test_pods import template
from tests.fuzz.test_hostile_texts import BASES
from trainchart.files import Tree, overlay

COUNT = 100
"""Of made-up values: some 350 objects."""

WAYS = {
    "Helm 3": (("create", "--dry-run=server", "--validate=strict", "-f", "-"), "created (server dry run)"),
    "Helm 4": (("apply", "--server-side", "--dry-run=server", "-f", "-"), "serverside-applied (server dry run)"),
}
WORTH_A_WARNING = re.compile(r"fractional byte value|a null labelSelector results in matching no pod")
"""What the API server takes and doubts, and made-up values have: 0.3 bytes, pods near to none."""

NUMBERS: Tree = {
    "resources": {"requests": {"cpu": 0.5, "memory": 2_000_000_000}, "limits": {"cpu": 8, "memory": 2e10}},
    "sharedMemory": 5e9,
    "nodeSelector": {"node-role.kubernetes.io/gpu": ""},
}
CHOSEN: list[Tree] = [
    *BASES.values(),
    *(overlay(CPU, LEGAL), overlay(CPU, NUMBERS), OWN),
    overlay(CPU, {"publish": {**UPLOADED, "secretName": "models-writer"}}),
    *(overlay(NVIDIA, option) for option in POD_OPTIONS.values()),
]


@pytest.mark.parametrize("way", WAYS)
def test_the_api_server_accepts_every_manifest_of_the_matrix(world: World, way: str) -> None:
    objects = list(manifests([cell.values for cell in ADMITTED], world.submitter.namespace))
    kinds = [found["kind"] for found in objects]
    assert kinds.count("Job") > len(ADMITTED) / 2
    assert set(kinds) >= {"Service", "ConfigMap", "ServiceAccount", "Pod", "NetworkPolicy", "ResourceClaimTemplate"}
    admitted(world, way, objects)


@pytest.fixture(scope="module")
def made_up() -> list[Tree]:
    assert all(map(is_accepted, CHOSEN))
    return [*CHOSEN, *accepted(COUNT)]


@pytest.mark.parametrize("way", WAYS)
def test_the_api_server_accepts_every_manifest_of_accepted_values(world: World, made_up: list[Tree], way: str) -> None:
    admitted(world, way, list(manifests(made_up, world.submitter.namespace)))


@pytest.mark.parametrize("way", WAYS)
def test_restricted_pod_security_admits_the_pods_of_accepted_values(
    world: World, made_up: list[Tree], way: str
) -> None:
    jobs = [found for found in manifests(made_up, world.submitter.namespace) if found["kind"] == "Job"]
    pods = [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {**template["metadata"], "name": job["metadata"]["name"]},
            "spec": template["spec"],
        }
        for job in jobs
        for template in [job["spec"]["tasks"][0]["template"]]
    ]
    assert len(pods) > COUNT / 2
    admitted(world, way, pods)


def test_the_api_server_takes_the_resources_that_the_chart_takes(world: World) -> None:
    """The table has what it takes, and the chart is held to the table without a cluster."""
    spec = template(CPU)["spec"]
    taken = {}
    for name, (requests, limits, _) in RESOURCES.items():
        (container,) = spec["containers"]
        container["resources"] = {"requests": requests, "limits": limits}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "dry"}, "spec": spec}
        in_this_cluster(pod)
        code, _ = world.submitter.call(
            *("kubectl", "-n", world.submitter.namespace, "create", "--dry-run=server", "-f", "-"), text=json.dumps(pod)
        )
        taken[name] = code == 0
    assert taken == {name: accepted for name, (_, _, accepted) in RESOURCES.items()}


def admitted(world: World, way: str, objects: Sequence[Object]) -> None:
    """All of them are accepted, sent as this Helm version sends them."""
    arguments, said = WAYS[way]
    for found in objects:
        in_this_cluster(found)
    documents = "\n---\n".join(json.dumps(found, ensure_ascii=False) for found in objects)
    output = world.submitter.kubectl(*arguments, text=documents, timeout=600)
    others = [line for line in output.splitlines() if said not in line and not WORTH_A_WARNING.search(line)]
    assert (output.count(said), others) == (len(objects), [])


def in_this_cluster(found: Object) -> None:
    """Replaces the names of objects that must exist, since a dry run creates none."""
    if found["kind"] == "Job":
        found["spec"]["queue"] = "default"
        found["spec"].pop("priorityClassName", None)
    if found["kind"] == "Pod":
        found["spec"]["serviceAccountName"] = "default"
        found["spec"].pop("runtimeClassName", None)
