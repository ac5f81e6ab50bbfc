"""Hyper-parameter search: every pod of the gang runs one trial after the other, and they share one search.

A trial is a training like any other, with some settings changed, in a folder of its own; the family's usual hooks run it. What to
try next, and which trial to give up, is Optuna's to say (search.py, a subprocess: the runner itself needs no library).
"""

from __future__ import annotations

import csv
import dataclasses
import json
import math
import os
import sys
import time
from pathlib import Path
from typing import Any, Dict, List, Optional, Set

from runner import checkpoint, log, process, train
from runner.context import Context
from runner.errors import RunnerError
from runner.family import Family
from runner.workspace import locked

SEARCH = Path(__file__).parent / "search.py"
FOLDER = "trials"  # below output/
TABLE = "trials.csv"
POLL_SECONDS = 5.0
# A trial that ends by these says something about its parameters; anything else is about the pod.
TRIAL_FAILURES = ("train-failed", "train-out-of-memory")


class PrunedError(BaseException):
    """The trial is not worth its time. No Exception: the metrics of a run may not end it otherwise."""


def search(context: Context, family: Family, track: train.Track) -> Context:
    """Run trials until all are done; the context of the best one, which is then exported. Rank 0 waits for the others."""
    study = Study(context, track)
    if not context.workspace.is_marked("train", _finished(context)):
        _begin(context, family, study)
        _work(context, family, study)
        if context.rank == 0:
            _wait_for_others(study)
            context.lease.check()
            context.workspace.mark("train", _finished(context))
    if context.rank > 0:
        return context
    found = study.call("status")
    best = next((trial for trial in found["trials"] if trial["number"] == found["best"]), None)
    if best is None:
        raise RunnerError(
            "train-failed", "no trial was completed", "see the trials' errors above, and narrow tune.space"
        )
    log.event("best", trial=best["number"], value=best["value"], parameters=json.dumps(best["parameters"]))
    table = context.output / TABLE
    write_table(table, found["trials"])
    chosen = trial_context(context, best["number"], best["parameters"])
    chosen.reports = [table]
    chosen.search = {
        "trial": best["number"],
        "value": best["value"],
        "parameters": best["parameters"],
        "trials": len(found["trials"]),
        "failed": len([trial for trial in found["trials"] if trial["state"] == "fail"]),
    }
    return chosen


def _searched(context: Context) -> Any:
    """What makes trials comparable: with the same, a later run goes on in the same search, be it in more pods or for more trials."""
    tune = context.settings.tune
    return {
        "training": train.depends_on(trial_context(context, 0, {})),
        "search": [tune.metric, tune.goal, tune.grace_period, tune.space],
    }


def _finished(context: Context) -> Any:
    return {**_searched(context), "trials": context.settings.tune.trials}


def check(context: Context) -> None:
    """Stage verify: the image has the library that searches."""
    done = process.run([sys.executable, str(SEARCH), "-", "check", "{}"], Path("/"), dict(os.environ), capture=True)
    killed = done.killed("the program that looks for Optuna")
    if killed:
        raise killed
    if done.code != 0:
        raise RunnerError(
            "verify-failed",
            f"tune.trials is {context.settings.tune.trials}, and the image has no Optuna: {train.cause(done.tail)}",
            "use an image with Optuna 4 or newer",
        )


class Study:
    """The search as this pod sees it."""

    def __init__(self, context: Context, track: train.Track) -> None:
        self._context = context
        self._track = track
        self._tracked: Set[int] = set()
        self._journal = context.folder / "output" / "search.journal"
        tune = context.settings.tune
        self._search = {
            "trials": tune.trials,
            "goal": tune.goal,
            "grace_period": tune.grace_period,
            "seed": tune.seed,
            "space": tune.space,
        }

    @property
    def journal(self) -> Path:
        return self._journal

    def call(self, command: str, **argument: Any) -> Dict[str, Any]:
        """One question to search.py; one pod at a time, for what it answers decides how many trials there are."""
        argv = [sys.executable, str(SEARCH), str(self._journal), command]
        with locked(self._context.workspace.state / "search.lock", "another pod of this run asks the search"):
            done = process.run(
                [*argv, json.dumps({**self._search, **argument})], self._context.folder, dict(os.environ), capture=True
            )
        killed = done.killed(f"the search ({command})")
        if killed:
            raise killed
        lines = done.output.strip().splitlines()
        if done.code == 0 and lines:
            answer: Dict[str, Any] = json.loads(lines[-1])
            self._look_at(answer.get("trials", []), answer.get("best"))
            return answer
        raise RunnerError(
            "train-failed", f"the search could not {command}: {train.cause(done.tail)}", "see its output above"
        )

    def remove(self, number: int) -> None:
        """A trial's folder, where it still has one."""
        folder = self._context.output / FOLDER / str(number)
        if folder.exists():
            self._context.lease.check()
            self._context.workspace.discard(folder, "train-failed")

    def _look_at(self, trials: List[Dict[str, Any]], best: Optional[int]) -> None:
        """Whichever pod a trial ran in: its value is tracked, and its folder goes when another is better."""
        for trial in trials:
            number, value = trial["number"], trial["value"]
            if value is not None and number not in self._tracked:
                self._tracked.add(number)
                self._track(number, {"trial/value": value})
            if number != best and trial["state"] in ("complete", "pruned", "fail"):
                self.remove(number)


