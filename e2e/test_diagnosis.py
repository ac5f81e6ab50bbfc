"""Why a run does not start, gets stuck or fails: `trainchart status` names the reason, whatever Volcano reports."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from e2e.cases import diagnosis
from e2e.cases.diagnosis import CLOSING_QUEUE, GONE_QUEUE, REGISTRY_PORT, SMALL_QUEUE
from e2e.following import abort, cause, chart_with, close_queue, make_queue, registry, remove_queue, status, trainchart
from e2e.kube import CommandError, Kube, poll
from e2e.node import in_node
from e2e.runs import Session, uninstall
from e2e.scenario import ROOT, kubeconfig_of

pytestmark = pytest.mark.family("diagnosis")

REGISTRY = "registry-without-images"

# run -> the cause's key, its severity, and words that it must have
CAUSES = {
    "queue-small": ("queue-too-small", "problem", ["small-", "requests cpu 300m", "may have 200m"]),
    "no-accelerator": ("no-such-resource", "problem", ["no node has nvidia.com/gpu", "requests 1"]),
    "cpu-too-large": ("above-every-node", "problem", ["requests cpu 64", "the largest node", "has 2"]),
    "no-node-matches": ("no-node-matches", "problem", ["trainchart.dev/test=there-is-none", "nodeSelector"]),
    "no-image": ("image-missing", "problem", ["there-is-none:1.0", "does not exist"]),
    "no-registry": ("registry-unreachable", "problem", ["registry.invalid/team/there-is-none:1.0"]),
    "no-pull-secret": ("pull-secret-missing", "problem", ["image pull secret there-is-none does not exist"]),
    # The chart mounts Secrets as optional: the runner names the missing one.
    "no-secret": ("secret-missing", "problem", ["Secret there-is-none does not exist", "stage verify, code 20"]),
    "no-claim": ("claim-missing", "problem", ["PersistentVolumeClaim there-is-none does not exist"]),
    "no-storage-class": ("storage-class-missing", "problem", ["StorageClass there-is-none does not exist"]),
    "out-of-memory": ("out-of-memory", "problem", ["rank 0 was killed for memory", "6Mi"]),
    "evicted": ("evicted", "problem", ["evicted", "exceeds the limit"]),
    "no-python": ("no-python", "problem", ["registry.k8s.io/pause:3.10.1", "no python3"]),
}


@pytest.fixture(scope="module")
def reader(session: Session) -> Iterator[Kube]:
    """An account with the rights of deploy/submitter.yaml and deploy/cluster-reader.yaml only."""
    admin, account = session.world.admin, "trainchart-diagnosis"
    owner = f"{admin.namespace}:{account}"
    admin.kubectl("apply", "-f", str(ROOT / "deploy" / "cluster-reader.yaml"))
    _forget(admin, account)
    admin.kubectl("create", "serviceaccount", account)
    admin.kubectl("create", "rolebinding", account, "--role", "trainchart-submitter", "--serviceaccount", owner)
    admin.kubectl(
        "create", "clusterrolebinding", account, "--clusterrole", "trainchart-reader", "--serviceaccount", owner
    )
    try:
        kube = Kube(kubeconfig_of(admin, account), admin.namespace)
        # The API server takes a moment to know of a binding.
        for right in (["get", "jobs.batch.volcano.sh"], ["list", "nodes"]):
            may = partial(kube.call, "kubectl", "auth", "can-i", *right)
            poll(lambda ask=may: ask()[0] == 0, 30, f"{account} may {' '.join(right)}")  # type: ignore[misc]
        yield kube
    finally:
        _forget(admin, account)


def _forget(admin: Kube, account: str) -> None:
    for kind in ("clusterrolebinding", "rolebinding", "serviceaccount"):
        admin.kubectl("delete", kind, account, "--ignore-not-found")


@pytest.fixture(scope="module", autouse=True)
def _what_they_need(session: Session, request: pytest.FixtureRequest) -> Iterator[None]:
    admin = session.world.admin
    named = {name for item in request.session.items for mark in item.iter_markers("runs") for name in mark.args}
    # One that takes what is left of the node comes by itself, and so does one that takes another chart.
    later = ("diagnosis-never-joins", "diagnosis-in-use")
    try:
        make_queue(admin, session.named(SMALL_QUEUE), {"cpu": "200m"})
        make_queue(admin, session.named(CLOSING_QUEUE))
        make_queue(admin, session.named(GONE_QUEUE))
        admin.apply(*registry(REGISTRY, diagnosis.CASE.image_name, REGISTRY_PORT))
        session.install_all(run for run in sorted(named) if run.startswith("diagnosis-") and run not in later)
        yield
    finally:
        made = [run for run in session.releases if run.startswith("diagnosis-")]
        uninstall(session.world.submitter, [session.releases.pop(run).name for run in made])
        admin.kubectl("delete", "pod,service", REGISTRY, "--wait=false", "--ignore-not-found")
        for queue in (SMALL_QUEUE, CLOSING_QUEUE, GONE_QUEUE):
            remove_queue(admin, session.named(queue))


@pytest.mark.parametrize("run", [pytest.param(name, marks=pytest.mark.runs(f"diagnosis-{name}")) for name in CAUSES])
def test_the_cause_is_named(session: Session, reader: Kube, run: str) -> None:
    key, severity, words = CAUSES[run]
    release = session.release(f"diagnosis-{run}")
    found = cause(reader, release.name, key)
    assert found["severity"] == severity
    for word in words:
        assert word in f"{found['text']} {found['fix']} {found['details']}"
    assert found["fix"]


@pytest.mark.runs("diagnosis-queue-closed")
def test_a_queue_that_was_closed_later_is_named(session: Session, reader: Kube) -> None:
    admin, name = session.world.admin, session.release("diagnosis-queue-closed").name
    close_queue(admin, session.named(CLOSING_QUEUE))
    found = cause(reader, name, "queue-closed")
    # Volcano calls it Closing for as long as it holds anything.
    assert f"queue {session.named(CLOSING_QUEUE)} takes no runs: its state is Clos" in found["text"]


@pytest.mark.runs("diagnosis-queue-closed")
@pytest.mark.parametrize("queue", ["there-is-none", CLOSING_QUEUE])
def test_a_release_whose_job_was_refused_is_distinguished_from_a_waiting_run(
    session: Session, reader: Kube, queue: str
) -> None:
    """Helm reports what the webhook said, and `trainchart submit` explains it."""
    admin, run = session.world.admin, "diagnosis-refused"
    if queue == CLOSING_QUEUE:
        close_queue(admin, session.named(queue))
    try:
        with pytest.raises(CommandError, match="denied the request"):
            session.install_as(run, "custom", {"queue": session.named(queue)})
        assert cause(reader, f"{run}{session.id}", "refused")["fix"].startswith("`helm status")
    finally:
        uninstall(session.world.submitter, [f"{run}{session.id}"])


@pytest.mark.runs("diagnosis-queue-gone")
def test_a_queue_that_was_removed_later_is_named(session: Session, reader: Kube) -> None:
    admin, name = session.world.admin, session.release("diagnosis-queue-gone").name
    remove_queue(admin, session.named(GONE_QUEUE))
    assert session.named(GONE_QUEUE) in cause(reader, name, "queue-missing")["text"]


@pytest.mark.runs("diagnosis-well")
def test_a_healthy_run_has_no_findings_and_costs_three_calls(session: Session, reader: Kube) -> None:
    from trainchart.cluster.connect import connect
    from trainchart.follow.status import load_status

    release = session.release("diagnosis-well")
    poll(lambda: status(reader, release.name)["stage"] == "train", 90, "it trains")
    api = connect(kubeconfig=str(reader.kubeconfig), namespace=reader.namespace)
    found = load_status(api, release.name)
    assert found.findings == ()
    assert api.calls <= 3


@pytest.mark.runs("diagnosis-in-use")
def test_a_run_that_would_fit_waits_for_others(session: Session, reader: Kube) -> None:
    release = session.release("diagnosis-in-use")
    found = cause(reader, release.name, "in-use")
    assert found["severity"] == "waiting"
    assert "cpu" in found["text"]


@pytest.mark.runs("diagnosis-stopped")
def test_a_run_that_a_user_stopped_is_not_called_failed(session: Session, reader: Kube) -> None:
    admin, release = session.world.admin, session.release("diagnosis-stopped")
    poll(lambda: status(reader, release.name)["state"] == "running", 90, "it runs")
    abort(admin, release.name)
    found = cause(reader, release.name, "stopped-by-user")
    assert found["text"] == "a user stopped it"
    assert status(reader, release.name)["state"] == "stopped"


@pytest.mark.runs("diagnosis-never-joins")
def test_a_worker_that_never_joins_is_named_while_others_wait_and_when_they_give_up(
    session: Session, reader: Kube, tmp_path: Path
) -> None:
    run = "diagnosis-never-joins"
    session.chart, chart = (
        chart_with(tmp_path, session.chart, "charts/lib/files/pod.json", '"joinSeconds": 600', '"joinSeconds": 90'),
        session.chart,
    )
    try:
        command = session.command(run, "custom")
        command[1] = str(session.chart)
        name = command[0]
        values = session.catalog[run].values
        session.world.submitter.helm("install", *command, text=json.dumps(values))
    finally:
        session.chart = chart
    frozen = poll(lambda: _container(f"{name}-train-0"), 60, "rank 0 has a container", every=0.05)
    in_node("ctr", "-n", "k8s.io", "tasks", "pause", frozen)
    try:
        waits = cause(reader, name, "waits-for-rank", 120)
        assert "rank 1 waits for rank 0" in waits["text"]
        lost = cause(reader, name, "peer-lost", 120)
        assert "rank 1" in lost["text"]
        assert "waited 90 seconds for rank 0" in lost["text"]
    finally:
        in_node("sh", "-c", f"ctr -n k8s.io tasks resume {frozen} || true")
        uninstall(session.world.submitter, [name])


def _container(pod: str) -> str:
    """The id of a pod's container that runs."""
    rule = f'labels."io.kubernetes.pod.name"=={pod},labels."io.kubernetes.container.name"==0-runner'
    found = in_node("ctr", "-n", "k8s.io", "containers", "list", "-q", rule).strip()
    tasks = in_node("ctr", "-n", "k8s.io", "tasks", "list") if found else ""
    return found if any(row.split()[0] == found and "RUNNING" in row for row in tasks.splitlines()) else ""


