"""Tools around the chart: typed values and their schema, rendering, the `trainchart` command and the Python API.

    import trainchart as tc

    values = tc.preset("yolov8", accelerator="nvidia")
    run = tc.submit([values, {"train": {"epochs": 10}}], name="run-42")
    run.wait()

`trainchart docs python` describes it.
"""

from __future__ import annotations

# As in typing. This is imported before the command handles Ctrl-C, so it imports nothing itself.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from trainchart.client.cache import Cache
    from trainchart.client.errors import ClusterError, InvalidValuesError, RunFailedError, WaitTimeoutError
    from trainchart.client.functions import preset, runs, submit, validate
    from trainchart.client.runs import Cluster, Run, Runs
    from trainchart.errors import TrainchartError
    from trainchart.version import __version__

# Loaded at their first use: the commands start without them.
_PLACES = {
    **dict.fromkeys(("preset", "runs", "submit", "validate"), "trainchart.client.functions"),
    **dict.fromkeys(("Cluster", "Run", "Runs"), "trainchart.client.runs"),
    **dict.fromkeys(
        ("ClusterError", "InvalidValuesError", "RunFailedError", "WaitTimeoutError"), "trainchart.client.errors"
    ),
    "Cache": "trainchart.client.cache",
    "TrainchartError": "trainchart.errors",
    "__version__": "trainchart.version",
}
__all__ = [
    "Cache",
    "Cluster",
    "ClusterError",
    "InvalidValuesError",
    "Run",
    "RunFailedError",
    "Runs",
    "TrainchartError",
    "WaitTimeoutError",
    "__version__",
    "preset",
    "runs",
    "submit",
    "validate",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_PLACES})
