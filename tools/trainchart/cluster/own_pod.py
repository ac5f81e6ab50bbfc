"""The pod that this program runs in, such as that of a pipeline's step."""

from __future__ import annotations

import os
import queue
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from trainchart.cluster import kinds
from trainchart.cluster.fields import Object, items, text
from trainchart.errors import TrainchartError

if TYPE_CHECKING:
    from trainchart.cluster.api import Api

ANSWER_SECONDS = 2.0
"""How long the pod may take to answer: whoever asks may have to end soon."""
_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def namespace() -> str:
    """The pod's namespace; empty outside a pod."""
    try:
        return os.environ.get("POD_NAMESPACE") or _NAMESPACE.read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def name() -> str:
    """The pod's name: that of its host, unless the host's network is used, where $POD_NAME has to say it."""
    return os.environ.get("POD_NAME") or socket.gethostname()


def find(api: Api) -> Object | None:
    """The pod; None outside one.

    Raises:
        ForbiddenError, UnreachableError
    """
    own = namespace()
    return api.in_namespace(own).get(kinds.PODS, name()) if own else None


def is_evicted(api: Api) -> bool:
    """Whether the cluster takes the pod away: it was evicted, preempted, or its node is drained.

    False where nobody says so: outside a pod, without the permission to get it, and if the answer takes long.
    """
    answers: queue.SimpleQueue[Object | None] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(find(api))
        except TrainchartError:
            answers.put(None)

    threading.Thread(target=ask, daemon=True).start()
    try:
        conditions = items(answers.get(timeout=ANSWER_SECONDS), "status", "conditions")
    except queue.Empty:
        return False
    return any(text(one, "type") == "DisruptionTarget" and text(one, "status") == "True" for one in conditions)
