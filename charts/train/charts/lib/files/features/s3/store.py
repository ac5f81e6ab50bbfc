"""Signed requests to a bucket, and messages for the server's errors."""

from __future__ import annotations

import contextlib
import http.client
import re
import ssl
import threading
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Dict, Optional, Protocol
from urllib.parse import quote, urlencode, urlsplit

from runner import log, network
from runner.errors import RunnerError

from . import signature
from .address import Addresses, demands_virtual
from .keys import Keys
from .place import BrokenError, Place, RefusedError
from .refusals import WANTS_TLS, explain, may_have_ended
from .signature import Credentials

RETRY_SECONDS = (2.0, 4.0, 8.0)
TIMEOUT_SECONDS = 30  # for a silent connection
# Codes of temporary failures, whatever their status. The first two: what arrived is not what was sent.
_TEMPORARY = (
    "BadDigest",
    "XAmzContentSHA256Mismatch",
    "IncompleteBody",
    "RequestTimeout",
    "SlowDown",
    "OperationAborted",
    "ConditionalRequestConflict",
)


_NO_TLS = ("WRONG_VERSION_NUMBER", "UNKNOWN_PROTOCOL", "HTTP_REQUEST", "RECORD_LAYER_FAILURE")
_WANTS_TLS = re.compile(rb"HTTP request (was sent )?to (an )?HTTPS", re.IGNORECASE)  # as Go and nginx say it


@dataclass(frozen=True)
class Store(Place):
    """A place with what all clients that use it share."""

    @cached_property
    def addresses(self) -> Addresses:
        """The address of the bucket."""
        return Addresses(self.key, self.endpoint, self.bucket, self.addressing)

    @cached_property
    def keys(self) -> Keys:
        """The credentials."""
        return Keys(self)


class Body(Protocol):
    """What a request sends: it is read from the beginning, each time that it is sent."""

    def read(self, size: int = -1) -> bytes: ...

    def seek(self, offset: int) -> int: ...


