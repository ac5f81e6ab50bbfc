"""The MLflow run of a run whose runner was killed: it stays RUNNING where nobody says otherwise, and no next attempt comes to do so.

Only the cluster is sure to reach the tracking server, and the Secret for it is not for everybody who follows a run: so a small pod in
the run's image closes it, with the runner's own program and what it had mounted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainchart.cluster.errors import ForbiddenError, UnreachableError
from trainchart.cluster.fields import Object, items, mapping, text
from trainchart.run import helper_pod
from trainchart.run.events import parse
from trainchart.run.helper_pod import ErrandError
from trainchart.run.settings import settings_of
from trainchart.run.state import Snapshot

if TYPE_CHECKING:
    from trainchart.cluster.api import Api

_NEEDED = ("run", "tmp", "ca", "mlflow")
"""Volumes of the pod: programs and settings, somewhere to write, and what the server asks for."""
_SCRIPT = """
import os, sys
from pathlib import Path
sys.path.insert(0, os.getcwd())
from features.mlflow import run
from runner import settings
from runner.context import Context
home = Path.cwd()
run.close(Context.create(settings.load(home / "settings.json"), home, os.environ), "FAILED")
"""


def close(api: Api, snapshot: Snapshot) -> str:
    """Close it as FAILED; what came of it, or nothing where the run is not tracked."""
    try:
        if not text(settings_of(api, snapshot.name), "mlflow", "trackingUri"):
            return ""
        said = helper_pod.run(api, _closer(snapshot), "closes its MLflow run")
    except (ErrandError, ForbiddenError, UnreachableError) as error:
        return f"its MLflow run may still be RUNNING: {error}"
    events = [event for line in said if (event := parse(line.decode("utf-8", "replace")))]
    warnings = [event.fields.get("reason", "") for event in events if event.name == "warning"]
    return warnings[0] if warnings else "its MLflow run is closed as FAILED"


def _closer(snapshot: Snapshot) -> Object:
    template = snapshot.pod_spec
    container = mapping(template, "containers", 0)
    pod = helper_pod.pod(snapshot, "closer", ["python3", "-c", _SCRIPT])
    pod["spec"]["volumes"] = [one for one in items(template, "volumes") if text(one, "name") in _NEEDED]
    (made,) = pod["spec"]["containers"]
    made["workingDir"] = text(container, "workingDir")
    made["volumeMounts"] = [one for one in items(container, "volumeMounts") if text(one, "name") in _NEEDED]
    # As if it were the attempt after the last: only that one finds what was left RUNNING.
    attempt = {"JOB_GROUP": f"{snapshot.name}-{snapshot.uid}", "JOB_ATTEMPT": str(snapshot.attempt + 1)}
    made["env"] = [{"name": name, "value": value} for name, value in {**attempt, "HOME": "/tmp"}.items()]  # noqa: S108
    return pod
