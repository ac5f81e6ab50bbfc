"""Checkpoints: which one all ranks resume from, and which may go.

Only a workspace that outlives its pods has any. A checkpoint counts when the family's probe has loaded it: one that was half
written when its pod died does not, and the one before it does. Rank 0 chooses, for all ranks must go on from the same one.
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

_RECORD = "output.json"  # which training the folder output/ is of


def choose(context: Context, family: Family, training: Any) -> bool:
    """Sets `context.resume_from`, or clears output/ for a new training. True where the last checkpoint is a finished training's."""
    shared = context.settings.workspace.shared
    several = context.settings.topology.replicas > 1
    if context.rank > 0 and shared:
        from features import gang

        chosen = gang.ask(context, "checkpoint", _told)
    else:
        chosen = _newest(context, family, training) if shared else {}
        if chosen:
            _record(context, training)
        else:
            start_anew(context, family, training)
        if shared and several:
            from features import gang

            gang.tell(context, "checkpoint", chosen)
    context.output.mkdir(parents=True, exist_ok=True)
    if chosen:
        context.resume_from = context.output / chosen["checkpoint"]
        context.resumed = {key: chosen[key] for key in ("checkpoint", "epoch") if key in chosen}
        log.event("resume", **context.resumed, finished=chosen["finished"])
    return bool(chosen.get("finished"))


def start_anew(context: Context, family: Family, training: Any) -> None:
    """An empty output/: what lies there is not this training's, nor is what was exported of it. It is moved aside, not deleted;
    only what earlier attempts of this very run have left without any checkpoint goes.
    """
    context.lease.check()
    workspace, made_by = context.workspace, _recorded(context).get("uid", "")
    workspace.unmark("train", "export")
    if made_by == context.uid and is_of(context, training) and not candidates(family):
        try:
            trees.remove(context.output, context.folder)
        except OSError:  # what cannot be removed must not count as this training's
            _move_aside(context, made_by)
    else:
        _move_aside(context, made_by)
    context.output.mkdir(parents=True, exist_ok=True)
    _record(context, training)


def is_of(context: Context, training: Any) -> bool:
    """Whether what lies in output/ is of this very training."""
    return context.output.is_dir() and _recorded(context).get("fingerprint") == fingerprint(training)


def _record(context: Context, training: Any) -> None:
    """Which training output/ is of, and which run worked on it last."""
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
        with contextlib.suppress(OSError):  # with it the training can be gone on with: docs/runner.md
            (place / _RECORD).write_text(context.workspace.read(_RECORD) or "", encoding="utf-8")
        log.event(
            "moved-aside",
            path=place.relative_to(context.folder),
            bytes=size(place),
            reason=f"made by {made_by or 'a run that nobody knows'}; it takes its room in the workspace until somebody deletes it",
        )


def _newest(context: Context, family: Family, training: Any) -> Dict[str, Any]:
    """The newest whole checkpoint of this very training, or nothing."""
    if not context.output.is_dir() or not family.has("checkpoints"):
        return {}
    if not is_of(context, training):
        log.event("anew", reason="what lies in output/ was trained with other settings or from other commits")
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


def _told(context: Context, chosen: Any) -> Dict[str, Any]:
    """Rank 0's choice, which this pod must be able to see: a shared file system may lag."""
    if not isinstance(chosen, dict):
        raise OSError("rank 0 sent something that is no checkpoint")
    if chosen:
        path = context.output / str(chosen["checkpoint"])
        if ".." in path.parts or not path.exists():
            raise OSError(f"rank 0 resumes from {path}, which is not here")
    return chosen


def candidates(family: Family) -> List[Path]:
    """What might be resumed from, newest first."""
    return list(family.call("checkpoints", "train-failed")) if family.has("checkpoints") else []


def remove_stale(context: Context, family: Family) -> None:
    """What the family no longer needs; only ever called when a newer checkpoint is whole."""
    context.lease.check()
    try:
        for path in family.call("stale", "train-failed") if family.has("stale") else []:
            trees.remove(path, context.folder)
    except OSError as error:  # it takes its room, and no training ends over that
        log.event("warning", reason=f"a checkpoint that nobody needs any more cannot be removed: {error}")


def size(path: Path) -> int:
    """The bytes of a checkpoint, which may be a folder, or the common beginning of several files' names."""
    if path.is_dir():
        return sum(Path(folder, name).lstat().st_size for folder, _, names in os.walk(path) for name in names)
    return sum(part.lstat().st_size for part in path.parent.glob(f"{path.name}*"))
