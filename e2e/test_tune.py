"""A search: trials in two pods at once, one that fails, a pod that is killed, and the best of them published."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e import branches
from e2e.cases.tune import FAILS, FIRST, METRIC, RESULTS, TOO_LARGE, TRIALS, UNKNOWN
from e2e.kube import Object
from e2e.resume import epochs, kill_when
from e2e.runs import Release, Session
from e2e.scenario import TEAM

pytestmark = pytest.mark.family("tune")
of_search = pytest.mark.runs("tune-first", "tune-search")

_TRIAL = re.compile(r'^trainchart time=(\S+) event=trial number=(\d+) state=(\w+)(?: parameters=(".*"))?', re.MULTILINE)


@dataclass(frozen=True)
class Event:
    """A line of a trial in a pod's log."""

    time: datetime
    number: int
    state: str
    parameters: dict[str, Any]  # of one that begins


def events(log: str) -> list[Event]:
    return [
        Event(datetime.fromisoformat(time.rstrip("Z")), int(number), state, json.loads(json.loads(quoted or '"{}"')))
        for time, number, state, quoted in _TRIAL.findall(log)
    ]


def numbers(logs: Sequence[str], *states: str) -> list[int]:
    return sorted(event.number for log in logs for event in events(log) if event.state in states)


@dataclass
class Searched:
    first: Object  # the result of the earlier run
    release: Release
    killed: Sequence[str]  # the logs of the attempt that was killed, by rank
    logs: Sequence[str]  # of the next one
    result: Object
    clone: Path  # of the branch with the result

    @property
    def table(self) -> dict[int, dict[str, str]]:
        rows = csv.DictReader((self.clone / "trials.csv").read_text().splitlines())
        return {int(row["trial"]): row for row in rows}


def in_the_middle(logs: Sequence[str]) -> bool:
    """One trial has completed and one has failed, and the pod that will be killed is in another."""
    told = events(logs[1])
    return bool(numbers(logs, "complete") and numbers(logs, "failed") and told and told[-1].state == "begins")


@pytest.fixture(scope="module")
def searched(session: Session, tmp_path_factory: pytest.TempPathFactory) -> Searched:
    first = session.release("tune-first")
    assert first.end() == "Completed", first.log()
    release = session.release("tune-search")
    killed = kill_when(session, release, in_the_middle, "one trial completed, one failed, rank 1 in another", rank=1)
    assert release.end() == "Completed", release.log()
    result = release.result()
    clone = branches.clone(session.world, RESULTS, result["branch"], tmp_path_factory.mktemp("tune") / "clone")
    before = [killed.log(rank) for rank in range(2)]
    return Searched(first.result(), release, before, [release.log(rank) for rank in range(2)], result, clone)


def running(log: str) -> Iterator[tuple[datetime, datetime]]:
    """From when to when a trial ran in this pod."""
    said = events(log)
    ends = {event.number: event.time for event in said if event.state != "begins"}
    return ((event.time, ends[event.number]) for event in said if event.number in ends and event.state == "begins")


@of_search
def test_two_trials_overlap_in_time_in_two_pods(searched: Searched) -> None:
    pairs = [
        (one, other)
        for zero_log, one_log in (searched.killed, searched.logs)
        for one in running(zero_log)
        for other in running(one_log)
    ]
    assert any(max(one[0], other[0]) < min(one[1], other[1]) for one, other in pairs), pairs


@of_search
def test_a_trial_that_the_trainer_refuses_is_tolerated(searched: Searched) -> None:
    assert numbers([*searched.killed, *searched.logs], "failed") == [FAILS]
    (reason,) = [
        line for log in searched.killed for line in log.splitlines() if "event=trial" in line and "state=failed" in line
    ]
    assert f"'{UNKNOWN}'" in reason
    assert searched.result["search"]["failed"] == 1
    assert (searched.table[FAILS]["state"], searched.table[FAILS]["optimizer"]) == ("fail", UNKNOWN)


@of_search
def test_the_trials_of_the_killed_attempt_are_run_again_and_no_others(searched: Searched) -> None:
    ended = numbers(searched.killed, "complete", "failed")
    lost = sorted(set(numbers(searched.killed, "begins")) - set(ended))
    assert searched.result["resumed"] == {"trials": lost}
    assert lost, "rank 1 was in a trial"
    again = numbers(searched.logs, "begins")
    assert sorted([*ended, *again]) == sorted(searched.table)
    assert len(searched.table) == searched.result["search"]["trials"] == TRIALS
    given = {
        event.number: event.parameters
        for log in [*searched.killed, *searched.logs]
        for event in events(log)
        if event.state == "begins"
    }
    assert [given[number] for number in lost] == [given[number] for number in again[: len(lost)]]


@of_search
def test_the_best_trial_is_published_with_a_table_of_all(searched: Searched, session: Session) -> None:
    best = searched.result["search"]
    values = {number: float(row["value"]) for number, row in searched.table.items() if row["state"] == "complete"}
    assert len(values) == TRIALS - 1
    assert len(set(values.values())) > 1, "what is tried makes a difference"
    assert best["value"] == pytest.approx(min(values.values()))
    assert best["trial"] == min(values, key=lambda number: values[number])
    rows = csv.DictReader((searched.clone / "results.csv").read_text().splitlines())
    assert best["value"] == pytest.approx(min(float(row[METRIC]) for row in rows), abs=1e-5)
    trained = yaml.safe_load((searched.clone / "args.yaml").read_text())
    assert trained["optimizer"] == best["parameters"]["optimizer"]
    assert trained["batch"] == best["parameters"]["batchSize"]
    assert trained["lr0"] == pytest.approx(best["parameters"]["lr0"])
    files = set(session.world.server.list_files(TEAM, RESULTS, searched.result["branch"]))
    assert files >= {"1/model.pt", "best.pt", "config.pbtxt", "trials.csv"}
    _, front, _ = (searched.clone / "README.md").read_text().split("---\n", 2)
    assert yaml.safe_load(front)["trainchart"]["search"] == best


@of_search
def test_it_was_the_model_of_the_earlier_run(searched: Searched, session: Session) -> None:
    model = searched.result["sources"]["model"]
    assert (model["revision"], model["commit"]) == (session.named(FIRST), searched.first["commit"])


@pytest.mark.runs("tune-short")
def test_a_trial_that_runs_out_of_memory_is_tolerated_and_a_hopeless_one_is_pruned(session: Session) -> None:
    release = session.release("tune-short")
    assert release.end() == "Completed", release.log()
    said = events(release.log())
    begun = {event.number: event.parameters for event in said if event.state == "begins"}
    assert {event.number: event.state for event in said if event.state != "begins"} == {
        0: "complete",
        1: "failed",
        2: "pruned",
    }
    assert begun[1]["imageSize"] == TOO_LARGE
    (reason,) = [line for line in release.log().splitlines() if "event=trial" in line and "state=failed" in line]
    assert "more memory than the pod's limit" in reason
    # It was given up after the epoch that every trial has, so the whole training has told three.
    assert epochs(release.log()) == [1, 2, 1]
    found = release.result()["search"]
    assert (found["trial"], found["trials"], found["failed"]) == (0, 3, 1)
    assert release.exit_code() == 0
