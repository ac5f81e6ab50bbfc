"""Stage publish: the result of a run goes to a branch, to a bucket, or stays in the workspace."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Protocol

from .context import Context
from .errors import RunnerError
from .family import Family

LFS_PATTERNS = ("*.pt", "*.pth", "*.onnx", "*.safetensors", "*.bin", "*.pdparams", "*.pdiparams", "*.engine")


@dataclass(frozen=True)
class Published:
    """A branch and its commit; in an object store, the folder and the SHA-256 of its manifest."""

    branch: str
    commit: str


class Publisher(Protocol):
    """What publishes the result, once, however often the run is restarted. Every method raises RunnerError."""

    def find_published(self) -> Optional[Published]:
        """Return what an earlier attempt has published. Every rank checks it before it does anything slow."""

    def wrong_branch_error(self, published: Published) -> Optional[RunnerError]:
        """Return the failure of a run whose result is not where it was requested; None if it is."""

    def check_push_access(self) -> None:
        """Check, before hours of training, that the server would take the result. Nothing of it is sent."""

    def publish(self, family: Family) -> Published:
        """Publish the artifacts, with retries for publish.patience."""


def publisher_of(context: Context) -> Optional[Publisher]:
    """Return the publisher of the run; None if its result stays in the workspace."""
    publish = context.settings.publish
    if publish.type == "s3":
        from features import upload

        return upload.BucketPublisher(context)
    if publish.type == "git":
        from features import push

        return push.BranchPublisher(context)
    return None
