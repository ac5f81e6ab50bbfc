"""Tracks a run as an MLflow run, from rank 0. No failure here affects the training."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Dict, Iterator, Optional, Tuple

from features import mlflow
from runner import log
from runner.context import Context

MAX_PARAMETER = 500  # characters


class Tracker:
    """The MLflow run of a release. Does nothing if it could not be started."""

    def __init__(self, inner: Optional[Any] = None, artifacts: Optional[Path] = None) -> None:
        self._inner = inner
        self._artifacts = artifacts

    def epoch(self, epoch: int, row: Dict[str, Any]) -> None:
        if self._inner:
            numbers = {key: float(value) for key, value in row.items() if isinstance(value, (int, float))}
            self._inner.metrics(numbers, epoch)

    def end(self, status: str) -> None:
        """End the MLflow run as FINISHED, FAILED or KILLED, with the result as an artifact."""
        if not self._inner:
            return
        if self._artifacts and (self._artifacts / "result.json").is_file():
            self._inner.artifact(self._artifacts / "result.json", "result.json")
        self._inner.end(status)


def start(context: Context) -> Tracker:
    """Start tracking in the background. Never raises."""
    try:
        inner = mlflow.Tracker.start(
            _config(context),
            mlflow.RunInfo(
                name=context.settings.run.name,
                uid=context.uid,
                attempt=context.attempt,
                params=parameters(context),
                tags={"trainchart.family": context.settings.family},
            ),
        )
    except Exception as error:  # whatever it is: the training matters more
        log.event("warning", reason=f"the run is not tracked: {type(error).__name__}: {error}")
        return Tracker()
    return Tracker(inner, context.kept or context.folder)


def close(context: Context, status: str) -> None:
    """End the MLflow run that an earlier attempt left RUNNING, for an attempt that ends before it trains. Never
    raises.
    """
    if context.attempt == 0:
        return
    try:
        mlflow.close(_config(context), context.uid, status)
    except Exception as error:
        log.event("warning", reason=f"the MLflow run may still be RUNNING: {type(error).__name__}: {error}")


def _config(context: Context) -> Any:
    settings = context.settings.mlflow
    return mlflow.Config(
        tracking_uri=settings.tracking_uri,
        experiment=settings.experiment or context.settings.run.namespace,
        credentials=context.settings.secret_folder("mlflow"),
        token_key=settings.token_key,
        user_key=settings.user_key,
        password_key=settings.password_key,
        ca_file=context.settings.ca_file,
    )


def parameters(context: Context) -> Dict[str, str]:
    """Return values, commits and image as flat parameters."""
    settings = context.settings
    values = {
        "train": settings.train,
        **({"tune": asdict(settings.tune)} if settings.tune.trials else {}),
        "accelerator": {
            "profile": settings.accelerator.profile,
            "backend": settings.run.backend,
            "count": settings.accelerator.count,
        },
        "replicas": settings.replicas,
        "image": settings.image,
        "sources": {name: asdict(pinned) for name, pinned in context.sources.items()},
    }
    return {key: value[:MAX_PARAMETER] for key, value in _flat(values, "")}


def _flat(tree: Dict[str, Any], prefix: str) -> Iterator[Tuple[str, str]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value if isinstance(value, str) else json.dumps(value)
