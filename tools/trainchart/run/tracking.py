"""Closes the MLflow run of a run whose runner was killed: no later attempt does, and it would stay RUNNING.

Only the cluster is sure to reach the tracking server, and not everybody who follows a run may read the Secret for it. A
helper pod in the run's image therefore closes it, with the runner's own program and the volumes that it had mounted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainchart.cluster.errors import ForbiddenError, UnreachableError
from trainchart.cluster.fields import Object, items, mapping, text
from trainchart.run import helper_pod
from trainchart.run.events import parse
from trainchart.run.helper_pod import HelperPodError
from trainchart.run.settings import settings_of
from trainchart.run.state import Snapshot

if TYPE_CHECKING:
    from trainchart.cluster.api import Api

_NEEDED = ("run", "tmp", "ca", "mlflow")
"""Volumes that the helper pod needs: programs and settings, a writable one, and the credentials of the server."""
_SCRIPT = """
import os, sys
from pathlib import Path
sys.path.insert(0, os.getcwd())
from features.mlflow import run
from runner import settings
from runner.context import Context
home = Path.cwd()
run.close(Context.create(settings.load(home), home, os.environ), "FAILED")
"""


def close(api: Api, snapshot: Snapshot) -> str:
    """Close it as FAILED, and return a sentence about that; empty where the run is not tracked."""
    try:
        if not text(settings_of(api, snapshot.name), "mlflow", "trackingUri"):
            return ""
        lines = helper_pod.run(api, _closer(snapshot), "closes its MLflow run")
    except (HelperPodError, ForbiddenError, UnreachableError) as error:
        return f"its MLflow run may still be RUNNING: {error}"
    events = [event for line in lines if (event := parse(line.decode("utf-8", "replace")))]
    warnings = [event.fields.get("reason", "") for event in events if event.name == "warning"]
    return warnings[0] if warnings else "its MLflow run is closed as FAILED"


def _closer(snapshot: Snapshot) -> Object:
    template = snapshot.pod_spec
    container = mapping(template, "containers", 0)
    pod = helper_pod.pod(snapshot, "closer", ["python3", "-c", _SCRIPT])
    pod["spec"]["volumes"] = [one for one in items(template, "volumes") if text(one, "name") in _NEEDED]
    (closer,) = pod["spec"]["containers"]
    closer["workingDir"] = text(container, "workingDir")
    closer["volumeMounts"] = [one for one in items(container, "volumeMounts") if text(one, "name") in _NEEDED]
    # It plays the attempt after the last: only that one finds a run that was left RUNNING.
    attempt = {"JOB_GROUP": f"{snapshot.name}-{snapshot.uid}", "JOB_ATTEMPT": str(snapshot.attempt + 1)}
    environment = {**attempt, "HOME": "/tmp"}  # noqa: S108
    closer["env"] = [{"name": name, "value": value} for name, value in environment.items()]
    return pod
