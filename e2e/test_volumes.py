"""Sources on volumes: a dataset on a claim, a shared cache, and a full one; and what only the trainer has."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from e2e.cases.volumes import CACHE, DATA, EMPTY, FULL, RESULTS, SMALL, SUB_PATH, TRAINER_SECRET, WORD
from e2e.cluster import kind
from e2e.fixtures.custom import POINTS
from e2e.kube import poll
from e2e.node import in_node
from e2e.runs import Release, Session
from e2e.scenario import TEAM, volume
from tests.tools.pages import yaml_blocks

SMALL_FOLDER = f"{kind.VOLUMES}/{SMALL}"


@pytest.fixture(scope="module")
def volumes(session: Session) -> Iterator[None]:
    """The claims, all empty except the one with the data; the small one is a file system of its own, which can be full."""
    unmount()
    in_node("rm", "-rf", kind.VOLUMES)
    for claim in (DATA, CACHE, EMPTY, SMALL):
        in_node("install", "-d", "-m", "0777", f"{kind.VOLUMES}/{claim}")
        session.world.admin.apply(*volume(claim, f"{kind.VOLUMES}/{claim}"))
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": TRAINER_SECRET}, "stringData": {"word": WORD}}
    session.world.admin.apply(secret)
    in_node("mkdir", "-p", f"{kind.VOLUMES}/{DATA}/{SUB_PATH}")
    in_node("tee", f"{kind.VOLUMES}/{DATA}/{SUB_PATH}/points.csv", text=POINTS)
    in_node("mount", "-t", "tmpfs", "-o", "size=64k,mode=0777", "tmpfs", SMALL_FOLDER)
    yield
    session.remove(run for run in session.releases if run.startswith("volumes-"))
    unmount()


def unmount() -> None:
    """Finished pods may use it for a moment longer; the node releases it with them."""
    in_node("sh", "-c", f"! mountpoint -q {SMALL_FOLDER} || umount --lazy {SMALL_FOLDER}")


pytestmark = [pytest.mark.family("volumes"), pytest.mark.usefixtures("volumes")]


def completed(session: Session, run: str) -> Release:
    release = session.release(run)
    assert release.end() == "Completed", release.log()
    assert session.world.server.branch_commit(TEAM, RESULTS, release.result()["branch"])
    return release


def fails(session: Session, run: str) -> str:
    """The result of a run that fails before its training."""
    release = session.release(run)
    assert release.end() in ("Terminated", "Failed")
    failure = release.result()["failure"]
    assert failure["stage"] == "prepare"
    assert "stage=train" not in release.log()
    return f"{release.exit_code()}: {failure['reason']}; {failure['fix']}"


def found(release: Release) -> list[str]:
    """Whether the cache had each source, as the log says."""
    lines = [line for line in release.log().splitlines() if "event=cache" in line]
    return sorted(word for line in lines for word in line.split() if word.startswith(("source=", "hit=")))


@pytest.mark.runs("volumes-claimed")
def test_a_dataset_can_be_in_a_folder_of_a_claim(session: Session) -> None:
    release = completed(session, "volumes-claimed")
    assert "event=fetch source=dataset" not in release.log()
    report = json.loads(session.world.server.read_file(TEAM, RESULTS, "report.json", release.result()["commit"]))
    assert report["points"] == len(POINTS.splitlines()) - 1
    assert DATA in release.result()["sources"]["dataset"]["repository"]
    mounts = release.pod()["spec"]["containers"][0]["volumeMounts"]
    assert [mount["readOnly"] for mount in mounts if mount.get("subPath") == SUB_PATH] == [True]


@pytest.mark.runs("volumes-wrong-folder")
def test_a_folder_missing_on_the_claim_is_named(session: Session) -> None:
    said = fails(session, "volumes-wrong-folder")
    assert said.startswith(f"30: dataset: claim {DATA} is empty at dataset.subPath")


def entries() -> str:
    """All that the cache has, but for the files that name the last user of an entry."""
    find = "find . ! -name used -exec stat -c '%n %i %Y' {} + | sort"
    return in_node("sh", "-c", f"cd {kind.VOLUMES}/{CACHE} && {find}")


@pytest.mark.runs("volumes-fills", "volumes-finds", "volumes-only-reads")
def test_no_run_fetches_what_another_has_put_into_the_cache(session: Session) -> None:
    first = completed(session, "volumes-fills")
    assert found(first) == ["hit=false", "hit=false", "source=dataset", "source=model"]
    listed = entries()
    for run in ("volumes-finds", "volumes-only-reads"):
        release = completed(session, run)
        assert found(release) == ["hit=true", "hit=true", "source=dataset", "source=model"]
        assert "event=fetch" not in release.log()
        assert release.result()["metrics"] == first.result()["metrics"]
    assert entries() == listed, "an entry that is whole is never touched"


@pytest.mark.runs("volumes-only-reads-nothing")
def test_an_entry_missing_in_a_read_only_cache_is_named(session: Session) -> None:
    said = fails(session, "volumes-only-reads-nothing")
    assert said.startswith("30: ")
    assert "the cache has no entry for https://gitea.git.svc:3000/team/" in said
    assert "fill it by `trainchart cache fill`" in said
    assert not in_node("ls", f"{kind.VOLUMES}/{EMPTY}")


@pytest.mark.runs("volumes-full", "volumes-enlarged")
def test_a_full_cache_is_named_and_works_again_once_it_is_larger(session: Session) -> None:
    said = fails(session, "volumes-full")
    assert said.startswith("32: ")
    assert "the cache volume is full" in said
    assert "free space on the cache volume (trainchart cache prune), or use a larger one" in said
    assert not in_node("find", SMALL_FOLDER, "-name", "complete")
    assert session.world.server.branch_commit(TEAM, RESULTS, session.named(FULL)) is None
    in_node("mount", "-o", "remount,size=8m", SMALL_FOLDER)
    release = completed(session, "volumes-enlarged")
    assert found(release) == ["hit=false", "hit=false", "source=dataset", "source=model"]


@pytest.mark.runs("volumes-ephemeral")
def test_every_pod_of_a_gang_has_a_workspace_of_its_own_which_goes_with_it(session: Session) -> None:
    release = completed(session, "volumes-ephemeral")
    claims = {f"{release.name}-train-{rank}-workspace" for rank in (0, 1)}
    assert {claim["metadata"]["name"] for claim in session.world.admin.objects("pvc")} >= claims
    session.remove(["volumes-ephemeral"])
    poll(
        lambda: not {one["metadata"]["name"] for one in session.world.admin.objects("pvc")} & claims,
        60,
        "both are gone",
    )


@pytest.mark.runs("volumes-further")
def test_the_trainer_has_its_volumes_and_keys_of_secrets_and_the_log_does_not_show_them(session: Session) -> None:
    release = completed(session, "volumes-further")
    log = release.log()
    assert "the key is ***" in log
    assert "refused: Read-only file system" in log
    assert WORD not in log + release.message()


def test_the_volume_of_the_documentation_carries_data_and_result(session: Session) -> None:
    admin, folder = session.world.admin, f"{kind.VOLUMES}/documented"
    volume_, claim, values, _ = yaml_blocks("volumes.md")
    for path in ("", "runs", "datasets/coco8"):
        in_node("install", "-d", "-o", "1000", "-g", "1000", f"{folder}/{path}")
    in_node("tee", f"{folder}/datasets/coco8/points.csv", text=POINTS)
    volume_["spec"]["local"]["path"] = folder
    volume_["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"][0]["matchExpressions"][0]["values"] = [kind.NODE]
    admin.apply(volume_, claim)
    try:
        poll(lambda: (admin.get("pvc", "training") or {}).get("status", {}).get("phase") == "Bound", 60, "it is bound")
        release = session.install_as("volumes-documented", "custom", values, "volumes")
        assert release.end() == "Completed", release.log()
        listed = in_node("sh", "-c", f"cd {folder}/runs/coco8 && find artifacts result.json -type f").split()
        assert {"artifacts/line.json", "artifacts/report.json", "result.json"} <= {*listed}
    finally:
        session.remove([run for run in session.releases if run == "volumes-documented"])
        admin.kubectl("delete", "pvc,pv", "training", "--ignore-not-found")
