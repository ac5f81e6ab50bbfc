"""The search, by the whole runner, real Optuna and a tiny trainer whose metric is the better the nearer `lr` is to 0.3."""

from __future__ import annotations

import json
import re
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from features import tune
from runner.context import Context

from .conftest import Ended, Server, finish, push

HOOKS = """
import csv

def train_arguments(context):
    settings = [context.train["batchSize"], context.train["epochs"], context.hyperparameters.get("lr", 0)]
    return ["train.py", str(context.output), *map(str, settings)]

def train_environment(context):
    return {}

def metrics(context):
    path = context.output / "results.csv"
    rows = path.read_text().splitlines() if path.exists() else []
    return [{"epoch": index + 1, "score": float(row)} for index, row in enumerate(rows)]

def layout(context, shapes):
    (context.artifacts / "model.pt").write_text((context.output / "results.csv").read_text())
"""
TRAIN = """
import os, signal, sys, time
from pathlib import Path
output, batch, epochs, lr = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
print("trains", output.name, "with", batch, lr, flush=True)
if batch == 13:
    raise ValueError("13 is no batch")
kill = Path("kill").read_text()
if output.name == kill and os.environ["JOB_ATTEMPT"] == "0":
    os.kill(os.getpid(), signal.SIGKILL)
for epoch in range(epochs):
    time.sleep(0.5 if epoch == 0 else 2.5)
    with open(output / "results.csv", "a") as results:
        results.write(f"{float('nan') if batch == 7 else 1 - abs(lr - 0.3)}\\n")
"""
# The runner, asking Optuna in its own process: otherwise each question imports it in a new one, as in the first test.
IN_ONE_PROCESS = """
import contextlib, io, runpy, sys
from types import SimpleNamespace
import optuna
from features import tune
from pathlib import Path
from runner import __main__, process

def run(argv, *_, **more):
    answer, sys.argv = io.StringIO(), argv[1:]
    with contextlib.redirect_stdout(answer), contextlib.suppress(SystemExit):
        runpy.run_path(argv[1], run_name="__main__")
    return process.Finished(0, answer.getvalue(), [])

tune.process = SimpleNamespace(run=run)
sys.exit(__main__.main(__main__.Run(Path(__main__.__file__).parents[1])))
"""
SPACE = {"lr": {"low": 0.01, "high": 1.0, "log": True}, "batchSize": {"choices": [4, 8]}}


@pytest.fixture
def home(server: Server, tmp_path: Path, make_home: Callable[..., Path]) -> Callable[..., Path]:
    family = tmp_path / "family"
    family.mkdir()
    (family / "hooks.py").write_text(HOOKS)
    model = f"{tmp_path.name}-model.git"
    server.repository(model)

    def make(kill: str = "none", name: str = "home", replicas: int = 1, epochs: int = 1, **tune: Any) -> Path:
        push(server, model, {"train.py": TRAIN, "kill": kill})
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        search = {"trials": 3, "metric": "score", "goal": "maximize", "failureLimit": 0, "space": SPACE, **tune}
        return make_home(
            {
                "sources": {
                    "model": {
                        "type": "git",
                        "repository": f"{server.url}/{model}",
                        "revision": "main",
                        "path": "model",
                    }
                },
                "publish": {"type": "none", "modelName": "m", "maxBatchSize": 1},
                "workspace.type": "newClaim",
                "train": {"epochs": epochs, "batchSize": 4},
                "tune": search,
                "replicas": replicas,
                "run.service": "127.0.0.1",
                "pod.port": port - 1,
            },
            family,
            name,
        )

    return make


@pytest.fixture
def quick(run: Callable[..., Ended]) -> Callable[..., Ended]:
    def go(home: Path, **environment: str) -> Ended:
        return run(home, program=("-c", IN_ONE_PROCESS), **environment)

    return go


def trials(ended: Ended, state: str) -> list[int]:
    return [int(re.findall(r"number=(\d+)", line)[0]) for line in ended.events("trial") if f"state={state}" in line]


