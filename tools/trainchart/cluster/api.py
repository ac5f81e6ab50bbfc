"""One account on one API server, in one namespace: objects as plain dictionaries, and errors that say what to do.

The official client reads kubeconfigs (certificates, tokens, exec plugins, OIDC) and keeps the connections; its typed models are
not used, for they hold no Volcano objects and cost more time than the calls (docs/decisions/0013).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from trainchart.cluster import kinds
from trainchart.cluster.errors import (
    ExpiredError,
    ForbiddenError,
    KubeconfigError,
    NotFoundError,
    RefusedError,
    UnauthorizedError,
    UnreachableError,
)
from trainchart.cluster.fields import Object, dig, items, number, parsed, text
from trainchart.cluster.kinds import Kind
from trainchart.errors import TrainchartError

if TYPE_CHECKING:
    from kubernetes.client import ApiClient, Configuration
    from urllib3 import BaseHTTPResponse

CONNECT_SECONDS = 5.0
READ_SECONDS = 30.0
# A stream that is silent for longer is taken for dead: a cut network sends nothing, not even an end. A training that says
# nothing for so long only costs a new connection.
SILENT_SECONDS = 60.0
_META = "g=meta.k8s.io;v=v1"  # how metadata alone is asked for
PAGE = 500  # objects per call of a list, as kubectl has it
MAX_PAGES = 2_000
LONGEST_LINE = 4 << 20  # of a stream; an object of a watch has 1.5 MiB at most
_POD_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


@dataclass
class Api:
    """Calls of one account. `calls` counts the requests, for the promise of how many a command makes."""

    client: ApiClient
    namespace: str
    server: str
    context: str = ""  # of the kubeconfig; "" for the pod's own account
    calls: int = field(default=0, compare=False)

    # -- objects

    def get(self, kind: Kind, name: str) -> Object | None:
        """One object, or None where it is not there.

        Raises:
            ForbiddenError, UnreachableError
        """
        try:
            return self._json("GET", self._path(kind, name), what=f"get {kind} {name}")
        except NotFoundError:
            return None

    def metadata(self, kind: Kind, name: str) -> Object | None:
        """One object without what is in it: whether there is a Secret may be asked, and its values never leave the server.

        Raises:
            ForbiddenError, UnreachableError
        """
        headers = {"Accept": f"application/json;as=PartialObjectMetadata;{_META}"}
        try:
            return self._json("GET", self._path(kind, name), headers=headers, what=f"get {kind} {name}")
        except NotFoundError:
            return None

    def objects(
        self, kind: Kind, *, selector: str = "", fields: str = "", everywhere: bool = False, metadata_only: bool = False
    ) -> tuple[list[Object], str]:
        """Objects by label and field selectors, and the resource version to watch from. A kind that is not there has none.

        With `metadata_only` what is in them never leaves the server.

        Raises:
            ForbiddenError, UnreachableError
        """
        query = {"labelSelector": selector, "fieldSelector": fields, "limit": str(PAGE)}
        path = self._path(kind, everywhere=everywhere)
        headers = {"Accept": f"application/json;as=PartialObjectMetadataList;{_META}"} if metadata_only else {}
        found: list[Object] = []
        for _ in range(MAX_PAGES):
            try:
                page = self._json("GET", path, query, headers=headers, what=f"list {kind}")
            except NotFoundError:
                return [], ""
            found += items(page, "items")
            query["continue"] = text(page, "metadata", "continue")
            if not query["continue"]:
                return found, text(page, "metadata", "resourceVersion")
        raise UnreachableError(f"{self.server} lists {kind} without end; is it an API server?")

    def create(self, kind: Kind, body: Object, *, dry_run: bool = False) -> Object:
        """Raises: ForbiddenError, UnreachableError, RefusedError (it exists, or a webhook says no)"""
        query = {"dryRun": "All" if dry_run else ""}
        return self._json("POST", self._path(kind), query, body=body, what=f"create {kind}")

    def patch(self, kind: Kind, name: str, change: Object) -> Object:
        """A JSON merge patch.

        Raises:
            NotFoundError, ForbiddenError, UnreachableError, RefusedError
        """
        headers = {"Content-Type": "application/merge-patch+json"}
        path = self._path(kind, name)
        return self._json("PATCH", path, body=change, headers=headers, what=f"patch {kind} {name}")

    def delete(self, kind: Kind, name: str) -> None:
        """Asks for it; the object may still end for a while. One that is not there is deleted already."""
        try:
            self._json("DELETE", self._path(kind, name), what=f"delete {kind} {name}")
        except NotFoundError:
            return

    def may(self, verb: str, kind: Kind, *, subresource: str = "") -> bool:
        """Whether this account may do it here, by the API server's own judgement."""
        attributes = {
            "verb": verb,
            "group": kind.group,
            "resource": kind.plural,
            "subresource": subresource,
        }
        if kind.namespaced:
            attributes["namespace"] = self.namespace
        review = self.create(
            kinds.ACCESS_REVIEWS,
            {
                "apiVersion": "authorization.k8s.io/v1",
                "kind": "SelfSubjectAccessReview",
                "spec": {"resourceAttributes": attributes},
            },
        )
        return dig(review, "status", "allowed") is True

    def raw(self, path: str) -> Object:
        """Any other JSON of the server, such as /version."""
        return self._json("GET", path, what=f"get {path}")

    # -- streams

    def watch(self, kind: Kind, *, since: str, selector: str = "", seconds: int = 240) -> Iterator[Object]:
        """Changes (`type`, `object`) since a resource version, until the server ends the watch after so many seconds.

        Raises:
            ExpiredError: the version is too old: list anew.
            ForbiddenError, UnreachableError
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
                    raise ExpiredError("the watch is too old")
                raise UnreachableError(f"the API server ended a watch: {text(change, 'object', 'message')}")
            if not isinstance(change.get("object"), dict):
                raise UnreachableError(
                    f"{self.server} answers a watch with something that is not a change of an object"
                )
            yield change

    def log(
        self,
        pod: str,
        *,
        follow: bool = False,
        since: str = "",
        timestamps: bool = False,
        tail: int | None = None,
    ) -> Iterator[bytes]:
        """A pod's log by lines, without their ends. `since` is a time as Kubernetes writes it, of which only whole seconds count.

        Raises:
            NotFoundError, ForbiddenError, UnreachableError (also when a followed log breaks off)
            RefusedError: the container has not started.
        """
        query = {
            "follow": "true" if follow else "",
            "sinceTime": since,
            "timestamps": "true" if timestamps else "",
            "tailLines": "" if tail is None else str(tail),
        }
        return self._lines(f"{self._path(kinds.PODS, pod)}/log", query, f"get the log of pod {pod}")

    # -- requests

    def _path(self, kind: Kind, name: str = "", *, everywhere: bool = False) -> str:
        root = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
        place = f"/namespaces/{quote(self.namespace, safe='')}" if kind.namespaced and not everywhere else ""
        return f"{root}{place}/{kind.plural}" + (f"/{quote(name, safe='')}" if name else "")

    def _json(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        what: str,
        body: Object | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Object:
        with _reaching(self.server):
            response = self._request(method, path, query or {}, body, headers or {}, READ_SECONDS)
            data = response.data
        if response.status >= 400:
            raise _error(response.status, data, what)
        try:
            found: Object = json.loads(data)
        except (ValueError, RecursionError):
            raise UnreachableError(
                f"{self.server} answers with no JSON; is it an API server, or a page to log in?"
            ) from None
        if not isinstance(found, dict):
            raise UnreachableError(
                f"{self.server} answers with something that is not a Kubernetes object; is it an API server?"
            )
        return found

    def _lines(self, path: str, query: Mapping[str, str], what: str) -> Iterator[bytes]:
        with _reaching(self.server):
            response = self._request("GET", path, query, None, {}, SILENT_SECONDS)
            try:
                if response.status >= 400:
                    raise _error(response.status, response.data, what)
                rest = b""
                for chunk in response.stream(65536):
                    *lines, rest = (rest + chunk).split(b"\n")
                    yield from lines
                    if len(rest) > LONGEST_LINE:
                        yield rest
                        rest = b""
                if rest:
                    yield rest
            finally:
                response.close()  # a stream that was left early does not go back to the pool

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
        accept = {"Accept": "application/json, */*", **headers}
        if body is not None:
            accept.setdefault("Content-Type", "application/json")
        url, sent = self.client.param_serialize(
            method,
            path,
            query_params=[(key, value) for key, value in query.items() if value],
            header_params=accept,
            auth_settings=["BearerToken"],
        )[1:3]
        if token := sent.get("authorization"):
            sent["authorization"] = _sendable(token)
        # Not by the client's own call, which turns some of urllib3's errors, not all, into errors of its own.
        response: BaseHTTPResponse = self.client.rest_client.pool_manager.request(
            method,
            url,
            headers=sent,
            body=None if body is None else json.dumps(body),
            timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=read_seconds),
            retries=False,
            preload_content=False,
        )
        return response


def _sendable(token: str) -> str:
    """A token as a header takes it. http.client would put one that it cannot send into its error, and so before everybody's eyes.

    Raises:
        KubeconfigError
    """
    token = token.strip()  # a file of it mostly ends with a line break
    if not token.isascii() or not token.isprintable():
        raise KubeconfigError(
            "the account's token cannot be sent: it has a line break, or what is no ASCII; get a new one"
        )
    return token


def connect(*, kubeconfig: str = "", context: str = "", namespace: str = "") -> Api:
    """The API server of a kubeconfig (else $KUBECONFIG, else ~/.kube/config, else the pod's own account), as kubectl takes it.

    Nothing is asked yet: whether the server answers shows at the first call.

    Raises:
        KubeconfigError
    """
    import logging

    import urllib3
    from kubernetes import client, config

    from trainchart.cluster import kubeconfig as kubeconfig_files

    logging.getLogger("urllib3").setLevel(logging.ERROR)  # what goes wrong is said in our own words
    urllib3.disable_warnings()
    configuration = client.Configuration()
    files = kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config"
    try:
        if not kubeconfig and not context and not _any_exists(files):
            return _of_the_pod(configuration, namespace)
        merged = kubeconfig_files.load(files)
        with _complaints() as complaints:
            config.load_kube_config_from_dict(merged, context or None, configuration, persist_config=False)  # type: ignore[no-untyped-call]
        if complaints:
            raise ValueError(f"its way to log in fails: {complaints[0]}")
    except (config.ConfigException, OSError, AttributeError, TypeError, KeyError, ValueError) as error:
        raise KubeconfigError(_no_kubeconfig(kubeconfig, files, context, error)) from None
    name = context or merged["current-context"]
    chosen = next(entry for entry in merged["contexts"] if entry["name"] == name)
    own = text(chosen, "context", "namespace") or "default"
    shown = re.sub("//.*@", "//***@", configuration.host)  # it is in messages, and may have a user and a password
    return Api(client.ApiClient(configuration), namespace or own, shown, name)


@contextmanager
def _complaints() -> Iterator[list[str]]:
    """What the client only logs: an exec plugin that is not installed or fails, a token that cannot be renewed."""
    import logging

    said: list[str] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(" ".join(record.getMessage().split()))

    handler = Kept(logging.ERROR)
    logging.getLogger().addHandler(handler)
    try:
        yield said
    finally:
        logging.getLogger().removeHandler(handler)


def _of_the_pod(configuration: Configuration, namespace: str) -> Api:
    """For trainchart inside a pod, such as a step of a pipeline."""
    from kubernetes import client, config

    config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    own = _POD_NAMESPACE.read_text(encoding="utf-8").strip() if _POD_NAMESPACE.exists() else "default"
    return Api(client.ApiClient(configuration), namespace or own, configuration.host)


def _any_exists(files: str) -> bool:
    return any(Path(file).expanduser().exists() for file in files.split(os.pathsep) if file)


def _no_kubeconfig(kubeconfig: str, files: str, context: str, error: Exception) -> str:
    if not _any_exists(files):
        where = "--kubeconfig" if kubeconfig else "the kubeconfig"
        return f"{where}: {files} does not exist; name one by --kubeconfig or in $KUBECONFIG"
    if isinstance(error, (AttributeError, TypeError)):
        return f"the kubeconfig {files} cannot be used: it does not have the form of one; name another by --kubeconfig"
    words = " ".join(str(error).split())
    if context and "context" in words:
        return f"--context: {files} has no context {context!r}; `kubectl config get-contexts` lists them"
    return f"the kubeconfig {files} cannot be used: {words}"


@contextmanager
def _reaching(server: str) -> Iterator[None]:
    """What the network does, as one sentence."""
    from urllib3 import exceptions

    try:
        yield
    except exceptions.SSLError as error:
        words = str(error.args[0] if error.args else error)
        raise UnreachableError(
            f"the API server {server} shows no certificate that the kubeconfig trusts: {words}"
        ) from None
    except exceptions.NewConnectionError as error:
        words = str(error.__cause__ or error).rpartition("] ")[2]
        raise UnreachableError(f"the API server {server} cannot be reached: {words}") from None
    except (exceptions.TimeoutError, TimeoutError):
        raise UnreachableError(f"the API server {server} does not answer; is the network up?") from None
    except (exceptions.HTTPError, OSError) as error:
        raise UnreachableError(f"the connection to the API server {server} broke: {type(error).__name__}") from None


def _error(status: int, data: bytes, what: str) -> TrainchartError:
    """The error of an answer that is no success; Kubernetes puts its words into a Status."""
    try:
        message = str(json.loads(data)["message"])
    except (ValueError, KeyError, TypeError):
        message = " ".join(data.decode("utf-8", "replace").split())[:300] or f"HTTP {status}"
    if status == 401 or (status == 403 and '"system:anonymous"' in message):
        return UnauthorizedError(
            f"{what}: the API server does not know this account; log in anew, or name another --context"
        )
    # Admission (quota, Pod Security, webhooks) refuses with 403 too, but only what would change something.
    is_admission = what.startswith(("create ", "patch ", "delete ")) and not re.search(r'[Uu]ser ".*" cannot ', message)
    if status == 403 and not is_admission:
        return ForbiddenError(f"no right to {what}: {message}")
    if status == 404:
        return NotFoundError(f"{what}: {message}")
    if status == 410:
        return ExpiredError(message)
    if status == 429 or status >= 500:
        return UnreachableError(f"{what}: the API server cannot answer now: {message}")
    return RefusedError(message)
