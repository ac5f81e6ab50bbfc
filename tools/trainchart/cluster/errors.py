"""Errors of an API server, and how HTTP responses and network failures become them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager

from trainchart.errors import ExitCode, TrainchartError


class KubeconfigError(TrainchartError):
    """The kubeconfig, or the context in it, cannot be used."""

    exit_code = ExitCode.REFUSED


class UnreachableError(TrainchartError):
    """The API server did not answer, or answered that it cannot serve requests now. Worth a retry."""

    exit_code = ExitCode.UNREACHABLE


class ForbiddenError(TrainchartError):
    """The account lacks a permission; the message names the verb and the resource."""

    exit_code = ExitCode.FORBIDDEN


class UnauthorizedError(ForbiddenError):
    """The API server rejects the account's credentials, so no other request would succeed either."""


class NotFoundError(TrainchartError):
    """The object, or its kind, does not exist."""

    exit_code = ExitCode.NOT_FOUND


class RefusedError(TrainchartError):
    """The API server or an admission webhook rejected the object; the message is theirs."""

    exit_code = ExitCode.REFUSED


class ExpiredError(TrainchartError):
    """A watch cannot continue from its resource version (410 Gone): list again, then watch from there."""


def response_error(status: int, body: bytes, action: str) -> TrainchartError:
    """The error for a response with an HTTP status of 400 or more.

    Args:
        status: the HTTP status.
        body: the response's body: a Status object of Kubernetes, or anything a proxy may send.
        action: what was requested, such as `get pods a`.
    """
    try:
        message = str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        message = " ".join(body.decode("utf-8", "replace").split())[:300] or f"HTTP {status}"
    if status == 401 or (status == 403 and '"system:anonymous"' in message):
        return UnauthorizedError(
            f"{action}: the API server does not accept this account; log in again, or name another --context"
        )
    if status == 403 and not _is_admission(action, message):
        return ForbiddenError(f"no permission to {action}: {message}")
    if status == 404:
        return NotFoundError(f"{action}: {message}")
    if status == 410:
        return ExpiredError(message)
    if status == 429 or status >= 500:
        return UnreachableError(f"{action}: the API server cannot serve requests now: {message}")
    return RefusedError(message)


def _is_admission(action: str, message: str) -> bool:
    """Whether a 403 comes from admission (quota, Pod Security, webhooks), which concerns writes only, or from RBAC."""
    return action.startswith(("create ", "patch ", "delete ")) and not re.search(r'[Uu]ser ".*" cannot ', message)


@contextmanager
def network_errors(server: str) -> Iterator[None]:
    """Raise network failures inside the block as UnreachableError, with a message of one line."""
    from urllib3 import exceptions

    try:
        yield
    except exceptions.SSLError as error:
        reason = error.args[0] if error.args else error
        raise UnreachableError(
            f"the certificate of API server {server} is not trusted by the kubeconfig: {reason}"
        ) from None
    except exceptions.NewConnectionError as error:
        reason = str(error.__cause__ or error).rpartition("] ")[2]
        raise UnreachableError(f"the API server {server} is unreachable: {reason}") from None
    except (exceptions.TimeoutError, TimeoutError):
        raise UnreachableError(f"the API server {server} does not respond; is the network up?") from None
    except (exceptions.HTTPError, OSError) as error:
        raise UnreachableError(f"the connection to API server {server} broke: {type(error).__name__}") from None
