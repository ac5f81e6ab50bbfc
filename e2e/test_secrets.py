"""The token is in none of the places where a secret could leak; and the search would find a secret there."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from e2e import leaks, runs
from e2e.cases import yolov5
from e2e.cluster import kind
from e2e.kube import Kube, Object, poll, terminated
from e2e.leaks import Found
from e2e.node import in_node
from e2e.runs import Session
from e2e.scenario import TEAM

CANARY = "canary"
KINDS = ("pods", "events", "vcjob", "podgroups", "services", "configmaps", "serviceaccounts")
# One release of every kind: it went well, several pods, the server said no, and it was killed.
RUNS = ("happy", "gang", "gang-shared", "wrong-token", "missing-revision", "protected", "rank-fails", "killed")


def _places(session: Session) -> dict[str, Callable[[], Iterable[Found]]]:
    kube = session.world.admin
    places: dict[str, Callable[[], Iterable[Found]]] = {
        "log": lambda: [*leaks.logs(kube), *session.kept()],
        "argv": lambda: session.processes.places("cmdline"),
        "environment": lambda: session.processes.places("environ"),
        "workspace": lambda: leaks.workspace_files(f"*{session.id}"),
        "termination message": lambda: leaks.termination_messages(kube),
        "release": lambda: leaks.releases(kube),
    }
    for name in KINDS:
        places[name] = lambda name=name: leaks.objects(kube, name)  # type: ignore[misc]
    places["podgroups"] = lambda: [*session.groups, *leaks.objects(kube, "podgroups")]
    return places


PLACES = ("log", "argv", "environment", "workspace", "termination message", "release", *KINDS)


@pytest.fixture(scope="session")
def needles(session: Session) -> set[str]:
    """All encodings of the token, and of the one that the server rejects, once the runs have finished."""
    for run in RUNS:
        if run in session.releases:
            session.release(run).end()
    tokens = leaks.forms(session.world.token, TEAM) | leaks.forms(runs.WRONG_TOKEN, TEAM)
    return tokens | leaks.key_forms(session.world.private_key)


@pytest.mark.runs(*RUNS)
@pytest.mark.parametrize("place", PLACES)
def test_the_token_is_not_in(session: Session, needles: set[str], place: str) -> None:
    found = list(_places(session)[place]())
    assert found, f"nothing was searched for the place {place}"
    assert leaks.search(found, needles) == []


@pytest.mark.runs("happy")
def test_the_recording_saw_git_and_the_credential_helper_at_work(session: Session, needles: set[str]) -> None:
    assert needles
    commands = session.processes.commands(session.release("happy").pod()["metadata"]["uid"])
    for program in ("-m runner", "git-remote-http", "git-lfs", "credential.py", "train.py", "export.py", "git push"):
        assert any(program in command for command in commands), f"{program} is not among {len(commands)} commands"


@pytest.mark.runs("happy")
def test_the_mounted_secret_was_what_git_used(session: Session, needles: set[str]) -> None:
    """The search would prove nothing if the runs had not used the token."""
    assert needles
    [volume] = [volume for volume in session.release("happy").pod()["spec"]["volumes"] if "secret" in volume]
    data = session.world.admin.get("secret", volume["secret"]["secretName"])
    assert data
    assert base64.b64decode(data["data"]["GIT_TOKEN"]).decode() == session.world.token


@pytest.fixture(scope="session")
def canaries(session: Session, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A different secret in every place, by place."""
    words = {place: secrets.token_hex(20) for place in PLACES}
    kube = session.world.admin
    folder = f"{kind.SHARED}/{CANARY}{session.id}/.git"
    _remove_canaries(kube)
    try:
        in_node(
            "sh",
            "-c",
            f"mkdir -p {folder} && cat > {folder}/config",
            text=f"[remote]\n\turl = https://x:{words['workspace']}@git/\n",
        )
        kube.helm("install", CANARY, str(_tiny_chart(tmp_path_factory)), "--set", f"secret={words['release']}")
        kube.apply(*_canary_objects(kube.namespace, words))
        poll(lambda: _ended(kube, f"{CANARY}-ended"), 120, "the canary that prints has finished")
        poll(lambda: _is_running(kube, f"{CANARY}-{CANARY}-0"), 120, "the canary that stays runs")
        poll(
            lambda: leaks.search(session.processes.places("cmdline"), {words["argv"]}),
            30,
            "the watcher has seen the canary",
        )
        yield words
    finally:
        _remove_canaries(kube)


