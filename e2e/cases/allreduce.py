"""The test family: what a gang, a restart and a release's life need, without a training."""

from __future__ import annotations

from e2e.cases import SHARED, Case
from e2e.fixtures import allreduce

RESULTS = "allreduce-results"
KILLED_RESULTS = "killed-results"  # there is to be one branch in it
PROTECTED = "protected{session}"  # a branch that nobody may push to

_ONE = {"replicas": 1}
_KEPT = {**SHARED, **_ONE, "publish": {"type": "none"}}

CASE = Case(
    image="train-cpu-yolo",
    sources={"allreduce": allreduce.model_repository},
    results=(RESULTS, KILLED_RESULTS),
    runs={
        "gang": {"replicas": 2, "publish": {"branch": "gang{session}"}},
        "gang-shared": {**SHARED, "replicas": 2, "publish": {"branch": "gang-shared{session}"}},
        "protected": {**SHARED, **_ONE, "publish": {"branch": PROTECTED}},
        "rank-fails": {"replicas": 2, "retries": 2, "train": {"failRank": 1}},
        "killed": {
            **_ONE,
            "retries": 1,
            "publish": {"repository": f"https://gitea.git.svc:3000/team/{KILLED_RESULTS}.git"},
        },
        "too-large": {**_ONE, "resources": {"requests": {"cpu": "64"}, "limits": {"cpu": "64"}}},
        "unchanged": {**_KEPT, "nodeSelector": {"kubernetes.io/os": "linux"}},
        "cleaned-up": {**_KEPT, "ttlAfterFinished": "5s"},
        "surroundings": {**_ONE, "workspace": {"type": "newClaim", "size": "64Mi"}, "publish": {"type": "none"}},
        "lifecycle": {**_ONE, "workspace": {"type": "newClaim", "size": "64Mi"}, "publish": {"type": "none"}},
    },
)
