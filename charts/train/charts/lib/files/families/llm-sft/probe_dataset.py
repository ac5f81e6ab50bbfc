"""Checks the base model, every record of the dataset, and the trainer's options. Argument: {"model", "dataset",
"train"}.
"""

from __future__ import annotations

import difflib
import json
import sys
from pathlib import Path
from typing import Any, Dict, List

import base_model
import options
import records


def probe(model: Path, dataset: Path, train: Dict[str, Any]) -> Dict[str, Any]:
    problem = base_model.find_problem(model) or find_invalid(train.get("arguments") or {})
    if problem:
        return failure(*problem)
    try:
        datasets = records.discover(dataset, train)
    except records.DatasetError as error:
        return failure(error.reason, error.fix)
    checked = records.check(datasets, train)
    if checked.total:
        print("\n".join(checked.problems), file=sys.stderr)
        more = checked.total - len(checked.problems)
        if more:
            print(f"... and {more} more", file=sys.stderr)
        return failure(
            f"{checked.total} problems in {checked.records} records of the dataset, the first: {'; '.join(checked.problems[:3])}",
            "correct the records in the dataset repository; the first ones are listed above",
        )
    held = train["validationSize"]
    if checked.records < 2 or held >= checked.records:
        return failure(
            f"the dataset has {checked.records} records, and train.validationSize is {held}",
            "push more records, or lower train.validationSize",
        )
    return {"ok": True, "records": checked.records, "datasets": [found.name for found in datasets]}


def find_invalid(arguments: Dict[str, Any]) -> Any:
    """Return what is wrong with the keys of train.arguments, as reason and fix, or None."""
    if not arguments:
        return None
    for key in sorted(arguments):
        name = next((name for name, known in options.VALUES.items() if known == key), None)
        if name:
            return f"train.arguments.{key}: duplicates train.{name}", f"set train.{name} instead"
        if key in options.RESERVED:
            return f"train.arguments.{key}: is set by the run", "remove it from train.arguments"
    try:
        known = trainer_options()
    except ImportError as error:
        return f"the image has no LLaMA-Factory: {error}", "use an image with LLaMA-Factory 0.9.5"
    for key in sorted(arguments):
        if key not in known:
            similar = difflib.get_close_matches(key, known, n=1)
            fix = f"did you mean {similar[0]}?" if similar else "see LLaMA-Factory's documentation of its arguments"
            return f"train.arguments.{key}: LLaMA-Factory has no such option", fix
    return None


def trainer_options() -> List[str]:
    from dataclasses import fields

    from llamafactory.hparams.parser import _TRAIN_ARGS

    return [field.name for arguments in _TRAIN_ARGS for field in fields(arguments) if field.init]


def failure(reason: str, fix: str) -> Dict[str, Any]:
    return {"ok": False, "reason": reason, "fix": fix}


if __name__ == "__main__":
    argument = json.loads(sys.argv[1])
    print(json.dumps(probe(Path(argument["model"]), Path(argument["dataset"]), argument["train"])))
