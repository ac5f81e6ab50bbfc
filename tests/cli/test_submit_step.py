"""`trainchart submit` as a step of a pipeline: a real process with real signals, a fake helm and a fake API server."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.checks.cluster import ROOT, stocked
from tests.fakes.api import FakeApi
from tests.fakes.runs import templates_of_helm
from tests.fakes.server import serving
from trainchart.cli import main as cli
from trainchart.cli import submit as command
from trainchart.cli.outputs import KNOWN, Outputs, format_metrics
from trainchart.cluster import kinds
from trainchart.cluster.errors import ForbiddenError, NotFoundError, RefusedError, UnreachableError
from trainchart.cluster.fields import Object, text
from trainchart.cluster.kinds import Kind
from trainchart.errors import UsageError
from trainchart.install.names import generate_name

NAME, UID = "run-42", "5f0c-job"
OWNER = ("tekton.dev/v1", "PipelineRun", "nightly", "5f0c-owner")
REFERENCE = dict(zip(("apiVersion", "kind", "name", "uid"), OWNER, strict=True))
FILES = [
    word
    for file in ("values/custom.yaml", "values/accelerators/cpu.yaml", "e2e/values/custom.yaml")
    for word in ("-f", str(ROOT / file))
]
# Installs a release as helm does: its Secret, the run's settings, the Job, and at last the Secret's new status. After the first it
# waits while the file `slow` exists.
HELM = """\
import json, os, pathlib, sys, time, urllib.request
command, name, *words = sys.argv[1:]
option = lambda key: words[words.index(key) + 1]
folder = pathlib.Path(__file__).parent
server = next(line.split("'")[1] for line in open(option("--kubeconfig")) if "server:" in line)
core, volcano = f"{server}/api/v1/namespaces/training", f"{server}/apis/batch.volcano.sh/v1alpha1/namespaces/training"
secret = f"sh.helm.release.v1.{name}.v1"

def send(method, path, body=None):
    urllib.request.urlopen(urllib.request.Request(path, json.dumps(body or {}).encode(), method=method)).read()

(folder / "pid").write_text(str(os.getpid()))
with open(folder / "calls", "a") as log:
    print(command, name, file=log)
if command == "uninstall":
    for path in (f"{volcano}/jobs/{name}", f"{core}/configmaps/{name}-run", f"{core}/secrets/{secret}"):
        send("DELETE", path)
    sys.exit()
values = json.loads(sys.stdin.read())
owners = [values["owner"]] if values.get("owner") else []
labels = dict(label.split("=") for label in option("--labels").split(","))
labels |= {"owner": "helm", "name": name, "version": "1", "status": "pending-install"}
send("POST", f"{core}/secrets", {"metadata": {"name": secret, "labels": labels}})
while (folder / "slow").exists():
    time.sleep(0.02)
