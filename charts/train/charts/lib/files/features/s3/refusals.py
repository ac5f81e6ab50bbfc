"""What the errors of object stores mean: the key of the values to correct, and how."""

from __future__ import annotations

from typing import Optional, Tuple
from urllib.parse import urlsplit

from runner.errors import RunnerError

from . import address
from .place import Place, RefusedError
from .signature import Credentials

WANTS_TLS = "TlsRequired"  # a name of ours, where servers have only a text
# The codes of AWS, and what MinIO, OSS, COS, R2 and Google have in their places.
_EXPIRED = ("ExpiredToken", "ExpiredTokenException", "SecurityTokenExpired")
_TOKEN = ("InvalidToken", "InvalidTokenId", "InvalidSecurityToken", "SecurityTokenNotSupported", "TokenRefreshRequired")
_ACCESS_KEY = ("InvalidAccessKeyId", "InvalidSecurity")
_SECRET_KEY = ("SignatureDoesNotMatch", "AuthFailure")
_REGION = ("AuthorizationHeaderMalformed", "InvalidRegion", "InvalidRegionName")
_ELSEWHERE = ("PermanentRedirect", "TemporaryRedirect", "IllegalLocationConstraintException")
_CLOCK = ("RequestTimeTooSkewed", "RequestIsNotYetValid")
_CLOSED = ("AllAccessDisabled", "AccountProblem", "UserDisable", "NotSignedUp")


def may_have_ended(credentials: Optional[Credentials], refused: RefusedError) -> bool:
    """Whether the server may have refused the credentials because their session has ended: MinIO then knows neither token
    nor access key.
    """
    ended = (*_EXPIRED, *_TOKEN, *_ACCESS_KEY)
    return refused.code in (ended if credentials and credentials.session_token else _EXPIRED)


def explain(store: Place, credentials: Optional[Credentials], refused: RefusedError) -> RunnerError:
    """Return the failure, which names the values key to correct."""
    key = store.key
    what, fix = f"{key}.bucket {store.bucket}", f"correct {key}.bucket and {key}.endpoint"
    endpoint = f"{key}.endpoint {store.endpoint}"
    recommended = refused.endpoint
    if recommended.startswith(f"{store.bucket}."):
        recommended = recommended[len(store.bucket) + 1 :]
    signed = credentials or Credentials("", "")
    if address.demands_virtual(refused):
        what, fix = f"{key}.addressing {store.addressing}", _virtual(store)
    elif refused.code in (*_EXPIRED, *_TOKEN, *_ACCESS_KEY, *_SECRET_KEY):
        what, fix = _keys(store, signed, refused)
    elif refused.code == WANTS_TLS:
        what, fix = endpoint, f"set {key}.endpoint to {store.endpoint.replace('http:', 'https:', 1)}"
    elif refused.status == 407:
        what, fix = endpoint, "use a proxy that requires no credentials, or add the host to proxy.noProxy"
    elif recommended and recommended not in store.endpoint:
        what, fix = endpoint, f"set {key}.endpoint to {urlsplit(store.endpoint).scheme}://{recommended}"
        if refused.region:
            fix += f", and {key}.region to {refused.region}"
    elif refused.code in (*_REGION, *_ELSEWHERE):
        what = f"{key}.region {store.signed_region}"
        fix = f"set {key}.region to {refused.region or 'one that the store has'}"
        if refused.code in _ELSEWHERE or ".amazonaws.com" in store.endpoint:
            fix += f", and {key}.endpoint to the server of that region"
    elif 300 <= refused.status < 400:
        what, fix = endpoint, f"set {key}.endpoint to the address that it redirects to"
    elif refused.code in _CLOCK:
        fix = "set the clock of the node or of the object store"
    elif refused.code in _CLOSED:
        fix = "the store has closed the bucket or its account: look into the account's bills and messages"
    elif refused.status == 413:
        fix = "raise the limit for requests of the server or a proxy before it, such as nginx's client_max_body_size"
    elif "Quota" in refused.code:
        fix = "raise the quota of the bucket or its owner, or remove what is not needed there"
    elif refused.code == "InvalidBucketName":
        fix = f"correct {key}.bucket: the store has no buckets with such names"
    elif refused.code == "AccessDenied" or refused.status in (401, 403):
        fix = _denied(store, credentials)
    return store.failure(f"{what}: the server at {store.endpoint} answered {refused}", fix)


def _virtual(store: Place) -> str:
    key = store.key
    if store.addressing in ("path", "domain"):
        return f"leave {key}.addressing out, or set it to virtual: the store accepts the bucket in the host only"
    return f"set {key}.endpoint to the host name of the store: it accepts the bucket {store.bucket} in the host only"


def _keys(store: Place, signed: Credentials, refused: RefusedError) -> Tuple[str, str]:
    key, endpoint = store.key, store.endpoint
    if store.workload_identity:
        return (
            f"{key}.workloadIdentity",
            f"check that {endpoint} belongs to the cloud that the pod's identity is of, and {key}.region",
        )
    what = f"{key}.secretName {store.secret_name}"
    token = store.session_token_name
    if refused.code in _EXPIRED or (refused.code in _ACCESS_KEY and signed.session_token):
        return what, f"put new keys with a new {token} into that secret: their session has ended"
    if refused.code in _TOKEN and signed.session_token:
        return what, f"correct {token} in that secret: it does not belong to {store.access_key_name}, or has ended"
    temporary = refused.code in _TOKEN or signed.access_key.startswith(("ASIA", "STS."))
    if temporary and not signed.session_token:
        return what, f"add the session token to that secret as {token}: the access key is a temporary one"
    name = store.access_key_name if refused.code in _ACCESS_KEY else store.secret_key_name
    return what, f"correct {name} in that secret: {endpoint} does not accept it"


def _denied(store: Place, credentials: Optional[Credentials]) -> str:
    key = store.key
    if store.workload_identity:
        return f"allow the role of the pod's identity to {store.rights} this bucket, or correct {key}.bucket"
    if credentials:
        return f"allow the key of secret {store.secret_name} to {store.rights} this bucket, or correct {key}.bucket"
    return f"set {key}.secretName to a Secret with a key that is allowed to {store.rights} this bucket"
