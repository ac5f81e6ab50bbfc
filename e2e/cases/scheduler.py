"""A run on devices that another scheduler than Volcano places: those of the profile `hami`, on a node without any.

Only the backend is another, so that the runner looks for no GPU; a real kube-scheduler has the name of HAMi's.
"""

from __future__ import annotations

from e2e.cases import UNSET_DEVICE, Case, Values
from e2e.fixtures import custom

NAME, DEVICE = "hami-scheduler", "nvidia.com/gpu"
UNLISTED = ["nvidia.com/gpucores", "nvidia.com/gpumem"]
"""Resources that HAMi keeps to itself, and that no node lists."""
PROFILE: Values = {
    "title": "what HAMi shares",
    "backend": "cpu",
    "processes": "one",
    "resources": {
        "count": {"name": DEVICE},
        "corePercent": {"name": UNLISTED[0]},
        "memory": {"name": UNLISTED[1], "unit": "1Mi"},
    },
    "scheduler": {"name": NAME},
}
DEVICES: Values = {"count": 1, "corePercent": 50, "memory": "4Gi"}

CASE = Case(
    family="custom",
    image="custom-minimal",
    sources={"descend": custom.model_repository, "points": custom.dataset_repository},
    results=("custom-trained",),
    runs={
        "one": {
            "accelerator": {
                **UNSET_DEVICE,
                **DEVICES,
                "profile": "stand-in",
                "profiles": {"stand-in": PROFILE},
            },
            "retries": 1,
            "publish": {"branch": "scheduled{session}"},
        },
    },
)
