"""Two hundred finished releases are pruned by the account of the CronJob, and nothing else is."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from e2e import accounts
from e2e.cluster.steps import KUBECONFIG
from e2e.following import make_queue, remove_queue, trainchart
from e2e.kube import Kube, phase, poll
from e2e.scenario import ROOT
from trainchart.chart.paths import CHART
from trainchart.cluster import kinds
from trainchart.cluster.connect import connect

pytestmark = pytest.mark.family("prune")

PLACE = "trainchart-prune-e2e"
FINISHED = 200
LONG_AGO = "2026-01-02T03:04:05Z"
VALUES = [
    word
    for file in ("values/custom.yaml", "values/accelerators/cpu.yaml", "e2e/values/custom.yaml")
    for word in ("-f", str(ROOT / file))
]
# Every seventh has failed.
FAILED = {f"old-{number:03}" for number in range(0, FINISHED, 7)}
OLD = {f"old-{number:03}" for number in range(FINISHED)}
KEPT = "old-kept"
STAY = {"pending", "new"}


@dataclass(frozen=True)
class Place:
    admin: Kube
    pruner: Kube

    def releases(self) -> set[str]:
        return {release["name"] for release in json.loads(self.admin.helm("list", "--max", "1000", "-o", "json"))}

    def prune(self, *arguments: str) -> tuple[Any, float]:
        """What it reports, and the seconds that it took."""
        began = time.monotonic()
        code, out, err = trainchart(self.pruner, "prune", "-o", "json", *arguments, timeout=900)
        assert (code, err) == (0, ""), err
        return json.loads(out), time.monotonic() - began


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    admin = Kube(KUBECONFIG, PLACE)
    everywhere = Kube(KUBECONFIG, "default")
    admin.call("kubectl", "delete", "namespace", PLACE, "--ignore-not-found", timeout=300)
    accounts.namespace(admin)
    # No room at all: Volcano makes no pods for them.
    make_queue(everywhere, PLACE, {"cpu": "1m"})
    try:
        pruner = accounts.account(
            admin, "prune-e2e", CHART.parent / "platform/files/rights/prune.yaml", "delete secrets"
        )
        other = _other_chart(tmp_path_factory.mktemp("other"))
        admin.helm("install", "other", str(other))
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda name: _install(admin, name), sorted(OLD | STAY)))
        _install(admin, KEPT, {"workspace": {"type": "newClaim", "size": "1Mi", "keep": True}})
        poll(lambda: len(admin.objects("vcjob")) == FINISHED + len(STAY) + 1, 60, "all Jobs exist")
        poll(lambda: all(map(phase, admin.objects("vcjob"))), 60, "Volcano has seen them all")
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda name: _finish(name, LONG_AGO), sorted(OLD | {KEPT})))
        _finish("new", f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%SZ}")
        yield Place(admin, pruner)
    finally:
        admin.call("kubectl", "delete", "namespace", PLACE, "--wait=false")
        poll(lambda: admin.call("kubectl", "get", "namespace", PLACE)[0] != 0, 300, "the namespace is gone", every=2)
        remove_queue(everywhere, PLACE)


def _install(admin: Kube, name: str, values: Any = None) -> None:
    text = json.dumps({"queue": PLACE, **(values or {})})
    admin.helm("install", name, str(CHART), *VALUES, "-f", "-", text=text, timeout=300)


def _finish(name: str, at: str) -> None:
    """Say in the status of its Job that it has finished: training two hundred runs would take hours."""
    state = {"phase": "Failed" if name in FAILED else "Completed", "lastTransitionTime": at}
    api = connect(kubeconfig=str(KUBECONFIG), namespace=PLACE)
    api.patch(kinds.JOBS, f"{name}/status", {"status": {"state": state, "minAvailable": 1}})


def _other_chart(folder: Path) -> Path:
    (folder / "templates").mkdir()
    (folder / "Chart.yaml").write_text("apiVersion: v2\nname: other\nversion: 1.0.0\n")
    labels = "labels: {app.kubernetes.io/instance: other}"
    config = f"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: other\n  {labels}\n"
    (folder / "templates" / "config.yaml").write_text(config)
    return folder


def stored(admin: Kube) -> str:
    """How much Helm keeps in the namespace, and the size of etcd's file, for the report."""
    secrets = admin.objects("secrets", "owner=helm")
    held = sum(len(base64.b64decode(secret["data"]["release"])) for secret in secrets)
    metrics = admin.run("kubectl", "get", "--raw", "/metrics")
    etcd = re.search(r"^apiserver_storage_size_bytes\S* (\S+)$", metrics, re.MULTILINE)
    size = f", etcd {float(etcd[1]) / 1e6:.0f} MB" if etcd else ""
    return f"{len(secrets)} Secrets of Helm with {held / 1e6:.1f} MB{size}"


def test_a_dry_run_names_what_is_due_and_removes_nothing(place: Place) -> None:
    before = place.releases()
    report, _ = place.prune("--dry-run")
    assert {one["name"] for one in report["removed"]} == OLD | {KEPT}
    assert place.releases() == before == OLD | STAY | {KEPT, "other"}


def test_failed_runs_stay_if_they_are_to_be_kept(place: Place) -> None:
    print("before:", stored(place.admin))
    report, seconds = place.prune("--keep-failed")
    print(f"{len(report['removed'])} releases in {seconds:.0f} s;", stored(place.admin))
    assert {one["name"] for one in report["removed"]} == OLD - FAILED | {KEPT}
    assert report["failed"] == []
    assert place.releases() == FAILED | STAY | {"other"}


def test_the_rest_is_pruned_and_only_what_must_stay_stays(place: Place) -> None:
    report, seconds = place.prune()
    print(f"{len(report['removed'])} releases in {seconds:.0f} s;", stored(place.admin))
    assert {one["name"] for one in report["removed"]} == FAILED
    assert place.releases() == STAY | {"other"}
    for kind in ("vcjob", "configmap", "service", "serviceaccount", "networkpolicy"):
        ours = place.admin.objects(kind, "app.kubernetes.io/part-of=trainchart")
        assert {one["metadata"]["labels"]["app.kubernetes.io/instance"] for one in ours} == STAY, kind
    claims = {claim["metadata"]["name"] for claim in place.admin.objects("pvc")}
    assert claims == {f"{KEPT}-workspace"}, "it is kept"
    assert place.prune()[0]["removed"] == []


def test_what_runs_now_stays_even_if_everything_that_has_finished_goes(place: Place) -> None:
    report, _ = place.prune("--older-than", "0s")
    assert [one["name"] for one in report["removed"]] == ["new"]
    assert place.releases() == {"pending", "other"}


def test_a_run_that_has_not_finished_is_stopped_and_deleted_on_request(place: Place) -> None:
    """By an administrator: the account of the CronJob may not stop runs."""
    code, _, err = trainchart(place.admin, "delete", "pending")
    assert code == 2
    assert "add --stop to stop it first" in err
    code, out, err = trainchart(place.admin, "delete", "pending", "--stop", timeout=240)
    assert (code, out) == (0, "pending is removed\n"), err
    assert place.releases() == {"other"}
    assert trainchart(place.admin, "delete", "pending")[0] == 4
    assert trainchart(place.admin, "delete", "pending", "--ignore-not-found")[0] == 0
    assert trainchart(place.admin, "delete", "other")[0] == 4, "it is no run"
