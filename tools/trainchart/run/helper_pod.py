"""A small pod in the image of a run, which does one thing and is deleted, however that ends.

The nodes have the image, and it has python3. The pod keeps to the run's own account and limits of Pod Security, and takes no device.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from trainchart.cluster import kinds
from trainchart.cluster.errors import ForbiddenError, RefusedError, UnreachableError
from trainchart.cluster.fields import Object, mapping, text
from trainchart.errors import ExitCode, TrainchartError
from trainchart.run.state import Snapshot, pod_of

if TYPE_CHECKING:
    from trainchart.cluster.api import Api

START_SECONDS = 120.0
LIFE_SECONDS = 600  # the pod ends itself, should nobody be left to delete it
POLL_SECONDS = 0.5
_SAFE = ("nodeSelector", "tolerations", "imagePullSecrets", "serviceAccountName", "securityContext")


class ErrandError(TrainchartError):
    """The pod could not do it; the text says why."""

    exit_code = ExitCode.PROBLEM


def pod(snapshot: Snapshot, what: str, command: Sequence[str]) -> Object:
    """A pod `<run>-<what>-<random>` with nothing mounted. `snapshot` has its Job."""
    template = snapshot.pod_spec
    container = mapping(template, "containers", 0)
    small = {"cpu": "100m", "memory": "128Mi"}
    metadata: Object = {
        "name": f"{snapshot.name}-{what}-{secrets.token_hex(3)}",
        # The first two are the run's own: its NetworkPolicy holds for this pod too.
        "labels": {
            "app.kubernetes.io/name": "train",
            "app.kubernetes.io/instance": snapshot.name,
            "app.kubernetes.io/component": what,
        },
    }
    if snapshot.uid:  # goes with the run, should nobody be left to delete it
        metadata["ownerReferences"] = [snapshot.reference]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {
            **{key: template[key] for key in _SAFE if key in template},
            "restartPolicy": "Never",
            "activeDeadlineSeconds": LIFE_SECONDS,
            "terminationGracePeriodSeconds": 1,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "containers": [
                {
                    "name": what,
                    "image": text(container, "image"),
                    "imagePullPolicy": text(container, "imagePullPolicy") or "IfNotPresent",
                    "command": list(command),
                    "resources": {"requests": small, "limits": small},
                    "securityContext": mapping(container, "securityContext"),
                }
            ],
        },
    }


def run(api: Api, made: Object, does: str, say: Callable[[str], None] = lambda _: None) -> list[bytes]:
    """The lines that the pod prints, once it has ended well. `does` says what it is for: "reads the workspace of run-42".

    Raises:
        ErrandError; ForbiddenError: a right is missing, `create pods` above all; UnreachableError
    """
    name = text(made, "metadata", "name")
    try:
        api.create(kinds.PODS, made)
        say(f"pod {name} {does}")
        _await_end(api, name, does)
        return list(api.log(name))
    except ForbiddenError as error:
        needs = "`create pods`, `get pods/log` and `delete pods`"
        raise ForbiddenError(f"{error}; a pod that {does} needs {needs}") from None
    except RefusedError as error:
        raise ErrandError(f"the pod that {does} was refused: {error}") from None
    finally:
        _delete(api, name)


def _await_end(api: Api, name: str, does: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        found = pod_of(api.get(kinds.PODS, name) or {})
        if found.phase == "Succeeded":
            return
        if found.phase == "Failed":
            said = found.termination or b" ".join(list(_quietly(api.log(name, tail=3)))).decode("utf-8", "replace")
            raise ErrandError(f"pod {name}, which {does}, failed: {found.message or said.strip() or found.exit_reason}")
        if not found.name:
            raise ErrandError(f"pod {name}, which {does}, was deleted")
        if not found.is_running and time.monotonic() > deadline:
            waits = " ".join(filter(None, (found.waiting_reason, found.waiting_message)))
            why = found.unscheduled or waits or "it is pending"
            raise ErrandError(f"pod {name}, which {does}, did not start in {START_SECONDS:.0f} s: {why}")
        time.sleep(POLL_SECONDS)


def _quietly(lines: Iterator[bytes]) -> Iterator[bytes]:
    try:
        yield from lines
    except TrainchartError:
        return


def _delete(api: Api, name: str) -> None:
    try:
        api.delete(kinds.PODS, name)
    except (ForbiddenError, UnreachableError):  # its deadline ends it, and it goes with the run's Job
        return
