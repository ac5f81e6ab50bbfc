"""Without a helm program: `trainchart` installs releases that both programs list, refuse to change and uninstall, and removes theirs."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from e2e import scenario
from e2e.cluster.steps import KUBECONFIG
from e2e.following import chart_with, close_queue, make_queue
from e2e.kube import CommandError, Kube, poll
from e2e.scenario import CA_BUNDLE, ROOT, SECRET

PLACE = "trainchart-engine"
ACCOUNT = "engine-submits"
CLOSED = f"{PLACE}-closed"
CHART = str(ROOT / "charts/train")
VALUES = [str(ROOT / file) for file in ("values/custom.yaml", "values/accelerators/cpu.yaml", "e2e/values/custom.yaml")]
FILES = [word for file in VALUES for word in ("-f", file)]
# Ends soon: no git, no trainer. What the runs do does not matter here.
SHORT = ["--set", "image=registry.k8s.io/pause:3.10.1"]
OBJECTS = "vcjob,configmap,service,serviceaccount,networkpolicy,persistentvolumeclaim"

both_helms = pytest.mark.parametrize("helm", ["helm", "helm3"])


@pytest.fixture(scope="module")
def kube() -> Iterator[Kube]:
    """A namespace, and an account with the rights of deploy/submitter.yaml."""
    admin = Kube(KUBECONFIG, PLACE)
    remove(admin)
    admin.kubectl("create", "namespace", PLACE)
    try:
        admin.kubectl("apply", "-f", str(ROOT / "deploy/submitter.yaml"))
        admin.kubectl("create", "serviceaccount", ACCOUNT)
        admin.kubectl(
            *f"create rolebinding {ACCOUNT} --role trainchart-submitter --serviceaccount {PLACE}:{ACCOUNT}".split()
        )
        admin.apply(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": SECRET},
                "stringData": {"GIT_USER": "a", "GIT_TOKEN": "b"},
            },
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": CA_BUNDLE},
                "data": {"ca.crt": (ROOT / "tests/data/ca.crt").read_text(encoding="ascii")},
            },
        )
        make_queue(admin, CLOSED)
        close_queue(admin, CLOSED)
        account = Kube(scenario.kubeconfig_of(admin, ACCOUNT), PLACE)
        may = ("kubectl", "auth", "can-i", "create", "secrets")
        poll(lambda: account.call(*may)[0] == 0, 30, "the account may create secrets")
        yield account
    finally:
        remove(admin)


def remove(admin: Kube) -> None:
    admin.call("kubectl", "delete", "namespace", PLACE, "--ignore-not-found", timeout=180)
    admin.call("kubectl", "delete", "queue", CLOSED, "--ignore-not-found")


def started(kube: Kube, *arguments: str) -> subprocess.Popen[str]:
    """`trainchart` where no program is on PATH."""
    return subprocess.Popen(
        [sys.executable, "-m", "trainchart", *arguments, "-n", PLACE],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**kube.environment(), "PYTHONPATH": str(ROOT / "tools"), "PATH": ""},
    )


def trainchart(kube: Kube, *arguments: str) -> tuple[int, str, str]:
    process = started(kube, *arguments)
    out, err = process.communicate(timeout=120)
    assert "Traceback" not in err, err
    return process.returncode, out, err


def submit(kube: Kube, name: str, *more: str) -> tuple[int, str, str]:
    return trainchart(kube, "submit", name, *FILES, *SHORT, "--no-doctor", "--no-wait", *more)


def own_words(err: str) -> list[str]:
    """What is on the standard error but the warning of `validate` about the workspace, and its summary."""
    return [line for line in err.splitlines() if ": warning: workspace.type:" not in line and "valid: " not in line]


def left(kube: Kube, name: str) -> list[str]:
    """What there is of a release, and of the release itself."""
    selector = f"app.kubernetes.io/instance={name}"
    found = kube.objects(OBJECTS, selector) + kube.objects("secret", f"owner=helm,name={name}")
    return [f"{one['kind']}/{one['metadata']['name']}" for one in found]


def versions(kube: Kube, name: str) -> dict[str, str]:
    """The versions of the release's objects: of the Job, whose status changes by itself, that of its specification."""
    labels = f"app.kubernetes.io/instance={name}"
    found = {
        f"{one['kind']}/{one['metadata']['name']}": one["metadata"]["resourceVersion"]
        for one in kube.objects("configmap,service,serviceaccount,networkpolicy", labels)
    }
    (job,) = kube.objects("vcjob", labels)
    return {**found, "Job": str(job["metadata"]["generation"])}


