"""Kills runs at random moments of all their stages, and holds that each completes with one branch all the same.

    .venv/bin/python -m e2e.kills --seed 1 --claim 50 --emptydir 20

Every number comes from the seed, so a series can be repeated; where in its work a run is at a chosen moment depends on the
machine, and is read from the log after the kill. Prints a line for each run, a histogram of the stages
that the kills met, and exits with 1 if a run did not finish as it should. It needs the cluster of `make setup`.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from e2e import scenario
from e2e.branches import trailers
from e2e.cases import SHARED, Values, custom
from e2e.fixtures.repositories import git
from e2e.killer import kill_first_process
from e2e.kube import CommandError, Kube, Object, has_ended, poll, result, wait_for_end
from e2e.runs import merged, remove_workspaces, uninstall, value_files
from e2e.scenario import ROOT, TEAM, World
from trainchart.chart.paths import CHART
from trainchart.run.events import parse

RESULTS = "killed-at-random"
STAGES = ("verify", "prepare", "train", "export", "publish")
SECONDS = {"verify": 0.7, "prepare": 2.5, "train": 6.0, "export": 2.0, "publish": 2.5}
"""About how long each stage of these runs takes here: a kill comes at a random moment within it, or a little after. The
first begins with the container.
"""
MOST_KILLS = 3
LIMIT_SECONDS = 600
VALUES: Values = {
    "retries": MOST_KILLS + 2,
    "env": {"EPOCH_SECONDS": "1", "REPORT_SECONDS": "2"},
    "publish": {"repository": f"https://gitea.git.svc:3000/team/{RESULTS}.git"},
}


@dataclass(frozen=True)
class Moment:
    """So many seconds after a stage has begun."""

    stage: str
    seconds: float


@dataclass
class Outcome:
    name: str
    kind: str
    planned: Sequence[Moment]
    met: list[str] = field(default_factory=list)  # the stage that each kill met
    wrong: str = ""


class Log:
    """The log of a pod while it is written; it is asked for until the container has one."""

    def __init__(self, kube: Kube, pod: str) -> None:
        self.stage = STAGES[0]
        self.ended = False
        self._closed = False
        self._command = ["kubectl", "-n", kube.namespace, "logs", "-f", pod]
        self._environment = kube.environment()
        self._process: subprocess.Popen[str] | None = None
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        lines = 0
        while not lines and not self._closed:
            with subprocess.Popen(
                self._command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                errors="replace",
            ) as self._process:
                assert self._process.stdout
                for line in self._process.stdout:
                    lines += 1
                    event = parse(line)
                    if event and event.name == "start":
                        self.stage = event.fields["stage"]
        self.ended = True

    def close(self) -> None:
        self._closed = True
        if self._process:
            self._process.kill()


def plan(seed: int, kind: str, number: int) -> list[Moment]:
    """The moments of one run's kills: stages in turn, so that all are met, and then chosen at random."""
    chance = random.Random(f"{seed}-{kind}-{number}")
    stages = [STAGES[number % len(STAGES)], *chance.choices(STAGES, k=chance.randint(0, MOST_KILLS - 1))]
    return [Moment(stage, round(chance.uniform(0, SECONDS[stage] * 1.1), 3)) for stage in stages]


def go(world: World, kind: str, number: int, planned: Sequence[Moment], mark: str) -> Outcome:
    outcome = Outcome(f"{kind}-{number}{mark}", kind, planned)
    try:
        train_and_kill(world, outcome)
    except Exception as error:  # the others continue; the series is reported as a whole
        outcome.wrong = f"{type(error).__name__}: {error}"
    if not outcome.wrong:
        uninstall(world.submitter, [outcome.name])
        remove_workspaces([outcome.name])
    print(line(outcome), flush=True)
    return outcome


def train_and_kill(world: World, outcome: Outcome) -> None:
    kube, name = world.submitter, outcome.name
    values = merged(VALUES, SHARED if outcome.kind == "claim" else {})
    files = [word for file in value_files("custom") for word in ("-f", str(ROOT / file))]
    kube.helm("install", name, str(CHART), *files, "-f", "-", text=json.dumps(values))
    for moment in outcome.planned:
        met = kill(world, name, len(outcome.met), moment)
        if not met:
            break
        outcome.met.append(met)
    ended = wait_for_end(kube, name, LIMIT_SECONDS)
    job = kube.get("vcjob", name)
    assert job
    if ended != "Completed":
        last = kube.log(f"{name}-train-0").rstrip().splitlines()[-1:]
        outcome.wrong = f"{ended}: {last}"
        return
    outcome.wrong = judge(world, job, result(kube.pods(name)[0]), len(outcome.met))


