"""Hyperparameter search: every pod of the gang runs one trial after another, and all share one search.

A trial is an ordinary training, with some settings changed, in its own folder; the family's usual hooks run it. Optuna
decides what to try next and which trials to prune (search.py, a subprocess: the runner itself needs no library).
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

from runner import checkpoint, log, process, tracebacks, train
from runner.context import Context
from runner.errors import RunnerError
from runner.family import Family
from runner.workspace import locked

SEARCH = Path(__file__).parent / "search.py"
FOLDER = "trials"  # below output/
TABLE = "trials.csv"
POLL_SECONDS = 5.0
# Failures that are due to a trial's parameters; all others are due to the pod.
TRIAL_FAILURES = ("train-failed", "train-out-of-memory", "train-diverged")


class PrunedError(BaseException):
    """The trial is pruned. Not an Exception: Progress.poll would catch that."""


def search(context: Context, family: Family, track: train.Track) -> Context:
    """Run trials until all are done. Rank 0 waits for the others, and returns the context of the best trial, which is
    exported next.

    Raises:
        RunnerError: too many trials have failed, or none has completed.
    """
    study = Study(context, track)
    if not context.workspace.is_marked("train", _dependencies(context)):
        _open(context, family, study)
        _work(context, family, study)
        if context.rank == 0:
            _wait_for_others(study)
            context.lease.check()
            context.workspace.mark("train", _dependencies(context))
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


def _comparable(context: Context) -> Any:
    """Return what makes trials comparable. A later run with the same continues the search, even in more pods or for
    more trials.
    """
    tune = context.settings.tune
    return {
        "training": train.depends_on(trial_context(context, 0, {})),
        "search": [tune.metric, tune.goal, tune.grace_period, tune.space],
    }


def _dependencies(context: Context) -> Any:
    return {**_comparable(context), "trials": context.settings.tune.trials}


def check(context: Context) -> None:
    """Check, in stage verify, that the image has Optuna. Raises RunnerError."""
    done = process.run([sys.executable, str(SEARCH), "-", "check", "{}"], Path("/"), dict(os.environ), capture=True)
    killed = done.killed("the check for Optuna")
    if killed:
        raise killed
    if done.code != 0:
        raise RunnerError(
            "verify-failed",
            f"tune.trials is {context.settings.tune.trials}, and the image has no Optuna: {tracebacks.cause(done.tail)}",
            "use an image with Optuna 4 or newer",
        )


class Study:
    """The search, as seen from this pod."""

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
        """Run a command of search.py, in one pod at a time, and return its answer. Raises RunnerError."""
        argv = [sys.executable, str(SEARCH), str(self._journal), command]
        with locked(self._context.workspace.state / "search.lock", "another pod of this run is using the search"):
            done = process.run(
                [*argv, json.dumps({**self._search, **argument})], self._context.folder, dict(os.environ), capture=True
            )
        killed = done.killed(f"the search ({command})")
        if killed:
            raise killed
        lines = done.output.strip().splitlines()
        if done.code == 0 and lines:
            answer: Dict[str, Any] = json.loads(lines[-1])
            self._update(answer.get("trials", []), answer.get("best"))
            return answer
        raise RunnerError(
            "train-failed", f"the search could not {command}: {tracebacks.cause(done.tail)}", "see its output above"
        )

    def remove(self, number: int) -> None:
        """Remove the folder of a trial, if it exists."""
        folder = self._context.output / FOLDER / str(number)
        if folder.exists():
            self._context.lease.check()
            self._context.workspace.discard(folder, "train-failed")

    def _update(self, trials: List[Dict[str, Any]], best: Optional[int]) -> None:
        """Track the values of trials, and remove the folders of all but the best, whichever pod they ran in."""
        for trial in trials:
            number, value = trial["number"], trial["value"]
            if value is not None and number not in self._tracked:
                self._tracked.add(number)
                self._track(number, {"trial/value": value})
            if number != best and trial["state"] in ("complete", "pruned", "fail"):
                self.remove(number)


def _open(context: Context, family: Family, study: Study) -> None:
    """Open this training's search, or a new one, on rank 0 before any other rank uses it."""
    comparable = _comparable(context)
    if context.rank > 0:
        from features import gang

        gang.receive(context, "search", lambda _, received: received)
        return
    if not checkpoint.is_output_of(context, comparable):
        if context.output.exists():
            log.event("from-scratch", reason="output/ holds another search, or none")
        checkpoint.start_from_scratch(context, family, comparable)
    lost = study.call("begin")["lost"]
    if lost:
        log.event("resume", trials=",".join(map(str, lost)), reason="their pods were lost; they are repeated")
        context.resumed = {"trials": lost}
    for number in lost:
        study.remove(number)
    if context.settings.replicas > 1:
        from features import gang

        gang.send(context, "search", {"open": True})


