"""What an API server, or the way to it, can answer instead of an object."""

from __future__ import annotations

from trainchart.errors import ExitCode, TrainchartError


class KubeconfigError(TrainchartError):
    """The kubeconfig, or the context in it, cannot be used."""

    exit_code = ExitCode.REFUSED


class UnreachableError(TrainchartError):
    """No answer from the API server, or one that says it cannot answer now. Worth another try."""

    exit_code = ExitCode.UNREACHABLE


class ForbiddenError(TrainchartError):
    """The account may not do this; the text names the verb and the resource."""

    exit_code = ExitCode.FORBIDDEN


class UnauthorizedError(ForbiddenError):
    """The API server does not know the account at all: no other call would fare better."""


class NotFoundError(TrainchartError):
    """The object, or its kind, is not there."""

    exit_code = ExitCode.NOT_FOUND


class RefusedError(TrainchartError):
    """The API server or a webhook refused the object; the text is its own."""

    exit_code = ExitCode.REFUSED


class ExpiredError(TrainchartError):
    """A watch cannot go on from where it was (410 Gone): list, and watch anew."""