def kill(world: World, name: str, attempt: int, moment: Moment) -> str:
    """Kills an attempt at the moment; the stage that it was in, or "" where it had ended before."""
    kube, pod = world.submitter, f"{name}-train-0"

    def is_due() -> bool:
        """Whether the attempt's pod is there; or the run has finished before."""
        found = kube.get("pod", pod)
        annotations = found["metadata"]["annotations"] if found else {}
        return annotations.get("volcano.sh/job-retry-count") == str(attempt) or has_ended(kube.get("vcjob", name))

    poll(is_due, LIMIT_SECONDS, f"{name}: the pod of attempt {attempt}", every=0.2)
    if has_ended(kube.get("vcjob", name)):
        return ""
    log = Log(kube, pod)
    try:
        if moment.stage == STAGES[0]:  # over before it was read
            kill_first_process(pod, after=moment.seconds, wait=60)
        else:
            poll_quietly(lambda: log.ended or STAGES.index(moment.stage) <= STAGES.index(log.stage), LIMIT_SECONDS)
            time.sleep(moment.seconds)
            kill_first_process(pod)
        poll_quietly(lambda: log.ended, 10)
    except CommandError:  # no process: the run was faster
        return ""
    finally:
        log.close()
    return log.stage


def poll_quietly(check: Callable[[], object], seconds: float) -> None:
    until = time.monotonic() + seconds
    while not check() and time.monotonic() < until:
        time.sleep(0.01)


def judge(world: World, job: Object, said: Object, kills: int) -> str:
    """What is wrong with a run that is complete, or nothing."""
    uid = job["metadata"]["uid"]
    retried = job["status"].get("retryCount", 0)
    if said["status"] != "completed":
        return f"the result says {said['status']}"
    if retried > kills:
        return f"{retried} restarts after {kills} kills"
    branches = branches_of(world, uid)
    if list(branches) != [said["branch"]] or branches[said["branch"]] != said["commit"]:
        return f"the result names {said['branch']} at {said['commit']}, and the server has {branches}"
    line = json.loads(world.server.read_file(TEAM, RESULTS, "line.json", said["branch"], lfs=True))
    return "" if line["epoch"] == custom.EPOCHS else f"the published model is of epoch {line['epoch']}"


def branches_of(world: World, uid: str) -> dict[str, str]:
    """Branch -> commit of those whose newest commit names this run."""
    url, configuration = world.clone_url(RESULTS), world.configuration()
    listed = git(ROOT, "ls-remote", "--heads", url, configuration=configuration)
    tips = [each.split("\trefs/heads/") for each in listed.splitlines()]
    return {
        branch: commit
        for commit, branch in tips
        if trailers(world.server.commit_message(TEAM, RESULTS, commit)).get("Run") == uid
    }


def line(outcome: Outcome) -> str:
    moments = ", ".join(f"{moment.stage}+{moment.seconds:.1f}s" for moment in outcome.planned)
    ended = outcome.wrong or "completed, one branch"
    return f"{outcome.name}: planned {moments}; killed in {', '.join(outcome.met) or 'nothing'}; {ended}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--claim", type=int, default=50, metavar="N", help="runs whose workspace outlives their pods")
    parser.add_argument(
        "--emptydir", type=int, default=20, metavar="N", help="runs that start from scratch after each kill"
    )
    parser.add_argument("--parallel", type=int, default=3, metavar="N", help="runs side by side")
    arguments = parser.parse_args()
    world = scenario.ensure([custom.CASE])
    world.server.delete_repository(TEAM, RESULTS)
    scenario.ensure_repository(world.server, RESULTS)
    mark = f"-e2e-k{arguments.seed}"
    wanted = [("claim", number) for number in range(arguments.claim)]
    wanted += [("emptydir", number) for number in range(arguments.emptydir)]
    with ThreadPoolExecutor(max_workers=arguments.parallel) as pool:
        outcomes = list(
            pool.map(lambda run: go(world, run[0], run[1], plan(arguments.seed, *run), mark), wanted),
        )
    wrong = [outcome for outcome in outcomes if outcome.wrong]
    for kind in ("claim", "emptydir"):
        met = Counter(stage for outcome in outcomes if outcome.kind == kind for stage in outcome.met)
        print(f"\n{kind}: {sum(met.values())} kills of {sum(each.kind == kind for each in outcomes)} runs")
        for stage in STAGES:
            print(f"  {stage:8} {met[stage]:3} {'#' * met[stage]}")
    print(f"\n{len(outcomes) - len(wrong)} runs completed with one branch, {len(wrong)} did not")
    for outcome in wrong:
        print(f"  {line(outcome)}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
