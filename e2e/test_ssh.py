"""A run over SSH gets its sources and pushes its result; its private key is in none of the places where it could leak."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable

import pytest

from e2e import leaks
from e2e.cases.ssh import RESULTS, SECRET
from e2e.runs import Session
from e2e.scenario import TEAM

pytestmark = pytest.mark.family("ssh")


@pytest.mark.runs("ssh-happy")
def test_a_run_over_ssh_has_its_submodule_and_lfs_data_and_publishes(session: Session) -> None:
    release, server = session.release("ssh-happy"), session.world.server
    assert release.end() == "Completed"
    assert "the submodule has its data" in release.log()
    result = release.result()
    assert "line.json" in server.list_files(TEAM, RESULTS, result["branch"])
    assert server.read_file(TEAM, RESULTS, "line.json", result["commit"]).startswith(b"version https://git-lfs")
    assert b"slope" in server.read_file(TEAM, RESULTS, "line.json", result["commit"], lfs=True)


@pytest.mark.runs("ssh-stranger")
def test_a_key_that_the_server_does_not_know_is_told(session: Session) -> None:
    release = session.release("ssh-stranger")
    assert release.end() == "Terminated"
    assert "the server refused the key of git.secretName git-ssh-stranger" in release.log()


@pytest.mark.runs("ssh-happy", "ssh-stranger")
@pytest.mark.parametrize(
    "place", ["log", "argv", "environment", "workspace", "termination message", "configmaps", "pods"]
)
def test_the_private_key_is_not_in(session: Session, place: str) -> None:
    kube = session.world.admin
    for run in ("ssh-happy", "ssh-stranger"):
        session.release(run).end()
    places: dict[str, Callable[[], Iterable[leaks.Found]]] = {
        "log": lambda: leaks.logs(kube),
        "argv": lambda: session.processes.places("cmdline"),
        "environment": lambda: session.processes.places("environ"),
        "workspace": lambda: leaks.workspace_files(f"*{session.id}"),
        "termination message": lambda: leaks.termination_messages(kube),
        "configmaps": lambda: leaks.objects(kube, "configmaps"),
        "pods": lambda: leaks.objects(kube, "pods"),
    }
    found = list(places[place]())
    assert found, f"nothing was searched for the place {place}"
    assert leaks.search(found, leaks.key_forms(session.world.private_key)) == []


@pytest.mark.runs("ssh-happy")
def test_the_key_of_the_secret_was_what_ssh_used(session: Session) -> None:
    """The search would prove nothing otherwise."""
    release = session.release("ssh-happy")
    release.end()
    data = session.world.admin.get("secret", SECRET)
    assert data
    assert base64.b64decode(data["data"]["ssh-privatekey"]).decode() == session.world.private_key
    commands = session.processes.commands(release.pod()["metadata"]["uid"])
    assert any(command.startswith("ssh -F ") for command in commands)
