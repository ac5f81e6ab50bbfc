"""The result of a run, as one JSON object: complete in the workspace, and shortened for the pod's termination
message.
"""

from __future__ import annotations

import contextlib
import copy
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any, Dict, List, Optional

from . import trees
from .context import Context
from .errors import RunnerError
from .publish import Published

MAX_BYTES = 4096  # of a termination message: Kubernetes truncates longer ones, which breaks the JSON


def completed(
    context: Context, published: Optional[Published], metrics: Dict[str, Any], files: List[Dict[str, Any]]
) -> Dict[str, Any]:
    return {
        **_head("completed", context),
        **location(context, published),
        **_data(context),
        **({"resumed": context.resumed} if context.resumed else {}),
        **({"search": context.search} if context.search else {}),
        "metrics": metrics,
        "files": files,
        "stages": context.stages,
    }


def location(context: Context, published: Optional[Published]) -> Dict[str, Any]:
    """Return where the result is; empty if it is not published."""
    return {"repository": context.settings.publish.location, **asdict(published)} if published else {}


def failed(context: Optional[Context], stage: str, error: RunnerError) -> Dict[str, Any]:
    failure = {
        "stage": stage,
        "code": error.exit.code,
        "name": error.exit.name,
        "reason": error.reason,
        "fix": error.fix,
    }
    if context is None:
        return {"version": 1, "status": "failed", "failure": failure}
    return {
        **_head("failed", context),
        "failure": failure,
        **error.result,
        **_data(context),
        "stages": context.stages,
    }


def write(context: Optional[Context], result: Dict[str, Any]) -> None:
    """Write the result to the termination message, and on rank 0 to the workspace. Never raises: the exit code matters
    more.
    """
    complete = json.dumps(result, indent=1, ensure_ascii=False).encode("utf-8", "replace")
    with contextlib.suppress(OSError):
        Path(os.environ.get("TERMINATION_LOG", "/dev/termination-log")).write_bytes(fit(result))
    if context is not None and context.rank == 0:
        run_folder = [] if context.lease.is_held_by_other() else [context.folder]
        for folder in [*run_folder, *([context.kept] if context.kept else [])]:
            with contextlib.suppress(OSError, RunnerError):
                context.check_folder()
                trees.write(folder / "result.json", complete, context.folder)


def fit(result: Dict[str, Any]) -> bytes:
    """Return the result in at most MAX_BYTES: the names of left-out records are dropped, then files, then long texts
    shortened, then other entries dropped from the end.
    """
    result = copy.deepcopy(result)
    for part in result.get("dataset", {}).get("parts", []) if len(_encode(result)) > MAX_BYTES else []:
        part.pop("leftOut", None)
    files = result.get("files") or []
    while len(_encode(result)) > MAX_BYTES and files:
        files.pop()
        result["filesOmitted"] = result.get("filesOmitted", 0) + 1
    limit = 1024
    while len(_encode(result)) > MAX_BYTES and limit >= 64:
        result = _shorten(result, limit)
        limit //= 2
    for key in reversed(list(result)):
        if len(_encode(result)) > MAX_BYTES and key not in ("version", "status", "failure"):
            del result[key]
    return _encode(result)


def _shorten(value: Any, limit: int) -> Any:
    if isinstance(value, str) and len(value) > limit:
        return value[: limit - 3] + "..."
    if isinstance(value, dict):
        return {key: _shorten(entry, limit) for key, entry in value.items()}
    return [_shorten(entry, limit) for entry in value] if isinstance(value, list) else value


def _encode(result: Dict[str, Any]) -> bytes:
    return json.dumps(result, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")


def _head(status: str, context: Context) -> Dict[str, Any]:
    return {
        "version": 1,
        "status": status,
        "run": context.settings.run.name,
        "uid": context.uid,
        "attempt": context.attempt,
        "rank": context.rank,
    }


def _data(context: Context) -> Dict[str, Any]:
    sources = {name: asdict(pinned) for name, pinned in context.sources.items()}
    parts = context.dataset_parts
    return {"sources": sources, **({"dataset": {"parts": parts}} if parts else {})}