@contextmanager
def removed_after(kube: Kube, name: str, helm: str = "helm") -> Iterator[None]:
    try:
        yield
    finally:
        kube.call(helm, "uninstall", name, "--ignore-not-found")


@both_helms
def test_a_release_of_this_process_is_one_of_helm(kube: Kube, helm: str, tmp_path: Path) -> None:
    name = f"own-{helm}"
    with removed_after(kube, name):
        code, notes, err = submit(kube, name)
        assert code == 0, err
        assert own_words(err) == []
        assert f"helm test {name}" in notes
        listed = json.loads(kube.run(helm, "list", "-o", "json", "--filter", f"^{name}$"))
        assert [(one["name"], one["status"], one["revision"]) for one in listed] == [(name, "deployed", "1")]
        values = kube.run(helm, "get", "values", name, "-o", "json")
        assert json.loads(values)["image"] == SHORT[1].partition("=")[2]

        before = versions(kube, name)
        kube.run(helm, "upgrade", name, CHART, "-f", "-", text=values)
        assert versions(kube, name) == before, "the same values change nothing"
        with pytest.raises(CommandError, match="nothing was sent"):
            kube.run(helm, "upgrade", name, CHART, "-f", "-", "--set", "replicas=2", text=values)
        assert versions(kube, name) == before

        # What may change: here, the version of the chart that renders the same run.
        newer = chart_with(tmp_path, ROOT / "charts/train", "Chart.yaml", "\nversion: ", "\nversion: 9")
        kube.run(helm, "upgrade", name, str(newer), "-f", "-", text=values)
        (job,) = kube.objects("vcjob", f"app.kubernetes.io/instance={name}")
        assert job["metadata"]["labels"]["helm.sh/chart"].startswith("train-9")

        kube.run(helm, "uninstall", name)
        poll(lambda: not left(kube, name), 60, "nothing is left")


@both_helms
def test_a_release_of_a_program_is_removed_by_this_process(kube: Kube, helm: str) -> None:
    name = f"other-{helm}"
    with removed_after(kube, name):
        kube.run(helm, "install", name, CHART, *FILES, *SHORT)
        code, _, err = trainchart(kube, "delete", name, "--stop")
        assert code == 0, err
        poll(lambda: not left(kube, name), 60, "nothing is left")


def test_a_refused_installation_is_explained_and_removed(kube: Kube) -> None:
    code, _, err = submit(kube, "refused", "--set", f"queue={CLOSED}")
    assert code == 2
    assert f"refused is not installed: queue {CLOSED} takes no runs: its state is Closed" in err
    assert "(what Helm created was removed)" in err
    assert len(own_words(err)) == 1, "nothing of the library comes between"
    poll(lambda: not left(kube, "refused"), 60, "nothing is left")


def test_a_name_in_use_is_not_taken_and_a_dry_run_creates_nothing(kube: Kube) -> None:
    assert submit(kube, "dry", "--dry-run")[0] == 0
    assert left(kube, "dry") == []
    with removed_after(kube, "taken"):
        assert submit(kube, "taken")[0] == 0
        code, _, err = submit(kube, "taken")
        assert code == 2
        assert "a release of this name exists already" in err
        assert left(kube, "taken")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_the_installation_leaves_nothing(kube: Kube, number: signal.Signals) -> None:
    name = f"cut-{number.name.lower()}"
    watch = [
        "kubectl",
        "get",
        "secret",
        "--watch",
        "-o",
        "name",
        "-l",
        f"owner=helm,name={name}",
        "--request-timeout=60s",
    ]
    with subprocess.Popen(watch, stdout=subprocess.PIPE, text=True, env=kube.environment()) as secrets:
        process = started(kube, "submit", name, *FILES, *SHORT, "--no-doctor", "--no-wait")
        try:
            assert secrets.stdout
            assert secrets.stdout.readline(), "Helm has written the release, before its objects"
            process.send_signal(number)
            _, err = process.communicate(timeout=60)
        finally:
            secrets.kill()
            process.kill()
    assert process.returncode == 130, err
    assert f"{name} is not installed: it was interrupted (what Helm created was removed)" in err
    poll(lambda: not left(kube, name), 60, "nothing is left")


def test_arguments_for_a_program_are_refused_without_one(kube: Kube) -> None:
    code, _, err = submit(kube, "words", "--", "--description", "by hand")
    assert code == 2
    assert "add --helm helm, or leave them out" in err
    assert left(kube, "words") == []
