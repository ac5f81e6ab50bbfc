"""Which records of the dataset the trainer uses: the answer of the family's probe, kept for later attempts."""

from __future__ import annotations

import json
from typing import Any, Dict

from . import log
from .context import Context
from .family import Family

KEPT = "dataset.json"


def check(context: Context, family: Family, checked: Dict[str, Any]) -> None:
    """Run the family's probe and keep its answer. Raises RunnerError if the trainer cannot use the dataset."""
    workspace = context.workspace
    scratch = workspace.state / "scratch"
    workspace.clear(scratch, "prepare-failed")
    folders = {"model": context.model, "dataset": context.dataset, "scratch": scratch}
    argument = {**checked, **{name: str(folder) for name, folder in folders.items()}}
    answer = family.probe("dataset", argument, "prepare-failed")
    workspace.discard(scratch, "prepare-failed")
    workspace.write(KEPT, json.dumps({key: answer[key] for key in ("parts", "notes", "data") if key in answer}))


def report(context: Context) -> None:
    """Log the kept answer, and give it to the context."""
    kept = json.loads(context.workspace.read(KEPT) or "{}")
    context.dataset_parts, context.described = kept.get("parts", []), kept.get("data", {})
    for part in context.dataset_parts:
        named = part.get("leftOut", [])
        more = part.get("leftOutTotal", 0) - len(named)
        left_out = "; ".join([*named, *([f"and {more} more"] if more > 0 else [])]) or None
        log.event("dataset", **{key: part.get(key) for key in ("part", "used", "total", "unit")}, left_out=left_out)
    for note in kept.get("notes", []):
        log.event("warning", reason=note)
