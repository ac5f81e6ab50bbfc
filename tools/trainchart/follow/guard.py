"""Ends a run that nobody follows any more, for engines that kill a step without a signal."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from trainchart.cluster import kinds, own_pod
from trainchart.cluster.fields import Object, text
from trainchart.follow.retry import Retry
from trainchart.follow.stop import AGAIN_SECONDS, abort
from trainchart.run import state
from trainchart.run.state import FOLLOWER

if TYPE_CHECKING:
    from trainchart.cluster.api import Api
    from trainchart.run.state import Snapshot

POLL_SECONDS = 5.0


def take_up_if_guarded(api: Api, name: str) -> None:
    """Let the guard of a run know that this pod, if it is one in its namespace, follows the run from now on.

    Raises:
        NotFoundError, ForbiddenError, UnreachableError
    """
    if own_pod.namespace() == api.namespace and _follower(api.get(kinds.JOBS, name)) not in ("", own_pod.name()):
        api.patch(kinds.JOBS, name, {"metadata": {"annotations": {FOLLOWER: own_pod.name()}}})


def guard(api: Api, name: str, notify: Callable[[str], None], *, seconds: float) -> None:
    """Return when the run has finished. It is stopped where its follower's pod has ended, or is gone, for so long.

    Raises:
        ForbiddenError
        UnreachableError: the API server was away for longer than the limit.
    """
    retry = Retry(notify)
    alone_since: float | None = None
    told_at = float("-inf")
    while (run := retry.call(lambda: _load(api, name))) and not run.has_finished:
        follower = _follower(run.job)
        is_followed = retry.call(partial(_is_alive, api, follower))
        alone_since = None if is_followed else alone_since or time.monotonic()
        is_alone = alone_since is not None and time.monotonic() - alone_since >= seconds
        # Volcano acts on a command only in some phases.
        if is_alone and time.monotonic() - told_at > AGAIN_SECONDS:
            notify(f"pod {follower} no longer follows {name}, and no other does: stopping it")
            retry.call(partial(abort, api, run, "nobody follows the run any more"))
            told_at = time.monotonic()
        retry.pause(POLL_SECONDS)


def _load(api: Api, name: str) -> Snapshot | None:
    job = api.get(kinds.JOBS, name)
    return state.snapshot_of(job, ()) if job else None


def _follower(job: Object | None) -> str:
    return text(job, "metadata", "annotations", FOLLOWER)


def _is_alive(api: Api, pod: str) -> bool:
    found = api.get(kinds.PODS, pod) if pod else None
    return text(found, "status", "phase") in ("Pending", "Running", "Unknown")
