"""The search, by Optuna: `python3 search.py JOURNAL COMMAND`, its argument and its answer each one JSON object.

Runs with the image's own Python, as its libraries need. All pods of a run share the journal, a file in the workspace that Optuna
locks; whoever asks gets the next trial, until `trials` of them have been begun. The runner asks under a lock of its own.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Dict

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

LOST = "lost"  # attribute of a trial whose pod went away: another one repeats it


def mend(journal: Path) -> None:
    """What a process has left that was killed while it wrote: half a line, which would make the file unreadable, and Optuna's lock."""
    journal.with_name(f"{journal.name}.lock").unlink(missing_ok=True)
    text = journal.read_bytes() if journal.exists() else b""
    if not text.endswith(b"\n"):
        with journal.open("r+b" if text else "wb") as file:
            file.truncate(text.rfind(b"\n") + 1)


def open_study(journal: Path, search: Dict[str, Any]) -> optuna.Study:
    grace, seed = search["grace_period"], search["seed"]
    pruner = (
        optuna.pruners.SuccessiveHalvingPruner(min_resource=grace, reduction_factor=4)
        if grace
        else optuna.pruners.NopPruner()
    )
    study = optuna.create_study(
        study_name="search",
        storage=JournalStorage(JournalFileBackend(str(journal))),
        pruner=pruner,
        direction=search["goal"],
        load_if_exists=True,
    )
    # Every question is a process of its own: with one seed for all of them they would all get the first answer.
    number = len(study.get_trials(deepcopy=False))
    # Several workers ask at once: a trial that runs counts as a bad one, so that the next asks for something else.
    study.sampler = optuna.samplers.TPESampler(seed=seed + number if seed else None, constant_liar=True)
    return study


def suggest(trial: optuna.Trial, name: str, parameter: Dict[str, Any]) -> Any:
    if parameter.get("choices"):
        return trial.suggest_categorical(name, parameter["choices"])
    low, high, step, log = parameter["low"], parameter["high"], parameter.get("step"), bool(parameter.get("log"))
    if parameter.get("integer"):
        return trial.suggest_int(name, int(low), int(high), step=int(step or 1), log=log)
    return trial.suggest_float(name, float(low), float(high), step=step, log=log)


def counted(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    return [trial for trial in study.get_trials(deepcopy=False) if LOST not in trial.user_attrs]


def resumed(study: optuna.Study, number: int) -> optuna.Trial:
    """A trial that another process has begun."""
    return optuna.Trial(study, study.get_trials(deepcopy=False)[number]._trial_id)


def begin(study: optuna.Study, _search: Dict[str, Any]) -> Dict[str, Any]:
    """Once per attempt, before anybody asks: what was running when the last attempt ended is run again."""
    lost = study.get_trials(states=[TrialState.RUNNING])
    for trial in lost:
        resumed(study, trial.number).set_user_attr(LOST, True)
        study.tell(trial.number, state=TrialState.FAIL)
        study.enqueue_trial(trial.params)
    return {"lost": [trial.number for trial in lost]}


def ask(study: optuna.Study, search: Dict[str, Any]) -> Dict[str, Any]:
    begun = [trial for trial in counted(study) if trial.state != TrialState.WAITING]
    if len(begun) >= search["trials"]:
        running = [trial.number for trial in begun if trial.state == TrialState.RUNNING]
        return {"number": None, "running": running}
    trial = study.ask()
    return {
        "number": trial.number,
        "parameters": {name: suggest(trial, name, space) for name, space in sorted(search["space"].items())},
    }


def report(study: optuna.Study, search: Dict[str, Any]) -> Dict[str, Any]:
    trial = resumed(study, search["number"])
    trial.report(search["value"], search["epoch"])
    return {"prune": trial.should_prune()}


def tell(study: optuna.Study, search: Dict[str, Any]) -> Dict[str, Any]:
    states = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
    state = states[search["state"]]
    study.tell(search["number"], search["value"] if state == TrialState.COMPLETE else None, state=state)
    return status(study, search)


def status(study: optuna.Study, _search: Dict[str, Any]) -> Dict[str, Any]:
    """Every trial, and the best of those that completed."""
    trials = [
        {"number": trial.number, "state": trial.state.name.lower(), "value": trial.value, "parameters": trial.params}
        for trial in counted(study)
    ]
    completed = [trial for trial in trials if trial["state"] == "complete"]
    best = study.best_trial.number if completed else None
    return {"trials": trials, "best": best}


if __name__ == "__main__":
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if sys.argv[2] == "check":
        sys.exit(0)
    command = {"begin": begin, "ask": ask, "report": report, "tell": tell, "status": status}[sys.argv[2]]
    settings = json.loads(sys.argv[3])
    mend(Path(sys.argv[1]))
    print(json.dumps(command(open_study(Path(sys.argv[1]), settings), settings)))
