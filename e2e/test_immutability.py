"""A run is not changed: an identical upgrade does nothing; any other is refused before anything is sent, with Helm 3
and 4.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from e2e.cases import Values
from e2e.cluster import kind
from e2e.kube import CommandError, poll
from e2e.node import in_node
from e2e.runs import Session, uninstall

HELMS = ("helm", "helm3")
OBJECTS = "vcjob,pod,configmap,service,serviceaccount,persistentvolumeclaim,networkpolicy,podgroup"

both_helms = pytest.mark.parametrize("helm", HELMS)


def versions(session: Session, run: str, kinds: str = OBJECTS) -> dict[str, str]:
    """Every object that is named after the release, with its version."""
    name = session.releases[run].name if run in session.releases else f"{run}{session.id}"
    items = json.loads(session.world.admin.kubectl("get", kinds, "-o", "json"))["items"]
    return {
        f"{item['kind']}/{item['metadata']['name']}": item["metadata"]["resourceVersion"]
        for item in items
        if name in item["metadata"]["name"]
    }


def settled(session: Session, run: str) -> dict[str, str]:
    """The same for a finished run, once Volcano has written its last status."""
    assert session.release(run).end() == "Completed"
    session.release(run).exit_code()
    seen: list[dict[str, str]] = [{}]

    def is_still() -> bool:
        seen.append(versions(session, run))
        return seen[-1] == seen[-2]

    poll(is_still, 60, f"nothing changes at {run} any more", every=2)
    return seen[-1]


def refusal(session: Session, run: str, *more: Values, helm: str = "helm", chart: Path | None = None) -> list[str]:
    """The error lines of a refused upgrade, after checking that it changed no object and no record of Helm."""
    kinds = f"{OBJECTS},secret"
    before = versions(session, run, kinds)
    with pytest.raises(CommandError) as caught:
        session.upgrade(run, *more, helm=helm, chart=chart)
    assert versions(session, run, kinds) == before
    assert "trainchart: run " in caught.value.output
    assert "nothing was sent" in caught.value.output
    return caught.value.output.splitlines()


@both_helms
@pytest.mark.runs("unchanged")
def test_an_identical_upgrade_touches_nothing(session: Session, helm: str) -> None:
    before = settled(session, "unchanged")
    session.upgrade("unchanged", helm=helm)
    assert versions(session, "unchanged") == before


@both_helms
@pytest.mark.runs("unchanged")
def test_other_values_are_refused_each_with_its_old_and_new_value_and_the_way_out(session: Session, helm: str) -> None:
    settled(session, "unchanged")
    other = {
        "train": {"holdSeconds": 7},
        "queue": "research",
        "resources": {"limits": {"cpu": "1"}},
        "nodeSelector": None,
        "replicas": 2,
    }
    lines = refusal(session, "unchanged", other, helm=helm)
    named = [line.removeprefix("  - ") for line in lines if line.startswith("  - ")]
    assert named[:5] == [
        "nodeSelector.kubernetes.io/os: linux → (not set)",
        "queue: default → research",
        "replicas: 1 → 2",
        "resources.limits.cpu: 2 → 1",
        "train.holdSeconds: 0 → 7",
    ]
    assert [line.partition(":")[0] for line in named[5:]] == ["the chart's programs"]  # of a gang
    (way_out,) = [line for line in lines if line.startswith("Install a new release")]
    assert f"workspace.claimName: shared and workspace.directory: {session.release('unchanged').name}" in way_out


@pytest.fixture
def changed_chart(session: Session, tmp_path: Path) -> Callable[[str, str, str], Path]:
    def change(file: str, old: str, new: str) -> Path:
        chart = tmp_path / session.chart.name
        shutil.copytree(session.chart, chart)
        text = (chart / file).read_text(encoding="utf-8")
        assert old in text
        (chart / file).write_text(text.replace(old, new, 1), encoding="utf-8")
        return chart

    return change


@both_helms
@pytest.mark.runs("unchanged")
def test_another_runner_is_refused(session: Session, changed_chart: Callable[..., Path], helm: str) -> None:
    settled(session, "unchanged")
    line = "from __future__ import annotations"
    chart = changed_chart("charts/lib/files/runner/__main__.py", line, f"{line}  # of another version")
    lines = refusal(session, "unchanged", helm=helm, chart=chart)
    (named,) = [line for line in lines if line.startswith("  - ")]
    assert named.startswith("  - the chart's programs: 1 file(s), such as runner.")


@pytest.mark.runs("surroundings")
def test_a_chart_version_that_renders_the_same_run_is_accepted(
    session: Session, changed_chart: Callable[..., Path]
) -> None:
    settled(session, "surroundings")
    release = session.release("surroundings")
    before, pod = release.job()["metadata"], release.pod()["metadata"]
    session.upgrade("surroundings", chart=changed_chart("Chart.yaml", "\nversion: ", "\nversion: 9"))
    after = release.job()["metadata"]
    assert after["labels"]["helm.sh/chart"].startswith("train-9")
    assert (after["generation"], after["uid"]) == (before["generation"], before["uid"])
    assert release.pod()["metadata"]["resourceVersion"] == pod["resourceVersion"]
    # Back to the first revision: the same run.
    session.world.submitter.helm("rollback", release.name, "1")
    assert release.job()["metadata"]["generation"] == before["generation"]
    assert release.pod()["metadata"]["resourceVersion"] == pod["resourceVersion"]


@pytest.mark.runs("surroundings")
def test_whether_a_claim_is_kept_may_be_decided_later(session: Session) -> None:
    release = session.release("surroundings")
    assert release.end() == "Completed"
    generation = release.job()["metadata"]["generation"]
    notes = session.upgrade("surroundings", {"workspace": {"keep": True}})
    assert f'"helm uninstall {release.name}" keeps the workspace' in notes
    assert release.job()["metadata"]["generation"] == generation
    uninstall(release.kube, [release.name])
    claim = f"{release.name}-workspace"
    poll(lambda: release.kube.get("vcjob", release.name) is None, 60, "the run is gone")
    assert release.kube.get("persistentvolumeclaim", claim)
    release.kube.kubectl("delete", "persistentvolumeclaim", claim, "--wait=false")


@pytest.mark.runs("cleaned-up")
def test_a_run_that_was_cleaned_up_left_its_result_and_log_and_is_not_trained_again(session: Session) -> None:
    release = session.release("cleaned-up")
    poll(lambda: release.kube.get("vcjob", release.name) is None, 300, "Volcano has removed the Job")
    folder = f"{kind.SHARED}/{release.name}"
    (uid,) = in_node("ls", f"{folder}/logs").split()
    assert json.loads(in_node("cat", f"{folder}/result.json"))["status"] == "completed"
    assert in_node("cat", f"{folder}/logs/{uid}/attempt-0/result.json") == in_node("cat", f"{folder}/result.json")
    log = in_node("cat", f"{folder}/logs/{uid}/attempt-0/rank-0.log")
    assert "event=run " in log.splitlines()[0]
    assert "event=completed" in log.splitlines()[-1]
    for helm in HELMS:
        for values in ({}, {"ttlAfterFinished": ""}, {"train": {"holdSeconds": 7}}):
            assert "has finished, and its Job was removed" in "\n".join(
                refusal(session, "cleaned-up", values, helm=helm)
            )
    assert release.kube.get("vcjob", release.name) is None


@pytest.fixture
def failed(session: Session) -> Iterator[Callable[[str], str]]:
    """Installs a run of the catalog under a name of its own, in a queue that does not exist; returns the release's
    name.
    """
    made: list[str] = []

    def install(helm: str) -> str:
        run = f"repaired-{helm}"
        session.catalog[run] = session.catalog["cleaned-up"]
        made.append(f"{run}{session.id}")
        with pytest.raises(CommandError, match="unable to find job queue"):
            session.upgrade(run, {"queue": "no-such-queue"}, helm=helm)
        return run

    yield install
    uninstall(session.world.submitter, made)


@both_helms
@pytest.mark.runs("cleaned-up")
def test_a_first_installation_that_failed_is_repaired_by_repeating_it(
    session: Session, failed: Callable[[str], str], helm: str
) -> None:
    run = failed(helm)
    lines = refusal(session, run, {"train": {"holdSeconds": 7}}, helm=helm)
    assert "  - train.holdSeconds: 0 → 7" in lines
    assert any(line.startswith("The release has no Job") and "helm uninstall" in line for line in lines)
    session.upgrade(run, helm=helm)
    assert session.world.submitter.get("vcjob", f"{run}{session.id}")
