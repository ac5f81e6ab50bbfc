"""A fake API server, with the methods of cluster/api.py: it counts its calls, and forbids what a test wants it to."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone

from trainchart.cluster import kinds
from trainchart.cluster.connection import NO_CONNECTION, Connection
from trainchart.cluster.errors import ForbiddenError, NotFoundError, RefusedError
from trainchart.cluster.fields import Object, dig, items, text
from trainchart.cluster.kinds import Kind

EVERYTHING = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}


@dataclass
class FakeApi:
    namespace: str = "training"
    server: str = "https://cluster.example"
    context: str = "lab"
    connection: Connection = NO_CONNECTION
    calls: int = 0
    there: dict[Kind, list[Object]] = field(default_factory=dict)
    logs: dict[str, bytes] = field(default_factory=dict)
    """By pod."""
    forbidden: set[str] = field(default_factory=set)
    """What the account may not do, such as `list nodes`, or `nodes` for any verb."""
    refused: dict[Kind, Exception] = field(default_factory=dict)
    """How a dry run of the kind ends."""
    rules: Object = field(default_factory=lambda: {"resourceRules": [EVERYTHING], "incomplete": False})
    missing_groups: set[str] = field(default_factory=set)
    """API groups that are not installed."""
    asked: list[str] = field(default_factory=list)
    """Each call, such as `get jobs.batch.volcano.sh run-42`."""
    changes: dict[Kind, list[Object]] = field(default_factory=dict)
    """What a watch returns, once."""

    def put(self, kind: Kind, *objects: Object) -> None:
        self.there.setdefault(kind, []).extend(objects)

    # -- the methods of Api

    def now(self) -> datetime:
        return datetime.now(timezone.utc)

    def in_namespace(self, namespace: str) -> FakeApi:
        """The same objects: those without a namespace are in every one."""
        other = copy.copy(self)
        other.namespace = namespace
        return other

    def get(self, kind: Kind, name: str) -> Object | None:
        self._call("get", kind, name)
        found = (one for one in self._of(kind) if text(one, "metadata", "name") == name)
        return next(found, None)

    def metadata(self, kind: Kind, name: str) -> Object | None:
        found = self.get(kind, name)
        return None if found is None else {"metadata": found.get("metadata", {})}

    def objects(
        self,
        kind: Kind,
        *,
        selector: str = "",
        fields: str = "",
        all_namespaces: bool = False,
        metadata_only: bool = False,
    ) -> tuple[list[Object], str]:
        self._call("list", kind, selector or fields)
        there = self._of(kind, all_namespaces=all_namespaces)
        found = [one for one in there if _selected(one, selector) and _has_fields(one, fields)]
        return [{"metadata": one.get("metadata", {})} for one in found] if metadata_only else found, "1"

    def create(self, kind: Kind, body: Object, *, dry_run: bool = False) -> Object:
        if kind is kinds.RULES_REVIEWS:
            self.calls += 1
            return {"status": self.rules}
        self._call("create", kind)
        if "generateName" in body.get("metadata", {}) and dry_run:
            raise RefusedError("admission webhook denied the request: job 'minAvailable' should not be greater")
        if kind in self.refused:
            raise self.refused[kind]
        name = text(body, "metadata", "name")
        if any(text(one, "metadata", "name") == name for one in self._of(kind)):
            raise RefusedError(f'{kind} "{name}" already exists')
        if not dry_run:
            self.put(kind, body)
        return body

    def patch(self, kind: Kind, name: str, change: Object) -> Object:
        self._call("patch", kind, name)
        for one in self._of(kind):
            if text(one, "metadata", "name") == name:
                _merge(one, change)
                return one
        raise NotFoundError(f'{kind} "{name}" not found')

    def delete(self, kind: Kind, name: str) -> None:
        self._call("delete", kind, name)
        here = [one for one in self._of(kind) if text(one, "metadata", "name") == name]
        self.there[kind] = [one for one in self.there.get(kind, []) if one not in here]

    def may(self, verb: str, kind: Kind, *, subresource: str = "", name: str = "") -> bool:
        self._call("create", kinds.ACCESS_REVIEWS)
        what = f"{kind.plural}/{subresource}" if subresource else str(kind)
        return not self.forbidden & {f"{verb} {what}", what}

    def raw(self, path: str) -> Object:
        self.calls += 1
        if path == "/version":
            return {"major": "1", "minor": "35", "gitVersion": "v1.35.3"}
        if path.split("/")[2] in self.missing_groups:
            raise NotFoundError(f"get {path}: 404 page not found")
        return {"resources": [{"name": name} for name in ("jobs", "queues", "podgroups", "commands")]}

    def watch(self, kind: Kind, *, since: str, selector: str = "", seconds: int = 240) -> Iterator[Object]:
        self._call("watch", kind, selector)
        assert since
        assert seconds
        yield from self.changes.pop(kind, [])

    def log(
        self,
        pod: str,
        *,
        container: str = "",
        follow: bool = False,
        since: str = "",
        timestamps: bool = False,
        tail: int | None = None,
    ) -> Iterator[bytes]:
        self._call("get", Kind("pods/log"), pod)
        there = next((one for one in self._of(kinds.PODS) if text(one, "metadata", "name") == pod), {})
        names = [text(one, "name") for one in items(there, "spec", "containers")]
        if len(names) > 1 and container not in names:
            raise RefusedError(f"a container name must be specified for pod {pod}, choose one of: {names}")
        if pod not in self.logs:
            raise NotFoundError(f'pods "{pod}" not found')
        lines = self.logs[pod].splitlines()
        assert not follow
        yield from lines if tail is None else lines[-tail:]

    # -- inside

    def _call(self, verb: str, kind: Kind, what: str = "") -> None:
        self.calls += 1
        self.asked.append(f"{verb} {kind} {what}".rstrip())
        if self.forbidden & {f"{verb} {kind}", kind.plural}:
            raise ForbiddenError(f"no permission to {verb} {kind}")

    def _of(self, kind: Kind, *, all_namespaces: bool = False) -> list[Object]:
        found = self.there.get(kind, [])
        if all_namespaces or not kind.namespaced:
            return found
        return [one for one in found if text(one, "metadata", "namespace") in ("", self.namespace)]


def _selected(one: Object, selector: str) -> bool:
    labels = dig(one, "metadata", "labels") or {}
    for rule in filter(None, selector.split(",")):
        key, equals, value = rule.partition("=")
        if key not in labels or (equals and labels[key] != value):
            return False
    return True


def _has_fields(one: Object, fields: str) -> bool:
    rules = (rule.partition("=") for rule in filter(None, fields.split(",")))
    return all((text(one, *key.rstrip("!").split(".")) == value) != key.endswith("!") for key, _, value in rules)


def _merge(into: Object, change: Mapping[str, object]) -> None:
    for key, value in change.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        elif value is None:
            into.pop(key, None)
        else:
            into[key] = value
