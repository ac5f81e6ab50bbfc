"""What is installed in a namespace, whether it has finished or not: runs, their releases and their claims."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from trainchart.cluster import helm, kinds
from trainchart.cluster.errors import ForbiddenError, NotFoundError
from trainchart.cluster.fields import Object, items, moment, number, text
from trainchart.run import release
from trainchart.run.state import PART_OF, State, snapshot_of

if TYPE_CHECKING:
    from trainchart.cluster.api import Api
    from trainchart.cluster.kinds import Kind

INSTANCE = "app.kubernetes.io/instance"
_RELEASE = "meta.helm.sh/release-name"  # an annotation of the objects that Helm has installed
# Releases without an object of ours may be half-made runs, unless Helm says that all of them was installed.
_WHOLE = ("deployed", "superseded")


@dataclass(frozen=True)
class Installed:
    """A run as it was listed: what there is of it may have changed since."""

    name: str
    namespace: str
    job: Object | None = None
    settings: Object | None = None
    """Its ConfigMap, without what is in it."""
    release: Object | None = None
    """The Secret of its latest revision, without what is in it; None too where this account may not list Secrets."""
    claims: tuple[Object, ...] = ()
    """Those that were made for it, without their specs."""

    @property
    def state(self) -> State:
        return snapshot_of(self.job, []).state if self.job else State.NO_JOB

    @property
    def is_copy(self) -> bool:
        """Whether its Job is a copy of another run's, with the labels of that: nothing says what else belongs to it."""
        return bool(self.job) and text(self.job, "metadata", "labels", INSTANCE) != self.name

    @property
    def ended(self) -> datetime | None:
        """When it finished; None where it has not, or its Job does not exist."""
        return snapshot_of(self.job, []).ended_at if self.job else None

    @property
    def changed(self) -> datetime | None:
        """When it was installed, or Helm last worked on it."""
        modified = number(self.release, "metadata", "labels", "modifiedAt")
        known = [
            moment(self.release, "metadata", "creationTimestamp"),
            moment(self.settings, "metadata", "creationTimestamp"),
            datetime.fromtimestamp(modified, timezone.utc) if modified else None,
        ]
        return max(filter(None, known), default=None)

    @property
    def is_being_installed(self) -> bool:
        """Whether Helm is at work on it, or was interrupted."""
        return text(self.release, "metadata", "labels", "status").startswith("pending-") and not self.job

    @property
    def by_helm(self) -> bool:
        """Whether Helm has installed it, as far as this account may see."""
        return bool(self.release) or any(map(_release_of, (self.job, self.settings, *self.claims)))

    @property
    def kept_claims(self) -> list[str]:
        """The claims that stay when it is removed (workspace.keep)."""
        return [text(one, "metadata", "name") for one in self.claims if is_kept(one)]

    @property
    def own_claims(self) -> list[str]:
        """The claims that are removed with it."""
        return [text(one, "metadata", "name") for one in self.claims if not is_kept(one)]

    @property
    def used_claims(self) -> list[str]:
        """The claims that its pods mount: its own, and others."""
        volumes = items(snapshot_of(self.job, []).pod_spec, "volumes") if self.job else []
        return [text(one, "persistentVolumeClaim", "claimName") for one in volumes if "persistentVolumeClaim" in one]


def is_kept(claim: Object) -> bool:
    """Whether the chart says that a claim outlives its release."""
    return text(claim, "metadata", "annotations", "helm.sh/resource-policy") == "keep"


def installed(
    api: Api, name: str = "", *, all_namespaces: bool = False, notify: Callable[[str], None] = lambda _: None
) -> list[Installed]:
    """The runs of a namespace, or of all, sorted by name; with `name` this one only. Four calls per 500 runs.

    A kept claim alone is no run, nor is a release of another chart.

    Args:
        api: the cluster and namespace.
        name: of the only run to look for.
        all_namespaces: look in all namespaces.
        notify: called once if this account may not list Secrets, so that releases without an object are not found.

    Raises:
        ForbiddenError: this account may not list Jobs, ConfigMaps or claims.
        NotFoundError: without `name`, where the API server does not have Volcano's Jobs, be it for a moment of its start.
        UnreachableError
    """
    found: dict[tuple[str, str], Installed] = {}

    def known(namespace: str, run: str) -> Installed:
        return found.get((namespace, run)) or Installed(run, namespace)

    def listed(kind: Kind, selector: str, *, whole: bool = False) -> list[tuple[str, Object]]:
        objects, version = api.objects(kind, selector=selector, all_namespaces=all_namespaces, metadata_only=not whole)
        if kind is kinds.JOBS and not version and not name:
            raise NotFoundError(
                f"the API server does not serve {kind} at the moment, so which runs have finished is unknown; is Volcano installed?"
            )
        return [(text(one, "metadata", "namespace") or api.namespace, one) for one in objects]

    runs = f"{PART_OF},{INSTANCE}={name}" if name else f"{PART_OF},{INSTANCE}"
    for namespace, job in listed(kinds.JOBS, runs, whole=True):
        run = text(job, "metadata", "name")
        found[namespace, run] = replace(known(namespace, run), job=job)
    for namespace, settings in listed(kinds.CONFIG_MAPS, runs):
        run = text(settings, "metadata", "labels", INSTANCE)
        found[namespace, run] = replace(known(namespace, run), settings=settings)
    try:
        secrets = listed(kinds.SECRETS, helm.release_selector(name))
    except ForbiddenError as error:
        notify(f"releases are not looked for: {error}")
        secrets = []
    for (namespace, run), newest in _newest(secrets).items():
        one = found.get((namespace, run))
        # A release of another chart may have the name of a run that Helm has not installed.
        is_its_own = one is not None and run in map(_release_of, (one.job, one.settings))
        is_whole = one is None and not name and text(newest, "metadata", "labels", "status") in _WHOLE
        if is_its_own or (not is_whole and _is_run(replace(api, namespace=namespace), run)):
            found[namespace, run] = replace(known(namespace, run), release=newest)
    for namespace, claim in listed(kinds.CLAIMS, runs):
        run = text(claim, "metadata", "labels", INSTANCE)
        if (namespace, run) in found:
            one = found[namespace, run]
            found[namespace, run] = replace(one, claims=(*one.claims, claim))
    return [found[key] for key in sorted(found) if name in ("", found[key].name)]


def user_of(run: Installed, others: Iterable[Installed]) -> Installed | None:
    """A run that has not finished and uses a claim that would be removed with the run, as one that resumes from it does."""
    for other in others:
        is_alive = not other.state.is_final and other.namespace == run.namespace and other.name != run.name
        if is_alive and set(run.own_claims) & set(other.used_claims):
            return other
    return None


def _newest(secrets: Iterable[tuple[str, Object]]) -> dict[tuple[str, str], Object]:
    """The latest revision of each release, by namespace and name."""
    revisions: dict[tuple[str, str], list[Object]] = {}
    for namespace, secret in secrets:
        revisions.setdefault((namespace, text(secret, "metadata", "labels", "name")), []).append(secret)
    return {key: helm.newest(found) for key, found in revisions.items()}


def _release_of(one: Object | None) -> str:
    """The release that an object belongs to; empty where Helm has not installed it."""
    return text(one, "metadata", "annotations", _RELEASE)


def _is_run(api: Api, name: str) -> bool:
    """Whether a release without an object of ours is one of our chart, whose installation was interrupted or refused."""
    found = release.load(api, name)
    return found is not None and found.is_run
