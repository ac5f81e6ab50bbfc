"""The Job as Helm installed it, from its release Secret, for a run whose Job is gone."""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from typing import TYPE_CHECKING

from trainchart.cluster import helm, kinds
from trainchart.cluster.fields import Object, text

if TYPE_CHECKING:
    from trainchart.cluster.api import Api


def installed_job(api: Api, name: str) -> Object | None:
    """Return the manifest of the release's Volcano Job; None where Helm has no release of this name.

    Raises:
        ForbiddenError: this account may not list Secrets.
    """
    import yaml

    secrets, _ = api.objects(kinds.SECRETS, selector=helm.release_selector(name))
    newest = helm.newest(secrets)
    try:
        packed = base64.b64decode(base64.b64decode(text(newest, "data", "release")))
        documents = yaml.safe_load_all(json.loads(gzip.decompress(packed))["manifest"])
        jobs = [each for each in documents if isinstance(each, dict) and each.get("kind") == "Job"]
    except (ValueError, KeyError, OSError, EOFError, zlib.error, yaml.YAMLError):
        return None
    return next((job for job in jobs if text(job, "apiVersion").startswith(f"{kinds.JOBS.group}/")), None)
