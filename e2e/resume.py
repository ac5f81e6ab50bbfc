"""A pod that is killed in the middle of its training, and which epochs each attempt has trained.

release = session.release("yolov8-killed")           # with `retries: 1`, on a workspace that outlives its pods
killed_and_resumed(session, release, EPOCHS)          # all that holds for every family

killed = kill_after(session, release, "event=checkpoint")
assert release.end() == "Completed"
assert epochs(killed.log()) == [1]
assert epochs(release.log()) == [2, 3]                # of the pod that is there now: the second attempt's
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from e2e.killer import kill_first_process
from e2e.kube import KeptLog, poll
from e2e.runs import END_SECONDS, Release, Session


@dataclass(frozen=True)
class Killed:
    """The attempt that was killed. Volcano deletes its pods, so their logs were kept while they were written."""

    logs: Sequence[KeptLog]  # by rank

    def log(self, rank: int = 0) -> str:
        return self.logs[rank].text()


def kill_after(session: Session, release: Release, text: str, rank: int = 0, seconds: float = END_SECONDS) -> Killed:
    """Waits until the rank's log has the text, and ends all processes of its container with SIGKILL."""
    return kill_when(session, release, lambda logs: text in logs[rank], f"rank {rank} logs {text!r}", rank, seconds)


def kill_when(
    session: Session,
    release: Release,
    condition: Callable[[Sequence[str]], bool],
    what: str,
    rank: int = 0,
    seconds: float = END_SECONDS,
) -> Killed:
    """The same when the logs of all ranks, in their order, are as they shall be.

    To be called as soon as the release is installed: an attempt that has finished by then cannot be killed.
    """
    ranks = range(release.job()["spec"]["tasks"][0]["replicas"])
    logs = [
        KeptLog(session.world.admin, pod, session.folder / f"{pod}.log", seconds)
        for pod in (f"{release.name}-train-{number}" for number in ranks)
    ]
    poll(lambda: condition([log.text() for log in logs]), seconds, f"{release.name}: {what}", every=0.1)
    kill_first_process(f"{release.name}-train-{rank}")
    return Killed(logs)


def killed_and_resumed(session: Session, release: Release, last: int) -> None:
    """Kills rank 0 after a checkpoint. The run still completes, and repeats at most the one epoch between two checkpoints."""
    killed = kill_after(session, release, "event=checkpoint")
    assert release.end() == "Completed", release.log()
    assert_resumed(release, epochs(killed.log()), last)
    assert "event=checkpoint" in release.log()


def assert_resumed(release: Release, first: Sequence[int], last: int) -> None:
    """The second attempt resumed on all ranks from one checkpoint, which it names, and every epoch up to the last was
    logged.

    `first` are the epochs that the first attempt told before it was killed.
    """
    result, second = release.result(), epochs(release.log())
    assert first == list(range(1, first[-1] + 1))
    assert second == list(range(second[0], last + 1))
    # One that was logged twice was trained twice, or the kill came before the runner had noted that it was logged.
    assert second[0] in (first[-1], first[-1] + 1), (first, second)
    # An epoch trained before the kill may be logged at the resume: then it is the checkpoint's.
    assert second[0] - 1 <= result["resumed"]["epoch"] <= first[-1] + 1, (first, second)
    assert result["metrics"]["epochs"] == last
    chosen = f"event=resume checkpoint={result['resumed']['checkpoint']} "
    for rank in range(release.job()["spec"]["tasks"][0]["replicas"]):
        assert chosen in release.log(rank), f"rank {rank}"


def epochs(log: str) -> list[int]:
    """The epochs whose metrics the runner has logged, in their order."""
    return [
        int(number) for number in re.findall(r"^trainchart .*\bevent=metrics .*?\bepoch=(\d+)\b", log, re.MULTILINE)
    ]
