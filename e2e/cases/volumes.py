"""Sources on volumes: a dataset on a claim, a shared cache, and a full one. Its runs take seconds."""

from __future__ import annotations

from e2e.cases import Case, Values
from e2e.fixtures import custom

RESULTS = "volumes-trained"
# Claims on static volumes: folders of the node below kind.VOLUMES; `small` is a file system of a few kilobytes.
DATA, CACHE, EMPTY, SMALL = "data", "cache", "empty-cache", "small-cache"
SUB_PATH = "datasets/points"  # of the claim with the data
FULL = "full{session}"  # a branch

_PUBLISHED: Values = {"publish": {"repository": f"https://gitea.git.svc:3000/team/{RESULTS}.git"}}


def _claimed(folder: str) -> Values:
    return {**_PUBLISHED, "dataset": {"type": "claim", "repository": "", "claimName": DATA, "subPath": folder}}


def _cached(claim: str, read_only: bool = False) -> Values:
    return {
        **_PUBLISHED,
        "model": {"cached": True},
        "dataset": {"cached": True},
        "cache": {"claimName": claim, "readOnly": read_only},
    }


CASE = Case(
    image="custom-minimal",
    family="custom",
    sources={"descend": custom.model_repository, "points": custom.dataset_repository},
    results=(RESULTS,),
    runs={
        "claimed": _claimed(SUB_PATH),
        "wrong-folder": _claimed("datasets/pionts"),
        "fills": _cached(CACHE),
        "finds": _cached(CACHE),
        "only-reads": _cached(CACHE, read_only=True),
        "only-reads-nothing": _cached(EMPTY, read_only=True),
        "full": {**_cached(SMALL), "publish": {**_PUBLISHED["publish"], "branch": FULL}},
        "enlarged": _cached(SMALL),
    },
)
