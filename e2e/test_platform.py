"""charts/platform in a real cluster: what it refuses, and what it grants. What it installs for engines has tests of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from e2e import accounts
from e2e.cluster.steps import KUBECONFIG
from e2e.following import trainchart
from e2e.kube import Kube, poll
from e2e.scenario import ROOT, kubeconfig_of

CHART = str(ROOT / "charts/platform")
PLACE = "trainchart-platform-e2e"
HELMS = ("helm", "helm3")
SUBMITTERS = [
    {"name": "pipeline", "create": True},
    {"kind": "Group", "name": "ml-team"},
    {"kind": "User", "name": "ana@example.com", "secrets": False},
]


@pytest.fixture(scope="module")
def place() -> Iterator[Kube]:
    admin = Kube(KUBECONFIG, PLACE)
    admin.call("kubectl", "delete", "namespace", PLACE, "--ignore-not-found", timeout=300)
    accounts.namespace(admin)
    yield admin
    admin.call("helm", "uninstall", "platform", "-n", PLACE, "--ignore-not-found")
    admin.call("kubectl", "delete", "namespace", PLACE, "--wait=false")


@pytest.mark.parametrize("helm", HELMS)
@pytest.mark.parametrize("namespace", [PLACE, "trainchart-made-by-helm-e2e"])
def test_a_part_whose_api_the_cluster_lacks_is_refused_with_words(place: Kube, helm: str, namespace: str) -> None:
    # Tekton itself may be there; Triggers is never.
    wanted = "tekton.enabled=true,tekton.triggerTemplates=true"
    code, said = place.call(helm, "install", "platform", CHART, "-n", namespace, "--create-namespace", "--set", wanted)
    assert code == 1
    assert "tekton.triggerTemplates: the cluster has no triggers.tekton.dev/v1beta1/TriggerTemplate; install " in said
    assert json.loads(place.run(helm, "list", "-n", namespace, "-o", "json")) == []


@pytest.fixture(scope="module")
def granted(place: Kube) -> Kube:
    values = {"submitters": SUBMITTERS, "clusterReader": True, "prune": {"enabled": True}}
    place.helm("install", "platform", CHART, "-f", "-", text=json.dumps(values))
    return place


def may(kube: Kube, right: str, *account: str) -> bool:
    return kube.call("kubectl", "auth", "can-i", *right.split(), "-n", kube.namespace, *account)[0] == 0


@pytest.mark.parametrize(
    ("account", "secrets"),
    [
        (["--as", f"system:serviceaccount:{PLACE}:pipeline"], True),
        (["--as", "somebody", "--as-group", "ml-team"], True),
        (["--as", "ana@example.com"], False),
    ],
)
def test_every_submitter_may_submit_and_only_some_may_read_secrets(
    granted: Kube, account: list[str], secrets: bool
) -> None:
    # The API server takes a moment to know of a new binding.
    poll(lambda: may(granted, "list nodes", *account), 30, f"{account} may list nodes")
    poll(lambda: may(granted, "create jobs.batch.volcano.sh", *account), 30, f"{account} may create jobs")
    assert may(granted, "list secrets", *account) is secrets
    for right in ("create rolebindings.rbac.authorization.k8s.io", "create deployments.apps", "delete nodes"):
        assert not may(granted, right, *account)


def test_doctor_finds_all_rights_of_the_account_that_engines_run_as(granted: Kube) -> None:
    code, said, _ = trainchart(Kube(kubeconfig_of(granted, "pipeline"), PLACE), "doctor", "-o", "json")
    assert code == 0
    (rights,) = [one for one in json.loads(said)["findings"] if one["subject"] == f"rights in {PLACE}"]
    assert rights["severity"] == "ok"


@pytest.mark.parametrize("helm", HELMS)
def test_an_uninstalled_platform_leaves_nothing(granted: Kube, helm: str) -> None:
    granted.call("helm", "install", "platform", CHART, "-n", PLACE, "--set", "clusterReader=true")  # for the second
    granted.run(helm, "uninstall", "platform", "-n", PLACE)
    left = granted.kubectl("get", "role,rolebinding,cronjob,clusterrole,clusterrolebinding", "-o", "name")
    assert not [name for name in left.split() if PLACE in name or ("trainchart" in name and "cluster" not in name)]
