"""A run is followed, read and stopped from a script, by an account with the rights of deploy/submitter.yaml only."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from e2e.cases.follow import PROTECTED, RESULTS, TICKS
from e2e.kube import poll
from e2e.proxy import Proxy
from e2e.runs import Release, Session
from e2e.scenario import ROOT, TEAM

pytestmark = pytest.mark.family("follow")

CUT_SECONDS = 20
BURSTS = TICKS // 100 * 50


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "trainchart", *arguments]


def environment(kubeconfig: Path) -> dict[str, str]:
    return {**os.environ, "KUBECONFIG": str(kubeconfig), "PYTHONPATH": str(ROOT / "tools"), "PYTHONUNBUFFERED": "1"}


def trainchart(
    release: Release, *arguments: str, timeout: float = 240, folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command(*arguments),
        env=environment(release.kube.kubeconfig),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        cwd=folder or ROOT,
    )
    print(f"$ trainchart {' '.join(arguments)}\n{done.stdout}{done.stderr}ended with {done.returncode}")
    return done


@pytest.mark.runs("follow-completes")
def test_a_run_that_completes_is_reported_stage_by_stage_and_exits_with_0(session: Session) -> None:
    release = session.release("follow-completes")
    done = trainchart(release, "wait", release.name)
    assert (done.returncode, done.stderr) == (0, "")
    for stage in ("verify", "prepare", "train", "export", "publish"):
        assert re.search(rf"^  {stage} +begins$", done.stdout, re.MULTILINE), stage
        assert re.search(rf"^  {stage} +[\d.]+ s", done.stdout, re.MULTILINE), stage
    assert re.search(r"^  train +epoch 6 of|^  train +epoch 6, loss ", done.stdout, re.MULTILINE)
    result = release.result()
    assert f"  branch       {result['branch']}\n  commit       {result['commit']}\n" in done.stdout


@pytest.mark.runs("follow-completes")
def test_the_logs_of_two_replicas_have_the_rank_before_each_line(session: Session) -> None:
    release = session.release("follow-completes")
    release.end()
    done = trainchart(release, "logs", release.name)
    for rank in (0, 1):
        ours = [line[4:] for line in done.stdout.splitlines() if line.startswith(f"[{rank}] ")]
        assert ours == release.log(rank).splitlines()
    assert trainchart(release, "logs", release.name, "--rank", "1").stdout == release.log(1)


@pytest.mark.runs("follow-completes")
def test_the_result_is_printed_as_json_and_with_its_curve(session: Session) -> None:
    release = session.release("follow-completes")
    release.end()
    assert json.loads(trainchart(release, "result", release.name, "--output", "json").stdout) == release.result()
    told = trainchart(release, "result", release.name).stdout
    assert "\nloss\n" in told
    assert re.search(r"^ +files +\d, ", told, re.MULTILINE)


@pytest.mark.runs("follow-completes")
def test_a_run_is_submitted_again_on_the_same_commits(session: Session) -> None:
    release = session.release("follow-completes")
    release.end()
    again = f"again{session.id}"
    taken = trainchart(release, "rerun", release.name, "--as", again)
    assert taken.returncode == 2
    assert f"has the result of {release.name}" in taken.stderr
    branch = session.named("follow-again{session}")
    done = trainchart(release, "rerun", release.name, "--as", again, "--quiet", "--set", f"publish.branch={branch}")
    try:
        assert done.returncode == 0
        result = json.loads(trainchart(release, "result", again, "-o", "json").stdout)
        assert result["branch"] == branch
        for name, source in release.result()["sources"].items():
            assert result["sources"][name] == {**source, "revision": source["commit"]}
    finally:
        assert trainchart(release, "delete", again, "--stop", "--ignore-not-found").returncode == 0


@pytest.mark.parametrize(
    ("run", "code", "words"),
    [
        ("follow-verify", 20, 'the image has no program "torchrun"'),
        ("follow-prepare", 30, "no-such-branch"),
        ("follow-train", 40, "exit"),
        ("follow-export", 50, ""),
        ("follow-publish", 63, ""),
    ],
)
def test_a_run_that_fails_exits_with_the_code_of_its_stage(session: Session, run: str, code: int, words: str) -> None:
    if run == "follow-publish" and run not in session.releases:
        session.world.server.protect_branch(TEAM, RESULTS, session.named(PROTECTED))
    release = session.release(run)
    done = trainchart(release, "wait", release.name)
    assert done.returncode == code
    stage = run.partition("-")[2]
    assert re.search(rf"^{release.name} failed in {stage} after .*\({code}\)", done.stdout, re.MULTILINE)
    assert words in done.stdout
    assert "  what to do     " in done.stdout
    assert trainchart(release, "wait", "--quiet", release.name).returncode == code  # long after its end as well


@pytest.mark.parametrize(("run", "code"), [("follow-vanishes", 0), ("follow-vanishes-fails", 40)])
def test_the_end_of_a_run_whose_job_vanishes_at_once_is_told(session: Session, run: str, code: int) -> None:
    release = session.release(run)
    done = trainchart(release, "wait", release.name)
    assert done.returncode == code
    assert re.search(rf"^{release.name} {'failed in train' if code else 'completed'}", done.stdout, re.MULTILINE)
    poll(lambda: not release.kube.get("vcjob", release.name), 60, "Volcano has removed the Job")
    assert trainchart(release, "wait", release.name).returncode == 4
    told = trainchart(release, "result", release.name)
    assert told.returncode == 4
    assert session.named(f"{run}{{session}}") in told.stderr


@pytest.mark.runs("follow-long")
def test_a_timeout_exits_with_3_and_a_stop_with_143(session: Session, tmp_path: Path) -> None:
    release = session.release("follow-long")
    release.wait_for_log("still running", 90)
    done = trainchart(release, "wait", release.name, "--timeout", "4s")
    assert done.returncode == 3
    assert "has not finished (it is train" in done.stdout

    waiting = subprocess.Popen(
        command("wait", release.name), env=environment(release.kube.kubeconfig), stdout=subprocess.PIPE, text=True
    )
    stopped = trainchart(release, "stop", release.name, folder=tmp_path)
    assert stopped.returncode == 0
    assert not release.kube.pods(release.name)
    assert release.job()["status"]["state"]["phase"] == "Aborted"
    told, _ = waiting.communicate(timeout=60)
    assert waiting.returncode == 143
    assert f"{release.name} was stopped" in told

    # The file that it named has the logs of its pods, to the last line.
    assert f"the logs of its pods are in {release.name}.log" in stopped.stdout
    log = (tmp_path / f"{release.name}.log").read_text().splitlines()
    for rank in (0, 1):
        ours = [line[4:] for line in log if line.startswith(f"[{rank}] ")]
        assert "event=run " in ours[0]
        assert "still running" in ours
        assert "event=failed stage=train code=143 name=stopped" in ours[-1]
    result = json.loads(trainchart(release, "result", release.name, "--output", "json").stdout)
    assert result["failure"]["name"] == "stopped"
    again = trainchart(release, "stop", release.name)
    assert (again.returncode, again.stdout) == (0, f"{release.name} had finished: stopped\n")
    assert trainchart(release, "wait", release.name).returncode == 143


@pytest.mark.runs("follow-long-kept")
def test_on_a_claim_the_workspace_keeps_the_logs_of_a_stopped_run(session: Session, tmp_path: Path) -> None:
    release = session.release("follow-long-kept")
    release.wait_for_log("still running", 90)
    stopped = trainchart(release, "stop", release.name, folder=tmp_path)
    assert stopped.returncode == 0
    assert list(tmp_path.iterdir()) == []
    assert f"trainchart logs {release.name} --attempt 1" in stopped.stdout
    kept = trainchart(release, "logs", release.name, "--attempt", "1").stdout.splitlines()
    assert "still running" in kept
    assert "name=stopped" in kept[-1]
    whole = trainchart(release, "result", release.name, "--whole", "--output", "json")
    assert json.loads(whole.stdout)["failure"]["name"] == "stopped"
    assert not [pod for pod in release.kube.objects("pods") if "-reader-" in pod["metadata"]["name"]]


@pytest.mark.runs("follow-claimed")
def test_a_result_outlives_its_job_on_a_claim_of_one_node(session: Session) -> None:
    release = session.release("follow-claimed")
    done = trainchart(release, "wait", release.name)
    assert done.returncode == 0
    assert re.search(rf"^  artifacts +{release.name}/artifacts on claim {release.name}", done.stdout, re.MULTILINE)
    result = release.result()
    release.kube.kubectl("delete", "vcjob", release.name)
    poll(lambda: not release.kube.pods(release.name), 60, "the pods are gone")
    gone = trainchart(release, "result", release.name)
    assert gone.returncode == 4
    assert f"to read its workspace, run: trainchart result {release.name} --whole" in gone.stderr
    assert trainchart(release, "wait", release.name).returncode == 4
    whole = trainchart(release, "result", release.name, "--whole", "--output", "json")
    assert json.loads(whole.stdout) == result
    assert "\nloss\n" in trainchart(release, "result", release.name, "--whole").stdout


@pytest.mark.runs("follow-restarts")
def test_every_attempt_of_a_run_on_a_claim_can_be_read(session: Session) -> None:
    release = session.release("follow-restarts")
    following = subprocess.Popen(
        command("logs", "-f", release.name), env=environment(release.kube.kubeconfig), stdout=subprocess.PIPE, text=True
    )
    done = trainchart(release, "wait", release.name)
    assert done.returncode == 0
    assert "is running, attempt 2 of 2" in done.stdout
    said, _ = following.communicate(timeout=60)
    assert following.returncode == 0
    first, _, second = said.partition("-- attempt 2 --\n")
    for rank in (0, 1):
        ours = [line[4:] for line in second.splitlines() if line.startswith(f"[{rank}] ")]
        assert ours == release.log(rank).splitlines()
    kept = trainchart(release, "logs", release.name, "--attempt", "1").stdout
    for rank in (0, 1):
        lines = [line for line in kept.splitlines() if line.startswith(f"[{rank}] ")]
        assert f"attempt=0 rank={rank}" in lines[0]
        assert any("descend: rank" in line for line in lines)
        followed = [line for line in first.splitlines() if line.startswith(f"[{rank}] ")]
        assert followed == lines[: len(followed)]
    missing = trainchart(release, "logs", release.name, "--attempt", "3")
    assert missing.returncode == 4
    assert f"attempt 3 of {release.name} was not kept; kept are 1, 2" in missing.stderr
    assert not [pod for pod in release.kube.objects("pods") if "-reader-" in pod["metadata"]["name"]]


@pytest.mark.runs("follow-talks")
def test_a_cut_network_neither_loses_nor_repeats_a_line(session: Session, tmp_path: Path) -> None:
    release = session.release("follow-talks")
    server = urlsplit(json.loads(release.kube.kubeconfig.read_text())["clusters"][0]["cluster"]["server"])
    assert server.hostname
    assert server.port
    stalled, refused = (Proxy((server.hostname, server.port)) for _ in range(2))
    kubeconfigs = {
        name: proxy.kubeconfig(release.kube.kubeconfig, tmp_path / f"{name}.kubeconfig")
        for name, proxy in (("stalled", stalled), ("refused", refused))
    }
    processes = {}
    for name, kubeconfig in kubeconfigs.items():
        for words in (("logs", "-f"), ("wait",)):
            out, error = (tmp_path / f"{name}-{words[0]}.{end}" for end in ("out", "err"))
            with out.open("wb") as stdout, error.open("wb") as stderr:
                processes[name, words[0]] = subprocess.Popen(
                    command(*words, release.name),
                    env=environment(kubeconfig),
                    stdin=subprocess.DEVNULL,
                    stdout=stdout,
                    stderr=stderr,
                )

    def read(name: str, word: str, end: str = "out") -> str:
        return (tmp_path / f"{name}-{word}.{end}").read_text()

    poll(lambda: all("] tick 50\n" in read(name, "logs") for name in kubeconfigs), 120, "both followers print ticks")
    stalled.stall()
    refused.refuse()
    time.sleep(CUT_SECONDS)
    before = {name: len(read(name, "logs")) for name in kubeconfigs}
    stalled.mend()
    refused.mend()
    try:
        codes = {key: process.wait(timeout=150) for key, process in processes.items()}
    finally:
        for process in processes.values():
            process.kill()
    for key in processes:
        print(key, read(*key, "err")[-1000:])
    assert codes == dict.fromkeys(processes, 0)
    for name in kubeconfigs:
        assert before[name] < len(read(name, "logs"))
        for rank in (0, 1):
            ours = [line[4:] for line in read(name, "logs").splitlines() if line.startswith(f"[{rank}] ")]
            true = release.log(rank).splitlines()
            assert len(true) > TICKS
            assert Counter(true)["burst"] == BURSTS
            assert ours == true
        waited = read(name, "wait")
        assert f"{release.name} completed" in waited
        for stage in ("verify", "train", "publish"):
            assert len(re.findall(rf"^  {stage} +begins$", waited, re.MULTILINE)) == 1
    assert "is unreachable" in read("refused", "logs", "err")
    assert "answers again" in read("refused", "logs", "err")
    assert "trying again" in read("refused", "wait") + read("refused", "wait", "err")
