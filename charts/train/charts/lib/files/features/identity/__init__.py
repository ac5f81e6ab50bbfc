"""The identity that a cloud gives to the pod's service account, as credentials for an object store.

Two ways, which AWS documents for its SDKs, and whose variables its webhooks set in the pod: a projected token, exchanged
at STS (IAM roles for service accounts), and an agent on the node (EKS Pod Identity, ECS). The node's own role is never
used.
"""

from __future__ import annotations

import base64
import binascii
import calendar
import contextlib
import ipaddress
import json
import os
import re
import ssl
import time
import urllib.error
import urllib.request
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Tuple
from urllib.parse import SplitResult, urlencode, urlsplit

from features.s3.place import Place, Wait
from features.s3.signature import Credentials
from runner import network

TIMEOUT_SECONDS = 10
_AGENTS = ("169.254.170.2", "169.254.170.23", "fd00:ec2::23")  # of ECS and EKS, on the node
_MAX_BYTES = 1 << 20
_BUSY = ("IDPCommunicationError", "Throttling", "ThrottlingException", "ServiceUnavailable", "InternalFailure")


class _FailedError(Exception):
    """An answer, or none: `code` is the service's, and `temporary` whether to try again."""

    def __init__(self, url: str, problem: str, code: str = "", temporary: bool = False) -> None:
        super().__init__(f"{url}: {problem}")
        self.url, self.code, self.temporary = url, code, temporary


def credentials(store: Place, wait: Wait) -> Credentials:
    """Return credentials of the pod's identity. `wait` is asked before a failed request is sent again.

    Raises:
        RunnerError
    """
    attempt = 0
    while True:
        try:
            return _ask(store, os.environ)
        except _FailedError as error:
            failed = error
        if not (failed.temporary and wait(attempt, str(failed))):
            fix = _fix(failed)
            if failed.temporary:
                fix = f"check the cluster's network and networkPolicy.egress{network.on_the_way(failed.url)}"
            raise store.failure(f"{store.key}.workloadIdentity: {failed}", fix, unreachable=failed.temporary)
        attempt += 1


def _ask(store: Place, environ: Mapping[str, str]) -> Credentials:
    if environ.get("AWS_ROLE_ARN") and environ.get("AWS_WEB_IDENTITY_TOKEN_FILE"):
        return _of_token(store, environ)
    url = environ.get("AWS_CONTAINER_CREDENTIALS_FULL_URI")
    if environ.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"):
        url = f"http://{_AGENTS[0]}{environ['AWS_CONTAINER_CREDENTIALS_RELATIVE_URI']}"
    if url:
        return _of_agent(store, url, environ)
    raise store.failure(
        f"{store.key}.workloadIdentity: the pod has no identity: neither AWS_ROLE_ARN and AWS_WEB_IDENTITY_TOKEN_FILE "
        "nor AWS_CONTAINER_CREDENTIALS_FULL_URI is in its environment",
        "set serviceAccount.name to one with the annotation eks.amazonaws.com/role-arn or with a Pod Identity "
        f"association, or set {store.key}.secretName instead",
    )


def _of_token(store: Place, environ: Mapping[str, str]) -> Credentials:
    """AssumeRoleWithWebIdentity, a request that nobody signs."""
    url = _sts(store, environ)
    question = {
        "Action": "AssumeRoleWithWebIdentity",
        "Version": "2011-06-15",
        "RoleArn": environ["AWS_ROLE_ARN"],
        "RoleSessionName": environ.get("AWS_ROLE_SESSION_NAME") or environ.get("POD_NAME", "trainchart")[:64],
        "WebIdentityToken": _token(store, environ["AWS_WEB_IDENTITY_TOKEN_FILE"]),
    }
    request = urllib.request.Request(url, urlencode(question).encode("ascii"), method="POST")  # noqa: S310
    try:
        found = _xml(_answer(store, request, network.proxy_of(url)))
    except ValueError as error:
        raise _FailedError(url, f"the answer is not that of STS: {error}") from None
    return _read(url, found, ("AccessKeyId", "SecretAccessKey", "SessionToken"))


def _sts(store: Place, environ: Mapping[str, str]) -> str:
    """The regional endpoint, whose tokens are valid everywhere, unless the environment names another one."""
    named = environ.get("AWS_ENDPOINT_URL_STS") or environ.get("AWS_ENDPOINT_URL")
    if named:
        return named.rstrip("/") + "/"
    region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or store.signed_region
    if not re.fullmatch(r"[a-z0-9-]+", region):
        raise store.failure(f"{store.key}.region {region}: is not a region", f"correct {store.key}.region")
    return f"https://sts.{region}.amazonaws.com{'.cn' if region.startswith('cn-') else ''}/"


def _of_agent(store: Place, url: str, environ: Mapping[str, str]) -> Credentials:
    if not _may_be_asked(url):
        raise store.failure(
            f"{store.key}.workloadIdentity: AWS_CONTAINER_CREDENTIALS_FULL_URI {url} is neither https:// nor on this node",
            "correct what sets this variable in the pods, or remove it",
        )
    token = environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN", "")
    if environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"):
        token = _token(store, environ["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"])
    request = urllib.request.Request(url, headers={"Authorization": token} if token else {})  # noqa: S310
    proxy = None if url.startswith("http:") else network.proxy_of(url)  # no proxy reaches an agent
    try:
        found = json.loads(_answer(store, request, proxy))
    except ValueError:
        raise _FailedError(url, "the answer is not JSON") from None
    return _read(url, found, ("AccessKeyId", "SecretAccessKey", "Token"))


