"""A submitter without the right to Secrets: Helm renders, kubectl creates, and every command works on the run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e import accounts
from e2e.following import trainchart
from e2e.kube import Kube, wait_for_end
from e2e.runs import Session, remove_workspaces, value_files
from e2e.scenario import ROOT
from trainchart.chart.paths import CHART

pytestmark = pytest.mark.family("without-secrets")

ACCOUNT = "without-secrets-e2e"


@pytest.fixture(scope="module")
def account(session: Session) -> Iterator[Kube]:
    admin = session.world.admin
    rules = ROOT / "deploy/submitter-without-secrets.yaml"
    try:
        kube = accounts.account(admin, ACCOUNT, rules, "create jobs.batch.volcano.sh")
        assert kube.call("kubectl", "auth", "can-i", "list", "secrets")[0] != 0
        yield kube
    finally:
        accounts.remove(admin, ACCOUNT)


def create(session: Session, kube: Kube, run: str, helm: str) -> str:
    """`helm template NAME ... | kubectl create -f -` with one of the programs; returns the name."""
    name = f"{run}-{helm}{session.id}"
    files = [word for file in value_files("custom") for word in ("-f", str(ROOT / file))]
    command = [helm, "template", name, str(CHART), *files, "-f", "-", "-n", kube.namespace, "--no-hooks"]
    manifest = kube.run(*command, text=json.dumps(session.catalog[f"without-secrets-{run}"].values))
    kube.kubectl("create", "-f", "-", text=manifest)
    return name


def left(session: Session, name: str) -> set[str]:
    kinds = "vcjob,pod,service,configmap,serviceaccount,networkpolicy,persistentvolumeclaim,secret"
    found = session.world.admin.objects(kinds, f"app.kubernetes.io/instance={name}")
    return {f"{one['kind']} {one['metadata']['name']}" for one in found if "deletionTimestamp" not in one["metadata"]}


@pytest.mark.parametrize("helm", ["helm", "helm3"])
def test_a_run_is_followed_read_and_deleted(helm: str, session: Session, account: Kube, tmp_path: Path) -> None:
    kube = account
    name = create(session, kube, "completes", helm)
    code, out, err = trainchart(kube, "wait", name, timeout=300)
    assert (code, err) == (0, ""), out + err
    assert f"{name} completed" in out
    status = json.loads(trainchart(kube, "status", name, "-o", "json")[1])
    assert status["state"] == "completed"
    assert name in {one["name"] for one in json.loads(trainchart(kube, "list", "-o", "json")[1])}
    assert "event=completed" in trainchart(kube, "logs", name, "--rank", "0")[1]
    result = json.loads(trainchart(kube, "result", name, "-o", "json")[1])
    assert result["branch"] == session.named("without-secrets{session}")
    page = tmp_path / "page.html"
    assert trainchart(kube, "report", name, "--write", str(page))[0] == 0
    assert name in page.read_text(encoding="utf-8")
    due = json.loads(trainchart(kube, "prune", "--older-than", "0s", "--dry-run", "-o", "json")[1])["removed"]
    assert name in {one["name"] for one in due}
    code, out, err = trainchart(kube, "delete", name)
    assert (code, out) == (0, f"{name} is removed\n"), err
    assert {one for one in left(session, name) if not one.startswith("Pod ")} == set()
    assert trainchart(kube, "status", name)[0] == 4
    session.world.server.delete_branch("team", "custom-trained", result["branch"])


def test_a_run_is_stopped_and_its_kept_claim_stays(session: Session, account: Kube) -> None:
    kube = account
    name = create(session, kube, "long", "helm")
    claim = f"{name}-workspace"
    try:
        code, _, err = trainchart(kube, "delete", name)
        assert code == 2
        assert "add --stop" in err
        code, out, err = trainchart(kube, "stop", name, timeout=240)
        assert code == 0, err
        assert f"{name} is stopped; `trainchart delete {name} -n {kube.namespace}` removes it" in out
        assert wait_for_end(kube, name, 30) == "Aborted"
        code, out, err = trainchart(kube, "delete", name)
        assert (code, out) == (0, f"{name} is removed; claim {claim} is kept (workspace.keep)\n"), err
        assert left(session, name) == {f"PersistentVolumeClaim {claim}"}
    finally:
        session.world.admin.call(
            "kubectl", "-n", kube.namespace, "delete", "pvc", claim, "--ignore-not-found", "--wait=false"
        )
        remove_workspaces([name])


def test_a_release_of_another_account_is_followed_and_not_taken_apart(session: Session, account: Kube) -> None:
    release = session.install_as("without-secrets-other", "custom", {"replicas": 1, "train": {"command": ["false"]}})
    try:
        release.end()
        assert json.loads(trainchart(account, "status", release.name, "-o", "json")[1])["state"] == "failed"
        code, _, err = trainchart(account, "delete", release.name)
        assert code == 6
        assert "it is a release of Helm, and this account may not list secrets" in err
        assert f"Job {release.name}" in left(session, release.name)
    finally:
        session.remove(["without-secrets-other"])
