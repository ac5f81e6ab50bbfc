"""Sources in an S3-compatible object store: what lies below a prefix, listed and fetched.

`listing` says what there is, `digest` names it (the run's pinned "commit"), `fetch` brings it to a folder.
"""

from .listing import Item, content_digest, digest, listing
from .store import Store
from .transfer import fetch

__all__ = ["Item", "Store", "content_digest", "digest", "fetch", "listing"]
