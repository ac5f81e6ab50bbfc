"""A run of the chart as a run of MLflow; nothing of it can cost the training. From rank 0 only."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Dict, Iterator, Optional, Tuple

from features import mlflow
from runner import log
from runner.context import Context

LONGEST = 500  # characters of a parameter


class Tracker:
    """One run of the tracking server per release; where it could not even be begun, nothing."""

    def __init__(self, inner: Optional[Any] = None, artifacts: Optional[Path] = None) -> None:
        self._inner = inner
        self._artifacts = artifacts

    def epoch(self, epoch: int, row: Dict[str, Any]) -> None:
        if self._inner:
            numbers = {key: float(value) for key, value in row.items() if isinstance(value, (int, float))}
            self._inner.metrics(numbers, epoch)

    def end(self, status: str) -> None:
        """FINISHED, FAILED or KILLED, with the result as an artifact."""
        if not self._inner:
            return
        if self._artifacts and (self._artifacts / "result.json").is_file():
            self._inner.artifact(self._artifacts / "result.json", "result.json")
        self._inner.end(status)


def start(context: Context) -> Tracker:
    try:
        inner = mlflow.Tracker.start(
            _config(context),
            mlflow.RunInfo(
                name=context.settings.run.name,
                uid=context.uid,
                attempt=context.attempt,
                params=parameters(context),
                tags={"trainchart.family": context.settings.family.name},
            ),
        )
    except Exception as error:  # whatever it is: a training is worth more than its record
        log.event("warning", reason=f"the run is not tracked: {type(error).__name__}: {error}")
        return Tracker()
    return Tracker(inner, context.kept or context.folder)


def close(context: Context, status: str) -> None:
    """For an attempt that ends before it would train: what an attempt before it has left RUNNING ends with it."""
    if context.attempt == 0:
        return
    try:
        mlflow.close(_config(context), context.uid, status)
    except Exception as error:
        log.event("warning", reason=f"the run may still be RUNNING for its tracking: {type(error).__name__}: {error}")


def _config(context: Context) -> Any:
    from features import mlflow

    settings = context.settings.mlflow
    return mlflow.Config(
        tracking_uri=settings.tracking_uri,
        experiment=settings.experiment,
        credentials=settings.credentials,
        token_key=settings.token_key,
        user_key=settings.user_key,
        password_key=settings.password_key,
        ca_bundle=context.settings.git.ca_bundle,
    )


def parameters(context: Context) -> Dict[str, str]:
    """Values, commits and image, flat."""
    settings = context.settings
    values = {
        "train": settings.train,
        **({"tune": asdict(settings.tune)} if settings.tune.trials else {}),
        "accelerator": asdict(settings.accelerator),
        "replicas": settings.topology.replicas,
        "image": settings.image,
        "sources": {name: asdict(pinned) for name, pinned in context.sources.items()},
    }
    return {key: value[:LONGEST] for key, value in _flat(values, "")}


def _flat(tree: Dict[str, Any], above: str) -> Iterator[Tuple[str, str]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value if isinstance(value, str) else json.dumps(value)
