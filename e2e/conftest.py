"""One scenario and one set of releases for all tests: what the selected tests of the quick cases name in their `runs`
marks is installed at once, side by side, and each test waits for its own. The slow cases follow, one after the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from e2e import branches, engines, leaks, runs, scenario
from e2e.cases import QUICK, Case, allreduce, load, yolov5
from e2e.chart import with_test_family
from e2e.killer import Killer
from e2e.kube import KeptLog, NotEndedError, phase
from e2e.report import namespace_report
from e2e.runs import Moved, Session
from e2e.scenario import TEAM, World


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("trainchart")
    group.addoption("--all", action="store_true", help="the tests of the slow cases too")
    group.addoption("--family", action="append", default=[], metavar="CASE", help="only the tests of this case")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "runs(*names): the runs of e2e/cases/ that the test looks at")
    config.addinivalue_line("markers", "family(name): the slow case of e2e/cases/ that the test belongs to")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Selects the tests of the requested cases, and sorts them by case."""
    cases, only = list(CASES), set(config.getoption("family"))
    of = {item: _cases_of(item) for item in items}
    if unknown := sorted((only | set().union(*of.values())) - set(cases)):
        raise pytest.UsageError(
            f"there is no case or run {', '.join(unknown)} in e2e/cases/; there are {', '.join(cases)}"
        )

    def is_wanted(item: pytest.Item) -> bool:
        if only:
            return bool(of[item]) and of[item] <= only
        return config.getoption("all") or of[item] <= set(QUICK)

    config.hook.pytest_deselected(items=[item for item in items if not is_wanted(item)])
    items[:] = [item for item in items if is_wanted(item)]
    # The quick tests first, as they are; then one slow case after the other, each with the node to itself.
    items.sort(key=lambda item: max((cases.index(case) for case in of[item] - set(QUICK)), default=0))


CASES = load()
RUNS = runs.catalog(CASES)


def _cases_of(item: pytest.Item) -> set[str]:
    """The cases that a test belongs to: by its mark, or else by its runs."""
    marked = {name for mark in item.iter_markers("family") for name in mark.args}
    return marked or {RUNS[name].case if name in RUNS else name for name in _named_runs(item)}


def _named_runs(item: pytest.Item) -> list[str]:
    return [name for mark in item.iter_markers("runs") for name in mark.args]


@pytest.fixture(scope="session")
def cases(request: pytest.FixtureRequest) -> dict[str, Case]:
    """The cases of the selected tests; those of the quick set where no test names any."""
    return load(sorted(set().union(*map(_cases_of, request.session.items))) or QUICK)


@pytest.fixture(scope="session")
def world(cases: dict[str, Case]) -> World:
    """The scenario, in a running cluster (`python3 -m e2e.cluster up`)."""
    return scenario.ensure(cases.values())


@pytest.fixture(scope="session")
def platform(world: World, cases: dict[str, Case]) -> Iterator[World]:
    """The world with charts/platform in a namespace of its own, for the engines of the selected tests."""
    placed = engines.ensure_platform(world, cases)
    yield placed
    engines.remove_platform(placed.admin)


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
    cases: dict[str, Case],
    world: World,
    chart: Path,
    processes: leaks.Processes,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Session]:
    """All releases of the quick cases that the selected tests name, installed; those of a slow case come with its
    tests.
    """
    clean(world, cases)
    folder = tmp_path_factory.mktemp("kept")
    session = Session(world, cases, chart, folder, processes)
    request.config.stash[_SESSION] = session
    wanted = {name for item in request.session.items for name in _named_runs(item)}
    if "yolov5" in cases:
        prepare_yolov5(session, folder)
    if "allreduce" in cases:
        prepare_allreduce(session, folder)
    try:
        session.install_all(name for name, run in session.catalog.items() if name in wanted and run.case in QUICK)
        session.groups = list(leaks.objects(world.admin, "podgroups"))  # Volcano removes them when a run ends
        if "happy" in session.releases:
            session.moved = move_branch(session, folder)
        yield session
    finally:
        clean(world, cases)


_SESSION = pytest.StashKey[Session]()


def prepare_yolov5(session: Session, folder: Path) -> None:
    """What the runs need beyond the sources of their case."""
    world = session.world
    branches.branch_off(world, "yolov5", session.named(yolov5.MOVING))
    branches.ensure_without_images(world, folder)
    world.admin.apply(scenario.credentials("wrong-token", runs.WRONG_TOKEN))
    if not world.admin.get("secret", "read-only-token"):
        reader = world.server.create_token(TEAM, write=False)
        world.admin.apply(scenario.credentials("read-only-token", reader))


def prepare_allreduce(session: Session, folder: Path) -> None:
    world = session.world
    # Created again: their content belongs to this session.
    for repository in allreduce.CASE.results:
        world.server.delete_repository(TEAM, repository)
        scenario.ensure_repository(world.server, repository)
    world.server.protect_branch(TEAM, allreduce.RESULTS, session.named(allreduce.PROTECTED))
    session.kept_log = KeptLog(world.admin, f"rank-fails{session.id}-train-0", folder / "rank-0.log")
    session.killer = Killer(TEAM, allreduce.KILLED_RESULTS, f"killed{session.id}-train-0")


def move_branch(session: Session, folder: Path) -> Moved | None:
    """As soon as the run has pinned its commits, and long before it ends, somebody pushes to the branch it trains from."""
    server, branch, release = session.world.server, session.named(yolov5.MOVING), session.release("happy")
    before = server.branch_commit(TEAM, "yolov5", branch)
    assert before
    try:
        release.wait_for_log("event=fetch source=model", seconds=180)
    except NotEndedError:  # only the tests of this run fail
        return None
    after = branches.commit_onto(session.world, "yolov5", branch, folder)
    return Moved(before, after, phase(release.job()))


def clean(world: World, cases: Mapping[str, Case]) -> None:
    """Removes what test sessions have created, interrupted ones included; trained models are kept for inspection."""
    runs.uninstall(world.submitter, runs.leftovers(world.submitter))
    # Pods of `helm test` are not of the release, and outlive it.
    for pod in world.admin.objects("pods", "app.kubernetes.io/name=train"):
        if runs.MARK in pod["metadata"]["name"] and pod["metadata"]["name"].endswith("-check"):
            world.admin.kubectl("delete", "pod", pod["metadata"]["name"], "--wait=false")
    for repository in {name for case in cases.values() for name in case.sources}:
        branches.sweep(world, repository, runs.MARK)
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
        except Exception as error:  # a missing cluster must not hide the failure of the test
            text = f"nothing to see: {error}"
        report.sections.append(("the cluster", text))
    return report
