"""A helper pod: a small pod in the image of a run that does one thing, and is deleted however that ends.

The nodes have the image, and it has python3. The pod has the run's service account and security context, and requests
no device.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from trainchart.cluster import kinds
from trainchart.cluster.errors import ForbiddenError, RefusedError, UnreachableError
from trainchart.cluster.fields import Object, mapping, text
from trainchart.errors import ExitCode, TrainchartError
from trainchart.run.state import Snapshot, pod_of

if TYPE_CHECKING:
    from trainchart.cluster.api import Api

START_SECONDS = 120.0
LIFE_SECONDS = 600  # the pod ends by itself if nobody is left to delete it
POLL_SECONDS = 0.5
NO_SIDECAR_LABELS = {"sidecar.istio.io/inject": "false"}
NO_SIDECAR_ANNOTATIONS = {"sidecar.istio.io/inject": "false", "linkerd.io/inject": "disabled"}
"""What a mesh documents to inject no sidecar."""
_INHERITED = ("nodeSelector", "tolerations", "imagePullSecrets", "serviceAccountName", "securityContext")


class HelperPodError(TrainchartError):
    """The helper pod failed; the text says why."""

    exit_code = ExitCode.PROBLEM


def pod(snapshot: Snapshot, role: str, command: Sequence[str]) -> Object:
    """Return a pod `<run>-<role>-<random>` that mounts nothing. The snapshot must have its Job."""
    template = snapshot.pod_spec
    container = mapping(template, "containers", 0)
    small = {"cpu": "100m", "memory": "128Mi"}
    # Those of the run's pods: its NetworkPolicy applies to this pod too. No sidecar may keep it running, even where the run
    # allows them: nothing in this pod would end it.
    inherited = mapping(snapshot.job, "spec", "tasks", 0, "template", "metadata")
    metadata: Object = {
        "name": f"{snapshot.name}-{role}-{secrets.token_hex(3)}",
        "labels": {**mapping(inherited, "labels"), **NO_SIDECAR_LABELS, "app.kubernetes.io/component": role},
        "annotations": {**mapping(inherited, "annotations"), **NO_SIDECAR_ANNOTATIONS},
    }
    if snapshot.uid:  # it is removed with the run if nobody is left to delete it
        metadata["ownerReferences"] = [snapshot.reference]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {
            **{key: template[key] for key in _INHERITED if key in template},
            "restartPolicy": "Never",
            "activeDeadlineSeconds": LIFE_SECONDS,
            "terminationGracePeriodSeconds": 1,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "containers": [
                {
                    "name": text(container, "name") or role,
                    "image": text(container, "image"),
                    "imagePullPolicy": text(container, "imagePullPolicy") or "IfNotPresent",
                    "command": list(command),
                    "resources": {"requests": small, "limits": small},
                    "securityContext": mapping(container, "securityContext"),
                }
            ],
        },
    }


def run(
    api: Api,
    pod: Object,
    purpose: str,
    notify: Callable[[str], None] = lambda _: None,
    *,
    mounted: Sequence[Object] = (),
    may_fail: bool = False,
) -> list[bytes]:
    """Create the pod, and return the lines that it has printed once it has succeeded.

    Args:
        api: the cluster and the namespace.
        pod: of `pod`, or another one.
        purpose: what it is for, as in "reads the workspace of run-42".
        notify: is told that it was created.
        mounted: ConfigMaps that it mounts. They are removed with it.
        may_fail: return the lines of a pod that has failed too.

    Raises:
        HelperPodError
        ForbiddenError: a right is missing, most likely `create pods`.
        UnreachableError
    """
    try:
        with created(api, pod, mounted) as name:
            notify(f"pod {name} {purpose}")
            _await_end(api, name, purpose, may_fail=may_fail)
            return list(api.log(name, container=text(pod, "spec", "containers", 0, "name")))
    except ForbiddenError as error:
        raise lacking_right(error, purpose) from None
    except RefusedError as error:
        raise HelperPodError(f"the pod that {purpose} was refused: {error}") from None


@contextmanager
def created(api: Api, pod: Object, mounted: Sequence[Object] = ()) -> Iterator[str]:
    """Create a pod and the ConfigMaps that it mounts; yield its name, and delete all of it in the end.

    Raises:
        ForbiddenError, NotFoundError, RefusedError, UnreachableError
    """
    name = text(pod, "metadata", "name")
    try:
        owner = {"apiVersion": "v1", "kind": "Pod", "name": name}
        owner["uid"] = text(api.create(kinds.PODS, pod), "metadata", "uid")
        for body in mounted:  # after their owner: the pod waits for them
            api.create(kinds.CONFIG_MAPS, {**body, "metadata": {**body["metadata"], "ownerReferences": [owner]}})
        yield name
    finally:
        _delete(api, name)


def lacking_right(error: ForbiddenError, purpose: str) -> ForbiddenError:
    """The error of an account that may not make a helper pod."""
    needs = "`create pods`, `get pods/log` and `delete pods`"
    return ForbiddenError(f"{error}; a pod that {purpose} needs {needs}")


def _await_end(api: Api, name: str, purpose: str, *, may_fail: bool) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        found = pod_of(api.get(kinds.PODS, name) or {})
        if found.phase == "Succeeded" or (may_fail and found.phase == "Failed" and not found.message):
            return
        if found.phase == "Failed":
            output = found.termination or b" ".join(
                _until_error(api.log(name, container=found.container, tail=3))
            ).decode("utf-8", "replace")
            reason = found.message or output.strip() or found.exit_reason
            raise HelperPodError(f"pod {name}, which {purpose}, failed: {reason}")
        if not found.name:
            raise HelperPodError(f"pod {name}, which {purpose}, was deleted")
        if not found.is_running and time.monotonic() > deadline:
            waiting = " ".join(filter(None, (found.waiting_reason, found.waiting_message)))
            reason = found.unscheduled or waiting or "it is pending"
            raise HelperPodError(f"pod {name}, which {purpose}, did not start in {START_SECONDS:.0f} s: {reason}")
        time.sleep(POLL_SECONDS)


def _until_error(lines: Iterator[bytes]) -> Iterator[bytes]:
    try:
        yield from lines
    except TrainchartError:
        return


def _delete(api: Api, name: str) -> None:
    try:
        api.delete(kinds.PODS, name)
    except (ForbiddenError, UnreachableError):  # its deadline ends it, and it is removed with the run's Job
        return
