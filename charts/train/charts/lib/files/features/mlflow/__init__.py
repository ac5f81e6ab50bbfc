"""Experiment tracking on an MLflow server: one MLflow run per release, for all of its attempts.

`Tracker.start` returns immediately, and a thread does the rest: a server that is down or slow does not delay the
training.
"""

from .api import ApiError, Config
from .tracker import RunInfo, Tracker, close

__all__ = ["ApiError", "Config", "RunInfo", "Tracker", "close"]
