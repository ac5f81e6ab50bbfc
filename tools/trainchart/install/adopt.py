"""What an earlier attempt of the same owner has left: a run to follow, or half a release to remove."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from trainchart.chart.engine import Engine, Target
from trainchart.cluster import helm, kinds
from trainchart.cluster.errors import ForbiddenError
from trainchart.cluster.fields import Object, text
from trainchart.install.owner import LABEL, Owner
from trainchart.install.remove import uninstall

if TYPE_CHECKING:
    from trainchart.cluster.api import Api

GONE_SECONDS = 60.0
POLL_SECONDS = 0.5


def adopt(api: Api, engine: Engine, target: Target, name: str, owner: Owner, notify: Callable[[str], None]) -> bool:
    """Whether there is a run of this name and owner. What an attempt has left that was killed while it installed is removed.

    Raises:
        RemoveError: that could not be removed.
        ForbiddenError, UnreachableError
    """
    job = api.get(kinds.JOBS, name)
    release = _release(api, name, owner)
    if not (owner.owns(job) if job else release):
        return False
    is_complete = text(release, "metadata", "labels", "status") in ("", "deployed")
    if is_complete or _has_started(job):
        return not text(job, "metadata", "deletionTimestamp")
    notify(f"an earlier attempt was killed while it installed {name}; removing what it has left")
    uninstall(engine, target, name)
    deadline = time.monotonic() + GONE_SECONDS
    while api.get(kinds.JOBS, name) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    return False


def _release(api: Api, name: str, owner: Owner) -> Object:
    """The metadata of the record of the owner's release; empty without one, and for an account that may not read it."""
    try:
        records, _ = api.objects(kinds.SECRETS, selector=helm.release_selector(name), metadata_only=True)
    except ForbiddenError:
        return {}
    return helm.newest([one for one in records if text(one, "metadata", "labels", LABEL) == owner.uid])


def _has_started(job: Object | None) -> bool:
    return text(job, "status", "state", "phase") not in ("", "Pending")
