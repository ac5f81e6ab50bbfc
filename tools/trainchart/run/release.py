"""A release as Helm keeps it in its Secrets: the values that the user gave, and the manifest that was installed."""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trainchart.cluster import helm, kinds
from trainchart.cluster.fields import Object, mapping, text
from trainchart.run.state import FAMILY

if TYPE_CHECKING:
    from trainchart.cluster.api import Api


@dataclass(frozen=True)
class Release:
    values: Object
    """As the user gave them, without the chart's defaults."""
    objects: tuple[Object, ...]
    """As they were sent; hooks are not among them."""

    @property
    def is_run(self) -> bool:
        """Whether the chart made it, or another chart with its library: not any other release, such as one of charts/platform."""
        return any(text(one, "metadata", "labels", FAMILY) for one in self.objects)

    @property
    def job(self) -> Object | None:
        """The Volcano Job."""
        group = f"{kinds.JOBS.group}/"
        jobs = (one for one in self.objects if text(one, "kind") == "Job" and text(one, "apiVersion").startswith(group))
        return next(jobs, None)


def load(api: Api, name: str) -> Release | None:
    """The latest revision of a release; None where Helm has none of this name, or it cannot be read.

    Raises:
        ForbiddenError: this account may not list Secrets.
        UnreachableError
    """
    import yaml

    secrets, _ = api.objects(kinds.SECRETS, selector=helm.release_selector(name))
    try:
        packed = base64.b64decode(base64.b64decode(text(helm.newest(secrets), "data", "release")))
        record = json.loads(gzip.decompress(packed))
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        documents = yaml.load_all(text(record, "manifest"), Loader=loader)
        return Release(mapping(record, "config"), tuple(one for one in documents if isinstance(one, dict)))
    except (ValueError, OSError, EOFError, zlib.error, yaml.YAMLError):
        return None
