"""Reads the cluster, everything once. A right that the account lacks is an answer, not an error."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from trainchart.checks.finding import Finding, not_checked
from trainchart.cluster import helm, kinds
from trainchart.cluster.api import Api
from trainchart.cluster.errors import ForbiddenError, NotFoundError, RefusedError, UnauthorizedError, UnreachableError
from trainchart.cluster.fields import Object, items, mapping, text
from trainchart.cluster.kinds import Kind

T = TypeVar("T")


@dataclass(frozen=True)
class NoRight:
    """In place of an answer: what the account may not do."""

    verb: str
    kind: Kind
    where: str = ""

    def __str__(self) -> str:
        return f"no permission to {self.verb} {self.kind}{self.where}"

    def finding(self, subject: str) -> Finding:
        fix = f"deploy/{'submitter' if self.kind.namespaced and not self.where else 'cluster-reader'}.yaml has it"
        if self.kind == kinds.RULES_REVIEWS:
            fix = "every account has it by the ClusterRole system:basic-user, unless that was taken away"
        elif self.kind.plural.startswith("/"):
            fix = "an administrator can bind the ClusterRole system:discovery"
        return not_checked(subject, f"{subject}: {self}", fix)


@dataclass(frozen=True)
class Secret:
    """All that is kept of a Secret. The API server gives its values too; they go no further than `ClusterReader.secret`."""

    kind: str
    keys: frozenset[str]


@dataclass(frozen=True)
class Refusal:
    """What the API server, or a webhook, said to a dry run."""

    text: str


@dataclass
class ClusterReader:
    """One account's view of one namespace."""

    api: Api
    _answers: dict[object, object] = field(default_factory=dict)

    @property
    def namespace(self) -> str:
        return self.api.namespace

    def get(self, kind: Kind, name: str) -> Object | NoRight | None:
        def found() -> Object | None:
            one = self.api.get(kind, name)
            return None if one is None else _whole(one)

        return self._once((kind, name), found, NoRight("get", kind))

    def objects(
        self, kind: Kind, *, selector: str = "", fields: str = "", all_namespaces: bool = False
    ) -> list[Object] | NoRight:
        def found() -> list[Object]:
            objects, _ = self.api.objects(kind, selector=selector, fields=fields, all_namespaces=all_namespaces)
            return [_whole(one) for one in objects]

        return self._once(
            (kind, selector, fields, all_namespaces),
            found,
            NoRight("list", kind, " of all namespaces" if all_namespaces else ""),
        )

    def listed(self, kind: Kind) -> list[Object] | None:
        """All objects of the kind, if they have been read already, so that using them costs no call."""
        found = self._answers.get((kind, "", "", False))
        return found if isinstance(found, list) else None

    def queues(self, name: str) -> list[Object] | NoRight:
        """All of them; the one of this name where this account may read no other."""
        queues = self.objects(kinds.QUEUES)
        if isinstance(queues, NoRight):
            one = self.get(kinds.QUEUES, name)
            return queues if isinstance(one, NoRight) else [one] if one else []
        return queues

    def events(self, **of: str) -> list[Object] | NoRight:
        """Of one object: `kind`, `name`, `uid`."""
        fields = ",".join(f"involvedObject.{key}={value}" for key, value in of.items() if value)
        return self.objects(kinds.EVENTS, fields=fields)

    def exists(self, kind: Kind, name: str) -> bool | NoRight:
        """By its metadata alone: what is in it stays where it is."""
        found = lambda: self.api.metadata(kind, name) is not None  # noqa: E731
        return self._once(("exists", kind, name), found, NoRight("get", kind))

    def secret(self, name: str) -> Secret | NoRight | None:
        def keys_alone() -> Secret | None:
            found = self.api.get(kinds.SECRETS, name)
            return None if found is None else Secret(found.get("type", ""), frozenset(found.get("data") or {}))

        return self._once(("secret", name), keys_alone, NoRight("get", kinds.SECRETS))

    def release(self, name: str) -> list[Object] | NoRight:
        """The labels of what Helm keeps of a release, without the release."""

        def records() -> list[Object]:
            selector = helm.release_selector(name)
            found, _ = self.api.objects(kinds.SECRETS, selector=selector, metadata_only=True)
            return found

        return self._once(("release", name), records, NoRight("list", kinds.SECRETS))

    def dry_run(self, kind: Kind, body: Object) -> Object | Refusal | NoRight:
        """What the API server makes of an object, without keeping it."""
        try:
            return self.api.create(kind, body, dry_run=True)
        except UnauthorizedError:
            raise
        except ForbiddenError:
            return NoRight("create", kind)
        except (RefusedError, NotFoundError) as error:
            return Refusal(str(error))
        except UnreachableError as error:
            if "webhook" not in str(error):
                raise
            return Refusal(str(error))

    def kinds_of(self, path: str) -> list[str] | NoRight | None:
        """The resources of an API group's version, which nearly every account may see; None where there is no such group."""
        try:
            return [text(resource, "name") for resource in items(self.api.raw(path), "resources")]
        except NotFoundError:
            return None
        except UnauthorizedError:
            raise
        except ForbiddenError:
            return NoRight("get", Kind(path, namespaced=False))

    def version(self) -> Object:
        """Of the API server; empty where it is not told."""
        try:
            return self.api.raw("/version")
        except UnauthorizedError:
            raise
        except (ForbiddenError, NotFoundError):
            return {}

    def rules(self) -> Object | NoRight:
        """All that this account may do here, in one call."""
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectRulesReview",
            "spec": {"namespace": self.namespace},
        }
        no_right = NoRight("create", kinds.RULES_REVIEWS)
        return self._once("rules", lambda: mapping(self.api.create(kinds.RULES_REVIEWS, body), "status"), no_right)

    def may(self, verb: str, kind: Kind, subresource: str) -> bool:
        return self.api.may(verb, kind, subresource=subresource)

    def _once(self, key: object, read: Callable[[], T], no_right: NoRight | T) -> T | NoRight:
        if key not in self._answers:
            try:
                self._answers[key] = read()
            except UnauthorizedError:
                raise
            except ForbiddenError:
                self._answers[key] = no_right
        return self._answers[key]  # type: ignore[return-value]


def _whole(one: Object) -> Object:
    """With the parts that every object of an honest API server has; what the checks read of them may still be missing."""
    metadata = {**mapping(one, "metadata"), "name": text(one, "metadata", "name")}
    return {**one, "metadata": metadata, "spec": mapping(one, "spec"), "status": mapping(one, "status")}
