"""What `wait` reports about a run, and its exit code."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, cast

import pytest

from tests.fakes.live import NAME, UID, Cluster, stamped
from trainchart.checks import diagnosis
from trainchart.checks.finding import Finding
from trainchart.cli import main as cli
from trainchart.cli import wait as command
from trainchart.cluster import kinds
from trainchart.cluster.api import Api
from trainchart.cluster.errors import NotFoundError, UnreachableError
from trainchart.cluster.fields import Object
from trainchart.errors import ExitCode
from trainchart.follow import logs, outcome, wait, watcher
from trainchart.follow.outcome import Outcome
from trainchart.follow.retry import Retry
from trainchart.follow.wait import Limits
from trainchart.run import helper_pod, state

COMPLETED = {
    "status": "completed",
    "branch": "sft-1",
    "repository": "https://git/x",
    "dataset": {"parts": [{"part": "train", "used": 125, "total": 128, "unit": "images"}]},
    "metrics": {"epochs": 2, "loss": 0.5},
}


def failure(name: str, code: int, stage: str = "train") -> dict[str, Any]:
    reported = {"stage": stage, "code": code, "name": name, "reason": f"why {name}", "fix": f"fix of {name}"}
    return {"status": "failed", "failure": reported}


@pytest.fixture(autouse=True)
def undiagnosed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "diagnose", lambda *_: [])


class RecordingConsole:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.lives: list[str] = []

    def line(self, message: str) -> None:
        self.lines.append(message)

    def live(self, message: str) -> None:
        self.lives.append(message)


class Waiting:
    """A `wait` in a thread."""

    def __init__(self, cluster: Cluster, **options: Any) -> None:
        self.console = RecordingConsole()
        self.outcome: Outcome | None = None
        self.error: Exception | None = None
        self._cluster, self._options = cluster, options
        self._thread = threading.Thread(target=self._wait, daemon=True)
        self._thread.start()

    def _wait(self) -> None:
        try:
            self.outcome = wait.wait(cast(Api, self._cluster), NAME, self.console, **self._options)
        except Exception as error:
            self.error = error

    def until(self, condition: Callable[[], Any]) -> None:
        deadline = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < deadline, (self.console.lines, self.error)
            time.sleep(0.005)

    def has_printed(self, text: str) -> None:
        self.until(lambda: text in "\n".join(self.console.lines))

    def end(self) -> Outcome:
        self._thread.join(20)
        assert not self._thread.is_alive(), self.console.lines
        if self.error:
            raise self.error
        assert self.outcome
        return self.outcome


def line(number: int, text: str) -> bytes:
    return stamped(number, 0, f"trainchart time=2026-11-24T18:00:{number:02}Z {text}")


def test_a_run_is_reported_stage_by_stage() -> None:
    cluster = Cluster()
    waiting = Waiting(cluster)
    waiting.has_printed("run-42 is pending")
    cluster.phase("Running")
    waiting.has_printed("run-42 is running")
    uid = cluster.pod(0, 0, line(1, "event=start stage=prepare"))
    waiting.has_printed("prepare  begins")
    cluster.lines[uid] += [
        line(2, 'event=dataset part=train used=125 total=128 unit=images left_out="3.jpg: truncated"'),
        line(2, "event=end stage=prepare seconds=3.2 bytes=4212345"),
        line(3, "event=start stage=train"),
        stamped(3, 1, "what the trainer prints"),
        *(line(4, f"event=metrics epoch={epoch} epochs=50 loss=0.{epoch}") for epoch in range(1, 51)),
        line(5, "event=end stage=train seconds=70"),
        line(5, "event=start stage=publish"),
        line(6, "event=end stage=publish seconds=1.5 branch=sft-1 commit=abc"),
    ]
    waiting.has_printed("to sft-1")
    waiting.until(lambda: "publish, epoch 50 of 50, loss 0.5" in waiting.console.lives[-1])
    assert "in this stage" in waiting.console.lives[-1]
    cluster.end(0, 0, COMPLETED)
    cluster.phase("Completed")
    ended = waiting.end()
    assert ended.code == 0
    assert waiting.console.lines == [
        "run-42 is pending",
        "run-42 is running",
        "  prepare  begins",
        "  uses 125 of 128 images of train; left out: 3.jpg: truncated",
        "  prepare  3.2 s, 4.2 MB",
        "  train    begins",
        "  train    epoch 1 of 50, loss 0.1",  # fifty in a moment are two lines
        "  train    epoch 50 of 50, loss 0.5",
        "  train    1 min 10 s",
        "  publish  begins",
        "  publish  1.5 s, to sft-1",
    ]
    assert ended.lines[0] == "run-42 completed after 5 min"
    assert "  branch       sft-1" in ended.lines
    assert "  dataset      uses 125 of 128 images of train" in ended.lines
    assert "  metrics      loss 0.5" in ended.lines


@pytest.mark.parametrize(
    ("ends", "code"),
    [
        ([(40, failure("train-failed", 40))], 40),
        ([(20, failure("verify-failed", 20, "verify"))], 20),
        # A rank that only lost its peers, or was ended for another's sake, has not the cause, whoever ended first.
        ([(43, failure("peer-lost", 43)), (42, failure("train-out-of-memory", 42))], 42),
        ([(143, failure("stopped", 143)), (50, failure("export-failed", 50, "export"))], 50),
        ([(43, failure("peer-lost", 43)), (43, failure("peer-lost", 43))], 43),
        ([(43, failure("peer-lost", 43)), (137, None)], 7),
        ([(137, None)], 7),
        ([(1, None)], 7),  # the runner itself could not start
        ([(31, None)], 31),  # it ended by its own code, and its message is lost
        ([], 7),
    ],
)
def test_the_exit_code_is_that_of_the_rank_that_caused_the_failure(
    ends: list[tuple[int, dict[str, Any] | None]], code: int
) -> None:
    cluster = Cluster(replicas=max(len(ends), 1))
    for rank, (exit_code, result) in enumerate(ends):
        cluster.pod(rank)
        cluster.end(rank, exit_code, result)
    cluster.phase("Failed")
    ended = Waiting(cluster).end()
    assert ended.code == code
    if ends and code != 7 and ends[-1][1]:
        assert any("what happened  why " in row for row in ended.lines)
        assert any("what to do     fix of " in row for row in ended.lines)


def test_waiting_for_the_git_server_is_reported() -> None:
    cluster = Cluster()
    waiting = Waiting(cluster)
    cluster.phase("Running")
    cluster.pod(
        0,
        0,
        line(1, "event=start stage=publish"),
        line(2, 'event=waiting stage=publish seconds=60 left=7140 reason="error: 503"'),
    )
    waiting.has_printed("publish  the server does not take the result yet; trying for 1 min so far")
    cluster.end(0, 0, COMPLETED)
    cluster.phase("Completed")
    assert waiting.end().code == 0


def test_a_result_on_another_branch_than_requested_is_exit_code_63_and_names_it() -> None:
    cluster = Cluster()
    cluster.pod()
    place = {"repository": "https://git.example.com/o.git", "branch": "sft-20261124-180000", "commit": "c" * 40}
    cluster.end(0, 63, {**failure("published-elsewhere", 63, "publish"), **place})
    cluster.phase("Terminated")
    ended = Waiting(cluster).end()
    assert ended.code == 63
    assert "  branch         sft-20261124-180000" in ended.lines
    assert f"  commit         {'c' * 40}" in ended.lines


def test_a_stopped_run_is_exit_code_143_and_a_terminated_one_a_failure() -> None:
    cluster = Cluster()
    cluster.phase("Aborted")
    assert Waiting(cluster).end().code == 143
    cluster = Cluster()
    cluster.pod()
    cluster.end(0, 60, failure("publish-refused", 60, "publish"))
    cluster.phase("Terminated")
    ended = Waiting(cluster).end()
    assert (ended.code, ended.lines[0]) == (60, "run-42 failed in publish after 5 min: publish-refused (60)")


def test_the_result_of_a_pod_that_is_gone_counts() -> None:
    cluster = Cluster(retries=1)
    cluster.phase("Running")
    cluster.pod()
    waiting = Waiting(cluster)
    waiting.has_printed("is running, attempt 1 of 2")
    cluster.end(0, 41, failure("train-killed", 41))
    waiting.has_printed("  attempt 1 failed in train: why train-killed")
    cluster.phase("Restarting")
    cluster.pods.clear()
    waiting.has_printed("run-42 is restarting")
    cluster.pod(0, 1)
    cluster.phase("Running")
    waiting.has_printed("is running, attempt 2 of 2")
    cluster.end(0, 0, COMPLETED)
    time.sleep(0.5)
    cluster.job = None  # by a short ttlAfterFinished
    assert waiting.end().code == 0


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("PreemptionByScheduler", "was preempted"),
        ("EvictionByEvictionAPI", "was evicted from its node node-1"),
        ("DeletionByTaintManager", "was lost with its node node-1"),
    ],
)
def test_an_attempt_that_the_cluster_took_away_is_reported_once_with_the_place_that_it_had_reached(
    reason: str, told: str
) -> None:
    cluster = Cluster(replicas=2, retries=1)
    cluster.phase("Running")
    cluster.pod(0, 0, line(1, "event=start stage=train"), line(2, "event=metrics epoch=3 loss=0.5"))
    cluster.pod(1)
    waiting = Waiting(cluster)
    waiting.has_printed("  train    epoch 3")
    for rank in (0, 1):
        cluster.evict(rank, reason)
        cluster.end(rank, 143, failure("stopped", 143))
    waiting.has_printed(f"  attempt 1 {told}, in train, after epoch 3")
    cluster.pod(0, 1)
    cluster.pod(1, 1)
    waiting.has_printed("is running, attempt 2 of 2")
    for rank in (0, 1):
        cluster.end(rank, 0, COMPLETED)
    cluster.phase("Completed")
    assert waiting.end().code == 0
    assert len([row for row in waiting.console.lines if "  attempt 1 " in row]) == 1


@pytest.mark.parametrize(
    ("code", "result", "says"),
    [(40, failure("train-failed", 40), "failed in train"), (137, None, "failed")],
    ids=["told", "killed"],
)
def test_a_failed_run_whose_job_vanishes_at_once_has_failed(code: int, result: Any, says: str) -> None:
    cluster = Cluster()
    assert cluster.job
    cluster.job["spec"]["ttlSecondsAfterFinished"] = 0
    cluster.phase("Running")
    cluster.pod()
    waiting = Waiting(cluster)
    waiting.has_printed("is running")
    cluster.end(0, code, result)
    time.sleep(0.5)
    cluster.job = None
    cluster.pods.clear()
    ended = waiting.end()
    assert ended.code == (code if result else ExitCode.RUN_FAILED)
    assert ended.lines[0].startswith(f"run-42 {says}")


def test_a_run_that_does_not_exist_or_is_removed_is_not_found() -> None:
    cluster = Cluster()
    cluster.job, cluster.settings = None, None
    with pytest.raises(NotFoundError, match="run run-42 not found"):
        Waiting(cluster).end()
    cluster = Cluster()
    cluster.phase("Running")
    waiting = Waiting(cluster)
    waiting.has_printed("is running")
    cluster.job, cluster.settings = None, None
    with pytest.raises(NotFoundError, match="run-42 was removed while it was running"):
        waiting.end()


def test_a_release_whose_job_is_gone_names_the_command_for_its_result() -> None:
    cluster = Cluster()
    cluster.job = None
    ended = Waiting(cluster).end()
    assert ended.code == 4
    assert "trainchart result run-42 --whole" in ended.lines[0]


@pytest.mark.parametrize("hangs", [False, True])
def test_time_limits_apply_whether_the_server_answers_or_not(hangs: bool) -> None:
    cluster = Cluster()
    cluster.phase("Running")
    cluster.pod()
    waiting = Waiting(cluster, limits=Limits(end=0.6))
    waiting.has_printed("is running")
    if hangs:
        cluster.lock.acquire()  # every call waits
    ended = waiting.end()  # while no call has been answered
    if hangs:
        cluster.lock.release()
    assert ended.code == 3
    assert "it continues: trainchart wait run-42" in ended.lines[0]


def test_a_time_limit_of_nothing_takes_one_look() -> None:
    cluster = Cluster()
    cluster.pod()
    cluster.phase("Running")
    for limits in (Limits(end=0.0), Limits(start=0.0, end=0.0)):
        assert Waiting(cluster, limits=limits).end().code == 3
    cluster.end(0, 0, {**COMPLETED, "stages": {"train": "nonsense", "export": 2}})
    cluster.phase("Completed")
    ended = Waiting(cluster, limits=Limits(end=0.0)).end()
    assert ended.code == 0
    assert "  stages       export 2.0 s" in ended.lines
    cluster.lock.acquire()
    try:
        ended = Waiting(cluster, limits=Limits(start=0.0)).end()
    finally:
        cluster.lock.release()
    assert (ended.code, ended.lines[0].partition(";")[0]) == (3, "run-42 did not answer after 0.0 s")


def test_a_start_that_takes_too_long_is_reported_with_its_findings(monkeypatch: pytest.MonkeyPatch) -> None:
    cause = Finding("no-room", "problem", "nodes", "no node has 64 CPUs", "ask for less")
    monkeypatch.setattr(diagnosis, "diagnose", lambda *_: [cause, Finding("x", "info", "run", "not looked at")])
    waiting = Waiting(Cluster(), limits=Limits(start=0.5))
    ended = waiting.end()
    assert ended.code == 3
    assert ended.lines[1:] == ["  why         no node has 64 CPUs", "  what to do  ask for less"]
    assert waiting.console.lines.count("  no node has 64 CPUs; ask for less") == 1
    assert not any("not looked at" in row for row in waiting.console.lines)
    cluster = Cluster()
    cluster.pod()
    cluster.phase("Running")
    waiting = Waiting(cluster, limits=Limits(start=0.3))
    time.sleep(0.6)
    cluster.end(0, 0, COMPLETED)
    cluster.phase("Completed")
    assert waiting.end().code == 0


def test_an_outage_is_waited_for_until_the_limit() -> None:
    cluster = Cluster()
    cluster.phase("Running")
    cluster.pod()
    waiting = Waiting(cluster)
    waiting.has_printed("is running")
    cluster.away = True
    waiting.has_printed("trying again for up to 10 minutes")
    cluster.away = False
    waiting.has_printed("the API server answers again")
    cluster.end(0, 0, COMPLETED)
    cluster.phase("Completed")
    assert waiting.end().code == 0
    cluster.away = True
    with pytest.raises(UnreachableError, match="given up"):
        Waiting(cluster, retry=Retry(print, limit=0.1)).end()


@pytest.mark.parametrize("may", [True, False])
def test_a_restart_that_volcano_has_lost_is_woken_up(may: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watcher, "STUCK_SECONDS", 0.1)
    cluster = Cluster(retries=1)
    if not may:
        cluster.forbidden = {"patch jobs.batch.volcano.sh"}
    cluster.phase("Restarting")
    waiting = Waiting(cluster)
    waiting.has_printed("touched the Job, which wakes it" if may else "would wake it, but: no permission to patch")
    assert bool(cluster.patched) is may
    cluster.phase("Failed")
    assert waiting.end().code == 7


def test_a_restart_with_a_pod_group_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watcher, "STUCK_SECONDS", 0.05)
    cluster = Cluster(retries=1)
    cluster.put(kinds.POD_GROUPS, {"metadata": {"name": f"{NAME}-{UID}"}})
    cluster.phase("Restarting")
    waiting = Waiting(cluster)
    time.sleep(0.6)
    cluster.phase("Failed")
    waiting.end()
    assert cluster.patched == []


def test_without_the_right_to_read_logs_the_outcome_is_reported() -> None:
    cluster = Cluster()
    cluster.forbidden = {"get pods/log"}
    cluster.phase("Running")
    cluster.pod()
    waiting = Waiting(cluster)
    waiting.has_printed("its progress is not reported: no permission to get pods/log")
    cluster.end(0, 0, COMPLETED)
    cluster.phase("Completed")
    assert waiting.end().code == 0


def test_without_the_right_to_watch_pods_are_listed() -> None:
    cluster = Cluster()
    cluster.forbidden = {"watch pods"}
    cluster.phase("Running")
    cluster.pod(0, 0, line(1, "event=start stage=train"))
    waiting = Waiting(cluster)
    waiting.has_printed("train    begins")
    cluster.end(0, 0, COMPLETED)
    cluster.phase("Completed")
    assert waiting.end().code == 0


def test_a_defect_in_a_thread_ends_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs.PodLog, "lines", lambda _: 1 / 0)
    cluster = Cluster()
    cluster.phase("Running")
    cluster.pod()
    with pytest.raises(ZeroDivisionError):
        Waiting(cluster).end()


def test_the_result_of_a_stopped_run_is_read_from_its_job() -> None:
    cluster = Cluster()
    cluster.phase("Aborted")
    assert cluster.job
    cluster.job["metadata"]["annotations"] = {outcome.RESULT_ANNOTATION: '{"failure": {"stage": "train"}}'}
    snapshot = state.load(cast(Api, cluster), NAME)
    assert outcome.result_of(snapshot) == {"failure": {"stage": "train"}}
    assert "  it was in    train" in Waiting(cluster).end().lines


def test_ctrl_c_ends_wait_and_not_the_run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    cluster = Cluster()

    def interrupted(*_: object, **__: object) -> Outcome:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "connect", lambda _: cluster)
    monkeypatch.setattr(wait, "wait", interrupted)
    assert cli.main(["wait", NAME]) == 130
    assert capsys.readouterr().err == "trainchart: stopped following; the run continues: trainchart wait run-42\n"


def test_wait_exits_with_the_code_of_the_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster = Cluster()
    cluster.pod()
    cluster.end(0, 40, failure("train-failed", 40))
    cluster.phase("Terminated")
    monkeypatch.setattr(command, "connect", lambda _: cluster)
    assert cli.main(["wait", NAME, "--quiet"]) == 40
    assert capsys.readouterr().out.splitlines()[1:] == [
        "  what happened  why train-failed",
        "  what to do     fix of train-failed",
        "  its log        trainchart logs run-42 -n training",
    ]


@pytest.mark.parametrize(
    ("printed", "reported"),
    [
        ([], "its MLflow run is closed as FAILED"),
        (
            [b'trainchart time=2026-11-24T18:00:00Z event=warning reason="it may still be RUNNING"'],
            "it may still be RUNNING",
        ),
    ],
)
def test_the_mlflow_run_of_a_killed_runner_is_closed_by_a_helper_pod(
    printed: list[bytes], reported: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = killed_for_good()
    cluster.settings = {"mlflow": {"trackingUri": "https://mlflow.example.com"}}
    made: list[Object] = []

    def run(_: Api, pod: Object, _does: str) -> list[bytes]:
        made.append(pod)
        return printed

    monkeypatch.setattr(helper_pod, "run", run)
    ended = Waiting(cluster).end()
    assert ended.code == 7
    assert ended.lines[-1] == f"  tracking       {reported}"
    (pod,) = made
    (container,) = pod["spec"]["containers"]
    assert {entry["name"]: entry["value"] for entry in container["env"]} == {
        "JOB_GROUP": f"{NAME}-{UID}",
        "JOB_ATTEMPT": "1",  # the one after the last
        "HOME": "/tmp",
    }
    assert [volume["name"] for volume in pod["spec"]["volumes"]] == ["run", "mlflow"]
    assert [mount["name"] for mount in container["volumeMounts"]] == ["run", "mlflow"]
    assert "limits" in container["resources"]


def test_without_the_right_to_create_pods_the_mlflow_run_may_stay_running() -> None:
    cluster = killed_for_good()
    cluster.settings = {"mlflow": {"trackingUri": "https://mlflow.example.com"}}
    cluster.forbidden = {"create pods"}
    ended = Waiting(cluster).end()
    assert ended.code == 7
    assert ended.lines[-1].startswith(
        "  tracking       its MLflow run may still be RUNNING: no permission to create pods; "
    )


def test_a_run_that_is_not_tracked_creates_no_helper_pod() -> None:
    cluster = killed_for_good()
    assert Waiting(cluster).end().code == 7
    assert cluster.created == []


def killed_for_good() -> Cluster:
    """Return a cluster with a run whose runner was killed, and reported nothing."""
    cluster = Cluster()
    assert cluster.job
    names = ["run", "workspace", "shm", "mlflow"]
    container = {
        "image": "team/image:1",
        "workingDir": "/trainchart",
        "volumeMounts": [{"name": name} for name in names],
    }
    spec = {"containers": [container], "volumes": [{"name": name} for name in names]}
    cluster.job["spec"]["tasks"][0]["template"] = {"spec": spec}
    cluster.pod()
    cluster.end(0, 137)
    cluster.phase("Failed")
    return cluster


@pytest.mark.parametrize(("replicas", "heads"), [(1, [b""]), (2, [b"[0] ", b"[1] "])])
def test_wait_with_logs_prefixes_the_lines_of_several_ranks(
    replicas: int, heads: list[bytes], monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    cluster = Cluster(replicas)
    for rank in range(replicas):
        cluster.pod(rank, 0, stamped(1, rank, "what it prints"))
    cluster.phase("Running")
    monkeypatch.setattr(command, "connect", lambda _: cluster)
    codes: list[int] = []
    following = threading.Thread(target=lambda: codes.append(cli.main(["wait", NAME, "--logs"])), daemon=True)
    following.start()
    printed, deadline = b"", time.monotonic() + 10
    while printed.count(b"what it prints") < replicas and time.monotonic() < deadline:
        time.sleep(0.01)
        printed += capfdbinary.readouterr().out
    for rank in range(replicas):
        cluster.end(rank, 0, COMPLETED)
    cluster.phase("Completed")
    following.join(20)
    assert codes == [0]
    assert sorted(line for line in printed.splitlines() if b"what" in line) == [
        head + b"what it prints" for head in heads
    ]


@pytest.mark.parametrize(
    ("words", "seconds"), [("90", 90), ("90s", 90), ("1.5h", 5400), ("1h30m", 5400), ("2d", 172800)]
)
def test_limits_are_durations(words: str, seconds: float) -> None:
    from trainchart.cli.options import parse_duration

    assert parse_duration(words) == seconds


@pytest.mark.parametrize("words", ["", "x", "5 m", "5w", "-5s", "m5", "90m5", "9" * 400, "9" * 9 + "d"])
def test_anything_else_is_refused(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(["wait", NAME, f"--timeout={words}"])
    assert end.value.code == 2
    assert "write 90s, 10m, 2h or 1d" in capsys.readouterr().err


def test_nothing_is_retried_when_the_command_has_ended() -> None:
    retry = Retry(lambda _: None)
    calls = []

    def away() -> None:
        calls.append(1)
        retry.cancel()
        raise UnreachableError("the API server is away")

    with pytest.raises(UnreachableError):
        retry.call(away)
    assert len(calls) == 1
