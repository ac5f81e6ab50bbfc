"""One world and one set of releases for all tests: what the selected tests name in their `runs` marks is installed at once,
side by side, and each test waits for its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e import branches, leaks, runs, scenario
from e2e.chart import with_test_family
from e2e.killer import Killer
from e2e.kube import KeptLog, NotEndedError, phase
from e2e.report import namespace_report
from e2e.runs import Moved, Session
from e2e.scenario import TEAM, World


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "runs(*names): the runs of e2e/runs.py that the test looks at")


def _named_runs(item: pytest.Item) -> list[str]:
    return [name for mark in item.iter_markers("runs") for name in mark.args]


@pytest.fixture(scope="session")
def world() -> World:
    """The scenario, in a cluster that stands (`python3 -m e2e.cluster up`)."""
    return scenario.ensure()


@pytest.fixture(scope="session")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_test_family(tmp_path_factory.mktemp("chart"))


@pytest.fixture(scope="session")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[leaks.Processes]:
    """argv and environment of every process in a pod, from before the first installation on."""
    with leaks.watching_processes(tmp_path_factory.mktemp("processes") / "seen") as processes:
        yield processes


@pytest.fixture(scope="session")
def session(
    request: pytest.FixtureRequest,
    world: World,
    chart: Path,
    processes: leaks.Processes,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Session]:
    """All releases that the selected tests name, installed."""
    clean(world)
    session = Session(world, chart, processes)
    request.config.stash[_SESSION] = session
    wanted = {name for item in request.session.items for name in _named_runs(item)}
    folder = tmp_path_factory.mktemp("branches")
    prepare(session, folder)
    try:
        session.install_all(name for name in runs.catalog(session.id) if name in wanted)
        session.groups = list(leaks.objects(world.admin, "podgroups"))  # Volcano removes them when a run ends
        if "happy" in session.releases:
            session.moved = move_branch(session, folder)
        yield session
    finally:
        clean(world)


_SESSION = pytest.StashKey[Session]()


def prepare(session: Session, folder: Path) -> None:
    """What the runs need on the git server, beyond what every world has."""
    world = session.world
    branches.branch_off(world, "yolov5", runs.moving_branch(session.id))
    branches.ensure_without_images(world, folder)
    # Made anew: what is in them is this session's.
    for repository in (runs.ALLREDUCE_REPOSITORY, runs.KILLED_REPOSITORY):
        world.server.delete_repository(TEAM, repository)
        scenario.ensure_repository(world, repository)
    world.server.protect_branch(TEAM, runs.ALLREDUCE_REPOSITORY, runs.protected_branch(session.id))
    session.kept_log = KeptLog(world.admin, f"rank-fails{session.id}-train-0", folder / "rank-0.log")
    session.killer = Killer(TEAM, runs.KILLED_REPOSITORY, f"killed{session.id}-train-0")
    world.admin.apply(scenario.credentials("wrong-token", runs.WRONG_TOKEN))
    if not world.admin.get("secret", "read-only-token"):
        reader = world.server.create_token(TEAM, write=False)
        world.admin.apply(scenario.credentials("read-only-token", reader))


def move_branch(session: Session, folder: Path) -> Moved | None:
    """As soon as the run has pinned its commits, and long before it ends, somebody pushes to the branch it trains from."""
    server, branch, release = session.world.server, runs.moving_branch(session.id), session.release("happy")
    before = server.branch_commit(TEAM, "yolov5", branch)
    assert before
    try:
        release.wait_for_log("event=fetch source=model", seconds=180)
    except NotEndedError:  # the tests of this run fail by it, the others go on
        return None
    after = branches.commit_onto(session.world, "yolov5", branch, folder)
    return Moved(before, after, phase(release.job()))


def clean(world: World) -> None:
    """Removes what test sessions made, interrupted ones included; trained models are left to whoever wants to see them."""
    runs.uninstall(world.submitter, runs.leftovers(world.submitter))
    # Pods of `helm test` are not of the release, and outlive it.
    for pod in world.admin.objects("pods", "app.kubernetes.io/name=train"):
        if runs.MARK in pod["metadata"]["name"] and pod["metadata"]["name"].endswith("-check"):
            world.admin.kubectl("delete", "pod", pod["metadata"]["name"], "--wait=false")
    branches.sweep(world, "yolov5", runs.MARK)
    runs.remove_workspaces()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """A failed test shows what the cluster looks like."""
    report = yield
    session = item.config.stash.get(_SESSION, None)
    if report.failed and session:
        names = [session.releases[name].name for name in _named_runs(item) if name in session.releases]
        try:
            text = namespace_report(session.world.admin, names)
        except Exception as error:  # a cluster that is gone must not hide the test's own failure
            text = f"nothing to see: {error}"
        report.sections.append(("the cluster", text))
    return report