def _work(context: Context, family: Family, study: Study) -> None:
    while True:
        suggested = study.call("ask")
        if suggested["number"] is None:
            return
        number, parameters = suggested["number"], suggested["parameters"]
        log.event("trial", number=number, state="begins", parameters=json.dumps(parameters))
        state, value, reason = _trial(trial_context(context, number, parameters), family, study, number)
        result = study.call("tell", number=number, state=state, value=value)
        log.event("trial", number=number, state=state, value=value, reason=reason)
        failed = [trial["number"] for trial in result["trials"] if trial["state"] == "fail"]
        if len(failed) > context.settings.tune.failure_limit:
            raise RunnerError(
                "train-failed",
                f"{len(failed)} trials have failed ({', '.join(map(str, failed))}), more than tune.failureLimit {context.settings.tune.failure_limit}: {reason or 'see their logs'}",
                "narrow tune.space, correct what fails, or raise tune.failureLimit",
            )


def _trial(context: Context, family: Family, study: Study, number: int) -> Any:
    """Run one trial, and return (state, value, reason). Raises RunnerError for a failure that is not due to its
    parameters.
    """
    goal, metric, trial_family = context.settings.tune.goal, context.settings.tune.metric, family.with_context(context)
    context.output.mkdir(parents=True, exist_ok=True)
    values: List[float] = []

    def epoch(number_of_epoch: int, row: Dict[str, Any]) -> None:
        value = float(row.get(metric, "nan"))
        if not math.isfinite(value):  # a diverging training, or another name of the metric
            if metric not in row and not values and not any(_values(study.call("status"))):
                raise _missing(metric, row)
            return
        values.append(value)
        if context.settings.tune.grace_period:
            answer = study.call("report", number=number, value=value, epoch=number_of_epoch)
            if answer["prune"]:
                raise PrunedError

    try:
        train.run_trainer(context, trial_family, epoch)
    except PrunedError:
        return "pruned", values[-1], "pruned by the search"
    except RunnerError as error:
        if error.exit.name not in TRIAL_FAILURES or isinstance(error, SettingsError):
            raise
        return "failed", None, error.reason
    if not values:
        return "failed", None, f"the trainer reported no number for {metric}"
    return "complete", max(values) if goal == "maximize" else min(values), None


def _values(found: Dict[str, Any]) -> List[bool]:
    """Return which trials have reported the metric."""
    return [trial["state"] == "pruned" or trial["value"] is not None for trial in found["trials"]]


class SettingsError(RunnerError):
    """A failure of the whole search: no other trial can succeed."""


def _missing(metric: str, row: Dict[str, Any]) -> SettingsError:
    return SettingsError(
        "train-failed",
        f"tune.metric: the trainer reports no {metric}; it reports {', '.join(sorted(row))}",
        "choose one of these",
    )


def _wait_for_others(study: Study) -> None:
    """Wait until no trial is running in other pods. A pod that dies ends the whole gang, and this wait with it."""
    logged = 0.0
    while True:
        running = [trial["number"] for trial in study.call("status")["trials"] if trial["state"] == "running"]
        if not running:
            return
        if time.monotonic() - logged > 30:
            logged = time.monotonic()
            log.event("waiting", reason=f"trials {', '.join(map(str, running))} are still running in other pods")
        time.sleep(POLL_SECONDS)


def trial_context(context: Context, number: int, parameters: Dict[str, Any]) -> Context:
    """Return the context of a trial: a run of one pod, with its parameters as settings of the family or its trainer."""
    settings = context.settings
    own = {name: value for name, value in parameters.items() if name in settings.train}
    return dataclasses.replace(
        context,
        settings=dataclasses.replace(settings, train={**settings.train, **own}, replicas=1),
        rank=0,
        output_folder=f"output/{FOLDER}/{number}",
        hyperparameters={name: value for name, value in parameters.items() if name not in own},
    )


def write_table(path: Path, trials: List[Dict[str, Any]]) -> None:
    """Write all trials as CSV."""
    names = sorted({name for trial in trials for name in trial["parameters"]})
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["trial", "state", "value", *names])
        for trial in trials:
            writer.writerow(
                [trial["number"], trial["state"], trial["value"], *(trial["parameters"].get(name) for name in names)]
            )
