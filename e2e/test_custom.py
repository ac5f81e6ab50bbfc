"""A custom program in an image that was not made for trainchart is run, retried and published like any other."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from e2e import following
from e2e.cases.custom import DIES_AFTER, EPOCHS, ORPHANS, RESULTS
from e2e.cluster import kind
from e2e.fixtures.custom import OFFSET, SLOPE
from e2e.kube import poll, terminated
from e2e.node import in_node
from e2e.resume import assert_resumed
from e2e.runs import Release, Session
from e2e.scenario import TEAM

pytestmark = pytest.mark.family("custom")


def lines(release: Release, rank: int) -> list[str]:
    return [line for line in release.log(rank).splitlines() if line.startswith("descend: ")]


@pytest.mark.runs("custom-happy")
def test_two_pods_find_each_other_by_their_environment_and_stay_in_step(session: Session) -> None:
    release = session.release("custom-happy")
    assert release.end() == "Completed"
    for rank in (0, 1):
        assert lines(release, rank)[0] == f"descend: rank {rank} of 2 begins after epoch 0 from nothing"
    steps = [
        [line.partition(": rank")[2].partition(" after ")[2] for line in lines(release, rank)[1:]] for rank in (0, 1)
    ]
    assert len(steps[0]) == EPOCHS
    assert steps[0] == steps[1]


@pytest.mark.runs("custom-happy")
def test_the_artifacts_of_a_program_are_published_with_its_metrics(session: Session) -> None:
    release, server = session.release("custom-happy"), session.world.server
    release.end()
    result = release.result()
    files = set(server.list_files(TEAM, RESULTS, result["branch"]))
    assert files == {".gitattributes", "README.md", "line.json", "report.json"}
    assert server.read_file(TEAM, RESULTS, "line.json", result["commit"]).startswith(b"version https://git-lfs")
    report = json.loads(server.read_file(TEAM, RESULTS, "report.json", result["commit"]))
    assert report["points"] == 21
    assert report["worst"] < 1e-3
    last = lines(release, 0)[-1]
    slope, offset = map(float, last.split()[-2:])
    assert [slope, offset] == pytest.approx([SLOPE, OFFSET], abs=1e-3)
    assert result["metrics"]["epochs"] == EPOCHS
    assert result["metrics"]["loss"] < 1e-6


@pytest.mark.runs("custom-killed")
def test_a_killed_program_resumes_from_the_last_checkpoint_on_all_ranks(session: Session) -> None:
    release = session.release("custom-killed")
    assert release.end() == "Completed"
    assert release.job()["status"]["retryCount"] == 1
    begun = [lines(release, rank)[0] for rank in (0, 1)]
    for rank, line in enumerate(begun):
        assert re.fullmatch(
            rf"descend: rank {rank} of 2 begins after epoch {DIES_AFTER} from \S+/output/checkpoints/{DIES_AFTER}\.json",
            line,
        )
    assert len(lines(release, 0)) == 1 + EPOCHS - DIES_AFTER
    assert_resumed(release, list(range(1, DIES_AFTER + 1)), EPOCHS)
    # What the pods of the first attempt said, which Volcano has removed.
    logs = f"{kind.SHARED}/{release.name}/logs/{release.job()['metadata']['uid']}"
    kept = in_node("sh", "-c", f"cd {logs} && ls */*").split()
    assert {f"attempt-{attempt}/rank-{rank}.log" for attempt in (0, 1) for rank in (0, 1)} <= set(kept)
    assert "descend: rank 0 of 2 begins after epoch 0" in in_node("cat", f"{logs}/attempt-0/rank-0.log")
    assert in_node("cat", f"{logs}/attempt-1/rank-1.log") == release.log(1)


@pytest.mark.runs("custom-out-of-memory")
def test_a_program_that_runs_out_of_memory_is_not_retried_and_the_limit_to_raise_is_named(session: Session) -> None:
    release = session.release("custom-out-of-memory")
    # When the only pod has finished, Volcano may see the Job before the policy, and then calls it Failed.
    assert release.end() in ("Terminated", "Failed")
    assert release.exit_code() == 42
    assert release.job()["status"].get("retryCount", 0) == 0
    assert "attempt=0" in release.log()
    failure = release.result()["failure"]
    assert (failure["stage"], failure["name"]) == ("train", "train-out-of-memory")
    assert "more memory than the pod's limit" in failure["reason"]
    assert "resources.limits.memory" in failure["fix"]


@pytest.mark.runs("custom-no-python")
def test_an_image_without_python_is_recognized_by_its_start_error(session: Session) -> None:
    release = session.release("custom-no-python")
    assert release.end() == "Failed"
    ended = poll(lambda: terminated(release.pod()), 60, "the container has finished")
    assert (ended["reason"], ended["exitCode"]) == ("StartError", 128)
    assert 'exec: "python3": executable file not found in $PATH' in ended["message"]
    assert 'exec: "python3": executable file not found' in release.notes


@pytest.mark.runs("custom-no-program")
def test_a_missing_program_is_reported_before_anything_is_downloaded(session: Session) -> None:
    release = session.release("custom-no-program")
    assert release.end() in ("Terminated", "Failed")
    assert release.exit_code() == 20
    failure = release.result()["failure"]
    assert failure["reason"] == 'train.command: the image has no program "torchrun"'
    assert "event=fetch" not in release.log()


STATES = """
import pathlib
stats = [path.read_text() for path in pathlib.Path("/proc").glob("[0-9]*/stat")]
print(sum(stat.rpartition(") ")[2].startswith("Z") for stat in stats), len(stats))
"""


@pytest.mark.runs("custom-orphans")
def test_orphans_of_a_program_do_not_pile_up_as_zombies_and_its_daemons_end_with_its_stage(session: Session) -> None:
    release = session.release("custom-orphans")
    release.wait_for_log(f"left {ORPHANS} orphans and a daemon")
    pod = release.pod()["metadata"]["name"]
    zombies, processes = map(int, session.world.admin.kubectl("exec", pod, "--", "python3", "-c", STATES).split())
    assert zombies == 0
    assert processes < 10
    assert release.end() == "Completed", release.log()


@pytest.mark.runs("custom-held")
def test_a_run_that_failed_is_held_until_it_is_stopped_and_can_be_looked_into(session: Session, tmp_path: Path) -> None:
    release = session.release("custom-held")
    release.wait_for_log("event=holding")
    held = following.cause(release.kube, release.name, "held")
    assert "trainchart exec" in held["fix"]
    admin = session.world.admin  # who submits need not have the rights to pods/exec
    looked = following.trainchart(
        admin, "exec", release.name, "--", "sh", "-c", "cat /tmp/seen; echo wrong >&2; exit 3"
    )
    assert looked == (3, "42", "wrong\n")
    assert following.trainchart(admin, "exec", release.name, "--", "cat", text="piped")[:2] == (0, "piped")
    code, _, said = following.trainchart(release.kube, "exec", release.name, "--", "true")
    assert (code, "get and create pods/exec" in said) == (6, True), said
    assert following.trainchart(release.kube, "stop", release.name, "--logs", str(tmp_path / "log"))[0] == 0
    assert following.status(release.kube, release.name)["state"] == "stopped"
    code, _, said = following.trainchart(admin, "exec", release.name, "--", "true")
    assert (code, "does not run" in said or "has finished" in said) == (4, True), said