def _may_be_asked(url: str) -> bool:
    """Whether the token of the pod may be sent there: encrypted, or to what AWS documents."""
    parts = urlsplit(url)
    if parts.scheme != "http":
        return parts.scheme == "https"
    with contextlib.suppress(ValueError):
        address = ipaddress.ip_address(parts.hostname or "")
        return address.is_loopback or str(address) in _AGENTS
    return parts.hostname == "localhost"


def _answer(store: Place, request: urllib.request.Request, proxy: Optional[SplitResult]) -> bytes:
    url = request.full_url
    handlers: List[urllib.request.BaseHandler] = [_NoRedirects()]
    handlers.append(urllib.request.ProxyHandler({urlsplit(url).scheme: proxy.geturl()} if proxy else {}))
    if url.startswith("https:"):
        handlers.append(urllib.request.HTTPSHandler(context=network.tls_context(store.ca_file)))
    opener = urllib.request.build_opener(*handlers)
    try:
        with opener.open(request, timeout=TIMEOUT_SECONDS) as reply:
            return bytes(reply.read(_MAX_BYTES))
    except urllib.error.HTTPError as error:
        code, message = _problem(error.read(_MAX_BYTES))
        said = f"{error.code} {code or error.reason}: {message}".rstrip(": ")
        raise _FailedError(url, said, code, error.code >= 500 or error.code == 429 or code in _BUSY) from None
    except OSError as error:
        reason = getattr(error, "reason", error)
        refused = network.refused_by_proxy(url, reason)
        if refused:
            problem = f"{store.key}.workloadIdentity: {url}: the proxy does not let the run through: {reason}"
            raise store.failure(problem, refused) from None
        if isinstance(reason, ssl.SSLCertVerificationError):
            fix = network.certificate_fix(reason, "AWS_ENDPOINT_URL_STS or AWS_CONTAINER_CREDENTIALS_FULL_URI")
            raise store.failure(f"{store.key}.workloadIdentity: {url}: {reason}", fix) from None
        raise _FailedError(url, str(reason), temporary=True) from None


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A token is sent to one host only."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _problem(body: bytes) -> Tuple[str, str]:
    """Return code and message of an error, of STS or of an agent. They never repeat the token."""
    with contextlib.suppress(ValueError):
        found = _xml(body)
        return found.get("Code", ""), found.get("Message", "")[:300]
    with contextlib.suppress(ValueError, AttributeError):
        found = json.loads(body)
        return str(found.get("code", "")), str(found.get("message", ""))[:300]
    return "", body[:200].decode("utf-8", "replace").strip()  # the agent of EKS answers in plain text


def _xml(body: bytes) -> Dict[str, str]:
    """Return the texts of an answer by the names of their elements. Raises ValueError."""
    try:
        root = ElementTree.fromstring(body)  # noqa: S314 (from the cloud)
    except ElementTree.ParseError as error:
        raise ValueError(str(error)) from None
    return {element.tag.rpartition("}")[2]: (element.text or "").strip() for element in root.iter()}


def _read(url: str, found: Dict[str, Any], names: Tuple[str, str, str]) -> Credentials:
    try:
        keys = [str(found[name]) for name in names]
        expires = calendar.timegm(time.strptime(str(found["Expiration"])[:19], "%Y-%m-%dT%H:%M:%S"))
    except (KeyError, TypeError, ValueError):
        raise _FailedError(url, f"the answer lacks one of {', '.join(names)} and Expiration") from None
    if not all(keys):
        raise _FailedError(url, f"one of {', '.join(names)} is empty")
    return Credentials(keys[0], keys[1], keys[2], float(expires))


def _token(store: Place, file: str) -> str:
    """Return a projected token, which the kubelet renews."""
    try:
        token = Path(file).read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        problem = error.strerror if isinstance(error, OSError) else "is not text"
        raise store.failure(
            f"{store.key}.workloadIdentity: the token {file} cannot be read: {problem}",
            "check the volume that the cloud's webhook adds to the pods, and securityContext.fsGroup",
        ) from None
    if not token or not token.isprintable():
        raise store.failure(
            f"{store.key}.workloadIdentity: the token {file} is empty or has several lines",
            "check the volume that the cloud's webhook adds to the pods",
        )
    return token


def _subject() -> str:
    """What the token says it is for, such as system:serviceaccount:team:trainer; "" if it does not."""
    with contextlib.suppress(OSError, ValueError, IndexError, AttributeError, binascii.Error):
        token = Path(os.environ["AWS_WEB_IDENTITY_TOKEN_FILE"]).read_text(encoding="ascii")
        payload = token.split(".")[1]
        return str(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))).get("sub", ""))
    return ""


def _fix(error: _FailedError) -> str:
    """What to do about a refusal."""
    role = os.environ.get("AWS_ROLE_ARN", "")
    if not role:
        return "associate a role with the service account serviceAccount.name, and let pods.eks.amazonaws.com assume it"
    if error.code == "InvalidIdentityToken":
        return "create the IAM OIDC provider for the issuer of the cluster, with sts.amazonaws.com as its audience"
    if error.code.startswith("ExpiredToken"):
        return (
            "set the clock of the node; the kubelet renews the token in AWS_WEB_IDENTITY_TOKEN_FILE before it expires"
        )
    if error.code == "AccessDenied":
        return f"let the trust policy of {role} name {_subject() or 'the service account serviceAccount.name'}"
    if error.code == "RegionDisabledException":
        return "activate STS in this region, or set AWS_REGION for the service account to another one"
    return f"check the role {role} in the annotation eks.amazonaws.com/role-arn of serviceAccount.name"
