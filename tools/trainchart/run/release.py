"""What Helm keeps of a release: the Job as it was installed, for a run whose Job is gone."""

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
    """The manifest of the release's Volcano Job; None where Helm keeps none.

    Raises:
        ForbiddenError: Helm keeps it in Secrets.
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
