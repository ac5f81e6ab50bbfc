"""A program of somebody's own: two pods find each other by their environment, one dies, and an image that has no Python."""

from __future__ import annotations

from e2e.cases import SHARED, Case
from e2e.fixtures import custom

RESULTS = "custom-trained"
EPOCHS = 6
DIES_AFTER = 2

CASE = Case(
    image="custom-minimal",
    sources={"descend": custom.model_repository, "points": custom.dataset_repository},
    results=(RESULTS,),
    runs={
        "happy": {"replicas": 2},
        "killed": {**SHARED, "replicas": 2, "retries": 1, "env": {"DIE_AFTER": str(DIES_AFTER)}},
        # The image that every node of Kubernetes has.
        "no-python": {"image": "registry.k8s.io/pause:3.10.1"},
        "no-program": {"train": {"command": ["torchrun", "descend.py"]}},
    },
)