def _begin(context: Context, family: Family, study: Study) -> None:
    """Rank 0 opens the search of this very training, or a new one, before any other rank asks."""
    searched = _searched(context)
    if context.rank > 0:
        from features import gang

        gang.ask(context, "search", lambda _, told: told)
        return
    if not checkpoint.is_of(context, searched):
        if context.output.exists():
            log.event("anew", reason="what lies in output/ is of another search, or of none")
        checkpoint.start_anew(context, family, searched)
    lost = study.call("begin")["lost"]
    if lost:
        log.event("resume", trials=",".join(map(str, lost)), reason="their pods went away; they are run again")
        context.resumed = {"trials": lost}
    for number in lost:
        study.remove(number)
    if context.settings.topology.replicas > 1:
        from features import gang

        gang.tell(context, "search", {"open": True})


def _work(context: Context, family: Family, study: Study) -> None:
    while True:
        asked = study.call("ask")
        if asked["number"] is None:
            return
        number, parameters = asked["number"], asked["parameters"]
        log.event("trial", number=number, state="begins", parameters=json.dumps(parameters))
        state, value, reason = _trial(trial_context(context, number, parameters), family, study, number)
        told = study.call("tell", number=number, state=state, value=value)
        log.event("trial", number=number, state=state, value=value, reason=reason)
        failed = [trial["number"] for trial in told["trials"] if trial["state"] == "fail"]
        if len(failed) > context.settings.tune.failure_limit:
            raise RunnerError(
                "train-failed",
                f"{len(failed)} trials have failed ({', '.join(map(str, failed))}), more than tune.failureLimit {context.settings.tune.failure_limit}: {reason or 'see their logs'}",
                "narrow tune.space, correct what fails, or raise tune.failureLimit",
            )


def _trial(context: Context, family: Family, study: Study, number: int) -> Any:
    """(state, value, reason) of one trial; what is the pod's fault and not the parameters' is raised."""
    goal, metric, own = context.settings.tune.goal, context.settings.tune.metric, family.of(context)
    context.output.mkdir(parents=True, exist_ok=True)
    values: List[float] = []

    def epoch(number_of_epoch: int, row: Dict[str, Any]) -> None:
        value = float(row.get(metric, "nan"))
        if not math.isfinite(value):  # a training that diverges; or the metric has another name
            if metric not in row and not values and not any(_values(study.call("status"))):
                raise _missing(metric, row)
            return
        values.append(value)
        if context.settings.tune.grace_period:
            answer = study.call("report", number=number, value=value, epoch=number_of_epoch)
            if answer["prune"]:
                raise PrunedError

    try:
        train.run_trainer(context, own, epoch)
    except PrunedError:
        return "pruned", values[-1], "the search gave it up"
    except RunnerError as error:
        if error.exit.name not in TRIAL_FAILURES or isinstance(error, SettingsError):
            raise
        return "failed", None, error.reason
    if not values:
        return "failed", None, f"the trainer told no number as {metric}"
    return "complete", max(values) if goal == "maximize" else min(values), None


def _values(found: Dict[str, Any]) -> List[bool]:
    """Which trials have told the metric."""
    return [trial["state"] == "pruned" or trial["value"] is not None for trial in found["trials"]]


class SettingsError(RunnerError):
    """Of the search as a whole: no trial can be better."""


def _missing(metric: str, row: Dict[str, Any]) -> SettingsError:
    return SettingsError(
        "train-failed",
        f"tune.metric: the trainer tells no {metric}; it tells {', '.join(sorted(row))}",
        "choose one of these",
    )


def _wait_for_others(study: Study) -> None:
    """Rank 0 exports only when no trial runs any more; a pod that dies ends this wait with the whole gang."""
    told = 0.0
    while True:
        running = [trial["number"] for trial in study.call("status")["trials"] if trial["state"] == "running"]
        if not running:
            return
        if time.monotonic() - told > 30:
            told = time.monotonic()
            log.event("waiting", reason=f"trials {', '.join(map(str, running))} still run in other pods")
        time.sleep(POLL_SECONDS)


def trial_context(context: Context, number: int, parameters: Dict[str, Any]) -> Context:
    """A trial is a run of one pod: its parameters are settings of the family, or hyper-parameters of its trainer."""
    settings = context.settings
    own = {name: value for name, value in parameters.items() if name in settings.train}
    return dataclasses.replace(
        context,
        settings=dataclasses.replace(
            settings,
            train={**settings.train, **own},
            topology=dataclasses.replace(settings.topology, replicas=1),
        ),
        rank=0,
        output_folder=f"output/{FOLDER}/{number}",
        hyperparameters={name: value for name, value in parameters.items() if name not in own},
    )


def write_table(path: Path, trials: List[Dict[str, Any]]) -> None:
    """All trials, one a line."""
    names = sorted({name for trial in trials for name in trial["parameters"]})
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["trial", "state", "value", *names])
        for trial in trials:
            writer.writerow(
                [trial["number"], trial["state"], trial["value"], *(trial["parameters"].get(name) for name in names)]
            )