metadata = {"labels": {"trainchart.dev/family": "custom"}, "ownerReferences": owners}
send("POST", f"{core}/configmaps", {"metadata": {"name": f"{name}-run", **metadata}, "data": {"settings.json": "{}"}})
task = {"name": "train", "replicas": 1, "template": {"spec": {"containers": [{"name": "train", "image": "a/b:1"}]}}}
send("POST", f"{volcano}/jobs", {"metadata": {"name": name, **metadata}, "spec": {"maxRetry": 1, "tasks": [task]}})
send("PATCH", f"{core}/secrets/{secret}", {"metadata": {"labels": {"status": "deployed"}}})
print("NOTES: made")
"""


class Volcano(FakeApi):
    """A cluster that starts a run at once, and stops it at once."""

    def __init__(self) -> None:
        super().__init__()
        self.answers = threading.Event()
        self.answers.set()
        self.patchable = [kinds.JOBS, kinds.SECRETS]
        self.outages: set[str] = set()
        """Calls that the server cannot serve the first time."""

    def fails_once(self, call: str) -> None:
        if call in self.outages:
            self.outages.remove(call)
            raise UnreachableError("etcdserver: request timed out")

    def get(self, kind: Kind, name: str) -> Object | None:
        self.fails_once(f"get {kind}")
        return super().get(kind, name)

    def patch(self, kind: Kind, name: str, change: Object) -> Object:
        is_ours = "ownerReferences" in change["metadata"]  # those of the fake helm pass
        if is_ours:
            self.fails_once(f"patch {kind}")
        if is_ours and kind not in self.patchable:
            raise ForbiddenError(f"no permission to patch {kind}")
        return super().patch(kind, name, change)

    def raw(self, path: str) -> Object:
        self.calls += 1
        self.fails_once(path)
        if "tekton.dev" not in path:
            return super().raw(path)
        if "get pipelineruns" in self.forbidden and path.endswith("/nightly"):
            raise ForbiddenError("no permission to get pipelineruns")
        found: Object = {
            "/apis/tekton.dev/v1": {"resources": [{"name": "pipelineruns", "kind": "PipelineRun", "namespaced": True}]},
            f"/apis/tekton.dev/v1/namespaces/{self.namespace}/pipelineruns/nightly": {"metadata": {"uid": OWNER[3]}},
        }
        if path not in found:
            raise NotFoundError(f"{path} not found")
        answer: Object = found[path]
        return answer

    def objects(self, kind: Kind, **selection: Any) -> tuple[list[Object], str]:
        found = super().objects(kind, **selection)
        self.answers.wait(60)
        return found

    def create(self, kind: Kind, body: Object, *, dry_run: bool = False) -> Object:
        if kind is kinds.JOBS and not dry_run and text(body, "metadata", "name"):
            body["metadata"] |= {"namespace": "training", "uid": UID, "creationTimestamp": "2026-11-24T18:00:00Z"}
            body["status"] = {"state": {"phase": "Running"}}
        if kind is kinds.COMMANDS:
            self.finish("Aborted")
        return super().create(kind, body, dry_run=dry_run)

    def finish(self, phase: str) -> None:
        for job in self.there[kinds.JOBS]:
            job["status"] = {"state": {"phase": phase, "lastTransitionTime": "2026-11-24T18:05:00Z"}}

    def complete(self) -> None:
        """The run completes, and its pod says what came of it."""
        result = {
            "status": "completed", "repository": "https://git.example.com/a.git", "branch": "sft-1", "commit": "c0ffee",
            "metrics": {"epochs": 3, "loss": 0.123456789},
        }  # fmt: skip
        state = {"terminated": {"exitCode": 0, "reason": "Completed", "message": json.dumps(result)}}
        labels = {"volcano.sh/job-name": NAME, "volcano.sh/task-index": "0"}
        metadata = {"name": f"{NAME}-train-0", "uid": "p", "namespace": "training", "labels": labels}
        status = {"phase": "Succeeded", "containerStatuses": [{"name": "train", "state": state}]}
        self.put(kinds.PODS, {"metadata": metadata, "spec": {}, "status": status})
        self.finish("Completed")

    def one(self, kind: Kind) -> Object:
        """The one of the run."""
        (found,) = (one for one in self.there[kind] if NAME in text(one, "metadata", "name"))
        return found

    def names(self, *of: Kind) -> list[str]:
        """What is there of the run."""
        made = (kinds.JOBS, kinds.CONFIG_MAPS, kinds.SECRETS)
        found = [text(one, "metadata", "name") for kind in of or made for one in self.there.get(kind, [])]
        return [name for name in found if NAME in name]


class Step:
    """The pod that runs `trainchart submit`, again and again."""

    def __init__(self, folder: Path, kubeconfig: Path, api: Volcano) -> None:
        self.folder, self.kubeconfig, self.api = folder, kubeconfig, api
        self.helm = folder / "helm"
        self.helm.write_text(f"#!{sys.executable}\n{templates_of_helm()}{HELM}")
        self.helm.chmod(0o755)

    def start(self, *more: str, name: str = NAME, **environment: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "trainchart", "submit", *([name] if name else []), *FILES, "--helm"]
        return subprocess.Popen(
            [*command, str(self.helm), "--no-doctor", "--kubeconfig", str(self.kubeconfig), *more],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT / "tools", start_new_session=True,
            env={**os.environ, **environment},
        )  # fmt: skip

    def run(self, *more: str, name: str = NAME, **environment: str) -> tuple[int, str]:
        return ended(self.start(*more, name=name, **environment))

    def outputs(self) -> tuple[list[str], Callable[[], dict[str, str]]]:
        """Options for all outputs, and what reads them."""
        folder = self.folder / "outputs" / "deep"
        words = [word for what in KNOWN for word in ("--output", what, str(folder / what))]
        return words, lambda: {what: (folder / what).read_text() for what in KNOWN}

    @property
    def calls(self) -> list[str]:
        log = self.folder / "calls"
        return log.read_text().splitlines() if log.exists() else []

    @contextlib.contextmanager
    def slow(self) -> Iterator[None]:
        """Helm takes long after it has made the release."""
        (self.folder / "slow").touch()
        yield
        (self.folder / "slow").unlink()


def follows(process: subprocess.Popen[str]) -> None:
    """Return when the run is followed."""
    assert process.stdout
    assert any("is running" in line for line in iter(process.stdout.readline, ""))


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    said, _ = process.communicate(timeout=60)
    assert "Traceback" not in said
    return process.returncode, said


def wait_for(what: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 60
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def step(tmp_path: Path) -> Iterator[Step]:
    api = Volcano()
    stocked(api)
    with serving(api, tmp_path) as kubeconfig:
        yield Step(tmp_path, kubeconfig, api)


# -- signals


@pytest.mark.lab
@pytest.mark.parametrize(
    ("number", "option", "code"),
    [(signal.SIGTERM, "stop", 143), (signal.SIGINT, "stop", 130), (signal.SIGTERM, "leave", 130)],
)
def test_a_signal_while_helm_runs_removes_what_it_has_made(number: int, option: str, code: int, step: Step) -> None:
    with step.slow():
        process = step.start("--on-signal", option)
        wait_for(lambda: step.api.names(kinds.SECRETS))
        os.killpg(process.pid, number)
        returned, said = ended(process)
    assert returned == code
    assert f"{NAME} is not installed: it was interrupted (what Helm created was removed)" in said
    assert step.api.names() == []
    assert step.calls == [f"install {NAME}", f"uninstall {NAME}"]


@pytest.mark.lab
def test_a_second_signal_does_not_interrupt_the_removal(step: Step) -> None:
    with step.slow():
        process = step.start("--on-signal", "stop")
        wait_for(lambda: step.api.names(kinds.SECRETS))
        for _ in range(3):  # of one kind: Python takes those that come while it is busy in the order of their numbers
            os.killpg(process.pid, signal.SIGTERM)
            time.sleep(0.02)
        assert ended(process)[0] == 143
    assert step.api.names() == []


@pytest.mark.lab
def test_a_signal_before_anything_is_installed_just_ends(step: Step) -> None:
    step.api.answers.clear()
    process = step.start("--on-signal", "stop")
    wait_for(lambda: step.api.asked)
    os.killpg(process.pid, signal.SIGTERM)
    code, said = ended(process)
    step.api.answers.set()
    assert code == 143
    assert f"{NAME} is not installed: it was interrupted" in said
    assert step.calls == []


def test_a_signal_while_the_run_is_followed_stops_it(step: Step) -> None:
    process = step.start("--on-signal", "stop")
    follows(process)
    os.killpg(process.pid, signal.SIGTERM)
    code, said = ended(process)
    assert code == 143
    assert f"{NAME} is stopped; its release stays" in said
    assert step.api.names(kinds.JOBS) == [NAME]


@pytest.mark.lab
def test_a_signal_after_the_end_changes_neither_exit_code_nor_outputs(step: Step) -> None:
    """The second output is a pipe, which the process opens as soon as the test reads it."""
    pipe, ranks = step.folder / "pipe", step.folder / "ranks"
    os.mkfifo(pipe)
    process = step.start("--no-wait", "--output", "ranks", str(ranks), "--output", "exit-code", str(pipe))
    assert pipe.read_text() == ""
    wait_for(lambda: ranks.read_text())
    os.killpg(process.pid, signal.SIGTERM)
    time.sleep(0.1)
    assert pipe.read_text() == "0"
    assert ended(process)[0] == 0


# -- owners


@pytest.mark.lab
def test_a_run_and_its_release_belong_to_the_owner(step: Step) -> None:
    code, said = step.run("--no-wait", "--owner", *OWNER)
    assert (code, said.splitlines()[-1]) == (0, "NOTES: made")
    for kind in (kinds.JOBS, kinds.CONFIG_MAPS, kinds.SECRETS):
        assert step.api.one(kind)["metadata"]["ownerReferences"] == [REFERENCE]
    assert step.api.one(kinds.SECRETS)["metadata"]["labels"]["trainchart.dev/owner"] == OWNER[3]


@pytest.mark.lab
def test_a_release_that_cannot_be_given_an_owner_is_reported(step: Step) -> None:
    step.api.patchable.remove(kinds.SECRETS)
    code, said = step.run("--no-wait", "--owner", *OWNER)
    assert code == 0
    assert f"Helm's release {NAME} will stay when PipelineRun nightly is deleted: " in said


@pytest.mark.lab
@pytest.mark.parametrize(
    ("owner", "says"),
    [
        (
            ("tekton.dev/v1", "PipelineRun", "other", "1"),
            "PipelineRun other does not exist in namespace training; name an",
        ),
        (
            ("tekton.dev/v2", "PipelineRun", "nightly", "1"),
            "tekton.dev/v2 PipelineRun nightly does not exist in namespace",
        ),
        (("tekton.dev/v1", "Pipeline", "nightly", "1"), "Pipeline nightly does not exist in namespace training"),
        (
            ("tekton.dev/v1", "PipelineRun", "nightly", "1"),
            "in namespace training is 5f0c-owner, not 1; name an object",
        ),
        (
            ("tekton.dev/v1", "PipelineRun", "nightly/status", OWNER[3]),
            "PipelineRun nightly/status does not exist in namespace training",
        ),
    ],
)
def test_an_owner_that_is_not_in_the_namespace_is_refused(owner: tuple[str, ...], says: str, step: Step) -> None:
    code, said = step.run("--owner", *owner)
    assert code == 2
    assert says in said
    assert step.calls == []


@pytest.mark.lab
@pytest.mark.parametrize(("namespace", "code"), [("", 2), ("elsewhere", 2), ("training", 0)])
def test_an_owner_that_may_not_be_read_has_to_be_in_the_step_s_own_namespace(
    namespace: str, code: int, step: Step
) -> None:
    step.api.forbidden = {"get pipelineruns"}
    returned, said = step.run("--no-wait", "--owner", *OWNER, POD_NAMESPACE=namespace)
    assert returned == code
    if code:
        assert "--owner: whether PipelineRun nightly exists in namespace training cannot be checked" in said
        assert step.calls == []


@pytest.mark.lab
def test_an_owner_that_is_no_reference_is_refused_with_its_option(step: Step) -> None:
    step.api.forbidden = {"get pipelineruns"}
    code, said = step.run("--owner", "tekton.dev/v1", "PipelineRun", "nightly", "no uid", POD_NAMESPACE="training")
    assert code == 2
    assert "--owner" in said
    assert "owner.uid" in said
    assert step.calls == []


# -- attempts after the first


def killed(process: subprocess.Popen[str]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


@pytest.mark.lab
def test_the_run_of_a_killed_attempt_is_followed(step: Step) -> None:
    words, outputs = step.outputs()
    first = step.start("--adopt", "--owner", *OWNER, *words)
    follows(first)
    killed(first)
    second = step.start("--adopt", "--owner", *OWNER, *words)
    assert second.stdout
    assert f"{NAME} was submitted by an earlier attempt, and is followed" in second.stdout.readline()
    follows(second)
    step.api.complete()
    assert ended(second)[0] == 0
    assert outputs() == {
        "repository": "https://git.example.com/a.git", "branch": "sft-1", "commit": "c0ffee", "exit-code": "0",
        "metrics": '{"loss":0.123457,"epochs":3}', "ranks": '["0"]', "run": NAME, "completed": "true",
    }  # fmt: skip
    assert step.calls == [f"install {NAME}"]


@pytest.mark.lab
def test_an_outage_ends_no_further_attempt_and_costs_no_owner(step: Step) -> None:
    step.api.outages = {"patch secrets"}
    assert step.run("--no-wait", "--owner", *OWNER)[0] == 0
    assert step.api.one(kinds.SECRETS)["metadata"]["ownerReferences"] == [REFERENCE]
    step.api.complete()
    outages = {"/apis/tekton.dev/v1", "get jobs.batch.volcano.sh"}
    step.api.outages = set(outages)
    code, said = step.run("--owner", *OWNER)
    assert (code, "the API server cannot serve requests now" in said) == (5, True), "a first one ends at once"
    step.api.outages = outages
    code, said = step.run("--adopt", "--owner", *OWNER)
    assert (code, step.api.outages) == (0, set())
    assert "trying again for up to 10 minutes" in said
    assert f"{NAME} was submitted by an earlier attempt, and is followed" in said


@pytest.mark.lab
def test_half_a_release_of_a_killed_attempt_is_removed_and_installed_again(step: Step) -> None:
    with step.slow():
        first = step.start("--adopt", "--owner", *OWNER)
        wait_for(lambda: step.api.names(kinds.SECRETS))
        killed(first)
        os.kill(int((step.folder / "pid").read_text()), signal.SIGKILL)
    assert step.api.names(kinds.JOBS) == []
    code, said = step.run("--adopt", "--no-wait", "--owner", *OWNER)
    assert code == 0
    assert f"an earlier attempt was killed while it installed {NAME}; removing what it has left" in said
    assert step.calls == [f"install {NAME}", f"uninstall {NAME}", f"install {NAME}"]


@pytest.mark.lab
def test_an_attempt_that_was_killed_while_it_removed_the_run_is_installed_again(step: Step) -> None:
    with step.slow():
        first = step.start("--adopt", "--owner", *OWNER)
        wait_for(lambda: step.api.names(kinds.SECRETS))
        killed(first)
        os.kill(int((step.folder / "pid").read_text()), signal.SIGKILL)
    step.api.one(kinds.SECRETS)["metadata"]["labels"]["status"] = "uninstalling"
    ending = {"name": NAME, "ownerReferences": [REFERENCE], "deletionTimestamp": "2026-11-24T18:00:00Z"}
    step.api.put(kinds.JOBS, {"metadata": ending})
    assert step.run("--adopt", "--no-wait", "--owner", *OWNER)[0] == 0
    assert step.calls == [f"install {NAME}", f"uninstall {NAME}", f"install {NAME}"]


@pytest.mark.lab
def test_a_release_that_another_one_has_made_is_not_removed(step: Step) -> None:
    """The run was created by kubectl."""
    step.api.put(kinds.JOBS, {"metadata": {"name": NAME, "ownerReferences": [REFERENCE]}})
    labels = {"owner": "helm", "name": NAME, "version": "1", "status": "failed"}
    step.api.put(kinds.SECRETS, {"metadata": {"name": f"sh.helm.release.v1.{NAME}.v1", "labels": labels}})
    step.run("--adopt", "--no-wait", "--owner", *OWNER)
    assert step.calls == []


@pytest.mark.lab
def test_a_finished_run_gives_its_exit_code_and_outputs_at_once(step: Step) -> None:
    assert step.run("--no-wait", "--owner", *OWNER)[0] == 0
    step.api.complete()
    words, outputs = step.outputs()
    code, said = step.run("--adopt", "--owner", *OWNER, *words)
    assert code == 0
    assert "completed" in said
    assert (outputs()["branch"], outputs()["exit-code"]) == ("sft-1", "0")


@pytest.mark.lab
def test_of_a_run_whose_job_was_removed_the_ranks_are_not_known(step: Step) -> None:
    assert step.run("--no-wait", "--owner", *OWNER)[0] == 0
    step.api.there[kinds.JOBS].clear()
    words, outputs = step.outputs()
    assert step.run("--adopt", "--owner", *OWNER, *words)[0] == 4
    assert (outputs()["ranks"], outputs()["exit-code"]) == ("[]", "4")


@pytest.mark.lab
def test_a_run_of_another_owner_is_not_adopted(step: Step) -> None:
    assert step.run("--no-wait")[0] == 0
    code, said = step.run("--adopt", "--owner", *OWNER)
    assert code == 2
    assert "a release of this name exists already" in said


@pytest.mark.lab
def test_a_dry_run_adopts_and_removes_nothing(step: Step) -> None:
    with step.slow():
        first = step.start("--owner", *OWNER)
        wait_for(lambda: step.api.names(kinds.SECRETS))
        killed(first)
        os.kill(int((step.folder / "pid").read_text()), signal.SIGKILL)
    code, said = step.run("--adopt", "--dry-run", "--owner", *OWNER)
    assert code != 0
    assert "followed" not in said
    assert step.calls == [f"install {NAME}"]
    assert step.api.names(kinds.SECRETS) != []


def test_adoption_needs_an_owner(step: Step) -> None:
    code, said = step.run("--adopt")
    assert code == 2
    assert "--adopt needs --owner" in said


@pytest.mark.lab
def test_a_signal_at_the_start_of_a_later_attempt_stops_the_run_too(step: Step) -> None:
    assert step.run("--no-wait", "--owner", *OWNER)[0] == 0
    step.api.answers.clear()
    asked = len(step.api.asked)
    second = step.start("--adopt", "--on-signal", "stop", "--owner", *OWNER)
    wait_for(lambda: any(one.startswith("list secrets") for one in step.api.asked[asked:]))
    os.killpg(second.pid, signal.SIGTERM)
    step.api.answers.set()
    code, said = ended(second)
    assert code == 143
    assert f"{NAME} is stopped" in said
    assert text(step.api.one(kinds.JOBS), "status", "state", "phase") == "Aborted"


@pytest.mark.lab
def test_a_signal_before_a_generated_name_is_known_stops_the_run_of_an_earlier_attempt(
    step: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["--generate-name", f"{NAME}-", "--adopt", "--owner", *OWNER]
    assert step.run("--no-wait", *words, name="")[0] == 0
    monkeypatch.setattr(command, "choose_helm", interrupts)
    assert cli.main(["submit", *FILES, *words, "--on-signal", "stop", "--kubeconfig", str(step.kubeconfig)]) == 130
    assert text(step.api.one(kinds.JOBS), "status", "state", "phase") == "Aborted"


def interrupts(*_: object) -> None:
    raise KeyboardInterrupt


# -- outputs


@pytest.mark.lab
def test_outputs_are_written_when_the_values_are_refused(step: Step) -> None:
    words, outputs = step.outputs()
    assert step.run("--set", "replicas=no", *words)[0] == 2
    assert outputs() == {
        "repository": "", "branch": "", "commit": "", "metrics": "{}", "ranks": "[]", "exit-code": "2", "run": "",
        "completed": "exit code 2",
    }  # fmt: skip


@pytest.mark.lab
def test_outputs_are_written_when_the_run_is_stopped(step: Step) -> None:
    words, outputs = step.outputs()
    process = step.start("--on-signal", "stop", *words)
    follows(process)
    os.killpg(process.pid, signal.SIGTERM)
    assert ended(process)[0] == 143
    assert (outputs()["exit-code"], outputs()["ranks"]) == ("143", '["0"]')


@pytest.mark.lab
def test_without_waiting_the_ranks_are_known(step: Step) -> None:
    words, outputs = step.outputs()
    assert step.run("--no-wait", *words)[0] == 0
    assert (outputs()["ranks"], outputs()["exit-code"], outputs()["branch"]) == ('["0"]', "0", "")
    assert outputs()["completed"] == "exit code 0", "which is no JSON"


def test_an_output_that_cannot_be_written_is_refused_before_anything_is_submitted(step: Step) -> None:
    (step.folder / "file").touch()
    code, said = step.run("--output", "branch", str(step.folder / "file" / "branch"))
    assert code == 2
    assert "--output branch: " in said
    assert "cannot be written: " in said
    assert step.calls == []
    code, said = step.run("--output", "colour", "x")
    assert code == 2
    assert "--output: 'colour' is not an output; use one of repository, branch," in said


def test_an_output_has_a_file_of_its_own(step: Step) -> None:
    values = step.folder / "run.yaml"
    values.write_text("replicas: 1\n")
    link = step.folder / "link"
    link.symlink_to(values)
    code, said = step.run("-f", str(values), "--output", "commit", str(link))
    assert (code, values.read_text()) == (2, "replicas: 1\n")
    assert f"--output commit: {link} is read by this command too; name another file" in said
    file = str(step.folder / "file")
    code, said = step.run("--output", "commit", file, "--output", "branch", file)
    assert code == 2
    assert f"--output branch: {file} is written (commit) by this command too" in said
    assert step.calls == []


def test_what_an_output_names_is_written_and_nothing_is_replaced(tmp_path: Path) -> None:
    """/dev/stdout is a link to a file where the output of the command is one."""
    (tmp_path / "target").write_text("old")
    link, long, shared = tmp_path / "link", tmp_path / ("a" * 255), tmp_path / "shared"
    link.symlink_to("target")
    shared.touch(0o666)
    shared.chmod(0o666)
    outputs = Outputs([("exit-code", str(file)) for file in (link, long, shared)])
    outputs.write(7, None)
    assert (link.is_symlink(), (tmp_path / "target").read_text(), long.read_text()) == (True, "7", "7")
    assert stat.S_IMODE(shared.stat().st_mode) == 0o666


def test_metrics_that_are_no_numbers_of_json_are_left_out() -> None:
    assert format_metrics({"loss": float("nan"), "lr": float("inf"), "epochs": 3}) == '{"epochs":3}'


def test_metrics_stay_short() -> None:
    metrics = {f"a-metric-with-a-long-name-{number}": number / 7 for number in range(100)}
    short = format_metrics({**metrics, "metrics/mAP50-95": 0.5})
    assert len(short) <= 1024
    assert next(iter(json.loads(short))) == "metrics/mAP50-95"


@pytest.mark.parametrize("form", ["m{}", '"{}"', "loss \u4e2d{}"])
def test_all_results_of_a_large_run_fit_into_the_message_of_a_step(form: str) -> None:
    metrics = format_metrics({form.format(number): number / 7 for number in range(400)})
    ranks = json.dumps([str(rank) for rank in range(256)])
    names = ("https://git.example.com/" + "a" * 100, "b" * 50, "c" * 40, "0")
    # As Tekton writes them, with the time of the start.
    message = [
        {"key": "exit-code", "value": one, "type": 1} for one in (metrics, ranks, *names, "2026-11-26T05:00:00.000Z")
    ]
    assert len(json.dumps(message, separators=(",", ":"))) <= 4096


# -- names


@pytest.mark.lab
def test_a_generated_name_is_printed_first_and_belongs_to_its_owner(step: Step) -> None:
    code, said = step.run("--no-wait", "--generate-name", f"{NAME}-", "--owner", *OWNER, name="")
    assert code == 0
    name = said.splitlines()[0]
    assert re.fullmatch(rf"{NAME}-[0-9a-f]{{8}}", name)
    assert step.api.names(kinds.JOBS) == [name]
    assert generate_name(f"{NAME}-", OWNER[3]) == name
    assert generate_name("a-") != generate_name("a-")


@pytest.mark.parametrize("prefix", ["4-", "Run-", "run.", "-", "r" * 43])
def test_a_prefix_that_begins_no_name_is_refused(prefix: str) -> None:
    with pytest.raises(UsageError, match="cannot begin the name of a run"):
        generate_name(prefix)
    assert len(generate_name("r" * 42)) == 50


@pytest.mark.parametrize("words", [["--generate-name", "a-"], []])
def test_a_run_has_one_name(words: list[str], step: Step) -> None:
    code, said = step.run(*words, name=NAME if words else "")
    assert code == 2
    assert "give either NAME or --generate-name PREFIX" in said


# -- guards


POD: Object = {
    "metadata": {"name": "step-1", "namespace": "training"},
    "spec": {
        "serviceAccountName": "trainchart",
        "containers": [
            {"name": "sidecar", "image": "other:1"},
            {
                "name": "step-submit",
                "image": "tools:1",
                "args": ["-entrypoint", "trainchart", "--", "submit", "--guard"],
            },
        ],
    },
    "status": {"phase": "Running"},
}


@pytest.mark.lab
def test_a_guard_belongs_to_the_run_and_runs_the_step_s_image(step: Step) -> None:
    step.api.put(kinds.PODS, POD)
    code, _ = step.run("--no-wait", "--guard", POD_NAME="step-1", POD_NAMESPACE="training")
    assert code == 0
    guard = step.api.one(kinds.PODS)
    assert guard["metadata"]["name"] == f"{NAME}-guard"
    assert guard["metadata"]["ownerReferences"][0]["uid"] == UID
    assert guard["spec"]["serviceAccountName"] == "trainchart"
    (container,) = guard["spec"]["containers"]
    assert container["image"] == "tools:1"
    assert container["command"] == ["trainchart", "guard", NAME, "--timeout", "120s"]
    assert step.api.one(kinds.JOBS)["metadata"]["annotations"]["trainchart.dev/follower"] == "step-1"


@pytest.mark.lab
def test_a_guard_that_has_ended_is_started_again_by_a_further_attempt(step: Step) -> None:
    step.api.put(kinds.PODS, POD)
    words = ["--no-wait", "--guard", "--owner", *OWNER]
    assert step.run(*words, POD_NAME="step-1", POD_NAMESPACE="training")[0] == 0
    for status in ({"phase": "Running"}, {"phase": "Failed", "reason": "Evicted"}):
        step.api.one(kinds.PODS)["status"] = status
        assert step.run("--adopt", *words, POD_NAME="step-1", POD_NAMESPACE="training")[0] == 0
        assert step.api.one(kinds.PODS).get("status") == (status if status["phase"] == "Running" else None)


@pytest.mark.lab
def test_a_run_whose_guard_is_refused_is_followed_all_the_same(step: Step) -> None:
    step.api.put(kinds.PODS, POD)
    step.api.refused[kinds.PODS] = RefusedError("exceeded quota: pods")
    code, said = step.run("--no-wait", "--guard", POD_NAME="step-1", POD_NAMESPACE="training")
    assert code == 0
    assert f"{NAME} has no guard: exceeded quota: pods" in said


@pytest.mark.lab
@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({}, "--guard: this is no pod, whose end could be seen; leave --guard out"),
        ({"POD_NAMESPACE": "other"}, "--guard: this pod is in namespace other, and the run in training"),
        ({"POD_NAMESPACE": "training", "POD_NAME": "x"}, "--guard: pod x does not exist in namespace training"),
    ],
)
def test_a_guard_outside_a_pod_is_refused(environment: dict[str, str], says: str, step: Step) -> None:
    code, said = step.run("--guard", **environment)
    assert code == 2
    assert says in said
    assert step.calls == []


@pytest.mark.lab
def test_wait_takes_up_a_run_that_is_guarded(step: Step) -> None:
    step.api.put(kinds.PODS, POD)
    assert step.run("--no-wait", "--guard", POD_NAME="step-1", POD_NAMESPACE="training")[0] == 0
    step.api.complete()
    command = [sys.executable, "-m", "trainchart", "wait", NAME, "--on-signal", "stop", "--kubeconfig"]
    environment = {**os.environ, "POD_NAME": "step-2", "POD_NAMESPACE": "training"}
    subprocess.run([*command, str(step.kubeconfig)], env=environment, cwd=ROOT / "tools", check=True, timeout=60)
    assert step.api.one(kinds.JOBS)["metadata"]["annotations"]["trainchart.dev/follower"] == "step-2"


# -- engines that cannot name an owner

OF_ENGINE = {"metadata": {"ownerReferences": [{**REFERENCE, "controller": True}]}}


@pytest.mark.lab
def test_the_attempts_of_a_step_share_a_run_that_belongs_to_what_their_pods_belong_to(step: Step) -> None:
    for name in ("step-1", "step-2"):
        step.api.put(kinds.PODS, {**POD, "metadata": {**POD["metadata"], **OF_ENGINE["metadata"], "name": name}})
    words = ["--no-wait", "--generate-name", f"{NAME}-", "--step-id"]
    attempts = [
        step.run(*words, step_id, name="", POD_NAME=pod, POD_NAMESPACE="training")
        for pod, step_id in (("step-1", "a/7/train"), ("step-2", "a/7/train"), ("step-2", "a/8/train"))
    ]
    assert [code for code, _ in attempts] == [0, 0, 0]
    first, again, other = (said.splitlines()[0] for _, said in attempts)
    assert (first == again, first == other) == (True, False)
    assert "was submitted by an earlier attempt" in attempts[1][1]
    assert step.calls == [f"install {first}", f"install {other}"]
    for name in (first, other):
        (job,) = (one for one in step.api.there[kinds.JOBS] if one["metadata"]["name"] == name)
        assert job["metadata"]["ownerReferences"][0]["uid"] == OWNER[3]
    assert {f"{first}-guard", f"{other}-guard"} <= set(step.api.names(kinds.PODS))


@pytest.mark.lab
def test_a_step_that_is_tried_outside_a_pod_has_no_owner_and_no_guard(step: Step) -> None:
    code, said = step.run("--no-wait", "--generate-name", f"{NAME}-", "--step-id", "a/7/train", name="")
    assert code == 0
    assert "is no pod of an engine, so nothing else owns the run" in said
    assert not step.api.one(kinds.JOBS)["metadata"].get("ownerReferences")
    assert step.api.names(kinds.PODS) == []


def test_a_step_id_that_the_engine_has_not_filled_in_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["submit", "--generate-name", "a-", "--family", "custom"]
    assert cli.main([*words, "--step-id", "{{$.pipeline_job_uuid}}/7"]) == 2
    assert "the engine has not replaced what is in braces in '{{$.pipeline_job_uuid}}/7'" in capsys.readouterr().err
    assert cli.main([*words, "--step-id", "7", "--owner", *OWNER]) == 2
    assert "--step-id finds the owner by itself; leave --owner out" in capsys.readouterr().err
