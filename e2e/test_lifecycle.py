"""helm test, an identical upgrade, and what remains after an uninstall."""

from __future__ import annotations

import base64

import pytest

from e2e.kube import CommandError, phase, poll, why_pending
from e2e.runs import Session, objects_of, uninstall


@pytest.mark.runs("happy")
def test_helm_test_passes_on_a_release_whose_repositories_exist(session: Session) -> None:
    release = session.release("happy")
    output = release.kube.helm("test", release.name, "--logs", timeout=300)
    assert "Succeeded" in output
    for item in ("settings", "tools", "mounts", "model", "dataset", "publish"):
        assert f"item={item} ok=true" in output


@pytest.mark.runs("missing-revision")
def test_helm_test_names_a_wrong_revision(session: Session) -> None:
    release = session.release("missing-revision")
    with pytest.raises(CommandError) as caught:
        release.kube.helm("test", release.name, "--logs", timeout=300)
    assert "item=model ok=false code=30" in caught.value.output
    assert "model.revision no-such-branch is neither a branch nor a tag" in caught.value.output


@pytest.mark.runs("lifecycle")
def test_a_release_is_a_small_part_of_what_a_secret_may_hold(session: Session) -> None:
    release = session.release("lifecycle")
    records = session.world.admin.objects("secrets", f"owner=helm,name={release.name}")
    assert records
    sizes = [len(base64.b64decode(record["data"]["release"])) for record in records]
    assert max(sizes) < 256 * 1024, sizes


@pytest.mark.runs("lifecycle")
def test_an_identical_upgrade_changes_nothing_and_an_uninstall_leaves_nothing(session: Session) -> None:
    release = session.release("lifecycle")
    assert release.end() == "Completed"
    before = release.job()["metadata"]
    pod = release.pod()["metadata"]["uid"]
    session.upgrade("lifecycle")
    after = release.job()["metadata"]
    assert (after["generation"], after["resourceVersion"]) == (before["generation"], before["resourceVersion"])
    assert release.pod()["metadata"]["uid"] == pod
    assert objects_of(session.world.admin, release.name) >= {
        f"vcjob/{release.name}",
        f"persistentvolumeclaim/{release.name}-workspace",
    }
    uninstall(release.kube, [release.name])
    poll(lambda: not objects_of(session.world.admin, release.name), 90, f"everything of {release.name} is gone")


@pytest.mark.runs("too-large")
def test_a_run_that_fits_nowhere_waits_as_a_whole_and_volcano_s_reason_is_shown(session: Session) -> None:
    release = session.release("too-large")
    lines = poll(
        lambda: [line for line in why_pending(release.kube, release.name) if "cpu" in line or "overused" in line],
        60,
        "Volcano has given a reason",
    )
    assert phase(release.job()) == "Pending"
    assert lines
