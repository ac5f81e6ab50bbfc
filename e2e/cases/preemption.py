"""Runs whose resources Volcano gives to others, by priority and by queue, and what takes them.

They compete for an extended resource that nobody else requests, so that no other pod of the cluster is preempted.
"""

from __future__ import annotations

from e2e.cases import SHARED, Case, Values
from e2e.fixtures import custom

RESOURCE, AMOUNT = "preemption.trainchart.dev/slots", 4
LOW, HIGH = "e2e-low", "e2e-high"
"""Names of queues, and of PriorityClasses."""
EPOCHS = 6
HELD = "holds its slots"

# For as long as a person, or a test, needs to see who waits for it.
_HOLD = f"import os, time; print({HELD!r}, flush=True); time.sleep(20); open(os.environ['ARTIFACTS_DIR'] + '/done.json', 'w').write('1')"


def _slots(number: int) -> Values:
    return {"resources": {"limits": {RESOURCE: number}}}


_LOW: Values = {
    **SHARED,
    **_slots(2),
    "queue": LOW,
    "priorityClassName": LOW,
    "retries": 3,
    "env": {"EPOCH_SECONDS": "4"},
}
_TAKER: Values = {
    **SHARED,
    "train": {"command": ["python3", "-c", _HOLD], "exportCommand": []},
    "publish": {"type": "none"},
}

CASE = Case(
    family="custom",
    image="custom-minimal",
    sources={"descend": custom.model_repository, "points": custom.dataset_repository},
    results=("custom-trained",),
    runs={
        # Of four slots a gang has all; half of them are enough for the run that preempts it.
        "gang": {**_LOW, "replicas": 2, "publish": {"branch": "preempted-gang{session}"}},
        "urgent": {**_TAKER, **_slots(2), "queue": LOW, "priorityClassName": HIGH},
        # One has half of them, and its queue a right to a quarter.
        "lent": {**_LOW, "publish": {"branch": "preempted-lent{session}"}},
        "owner": {**_TAKER, **_slots(3), "queue": HIGH},
        "protected": {**_LOW, "preemptible": False, "publish": {"branch": "preempted-not{session}"}},
        "patient": {**_TAKER, **_slots(3), "queue": LOW, "priorityClassName": HIGH},
    },
)
