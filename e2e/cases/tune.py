"""A search of two pods, for better settings of a model that an earlier run has trained: one trial fails, and one pod is
killed. And a short one, of which one trial runs out of memory and one is given up.
"""

from __future__ import annotations

from e2e.cases import SESSION, SHARED, Case
from e2e.fixtures import yolov8

RESULTS = "tune-trained"
FIRST = f"first{SESSION}"  # the branch of the earlier run
TRIALS = 5
METRIC = "val/box_loss"
UNKNOWN = "Lion"  # the trainer has no optimizer of this name
TOO_LARGE = 1536  # pixels of an image's edge
FAILS = 2  # the number of the trial that is to try it: what a trial tries depends on the seed and its number alone

_URL = f"https://gitea.git.svc:3000/team/{RESULTS}.git"

CASE = Case(
    image="train-cpu-yolo",
    family="yolov8",
    sources={"shapes-yolov8": yolov8.dataset_repository},
    results=(RESULTS,),
    runs={
        "first": {"publish": {"repository": _URL, "branch": FIRST}, "train": {"epochs": 1, "exportFormats": []}},
        "search": {
            **SHARED,
            "replicas": 2,
            "retries": 1,
            "model": {"repository": _URL, "revision": FIRST},
            # A step for every batch, and from the first on: so short a training otherwise ends in its warm-up, whatever
            # is tried.
            "train": {"model": "best.pt", "epochs": 3, "arguments": ["plots=False", "warmup_epochs=0", "nbs=2"]},
            "tune": {
                "trials": TRIALS,
                "metric": METRIC,
                "goal": "minimize",
                "failureLimit": 1,
                "seed": 25,
                "space": {
                    "batchSize": {"choices": [2, 4]},
                    "lr0": {"low": 0.001, "high": 0.05, "log": True},
                    "optimizer": {"choices": ["SGD", "AdamW", UNKNOWN]},
                },
            },
            "publish": {"repository": _URL},
        },
        # By its seed it tries, one after the other: what goes well, images that are too large for the pod, and a rate
        # that learns nothing. The metric is the rate itself: which trial is behind does not depend on what two epochs
        # have learned.
        "short": {
            **SHARED,
            "train": {
                "epochs": 2,
                "optimizer": "SGD",
                "exportFormats": [],
                "arguments": ["plots=False", "warmup_epochs=0", "nbs=2"],
            },
            "tune": {
                "trials": 3,
                "metric": "lr/pg0",
                "goal": "maximize",
                "gracePeriod": 1,
                "failureLimit": 1,
                "seed": 61,
                "space": {"imageSize": {"choices": [64, TOO_LARGE]}, "lr0": {"choices": [0.01, 1e-6]}},
            },
            "resources": {"limits": {"memory": "1800Mi"}},
            "publish": {"type": "none"},
        },
    },
)
