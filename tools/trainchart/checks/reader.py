"""Reads the cluster, everything once. A right that the account lacks is one error, which a check turns into a finding."""

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


class NoRightError(Exception):
    """In place of an answer: what the account may not do."""

    def __init__(self, verb: str, kind: Kind, where: str = "") -> None:
        super().__init__(f"no permission to {verb} {kind}{where}")
        self.verb, self.kind, self.where = verb, kind, where

    def finding(self, subject: str) -> Finding:
        role = (
            "Role trainchart-submitter" if self.kind.namespaced and not self.where else "ClusterRole trainchart-reader"
        )
        fix = f"the {role} has it (trainchart docs rights)"
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
    """One account's view of one namespace. All methods raise NoRightError where the account may not read what they return."""

    api: Api = field(repr=False)
    _answers: dict[object, object] = field(default_factory=dict)

    @property
    def namespace(self) -> str:
        return self.api.namespace

    def get(self, kind: Kind, name: str) -> Object | None:
        found: Object | None = self._once((kind, name), lambda: self.api.get(kind, name), "get", kind)
        return None if found is None else _whole(found)

    def objects(
        self, kind: Kind, *, selector: str = "", fields: str = "", all_namespaces: bool = False
    ) -> list[Object]:
        def read() -> list[Object]:
            return self.api.objects(kind, selector=selector, fields=fields, all_namespaces=all_namespaces)[0]

        where = " of all namespaces" if all_namespaces else ""
        return [_whole(one) for one in self._once((kind, selector, fields, all_namespaces), read, "list", kind, where)]

    def listed(self, kind: Kind) -> list[Object] | None:
        """All objects of the kind, if they have been read already, so that using them costs no call."""
        found = self._answers.get((kind, "", "", False))
        return found if isinstance(found, list) else None

    def queues(self, name: str) -> list[Object]:
        """All of them; the one of this name where this account may read no other."""
        try:
            return self.objects(kinds.QUEUES)
        except NoRightError as error:
            try:
                return [queue for queue in [self.get(kinds.QUEUES, name)] if queue]
            except NoRightError:
                raise error from None

    def events(self, **of: str) -> list[Object]:
        """Of one object: `kind`, `name`, `uid`."""
        fields = ",".join(f"involvedObject.{key}={value}" for key, value in of.items() if value)
        return self.objects(kinds.EVENTS, fields=fields)

    def exists(self, kind: Kind, name: str) -> bool:
        """By its metadata alone: what is in it stays where it is."""
        return self._once(("exists", kind, name), lambda: self.api.metadata(kind, name) is not None, "get", kind)

    def secret(self, name: str) -> Secret | None:
        def keys_alone() -> Secret | None:
            found = self.api.get(kinds.SECRETS, name)
            return None if found is None else Secret(text(found, "type"), frozenset(mapping(found, "data")))

        return self._once(("secret", name), keys_alone, "get", kinds.SECRETS)

    def release(self, name: str) -> list[Object]:
        """The labels of what Helm keeps of a release, without the release."""

        def records() -> list[Object]:
            return self.api.objects(kinds.SECRETS, selector=helm.release_selector(name), metadata_only=True)[0]

        return self._once(("release", name), records, "list", kinds.SECRETS)

    def dry_run(self, kind: Kind, body: Object) -> Object | Refusal:
        """What the API server makes of an object, without keeping it."""
        try:
            return self._allowed(lambda: self.api.create(kind, body, dry_run=True), "create", kind)
        except (RefusedError, NotFoundError) as error:
            return Refusal(str(error))
        except UnreachableError as error:
            if "webhook" not in str(error):
                raise
            return Refusal(str(error))

    def kinds_of(self, path: str) -> list[str] | None:
        """The resources of an API group's version, which nearly every account may see; None where it does not exist."""
        try:
            found = self._allowed(lambda: self.api.raw(path), "get", Kind(path, namespaced=False))
        except NotFoundError:
            return None
        return [text(resource, "name") for resource in items(found, "resources")]

    def version(self) -> Object:
        """Of the API server; empty where it does not report one."""
        try:
            return self._allowed(lambda: self.api.raw("/version"), "get", Kind("/version", namespaced=False))
        except (NoRightError, NotFoundError):
            return {}

    def rules(self) -> Object:
        """All that this account may do here, in one call."""
        spec = {"namespace": self.namespace}
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": spec}
        review = self._once("rules", lambda: self.api.create(kinds.RULES_REVIEWS, body), "create", kinds.RULES_REVIEWS)
        return mapping(review, "status")

    def may(self, verb: str, kind: Kind, subresource: str) -> bool:
        return self.api.may(verb, kind, subresource=subresource)

    def _once(self, key: object, read: Callable[[], T], verb: str, kind: Kind, where: str = "") -> T:
        if key not in self._answers:
            try:
                self._answers[key] = self._allowed(read, verb, kind, where)
            except NoRightError as error:
                self._answers[key] = error
        answer = self._answers[key]
        if isinstance(answer, NoRightError):
            raise answer
        return answer  # type: ignore[return-value]

    def _allowed(self, read: Callable[[], T], verb: str, kind: Kind, where: str = "") -> T:
        try:
            return read()
        except UnauthorizedError:
            raise
        except ForbiddenError:
            raise NoRightError(verb, kind, where) from None


def _whole(one: Object) -> Object:
    """With the parts that every object of an honest API server has; what the checks read of them may still be missing."""
    metadata = {**mapping(one, "metadata"), "name": text(one, "metadata", "name")}
    return {**one, "metadata": metadata, "spec": mapping(one, "spec"), "status": mapping(one, "status")}
