"""The owner of a run: an object of its namespace, such as a PipelineRun, with which Kubernetes removes the run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from trainchart.cluster import kinds, own_pod
from trainchart.cluster.errors import ForbiddenError, NotFoundError
from trainchart.cluster.fields import Object, items, text
from trainchart.cluster.helm import release_selector
from trainchart.errors import TrainchartError, UsageError

if TYPE_CHECKING:
    from trainchart.cluster.api import Api

LABEL = "trainchart.dev/owner"
"""Of a release: its owner's UID."""

Retried = Callable[[Callable[[], None]], None]
"""Calls a function, again and again while the API server cannot be reached."""


@dataclass(frozen=True)
class Owner:
    api_version: str
    kind: str
    name: str
    uid: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"

    @property
    def reference(self) -> dict[str, str]:
        """The value `owner` of the chart, and an owner reference of Kubernetes."""
        return {"apiVersion": self.api_version, "kind": self.kind, "name": self.name, "uid": self.uid}

    def owns(self, one: Object | None) -> bool:
        return any(text(reference, "uid") == self.uid for reference in items(one, "metadata", "ownerReferences"))


def owner_of(pod: Object) -> Owner | None:
    """What a pod belongs to: its controller, such as the Workflow of a pipeline; None where it has none."""
    for reference in items(pod, "metadata", "ownerReferences"):
        if reference.get("controller"):
            return Owner(*(text(reference, key) for key in ("apiVersion", "kind", "name", "uid")))
    return None


def check_owner(api: Api, owner: Owner) -> None:
    """Check that the owner is in the run's namespace: Kubernetes removes objects whose owner is not.

    An account that may not read it has to be that of a pod in the same namespace, which the owner has started.

    Raises:
        UsageError: it does not exist there, or this cannot be checked.
        UnreachableError
    """
    where = f"in namespace {api.namespace}"
    others = "; name an object of the run's namespace, or leave --owner out: Kubernetes would remove the run"
    try:
        found = api.raw(_path(api, owner))
    except NotFoundError:
        raise UsageError(f"--owner: {owner.api_version} {owner} does not exist {where}{others}") from None
    except ForbiddenError as error:
        if own_pod.namespace() == api.namespace:
            return
        raise UsageError(
            f"--owner: whether {owner} exists {where} cannot be checked: {error}; ask for the permission to get it, or "
            "leave --owner out: Kubernetes would remove a run whose owner is elsewhere"
        ) from None
    if text(found, "metadata", "uid") != owner.uid:
        uid = text(found, "metadata", "uid") or "unknown"
        raise UsageError(f"--owner: the UID of {owner} {where} is {uid}, not {owner.uid}{others}")
    if text(found, "metadata", "deletionTimestamp"):
        raise UsageError(f"--owner: {owner} is being deleted, and the run would be with it; name another owner")


def _path(api: Api, owner: Owner) -> str:
    """The path of the owner on the API server.

    Raises:
        NotFoundError: the server has no such kind.
        ForbiddenError, UnreachableError
    """
    version = f"/apis/{owner.api_version}" if "/" in owner.api_version else f"/api/{owner.api_version}"
    for resource in items(api.raw(version), "resources"):
        if text(resource, "kind") == owner.kind and "/" not in text(resource, "name"):
            namespace = f"/namespaces/{api.namespace}" if resource.get("namespaced") else ""
            return f"{version}{namespace}/{text(resource, 'name')}/{quote(owner.name, safe='')}"
    raise NotFoundError(f"the API server has no kind {owner.kind} in {owner.api_version}")


def own_release(api: Api, name: str, owner: Owner, notify: Callable[[str], None], retried: Retried) -> None:
    """Let what Helm keeps of a release go with its owner too. What keeps it from that is reported."""

    def own() -> None:
        records, _ = api.objects(kinds.SECRETS, selector=release_selector(name), metadata_only=True)
        for record in records:
            if not owner.owns(record):
                change = {"metadata": {"ownerReferences": [owner.reference]}}
                api.patch(kinds.SECRETS, text(record, "metadata", "name"), change)

    try:
        retried(own)
    except TrainchartError as error:
        notify(f"Helm's release {name} will stay when {owner} is deleted: {error}")
