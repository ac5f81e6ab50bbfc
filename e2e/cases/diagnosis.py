"""Runs that do not start, get stuck or fail, each for one reason, which `trainchart status` has to name."""

from __future__ import annotations

from e2e.cases import Case, Values
from e2e.cases.custom import RESULTS
from e2e.fixtures import custom

# Made by the tests, with the session's id; a queue has no namespace.
SMALL_QUEUE = "small{session}"
CLOSING_QUEUE = "closing{session}"
GONE_QUEUE = "gone{session}"
# A registry that has no image at all, on a port of the node.
REGISTRY_PORT = 30999

_SLEEPS: Values = {"train": {"command": ["sleep", "600"]}}
_TOO_LARGE = {"resources": {"requests": {"cpu": "64"}, "limits": {"cpu": "64"}}}
# The node has two processors, and its own pods request some of them.
_NEARLY_ALL = {"resources": {"requests": {"cpu": "1900m"}, "limits": {"cpu": "2"}}}

CASE = Case(
    image="custom-minimal",
    sources={"descend": custom.model_repository, "points": custom.dataset_repository},
    results=(RESULTS,),
    family="custom",
    runs={
        "queue-closed": {**_SLEEPS, **_TOO_LARGE, "queue": CLOSING_QUEUE},
        "queue-gone": {**_SLEEPS, **_TOO_LARGE, "queue": GONE_QUEUE},
        "queue-small": {
            **_SLEEPS,
            "queue": SMALL_QUEUE,
            "replicas": 2,
            "resources": {"requests": {"cpu": "150m"}, "limits": {"cpu": "150m"}},
        },
        "no-accelerator": {**_SLEEPS, "accelerator": {"profile": "nvidia", "count": 1}},
        "cpu-too-large": {**_SLEEPS, **_TOO_LARGE},
        "in-use": {**_SLEEPS, **_NEARLY_ALL},
        "no-node-matches": {**_SLEEPS, "nodeSelector": {"trainchart.dev/test": "there-is-none"}},
        "no-image": {**_SLEEPS, "image": f"localhost:{REGISTRY_PORT}/team/there-is-none:1.0"},
        "no-registry": {**_SLEEPS, "image": "registry.invalid/team/there-is-none:1.0"},
        "no-pull-secret": {
            **_SLEEPS,
            "image": f"localhost:{REGISTRY_PORT}/team/there-is-none:1.0",
            "imagePullSecrets": ["there-is-none"],
        },
        "no-secret": {**_SLEEPS, "git": {"secretName": "there-is-none"}},
        "no-claim": {
            **_SLEEPS,
            "workspace": {"type": "existingClaim", "claimName": "there-is-none", "accessMode": "ReadWriteMany"},
        },
        "no-storage-class": {
            **_SLEEPS,
            "workspace": {"type": "newClaim", "size": "64Mi", "storageClassName": "there-is-none"},
        },
        # Not even Python fits.
        "out-of-memory": {
            **_SLEEPS,
            "sharedMemory": "1Mi",
            "resources": {"requests": {"memory": "6Mi"}, "limits": {"memory": "6Mi"}},
        },
        "evicted": {
            "workspace": {"size": "1Mi"},
            "train": {"command": ["sh", "-c", "head -c 20000000 /dev/zero >$OUTPUT_DIR/large; sleep 600"]},
        },
        "never-joins": {**_SLEEPS, "replicas": 2},
        "no-python": {**_SLEEPS, "image": "registry.k8s.io/pause:3.10.1"},
        "stopped": _SLEEPS,
        "well": _SLEEPS,
    },
)
