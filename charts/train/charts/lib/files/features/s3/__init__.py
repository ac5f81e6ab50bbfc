"""Sources in an S3-compatible object store: lists and fetches the objects below a prefix.

`listing` returns the objects, `digest` identifies them (the run's pinned "commit"), `fetch` downloads them to a folder.
"""

from .listing import Item, content_digest, digest, listing
from .store import Store
from .transfer import fetch

__all__ = ["Item", "Store", "content_digest", "digest", "fetch", "listing"]