@pytest.mark.lab
def test_the_best_trial_is_exported_with_a_table_of_all_and_keeps_its_folder_alone(
    home: Callable[..., Path], run: Callable[..., Ended], tmp_path: Path
) -> None:
    ended = run(home(trials=2))
    assert ended.code == 0, ended.log
    best = ended.message["search"]
    assert (best["trials"], best["failed"]) == (2, 0)
    assert [path.name for path in (tmp_path / "workspace/run-42/output/trials").iterdir()] == [str(best["trial"])]
    table = (tmp_path / "workspace/run-42/artifacts/trials.csv").read_text().splitlines()
    assert table[0] == "trial,state,value,batchSize,lr"
    values = [float(line.split(",")[2]) for line in table[1:]]
    assert max(values) == best["value"] == pytest.approx(1 - abs(best["parameters"]["lr"] - 0.3))
    assert float((tmp_path / "workspace/run-42/artifacts/model.pt").read_text()) == best["value"]
    again = run(home(trials=2), JOB_ATTEMPT="1")
    assert (again.code, trials(again, "begins"), again.message["search"]) == (0, [], best)


@pytest.mark.lab
def test_two_pods_share_a_search_and_a_failed_trial_is_tolerated(
    home: Callable[..., Path], start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    space = {**SPACE, "batchSize": {"choices": [4, 13]}}
    folder = home(replicas=2, trials=6, failureLimit=6, space=space, seed=3)
    pods = [
        start(
            folder,
            program=("-c", IN_ONE_PROCESS),
            VC_TASK_INDEX=rank,
            POD_IP="127.0.0.1",
            TERMINATION_LOG=str(tmp_path / f"message-{rank}"),
        )
        for rank in "01"
    ]
    zero, one = (finish(pod, tmp_path / f"message-{rank}") for rank, pod in enumerate(pods))
    assert (zero.code, one.code) == (0, 0), zero.log + one.log
    assert sorted(trials(zero, "begins") + trials(one, "begins")) == list(range(6))
    assert trials(zero, "begins")
    assert trials(one, "begins")
    failed = trials(zero, "failed") + trials(one, "failed")
    assert zero.message["search"]["failed"] == len(failed) > 0
    assert zero.message["search"]["parameters"]["batchSize"] == 4


@pytest.mark.lab
def test_too_many_failed_trials_end_the_run(home: Callable[..., Path], quick: Callable[..., Ended]) -> None:
    ended = quick(home(trials=5, failureLimit=1, space={**SPACE, "batchSize": {"choices": [13]}}))
    assert ended.code == 40
    assert len(trials(ended, "begins")) == 2
    assert "more than tune.failureLimit 1" in ended.last
    assert "13 is no batch" in ended.last


@pytest.mark.lab
def test_a_trial_whose_pod_died_is_run_again_and_the_search_continues(
    home: Callable[..., Path], quick: Callable[..., Ended]
) -> None:
    folder = home(kill="1")
    first = quick(folder)
    assert (first.code, trials(first, "begins"), trials(first, "complete")) == (41, [0, 1], [0])
    second = quick(folder, JOB_ATTEMPT="1")
    assert second.code == 0, second.log
    assert second.message["resumed"] == {"trials": [1]}
    assert second.message["search"]["trials"] == 3
    given = [
        json.loads(text)
        for text in re.findall(
            r'parameters="(\{.*?\})"', (first.log + second.log).replace('\\"', "'").replace("'", '"')
        )
    ]
    assert given[1] == given[2], "with the same parameters"


@pytest.mark.lab
def test_a_metric_that_the_trainer_does_not_tell_ends_the_run_at_once(
    home: Callable[..., Path], quick: Callable[..., Ended]
) -> None:
    ended = quick(home(metric="mAP", failureLimit=3))
    assert (ended.code, len(trials(ended, "begins"))) == (40, 1)
    assert "tune.metric: the trainer reports no mAP; it reports epoch, score" in ended.last


def table(folder: Path) -> list[list[str]]:
    return [line.split(",") for line in (folder / "workspace/run-42/artifacts/trials.csv").read_text().splitlines()[1:]]


@pytest.mark.lab
def test_a_trial_that_is_worse_is_given_up_after_its_grace_period(
    home: Callable[..., Path], quick: Callable[..., Ended], tmp_path: Path
) -> None:
    space = {"lr": {"choices": [0.1, 0.3, 0.6, 0.9]}}
    ended = quick(home(epochs=3, trials=5, gracePeriod=1, seed=1, space=space))
    assert ended.code == 0, ended.log
    pruned = trials(ended, "pruned")
    assert pruned
    assert pruned == [int(row[0]) for row in table(tmp_path) if row[1] == "pruned"]
    epochs = ended.log.split(f"number={pruned[0]} state=begins")[1].split(f"number={pruned[0]} state=pruned")[0]
    assert epochs.count("event=metrics") == 1
    assert ended.message["search"]["failed"] == 0, "that is no failure"


def test_a_trial_that_diverges_fails_alone(
    home: Callable[..., Path], quick: Callable[..., Ended], tmp_path: Path
) -> None:
    ended = quick(home(failureLimit=3, trials=4, seed=1, space={**SPACE, "batchSize": {"choices": [4, 7]}}))
    assert ended.code == 0, ended.log
    failed = [line for line in ended.events("trial") if "state=failed" in line]
    assert failed
    assert all("reported no number for score" in line for line in failed)
    assert {row[3] for row in table(tmp_path) if row[1] == "complete"} == {"4"}


@pytest.mark.lab
def test_a_search_continues_for_more_trials_and_starts_from_scratch_for_other_ones(
    home: Callable[..., Path], quick: Callable[..., Ended], tmp_path: Path
) -> None:
    assert trials(quick(home(trials=2)), "begins") == [0, 1]
    more = quick(home(trials=3))
    assert (trials(more, "begins"), more.message["search"]["trials"]) == ([2], 3)
    assert len(table(tmp_path)) == 3
    other = quick(home(trials=1, space={"lr": {"choices": [0.3]}}))
    assert (trials(other, "begins"), other.message["search"]["value"]) == ([0], 1)
    assert len(other.events("from-scratch")) == 1
    assert float((tmp_path / "workspace/run-42/artifacts/model.pt").read_text()) == 1, "it was exported again"


@pytest.mark.lab
def test_what_a_killed_pod_was_writing_does_not_end_the_search(
    home: Callable[..., Path], quick: Callable[..., Ended], tmp_path: Path
) -> None:
    assert quick(home(trials=1)).code == 0
    journal = tmp_path / "workspace/run-42/output/search.journal"
    with journal.open("a") as file:
        file.write('{"op_code":4,"wor')
    journal.with_name("search.journal.lock").symlink_to(journal)
    ended = quick(home(trials=2))
    assert (ended.code, ended.message["search"]["trials"]) == (0, 2), ended.log
    assert "lock" not in ended.log


@pytest.mark.lab
def test_other_hyper_parameters_are_held_against_the_sources_again(
    home: Callable[..., Path], quick: Callable[..., Ended], tmp_path: Path
) -> None:
    (tmp_path / "family/probe_dataset.py").write_text(
        "import json, sys\n"
        "known = json.loads(sys.argv[1])['hyperparameters'] == ['lr']\n"
        "print(json.dumps({'ok': known, 'reason': 'tune.space: what is that?', 'fix': 'correct it'}))\n"
    )
    assert quick(home(trials=1)).code == 0
    ended = quick(home(trials=1, space={"rl": {"choices": [1]}}))
    assert ended.code == 30
    assert "tune.space: what is that?" in ended.last


@pytest.mark.lab
def test_every_trial_is_tracked_once_whichever_pod_it_ran_in(make_context: Callable[..., Context]) -> None:
    search = {"trials": 2, "metric": "score", "goal": "maximize", "space": {"lr": {"choices": [0.1]}}}
    context = make_context({"tune": search})
    context.output.mkdir(parents=True)
    rows: list[tuple[int, dict[str, float]]] = []
    other = tune.Study(context, lambda *_: None)
    mine = tune.Study(context, lambda number, row: rows.append((number, row)))
    other.call("begin")
    other.call("tell", number=other.call("ask")["number"], state="complete", value=0.5)
    mine.call("tell", number=mine.call("ask")["number"], state="failed", value=None)
    mine.call("status")
    assert rows == [(0, {"trial/value": 0.5})]
