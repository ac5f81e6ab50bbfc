"""What can happen to a run from outside: values that would become objects, a release in the same folder, a git server
that is down.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from e2e.cases import Values, custom
from e2e.cases.safety import FOLDER, RESULTS
from e2e.cluster import kind
from e2e.kube import CommandError, poll
from e2e.node import in_node
from e2e.runs import Session, merged
from e2e.scenario import ROOT, TEAM, World
from trainchart.chart.paths import CHART

NEL = "\u0085"  # Go's YAML takes it for a line break, and Go's JSON writes it as it is
OUTAGE_SECONDS = 300

BINDING = NEL.join(
    [
        "x",
        "apiVersion: rbac.authorization.k8s.io/v1",
        "kind: RoleBinding",
        "metadata: {name: pwned}",
        "roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: admin}",
        "subjects: [{kind: ServiceAccount, name: default, namespace: training}]",
        "rest: |",
        "  y",
    ]
)
TOKEN = NEL.join(
    [
        "x",
        "kind: Secret",
        "type: kubernetes.io/service-account-token",
        "metadata: {name: pwned, annotations: {kubernetes.io/service-account.name: default}}",
        "rest: |",
        "  y",
    ]
)
HARMLESS: Values = {
    "family": "custom",
    "image": "x/y:1",
    "git": {"secretName": "s"},
    "model": {"repository": "https://git.example/x.git"},
    "publish": {"type": "git", "repository": "https://git.example/o.git"},
    "train": {"command": ["python3"]},
}
PLACES: dict[str, Values] = {
    "a word of the command": {"train": {"command": ["python3", "{text}"]}},
    "the model's name": {"publish": {"modelName": "{text}"}},
    "the experiment": {"mlflow": {"trackingUri": "https://mlflow.example", "experiment": "{text}"}},
    "a variable": {"env": {"A": "{text}"}},
    "a revision": {"model": {"revision": "{text}"}},
    "a folder": {"workspace": {"directory": "{text}"}},
}


def filled(values: Values, text: str) -> Values:
    return dict(json.loads(json.dumps(values).replace('"{text}"', json.dumps(text))))


@pytest.mark.parametrize("text", [BINDING, TOKEN], ids=["RoleBinding", "Secret"])
@pytest.mark.parametrize("place", PLACES)
def test_a_text_of_the_values_becomes_no_object(world: World, tmp_path: Path, place: str, text: str) -> None:
    values = merged(HARMLESS, filled(PLACES[place], text))
    file = tmp_path / "values.json"
    file.write_text(json.dumps(values))
    validate = [sys.executable, "-m", "trainchart", "validate", str(file)]
    judged = subprocess.run(validate, capture_output=True, text=True, check=False, cwd=ROOT)
    assert judged.returncode == 2, judged.stdout
    assert "control character" in judged.stdout
    assert NEL not in judged.stdout
    for helm in ("helm", "helm3"):
        # As an account that may create such objects.
        with pytest.raises(CommandError):
            world.admin.run(helm, "install", "pwned", str(CHART), "-n", world.admin.namespace, "-f", str(file))
    for made in ("rolebinding", "secret", "configmap", "vcjob"):
        assert not [each for each in world.admin.objects(made) if "pwned" in each["metadata"]["name"]]


@pytest.mark.runs("safety-first", "safety-second")
@pytest.mark.family("safety")
def test_a_second_release_in_the_folder_of_a_run_is_refused_and_the_first_keeps_what_it_has(session: Session) -> None:
    first = session.release("safety-first")
    first.wait_for_log("event=checkpoint")
    second = session.release("safety-second")
    assert second.end() in ("Terminated", "Failed")
    failure = second.result()["failure"]
    assert first.name in failure["reason"]
    assert "workspace.directory" in failure["fix"]
    assert "event=start stage=train" not in second.log()
    assert first.end() == "Completed"
    assert first.result()["metrics"]["epochs"] == custom.EPOCHS
    kept = in_node("sh", "-c", f"ls {kind.SHARED}/{session.named(FOLDER)}/output/checkpoints").split()
    assert f"{custom.EPOCHS}.json" in kept
    # Once the run has finished, the folder is free.
    session.remove(["safety-second"])
    third = session.release("safety-second")
    assert third.end() == "Completed"


@contextmanager
def no_git_server(world: World) -> Iterator[None]:
    def scale(replicas: int) -> None:
        world.admin.run("kubectl", "-n", "git", "scale", "deployment/gitea", f"--replicas={replicas}")

    try:
        scale(0)
        yield
    finally:
        scale(1)
        poll(world.server.answers, 180, "the git server answers again", every=1)


@pytest.mark.runs("safety-outage")
@pytest.mark.family("safety")
def test_a_model_is_published_although_the_git_server_is_down_for_minutes_after_the_training(session: Session) -> None:
    release = session.release("safety-outage")
    release.wait_for_log("event=start stage=train")
    with no_git_server(session.world):
        release.wait_for_log("event=start stage=publish")
        time.sleep(OUTAGE_SECONDS)
        assert "event=retry" in release.log() or "event=waiting" in release.log()
        state = session.world.submitter.get("vcjob", release.name)
        assert state
        assert state["status"]["state"]["phase"] == "Running"
    assert release.end() == "Completed"
    result = release.result()
    assert session.world.server.branch_commit(TEAM, RESULTS, result["branch"]) == result["commit"]
    assert json.loads(session.world.server.read_file(TEAM, RESULTS, "line.json", result["branch"], lfs=True))
