"""The search, with Optuna: `python3 search.py JOURNAL COMMAND ARGUMENT`; argument and answer are JSON objects.

Runs with the image's Python, whose libraries it needs. All pods of a run share the journal, a file in the workspace
that Optuna locks; each `ask` starts the next trial, until `trials` have been started. The runner holds a lock
meanwhile.
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

LOST = "lost"  # attribute of a trial whose pod was lost: another one repeats it


def repair(journal: Path) -> None:
    """Remove what a process left that was killed while writing: half a line, which makes the file unreadable, and
    Optuna's lock.
    """
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
    # Every command is a process of its own: with the same seed, all would get the same suggestion.
    number = len(study.get_trials(deepcopy=False))
    # With several workers, a running trial counts as a bad one, so that the next suggestion differs.
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
    """Return a trial that another process has started."""
    return optuna.Trial(study, study.get_trials(deepcopy=False)[number]._trial_id)


def begin(study: optuna.Study, _search: Dict[str, Any]) -> Dict[str, Any]:
    """Enqueue again the trials that were running when the last attempt ended. Called once per attempt, before any
    `ask`.
    """
    lost = study.get_trials(states=[TrialState.RUNNING])
    for trial in lost:
        resumed(study, trial.number).set_user_attr(LOST, True)
        study.tell(trial.number, state=TrialState.FAIL)
        study.enqueue_trial(trial.params)
    return {"lost": [trial.number for trial in lost]}


def ask(study: optuna.Study, search: Dict[str, Any]) -> Dict[str, Any]:
    started = [trial for trial in counted(study) if trial.state != TrialState.WAITING]
    if len(started) >= search["trials"]:
        running = [trial.number for trial in started if trial.state == TrialState.RUNNING]
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
    """Return every trial, and the best of the completed ones."""
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
    repair(Path(sys.argv[1]))
    print(json.dumps(command(open_study(Path(sys.argv[1]), settings), settings)))
