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
        # Memory that is written to, for a page that is not costs none.
        "out-of-memory": {
            "retries": 1,
            "train": {"command": ["python3", "-c", "kept = []\nwhile True: kept.append(b'x' * 10_000_000)"]},
            "resources": {"limits": {"memory": "192Mi"}},
        },
        "no-program": {"train": {"command": ["torchrun", "descend.py"]}},
    },
)
