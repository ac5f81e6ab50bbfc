"""Experiment tracking on an MLflow server: one run of the server per release, whatever the number of its attempts.

`Tracker.start` returns at once and everything else happens in a thread: a server that is down or slow costs the training nothing.
"""

from .api import ApiError, Config
from .tracker import RunInfo, Tracker, close

__all__ = ["ApiError", "Config", "RunInfo", "Tracker", "close"]
