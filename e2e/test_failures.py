"""A user error ends the run at once, with the stage's exit code, a reason and a fix."""

from __future__ import annotations

import re

import pytest

from e2e.cases import allreduce
from e2e.runs import Release, Session, merged
from e2e.scenario import TEAM

# run -> exit code, stage, name, words that the reason and the fix must have
FAILURES = {
    "wrong-token": (
        30,
        "prepare",
        "prepare-failed",
        [".repository", "credentials", "git.secretName wrong-token", "expired"],
    ),
    # The right to push is checked before anything that takes long.
    "read-only-token": (
        60,
        "publish",
        "publish-refused",
        ["publish.repository", "git.secretName read-only-token", "write"],
    ),
    "missing-revision": (30, "prepare", "prepare-failed", ["model.revision", "no-such-branch", "correct"]),
    "missing-folder": (30, "prepare", "prepare-failed", ["train.data", "images/", "does not exist", "dataset"]),
    "failing-trainer": (40, "train", "train-failed", ["exited with code 1", "AssertionError", ".pt"]),
    # The server says so only when the commit arrives: the result goes to another branch.
    "protected": (
        63,
        "publish",
        "published-elsewhere",
        ["publish.repository", "publish.branch protected", "branch=sft-"],
    ),
}


def _last_event(release: Release, rank: int = 0) -> str:
    return release.log(rank).rstrip().splitlines()[-1]


def _assert_failed(release: Release, code: int, stage: str, name: str, words: list[str]) -> None:
    # When the only pod has finished, Volcano may see the Job before the policy, and then calls it Failed.
    assert release.end() in ("Terminated", "Failed")
    assert release.job()["status"].get("retryCount", 0) == 0
    assert release.exit_code() == code
    last = _last_event(release)
    assert re.match(
        rf"trainchart time=\S+ event=failed stage={stage} code={code} name={name} reason=.+ fix=.+", last
    ), last
    for word in words:
        assert word in last
    failure = release.result()["failure"]
    assert (failure["stage"], failure["code"], failure["name"]) == (stage, code, name)


@pytest.mark.parametrize("run", [pytest.param(name, marks=pytest.mark.runs(name)) for name in FAILURES])
def test_a_user_error_terminates_the_run_and_says_what_to_do(session: Session, run: str) -> None:
    _assert_failed(session.release(run), *FAILURES[run])


@pytest.mark.runs("wrong-token", "read-only-token")
@pytest.mark.parametrize("run", ["wrong-token", "read-only-token"])
def test_a_token_that_cannot_push_is_reported_before_the_training(session: Session, run: str) -> None:
    session.release(run).end()
    assert "stage=train" not in session.release(run).log()


@pytest.mark.runs("rank-fails")
def test_the_error_of_one_rank_restarts_nothing_although_its_peer_loses_it(session: Session) -> None:
    release = session.release("rank-fails")
    assert release.end() == "Terminated"
    job = release.job()
    assert job["spec"]["maxRetry"] == 3
    assert job["status"].get("retryCount", 0) == 0
    assert release.exit_code(1) == 40
    assert "rank 1 fails because it was told to" in _last_event(release, 1)
    # Rank 0 met rank 1, lost it, and let it report the cause, unless Volcano was faster. It deletes a pod that still runs when it
    # ends the Job, so this log was kept while it was written.
    assert session.kept_log
    log = session.kept_log.text()
    assert "allreduce: rank 0 of 2 joined" in log
    assert ("event=waiting" in log and "lost a peer" in log) or "name=stopped" in log
    assert "attempt=0" in log
    assert "attempt=1" not in log
    attempts = {pod["metadata"]["annotations"]["volcano.sh/job-retry-count"] for pod in release.kube.pods(release.name)}
    assert attempts == {"0"}


@pytest.mark.runs("protected")
def test_a_new_release_on_the_same_folder_publishes_without_training_again(session: Session) -> None:
    first = session.release("protected")
    assert first.end() == "Terminated"
    branch, run = session.named(allreduce.PROTECTED), session.catalog["protected"]
    session.world.server.unprotect_branch(TEAM, allreduce.RESULTS, branch)
    again = session.install_as("resumed", run.family, merged(run.values, {"workspace": {"directory": first.name}}))
    assert again.end() == "Completed"
    log = again.log()
    for stage in ("train", "export"):
        assert f"event=skip stage={stage}" in log
    assert "allreduce: rank" not in log
    assert "event=fetch" not in log
    assert again.result()["branch"] == branch
    assert again.result()["metrics"] == {"epochs": 1, "sum": 1.0, "world_size": 1}