class Client:
    """One connection that is kept open; each thread has its own. `stop` interrupts waiting."""

    def __init__(self, store: Store, stop: Optional[threading.Event] = None) -> None:
        self.store = store
        self._stop = stop or threading.Event()
        self._address = store.addresses.current
        self._endpoint = urlsplit(self._address.endpoint)
        self._connection: Optional[http.client.HTTPConnection] = None

    def get(self, key: str, query: Dict[str, str], headers: Dict[str, str]) -> http.client.HTTPResponse:
        return self.request("GET", key, query, headers)

    def request(
        self, method: str, key: str, query: Dict[str, str], headers: Dict[str, str], body: Optional[Body] = None
    ) -> http.client.HTTPResponse:
        """Send one request for an object (`key`) or, with an empty key, for the bucket. It is sent again to another
        address of the bucket, or with renewed credentials, where the server's answer demands that.

        With a body, `headers` has its content-length and x-amz-content-sha256.

        Raises:
            RefusedError, BrokenError, RunnerError
        """
        keys, addresses, first = self.store.keys, self.store.addresses, None
        renewed = False
        while True:
            used = keys.current(self.wait_to_retry)
            try:
                return self._request(method, key, query, headers, body, used)
            except RefusedError as refused:
                if addresses.change(self._address, not key, refused):
                    first = first or refused
                    self._address = addresses.current
                    self._endpoint = urlsplit(self._address.endpoint)
                elif may_have_ended(used, refused) and not renewed and keys.renew(used, self.wait_to_retry):
                    renewed = True
                elif first and first.code != "NoSuchKey" and not demands_virtual(first):  # the other one was a guess
                    raise first from refused
                else:
                    raise

    def _request(
        self,
        method: str,
        key: str,
        query: Dict[str, str],
        headers: Dict[str, str],
        body: Optional[Body],
        credentials: Optional[Credentials],
    ) -> http.client.HTTPResponse:
        path = quote(f"{self._address.folder}/{key}" if key else self._address.folder or "/", safe="/~")
        # A proxy in between may take the default port from the host that is signed.
        usual = ":443" if self._endpoint.scheme == "https" else ":80"
        host = self._endpoint.netloc
        signed = {"host": host[: -len(usual)] if host.endswith(usual) else host, **headers}
        if credentials:
            region = self.store.signed_region
            signed = signature.sign(method, path, query, signed, credentials, region, time.gmtime())
        # The query exactly as signed: sorted, with spaces as %20.
        suffix = f"?{urlencode(sorted(query.items()), quote_via=quote, safe='~')}" if query else ""
        try:
            answer = self._send(method, self._target_of(path + suffix), signed, body)
            if 200 <= answer.status < 300:
                return answer
            text = answer.read(65536)
        except ssl.SSLCertVerificationError as error:
            self.close()
            raise self._untrusted(error) from error
        except ssl.SSLError as error:
            self.close()
            if error.reason in _NO_TLS:
                raise self._without_tls() from error
            raise BrokenError(_describe(error)) from error
        except (OSError, http.client.HTTPException) as error:
            self.close()
            fix = network.refused_by_proxy(self._address.endpoint, error)
            if fix:
                reason = f"{self.store.key}.endpoint {self.store.endpoint}: the proxy does not let the run through"
                raise self.store.failure(f"{reason}: {error}", fix) from error
            raise BrokenError(_describe(error)) from error
        self.close()
        raise _error(answer, text)

    def close(self) -> None:
        if self._connection:
            self._connection.close()
        self._connection = None

    def wait_to_retry(self, attempt: int, reason: str, at_least: float = 0) -> bool:
        """Wait for `at_least` that many seconds after an attempt (counted from 0). Returns False if there are no more
        retries.
        """
        if attempt >= len(RETRY_SECONDS) or self._stop.is_set():
            return False
        seconds = max(RETRY_SECONDS[attempt], at_least)
        log.event("retry", source=self.store.key, seconds=seconds, reason=f"{self.store.endpoint}: {reason}")
        return not self._stop.wait(seconds)

    def unreachable(self, reason: str) -> RunnerError:
        key, host = self.store.key, self._endpoint.hostname
        fix = f"check {key}.endpoint, the server, and the cluster's network and DNS"
        if self._address.endpoint != self.store.endpoint:
            fix += f", which must know {host}"
        fix += network.on_the_way(self._address.endpoint)
        if self.store.addressing == "virtual":
            fix += f"; without such names, set {key}.addressing to path"
        return self.store.failure(
            f"{key}.endpoint {self.store.endpoint}: the server cannot be reached, or failed: {reason}",
            fix,
            unreachable=True,
        )

    def refused(self, refused: RefusedError) -> RunnerError:
        """Return the failure, which names the values key to correct."""
        return explain(self.store, self.store.keys.held, refused)

    def _send(
        self, method: str, target: str, headers: Dict[str, str], body: Optional[Body]
    ) -> http.client.HTTPResponse:
        """Send the request on the open connection, or on a new one if the server has closed that for being idle."""
        reused = self._connection is not None
        try:
            connection = self._connect()
            if body:
                body.seek(0)
            # A server that refuses a body may answer, and close, before it has read all of it.
            with contextlib.suppress(BrokenPipeError):
                connection.request(method, target, body, headers)
            return connection.getresponse()
        except (http.client.RemoteDisconnected, ConnectionError):
            self.close()
            if not reused:
                raise
            return self._send(method, target, headers, body)

    def _target_of(self, path: str) -> str:
        """Return the request target: a proxy for plain HTTP needs the whole URL."""
        plain = self._endpoint.scheme == "http" and network.proxy_of(self._address.endpoint)
        return f"http://{self._endpoint.netloc}{path}" if plain else path

    def _untrusted(self, error: ssl.SSLCertVerificationError) -> RunnerError:
        key = self.store.key
        fix = network.certificate_fix(error, f"{key}.endpoint")
        if error.verify_code in network.OTHER_HOST:
            if self.store.addressing == "virtual":
                fix = f"set {key}.addressing to path: the certificate does not name {self._endpoint.hostname}"
            elif self._address.addressing == "virtual":
                fix = f"let the store have a certificate for {self._endpoint.hostname}"
        return self.store.failure(
            f"{key}.endpoint {self.store.endpoint}: the server's TLS certificate is not trusted: {error.verify_message}",
            fix,
        )

    def _without_tls(self) -> RunnerError:
        key, endpoint = self.store.key, self.store.endpoint
        return self.store.failure(
            f"{key}.endpoint {endpoint}: the server does not speak TLS there",
            f"set {key}.endpoint to {endpoint.replace('https:', 'http:', 1)}, or to the port of its https://",
        )

    def _connect(self) -> http.client.HTTPConnection:
        if self._connection:
            return self._connection
        endpoint, proxy = self._endpoint, network.proxy_of(self._address.endpoint)
        place = proxy or endpoint
        connection: http.client.HTTPConnection
        if endpoint.scheme == "https":
            context = network.tls_context(self.store.ca_file)
            connection = http.client.HTTPSConnection(
                place.hostname or "", place.port, timeout=TIMEOUT_SECONDS, context=context
            )
            if proxy:
                connection.set_tunnel(endpoint.hostname or "", endpoint.port or 443)
        else:
            connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=TIMEOUT_SECONDS)
        self._connection = connection
        return connection


def _error(answer: http.client.HTTPResponse, body: bytes) -> Exception:
    status, reason = answer.status, answer.reason
    found = _parse_error(body)
    code, message = found["Code"], found["Message"][:300]
    if status == 400 and _WANTS_TLS.search(body):
        code, message = WANTS_TLS, "a plain HTTP request to an HTTPS port"
    if (status >= 500 and code != "NotImplemented") or status in (408, 429) or code in _TEMPORARY:
        after = answer.getheader("Retry-After") or ""  # in seconds; dates are not supported
        seconds = float(after) if re.fullmatch(r"\d{1,9}", after) else 0.0
        return BrokenError(f"{status} {code or reason}: {message}".rstrip(": "), seconds)
    region = found["Region"] or answer.getheader("x-amz-bucket-region") or ""
    return RefusedError(status, code or reason, message, region, found["Endpoint"])


def _parse_error(body: bytes) -> Dict[str, str]:
    """Return what an S3 error says; empty texts if it is not one."""
    names = ("Code", "Message", "Region", "Endpoint")
    try:
        root = ElementTree.fromstring(body)  # noqa: S314 (from the configured server)
    except ElementTree.ParseError:
        return dict.fromkeys(names, "")
    return {name: (root.findtext(f"{{*}}{name}") or "").strip() for name in names}


def _describe(error: Any) -> str:
    return str(error) or type(error).__name__
