"""A cache that is filled before its runs, looked at while one uses it, and pruned: e2e/test_cache.py puts the runs
together, for they name the commits that the git server has.
"""

from __future__ import annotations

from e2e.cases import Case
from e2e.fixtures import custom

CLAIM = "kept-sources"
"""On a static volume, a folder of the node below kind.VOLUMES."""

CASE = Case(
    image="custom-minimal",
    family="custom",
    sources={"descend": custom.model_repository, "points": custom.dataset_repository},
)