@pytest.mark.runs("diagnosis-cpu-too-large")
def test_without_the_right_to_see_nodes_it_says_what_was_not_checked(session: Session) -> None:
    release = session.release("diagnosis-cpu-too-large")
    code, output, errors = trainchart(session.world.submitter, "status", release.name)
    assert code == 0, errors
    assert "not checked: no permission to" in output
    assert "list nodes" in output
    assert "enough cpu (it requests cpu 64 in all)" in output


def test_a_missing_run_gives_exit_code_4_and_one_sentence(reader: Kube) -> None:
    code, output, errors = trainchart(reader, "status", "there-is-none")
    assert (code, output) == (4, "")
    assert errors.startswith("trainchart: run there-is-none not found in namespace training")
    assert len(errors.splitlines()) == 1


@pytest.mark.runs("diagnosis-no-python", "diagnosis-no-claim")
def test_watching_in_a_pipe_prints_a_line_per_change_until_the_run_finishes(session: Session, reader: Kube) -> None:
    release = session.release("diagnosis-no-python")
    release.end()
    code, output, _ = trainchart(reader, "status", release.name, "--watch")
    assert code == 0
    assert len(output.splitlines()) == 1
    assert " failed; image registry.k8s.io/pause:3.10.1 has no python3" in output


@pytest.mark.runs("diagnosis-no-claim")
def test_the_list_has_every_run_with_its_state(session: Session, reader: Kube) -> None:
    code, output, errors = trainchart(reader, "list", "--output", "json")
    assert code == 0, errors
    listed = {one["name"]: one for one in json.loads(output)}
    release = session.release("diagnosis-no-claim")
    assert listed[release.name]["state"] == "pending"
    assert listed[release.name]["family"] == "custom"
    code, output, _ = trainchart(reader, "list", "--state", "completed", "--family", "there-is-none")
    assert (code, output) == (0, "no runs of this family and state in namespace training\n")
