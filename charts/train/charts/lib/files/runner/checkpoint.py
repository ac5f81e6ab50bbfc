"""Checkpoints: which one all ranks resume from, and which ones may be removed.

Only a workspace that outlives its pods has any. A checkpoint counts only if the family's probe can load it, so one that
was half written when its pod died is passed over for the one before it. Rank 0 chooses: all ranks must resume from the
same one.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from pathlib import Path
from typing import Any, Dict, List

from . import log, trees
from .context import Context
from .errors import RunnerError
from .family import Family
from .workspace import fingerprint

_RECORD = "output.json"  # identifies the training in output/


def choose(context: Context, family: Family, training: Any) -> bool:
    """Set `context.resume_from`, or clear output/ for a new training. Returns whether the chosen checkpoint is a
    finished training's.
    """
    shared = context.settings.workspace.shared
    several = context.settings.replicas > 1
    if context.rank > 0 and shared:
        from features import gang

        chosen = gang.receive(context, "checkpoint", _parse_choice)
    else:
        chosen = _newest(context, family, training) if shared else {}
        if chosen:
            _record(context, training)
        else:
            start_from_scratch(context, family, training)
        if shared and several:
            from features import gang

            gang.send(context, "checkpoint", chosen)
    context.output.mkdir(parents=True, exist_ok=True)
    if chosen:
        context.resume_from = context.output / chosen["checkpoint"]
        context.resumed = {key: chosen[key] for key in ("checkpoint", "epoch") if key in chosen}
        log.event("resume", **context.resumed, finished=chosen["finished"])
    return bool(chosen.get("finished"))


def start_from_scratch(context: Context, family: Family, training: Any) -> None:
    """Make output/ empty. Another training there, and what was exported from it, is moved aside, never deleted; only
    what earlier attempts of this run left without any checkpoint is deleted.
    """
    context.lease.check()
    workspace, made_by = context.workspace, _recorded(context).get("uid", "")
    workspace.unmark("train", "export")
    if made_by == context.uid and is_output_of(context, training) and not candidates(family):
        try:
            trees.remove(context.output, context.folder)
        except OSError:  # leftovers must not be taken for this training's output
            _move_aside(context, made_by)
    else:
        _move_aside(context, made_by)
    context.output.mkdir(parents=True, exist_ok=True)
    _record(context, training)


def is_output_of(context: Context, training: Any) -> bool:
    """Whether output/ belongs to exactly this training."""
    return context.output.is_dir() and _recorded(context).get("fingerprint") == fingerprint(training)


def _record(context: Context, training: Any) -> None:
    """Record which training output/ belongs to, and which run worked on it last."""
    context.workspace.write(_RECORD, json.dumps({"fingerprint": fingerprint(training), "uid": context.uid}) + "\n")


def _recorded(context: Context) -> Dict[str, str]:
    try:
        return dict(json.loads(context.workspace.read(_RECORD) or "{}"))
    except (ValueError, TypeError):
        return {}


def _move_aside(context: Context, made_by: str) -> None:
    try:
        place = context.workspace.move_aside(made_by, (context.artifacts, context.output))
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise RunnerError(
            "train-failed",
            f"output/ holds another training, and cannot be moved to {context.workspace.previous}: {error}",
            "move it yourself, or use another workspace.directory",
        ) from error
    if place:
        with contextlib.suppress(OSError):  # needed to continue that training: docs/runner.md
            (place / _RECORD).write_text(context.workspace.read(_RECORD) or "", encoding="utf-8")
        log.event(
            "moved-aside",
            path=place.relative_to(context.folder),
            bytes=size(place),
            reason=f"made by {made_by or 'an unknown run'}; it takes space in the workspace until you delete it",
        )


def _newest(context: Context, family: Family, training: Any) -> Dict[str, Any]:
    """Return the newest loadable checkpoint of exactly this training, or an empty dictionary."""
    if not context.output.is_dir() or not family.has("checkpoints"):
        return {}
    if not is_output_of(context, training):
        log.event("from-scratch", reason="output/ holds a training with other settings or commits")
        return {}
    for path in candidates(family):
        argument = {"path": str(path), "train": context.train}
        try:
            found = family.probe("checkpoint", argument, "train-failed")
        except RunnerError as error:
            log.event("unusable", checkpoint=path.relative_to(context.output), reason=error.reason)
            continue
        return {
            "checkpoint": str(path.relative_to(context.output)),
            **({"epoch": found["epoch"]} if found.get("epoch") is not None else {}),
            "finished": bool(found.get("finished")),
        }
    return {}


def _parse_choice(context: Context, chosen: Any) -> Dict[str, Any]:
    """Return rank 0's choice. Raises OSError if this pod cannot see it (yet): a shared file system may lag."""
    if not isinstance(chosen, dict):
        raise OSError("rank 0 sent something that is not a checkpoint")
    if chosen:
        path = context.output / str(chosen["checkpoint"])
        if ".." in path.parts or not path.exists():
            raise OSError(f"rank 0 resumes from {path}, which does not exist here")
    return chosen


def candidates(family: Family) -> List[Path]:
    """Return the possible checkpoints, newest first."""
    return list(family.call("checkpoints", "train-failed")) if family.has("checkpoints") else []


def remove_stale(context: Context, family: Family) -> None:
    """Remove the checkpoints that the family no longer needs. Call it only when a newer one is complete."""
    context.lease.check()
    try:
        for path in family.call("stale", "train-failed") if family.has("stale") else []:
            trees.remove(path, context.folder)
    except OSError as error:  # it takes space, which is no reason to fail the training
        log.event("warning", reason=f"a checkpoint that is no longer needed cannot be removed: {error}")


def size(path: Path) -> int:
    """Return the bytes of a checkpoint, which may be a folder, or the common prefix of several files' names."""
    if path.is_dir():
        return sum(Path(folder, name).lstat().st_size for folder, _, names in os.walk(path) for name in names)
    return sum(part.lstat().st_size for part in path.parent.glob(f"{path.name}*"))
