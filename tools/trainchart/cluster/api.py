"""A client for one API server, account and namespace. Objects are plain dictionaries.

The official client reads kubeconfigs (certificates, tokens, exec plugins, OIDC) and pools connections. Its typed models
are not used: they do not include Volcano's objects, and cost more time than the requests (docs/decisions/0013).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from trainchart.cluster import kinds
from trainchart.cluster.connection import NO_CONNECTION, Connection
from trainchart.cluster.errors import (
    ExpiredError,
    KubeconfigError,
    NotFoundError,
    UnreachableError,
    network_errors,
    response_error,
)
from trainchart.cluster.fields import Object, dig, items, number, parsed, text
from trainchart.cluster.kinds import Kind

if TYPE_CHECKING:
    from kubernetes.client import ApiClient
    from urllib3 import BaseHTTPResponse

CONNECT_SECONDS = 5.0
READ_SECONDS = 30.0
# A stream that is silent for longer counts as broken: a cut network sends nothing, not even an end. For a training that
# just prints nothing for so long, this costs one reconnection.
SILENT_SECONDS = 60.0
PAGE_SIZE = 500  # objects per list request, as in kubectl
MAX_PAGES = 2_000
MAX_LINE_BYTES = 4 << 20  # of a stream; an object in a watch has at most 1.5 MiB


@dataclass
class Api:
    """Requests of one account.

    Every method may raise ForbiddenError and UnreachableError; others are listed where they apply.
    `calls` counts requests: tests limit how many a command makes.
    """

    client: ApiClient
    namespace: str
    server: str
    context: str = ""  # of the kubeconfig; empty inside a pod
    impersonation: Sequence[tuple[str, str]] = ()  # headers, which may repeat
    connection: Connection = NO_CONNECTION
    """For commands that are printed."""
    calls: int = field(default=0, compare=False)
    answered: str = field(default="", compare=False)
    """When the server last answered, by its own clock, as HTTP has it."""

    def in_namespace(self, namespace: str) -> Api:
        """The same account in another namespace."""
        return replace(self, namespace=namespace)

    def now(self) -> datetime:
        """The present time by the clock of the server, as of its last answer: that of this machine may be wrong."""
        from email.utils import parsedate_to_datetime

        try:
            return parsedate_to_datetime(self.answered).replace(tzinfo=timezone.utc)
        except (TypeError, ValueError):
            return datetime.now(timezone.utc)

    # -- objects

    def get(self, kind: Kind, name: str) -> Object | None:
        """An object, or None if it does not exist."""
        return self._get(kind, name, {})

    def metadata(self, kind: Kind, name: str) -> Object | None:
        """An object's metadata, or None if it does not exist. The values of a Secret do not leave the server."""
        return self._get(kind, name, _metadata_only("PartialObjectMetadata"))

    def objects(
        self,
        kind: Kind,
        *,
        selector: str = "",
        fields: str = "",
        all_namespaces: bool = False,
        metadata_only: bool = False,
    ) -> tuple[list[Object], str]:
        """List objects; also return the resource version to watch from. A kind that does not exist has no objects.

        Args:
            kind: of the objects.
            selector: a label selector.
            fields: a field selector.
            all_namespaces: list them in all namespaces.
            metadata_only: fetch only metadata: the contents do not leave the server.
        """
        query = {"labelSelector": selector, "fieldSelector": fields, "limit": str(PAGE_SIZE)}
        path = self._path(kind, all_namespaces=all_namespaces)
        headers = _metadata_only("PartialObjectMetadataList") if metadata_only else {}
        found: list[Object] = []
        for _ in range(MAX_PAGES):
            try:
                page = self._json("GET", path, query, headers=headers, action=f"list {kind}")
            except NotFoundError:
                return [], ""
            except ExpiredError:  # the next page came too late: then all at once, as kubectl does
                if not query["limit"]:
                    raise
                query, found = {**query, "limit": "", "continue": ""}, []
                continue
            found += items(page, "items")
            query["continue"] = text(page, "metadata", "continue")
            if not query["continue"]:
                return found, text(page, "metadata", "resourceVersion")
        raise UnreachableError(f"{self.server} lists {kind} without end; is it an API server?")

    def create(self, kind: Kind, body: Object, *, dry_run: bool = False) -> Object:
        """Create an object, or with `dry_run` only have the server admit it.

        Raises:
            RefusedError: it exists already, or admission rejects it.
        """
        query = {"dryRun": "All" if dry_run else ""}
        return self._json("POST", self._path(kind), query, body=body, action=f"create {kind}")

    def patch(self, kind: Kind, name: str, change: Object) -> Object:
        """Apply a JSON merge patch.

        Raises:
            NotFoundError, RefusedError
        """
        headers = {"Content-Type": "application/merge-patch+json"}
        return self._json("PATCH", self._path(kind, name), body=change, headers=headers, action=f"patch {kind} {name}")

    def delete(self, kind: Kind, name: str) -> None:
        """Request the deletion of an object, which may take a while to finish. A missing object is no error."""
        try:
            self._json("DELETE", self._path(kind, name), action=f"delete {kind} {name}")
        except NotFoundError:
            return

    def may(self, verb: str, kind: Kind, *, subresource: str = "") -> bool:
        """Whether this account has a permission in this namespace, by the API server's own review."""
        attributes = {"verb": verb, "group": kind.group, "resource": kind.plural, "subresource": subresource}
        if kind.namespaced:
            attributes["namespace"] = self.namespace
        request = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        return dig(self.create(kinds.ACCESS_REVIEWS, request), "status", "allowed") is True

    def raw(self, path: str) -> Object:
        """The JSON object at any other path of the server, such as /version.

        Raises:
            NotFoundError
        """
        return self._json("GET", path, action=f"get {path}")

    # -- streams

    def watch(self, kind: Kind, *, since: str, selector: str = "", seconds: int = 240) -> Iterator[Object]:
        """Yield changes (`type`, `object`) after a resource version, until the server ends the watch after `seconds`.

        Raises:
            ExpiredError: the resource version is too old.
        """
        query = {
            "labelSelector": selector,
            "watch": "true",
            "resourceVersion": since,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(seconds),
        }
        for line in self._lines(self._path(kind), query, f"watch {kind}"):
            change = parsed(line)
            if text(change, "type") == "ERROR":
                if number(change, "object", "code") == 410:
                    raise ExpiredError("the resource version of the watch is too old")
                raise UnreachableError(f"the API server ended a watch: {text(change, 'object', 'message')}")
            if not isinstance(change.get("object"), dict):
                raise UnreachableError(f"{self.server} answers a watch with something other than changes of objects")
            yield change

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
        """Yield the lines of a pod's log, without line breaks. `container` may be left out where it has only one. `since` is an RFC 3339 time, in whole seconds.

        Raises:
            NotFoundError
            RefusedError: the container has not started.
            UnreachableError: also if a followed log breaks off.
        """
        query = {
            "container": container,
            "follow": "true" if follow else "",
            "sinceTime": since,
            "timestamps": "true" if timestamps else "",
            "tailLines": "" if tail is None else str(tail),
        }
        return self._lines(f"{self._path(kinds.PODS, pod)}/log", query, f"get the log of pod {pod}")

    # -- requests

    def _path(self, kind: Kind, name: str = "", *, all_namespaces: bool = False) -> str:
        root = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
        in_namespace = kind.namespaced and not all_namespaces
        namespace = f"/namespaces/{quote(self.namespace, safe='')}" if in_namespace else ""
        return f"{root}{namespace}/{kind.plural}" + (f"/{quote(name, safe='')}" if name else "")

    def _get(self, kind: Kind, name: str, headers: Mapping[str, str]) -> Object | None:
        try:
            return self._json("GET", self._path(kind, name), headers=headers, action=f"get {kind} {name}")
        except NotFoundError:
            return None

    def _json(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        action: str,
        body: Object | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Object:
        with network_errors(self.server):
            response = self._request(method, path, query or {}, body, headers or {}, READ_SECONDS)
            data = response.data
        if response.status >= 400:
            raise response_error(response.status, data, action)
        try:
            found = json.loads(data)
        except (ValueError, RecursionError):
            raise UnreachableError(
                f"{self.server} does not answer with JSON; is it an API server, or a login page?"
            ) from None
        if not isinstance(found, dict):
            raise UnreachableError(f"{self.server} does not answer with a Kubernetes object; is it an API server?")
        return found

    def _lines(self, path: str, query: Mapping[str, str], action: str) -> Iterator[bytes]:
        with network_errors(self.server):
            response = self._request("GET", path, query, None, {}, SILENT_SECONDS)
            try:
                if response.status >= 400:
                    raise response_error(response.status, response.data, action)
                rest = b""
                for chunk in response.stream(65536):
                    *lines, rest = (rest + chunk).split(b"\n")
                    yield from lines
                    if len(rest) > MAX_LINE_BYTES:
                        yield rest
                        rest = b""
                if rest:
                    yield rest
            finally:
                response.close()  # a stream that was left early must not return to the pool

    def _request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Object | None,
        headers: Mapping[str, str],
        read_seconds: float,
    ) -> BaseHTTPResponse:
        import urllib3

        self.calls += 1
        # A URL and headers by hand: how the client makes them has changed between the versions that are supported.
        configuration = self.client.configuration
        parameters = urlencode([(key, value) for key, value in query.items() if value], quote_via=quote)
        all_headers = urllib3.HTTPHeaderDict(
            {"Accept": "application/json, */*", **self.client.default_headers, **headers}
        )
        if body is not None:
            all_headers.setdefault("Content-Type", "application/json")
        if token := configuration.auth_settings().get("BearerToken", {}).get("value"):
            all_headers["authorization"] = _valid_token(token)
        for name, value in self.impersonation:
            all_headers.add(name, value)
        # Not by the client's own request method, which converts some of urllib3's errors, but not all.
        response: BaseHTTPResponse = self.client.rest_client.pool_manager.request(
            method,
            f"{configuration.host}{path}" + (f"?{parameters}" if parameters else ""),
            headers=all_headers,
            body=None if body is None else json.dumps(body),
            timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=read_seconds),
            retries=False,
            preload_content=False,
        )
        self.answered = response.headers.get("Date", "")
        return response


def _metadata_only(kind: str) -> dict[str, str]:
    return {"Accept": f"application/json;as={kind};g=meta.k8s.io;v=v1"}


def _valid_token(token: str) -> str:
    """A token as it is sent in a header. http.client would include one that it cannot send in its error message.

    Raises:
        KubeconfigError
    """
    token = token.strip()  # token files usually end with a line break
    if not token.isascii() or not token.isprintable():
        raise KubeconfigError(
            "the account's token cannot be sent: it has a line break or a character that is not ASCII; get a new one"
        )
    return token
