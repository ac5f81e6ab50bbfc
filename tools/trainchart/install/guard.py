"""The pod that stops a run when the pod that has submitted it is killed: it runs `trainchart guard`, and belongs to the Job."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from trainchart.cluster import kinds, own_pod
from trainchart.cluster.fields import Object, items, mapping, text
from trainchart.errors import TrainchartError, UsageError
from trainchart.install.owner import Retried
from trainchart.run import state
from trainchart.run.helper_pod import NO_SIDECAR_ANNOTATIONS, NO_SIDECAR_LABELS

if TYPE_CHECKING:
    from trainchart.cluster.api import Api


def check_guard(api: Api) -> Object:
    """Return this program's own pod, whose image the guard runs.

    Raises:
        UsageError: it runs in no pod of the run's namespace.
        ForbiddenError, UnreachableError
    """
    own = own_pod.namespace()
    if not own:
        raise UsageError("--guard: this is no pod, whose end could be seen; leave --guard out")
    if own != api.namespace:
        raise UsageError(
            f"--guard: this pod is in namespace {own}, and the run in {api.namespace}, where the guard would not see it; "
            f"use -n {own}, or leave --guard out"
        )
    pod = own_pod.find(api)
    if pod is None:
        raise UsageError(
            f"--guard: pod {own_pod.name()} does not exist in namespace {own}; set POD_NAME to this pod's name"
        )
    return pod


def start_guard(
    api: Api, name: str, pod: Object, notify: Callable[[str], None], retried: Retried, *, seconds: float
) -> None:
    """Start the guard of a run, unless it has one. What keeps it from being started is reported, and the run is followed."""

    def start() -> None:
        follower = {"metadata": {"annotations": {state.FOLLOWER: own_pod.name()}}}
        run = state.snapshot_of(api.patch(kinds.JOBS, name, follower), ())
        guard = guard_pod(name, run.reference, pod, seconds)
        before = api.get(kinds.PODS, guard["metadata"]["name"])
        # Evicted, say: it guards no more, and keeps the name.
        if text(before, "status", "phase") in ("Succeeded", "Failed"):
            api.delete(kinds.PODS, guard["metadata"]["name"])
            before = None
        if not run.has_finished and before is None:
            api.create(kinds.PODS, guard)

    try:
        retried(start)
    except TrainchartError as error:
        notify(f"{name} has no guard: {error}")


def guard_pod(name: str, job: Object, pod: Object, seconds: float) -> Object:
    """The pod as "restricted" demands, with the account and the image of another pod, and where that may run."""
    own = mapping(pod, "spec")
    container = _container(own)
    user = mapping(container, "securityContext").get("runAsUser") or mapping(own, "securityContext").get("runAsUser")
    like = ("serviceAccountName", "imagePullSecrets", "nodeSelector", "tolerations")
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{name}-guard",
            "labels": {
                "app.kubernetes.io/part-of": "trainchart",
                "app.kubernetes.io/instance": name,
                **NO_SIDECAR_LABELS,  # with one it would never end
            },
            "annotations": NO_SIDECAR_ANNOTATIONS,
            "ownerReferences": [job],
        },
        "spec": {
            **{key: own[key] for key in like if own.get(key)},
            "restartPolicy": "OnFailure",
            "securityContext": {
                "runAsNonRoot": True,
                **({"runAsUser": user} if user else {}),
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "guard",
                    "image": text(container, "image"),
                    "imagePullPolicy": text(container, "imagePullPolicy") or "IfNotPresent",
                    "command": ["trainchart", "guard", name, "--timeout", f"{seconds:g}s"],
                    "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                }
            ],
        },
    }


def _container(spec: Object) -> Object:
    """The container of a pod that runs this program: the one whose command line asks for a guard, among those of an engine."""
    containers = items(spec, "containers")
    words = ({key: one.get(key) for key in ("command", "args")} for one in containers)
    options = ('"--guard"', '"--step-id')
    ours = (
        one for one, said in zip(containers, words, strict=True) if any(map(json.dumps(said).__contains__, options))
    )
    return next(ours, containers[0] if containers else {})
