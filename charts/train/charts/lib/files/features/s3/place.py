"""Where objects are, as the values describe it, and what a server at that place answers instead of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Type, TypeVar

from runner.errors import RunnerError
from runner.settings import Settings

RETRY_AFTER_SECONDS = 60.0
_REGION = "us-east-1"  # the name used by servers without regions

Wait = Callable[[int, str], bool]  # Client.wait_to_retry
P = TypeVar("P", bound="Place")


@dataclass(frozen=True)
class Place:
    """A bucket, or the part of it below a prefix."""

    key: str  # section of the values: "model", "dataset" or "publish"
    endpoint: str
    bucket: str
    prefix: str
    region: str
    credentials: str  # folder of the mounted secret; "" for anonymous access
    access_key_name: str  # keys of that secret
    secret_key_name: str
    secret_name: str
    ca_file: str  # trusted in addition to the system's; "" for none
    addressing: str = "auto"
    session_token_name: str = "AWS_SESSION_TOKEN"  # noqa: S105 (a key of that secret, which may lack it)
    workload_identity: bool = False  # requests are signed with the pod's identity, not with a secret

    @classmethod
    def of(cls: Type[P], settings: Settings, section: str) -> P:
        """Return the place of a section of the values whose type is s3."""
        place = getattr(settings, section)
        return cls(
            key=section,
            endpoint=place.endpoint.rstrip("/"),
            bucket=place.bucket,
            prefix=place.prefix,
            region=place.region,
            credentials=settings.secret_folder(section),
            access_key_name=place.access_key_key,
            secret_key_name=place.secret_key_key,
            secret_name=place.secret_name,
            ca_file=settings.ca_file,
            addressing=place.addressing,
            session_token_name=place.session_token_key,
            workload_identity=place.workload_identity,
        )

    @property
    def folder(self) -> str:
        """The prefix as a folder: `shapes` does not match `shapes-old/`."""
        stripped = self.prefix.strip("/")
        return f"{stripped}/" if stripped else ""

    @property
    def location(self) -> str:
        return f"{self.endpoint.rstrip('/')}/{self.bucket}/{self.folder}"

    @property
    def signed_region(self) -> str:
        return self.region or _REGION

    @property
    def rights(self) -> str:
        """What the key must be allowed to do with the bucket, for messages."""
        return "list, read and write" if self.key == "publish" else "list and read"

    def failure(self, reason: str, fix: str, unreachable: bool = False) -> RunnerError:
        """Return the failure of the stage that uses the store."""
        refused = "publish-refused" if self.key == "publish" else "prepare-failed"
        return RunnerError(f"{refused.partition('-')[0]}-unreachable" if unreachable else refused, reason, fix)


class RefusedError(Exception):
    """The server's error for a request that a retry does not help."""

    def __init__(self, status: int, code: str, message: str, region: str = "", endpoint: str = "") -> None:
        super().__init__(f"{status} {code}: {message}" if code or message else str(status))
        self.status = status
        self.code = code
        self.region = region  # the bucket's
        self.endpoint = endpoint  # the host that the server recommends


class BrokenError(Exception):
    """A temporary failure: the network, or a server that is down or too busy.

    `seconds`: the server's Retry-After, at most RETRY_AFTER_SECONDS.
    """

    def __init__(self, message: str, seconds: float = 0) -> None:
        super().__init__(message)
        self.seconds = min(seconds, RETRY_AFTER_SECONDS)
