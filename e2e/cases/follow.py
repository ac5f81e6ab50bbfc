"""Runs to follow: one for each way to finish, one that logs for a while, and one that would run for a long time."""

from __future__ import annotations

from e2e.cases import SHARED, Case, Values
from e2e.fixtures import custom

RESULTS = "custom-trained"
PROTECTED = "follow-protected{session}"  # nobody can push to it
TICKS = 700  # ten in a second
TALKS = f"""
import os, time
for number in range({TICKS}):
    print("tick", number, flush=True)
    if number % 100 == 0:
        print("burst\\n" * 50, end="", flush=True)
    time.sleep(0.1)
open(os.environ["ARTIFACTS_DIR"] + "/ticks.json", "w").write("{{}}")
"""
KEEPS_RUNNING = "import time; print('still running', flush=True); time.sleep(600)"
_EXITS = [*("python3", "-c"), "raise SystemExit(3)"]


def _program(code: str) -> Values:
    return {"command": ["python3", "-c", code], "exportCommand": []}


CASE = Case(
    family="custom",
    image="custom-minimal",
    sources={"descend": custom.model_repository, "points": custom.dataset_repository},
    results=(RESULTS,),
    runs={
        "completes": {"replicas": 2, "publish": {"branch": "follow-completes{session}"}},
        "verify": {"train": {"command": ["torchrun", "descend.py"]}},
        "prepare": {"dataset": {"revision": "no-such-branch"}},
        "train": {"replicas": 2, "train": {"command": _EXITS}},
        "export": {"train": {"exportCommand": _EXITS}},
        "publish": {"publish": {"branch": PROTECTED}},
        "vanishes": {"ttlAfterFinished": "0s", "publish": {"branch": "follow-vanishes{session}"}},
        "vanishes-fails": {
            "ttlAfterFinished": "0s",
            "publish": {"branch": "follow-vanishes-fails{session}"},
            "train": {"command": _EXITS},
        },
        "talks": {"replicas": 2, "publish": {"branch": "follow-talks{session}"}, "train": _program(TALKS)},
        "long": {"replicas": 2, "train": _program(KEEPS_RUNNING)},
        "long-kept": {**SHARED, "train": _program(KEEPS_RUNNING)},
        "claimed": {
            "workspace": {"type": "newClaim", "accessMode": "ReadWriteOnce", "size": "64Mi"},
            "publish": {"type": "none"},
        },
        "restarts": {**SHARED, "replicas": 2, "retries": 1, "env": {"DIE_AFTER": "2"}},
    },
)