def _remove_canaries(kube: Kube) -> None:
    """Also those of a session that was interrupted."""
    kube.call("helm", "uninstall", CANARY, "--ignore-not-found", "-n", kube.namespace)
    for name in ("vcjob", "service", "configmap", "serviceaccount", "events"):
        kube.kubectl("delete", name, CANARY, "--ignore-not-found", "--timeout=60s")
    kube.kubectl("delete", "pod", f"{CANARY}-ended", "--ignore-not-found", "--timeout=60s")


@pytest.mark.parametrize("place", PLACES)
def test_a_secret_would_be_found_in(session: Session, canaries: dict[str, str], place: str) -> None:
    found = leaks.search(_places(session)[place](), leaks.forms(canaries[place], TEAM))
    assert found
    assert any(CANARY in where or place in ("argv", "environment") for where in found), found


def test_a_secret_would_be_found_as_programs_encode_it() -> None:
    needles = leaks.forms("s3cret/with+signs", TEAM)
    header = base64.b64encode(f"{TEAM}:s3cret/with+signs".encode()).decode()
    inner = base64.b64encode(b'{"password": "s3cret/with+signs", "user": "team"}').decode()
    for text in (
        f"Authorization: Basic {header}",
        "https://team:s3cret%2Fwith%2Bsigns@git/",
        inner,
        f"{TEAM}:s3cret/with+signs",
    ):
        assert leaks.search([("there", text)], needles) == ["there"]
    assert leaks.search([("there", "nothing")], needles) == []


def _tiny_chart(factory: pytest.TempPathFactory) -> Path:
    folder = factory.mktemp("charts") / CANARY
    (folder / "templates").mkdir(parents=True)
    (folder / "Chart.yaml").write_text(f"apiVersion: v2\nname: {CANARY}\nversion: 0.1.0\n")
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"{CANARY}-of-helm"}}
    (folder / "templates" / "map.yaml").write_text(json.dumps(manifest))
    return folder


def _canary_objects(namespace: str, words: dict[str, str]) -> list[Object]:
    def metadata(kind_: str) -> Object:
        return {"name": CANARY, "namespace": namespace, "annotations": {"trainchart.dev/canary": words[kind_]}}

    speak = f"echo {words['log']}; printf %s {words['termination message']} > /dev/termination-log"
    ended = {"name": f"{CANARY}-ended", "namespace": namespace, "annotations": {"trainchart.dev/canary": words["pods"]}}
    stays = _pod(["sh", "-c", "sleep 600 & wait", words["argv"]], {"CANARY": words["environment"]})
    job = {
        "schedulerName": "volcano",
        "queue": "default",
        "minAvailable": 1,
        "maxRetry": 1,
        "tasks": [{"name": CANARY, "replicas": 1, "minAvailable": 1, "maxRetry": 1, "template": {"spec": stays}}],
    }
    # Volcano copies a Job's annotations to its PodGroup.
    annotations = {"trainchart.dev/canary": words["vcjob"], "trainchart.dev/canary-of-group": words["podgroups"]}
    return [
        {"apiVersion": "v1", "kind": "Pod", "metadata": ended, "spec": _pod(["sh", "-c", speak], {})},
        {
            "apiVersion": "batch.volcano.sh/v1alpha1",
            "kind": "Job",
            "metadata": {**metadata("vcjob"), "annotations": annotations},
            "spec": job,
        },
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": CANARY, "namespace": namespace},
            "data": {"a": words["configmaps"]},
        },
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata("serviceaccounts")},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata("services"),
            "spec": {"clusterIP": "None", "ports": [{"port": 1}]},
        },
        {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": CANARY, "namespace": namespace},
            "involvedObject": {"kind": "Pod", "name": CANARY, "namespace": namespace},
            "type": "Normal",
            "reason": "Canary",
            "message": f"it sings {words['events']}",
        },
    ]


def _pod(command: list[str], environment: dict[str, str]) -> Object:
    return {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 1,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [
            {
                "name": CANARY,
                "image": yolov5.CASE.image_name,
                "imagePullPolicy": "IfNotPresent",
                "command": command,
                "env": [{"name": name, "value": value} for name, value in environment.items()],
                "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}},
            }
        ],
    }


def _ended(kube: Kube, pod: str) -> bool:
    found = kube.get("pod", pod)
    return found is not None and terminated(found) is not None


def _is_running(kube: Kube, pod: str) -> bool:
    found = kube.get("pod", pod)
    return found is not None and found["status"].get("phase") == "Running"
