"""How a command in a pod is refused; that it runs is seen in the end-to-end tests, with a real kubelet."""

from __future__ import annotations

import pytest

from trainchart.cluster.errors import ForbiddenError, NotFoundError, UnreachableError
from trainchart.cluster.terminal_session import _refusal

# As the official client words it.
ANSWER = '{"kind":"Status","message":"pods \\"a\\" is forbidden: User \\"u\\" cannot create resource","code":403}\n'
FORBIDDEN = f"Handshake status 403 Forbidden -+-+- {{'content-length': '359'}} -+-+- {ANSWER}"


@pytest.mark.parametrize(
    ("reason", "error", "words"),
    [
        (FORBIDDEN, ForbiddenError, "no permission to get and create pods/exec of pod a"),
        ("Handshake status 404 Not Found -+-+- {} -+-+- container not found", NotFoundError, "pods/exec of pod a"),
        # Of an account that may get but not create, the server says no more.
        (
            'Handshake status 403 Forbidden -+-+- {} -+-+- {"kind":"Status","message":"pods is forbidden: "}',
            ForbiddenError,
            "get and create",
        ),
        ("Handshake status 500 Internal Server Error", UnreachableError, "cannot serve requests now"),
        ("something else", UnreachableError, "something else"),
    ],
)
def test_a_connection_that_is_not_upgraded_is_the_error_of_its_status(
    reason: str, error: type[Exception], words: str
) -> None:
    found = _refusal(reason, "get and create pods/exec of pod a")
    assert isinstance(found, error)
    assert words in str(found)
