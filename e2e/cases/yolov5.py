"""YOLOv5: a training that succeeds, and one for each user error that ends a run."""

from __future__ import annotations

from e2e.cases import SHARED, Case
from e2e.fixtures import yolov5

RESULTS = "yolov5-trained"
MOVING = "moving{session}"  # a branch of the model that somebody pushes to while a run trains from it

# The failures end before they need more, and are to run side by side.
_SMALL = {"resources": {"requests": {"cpu": "50m", "memory": "256Mi"}}}

CASE = Case(
    image="train-cpu-yolo",
    sources={"yolov5": yolov5.model_repository, "shapes": yolov5.dataset_repository},
    results=(RESULTS,),
    runs={
        "happy": {**_SMALL, **SHARED, "model": {"revision": MOVING}},
        "wrong-token": {**_SMALL, "git": {"secretName": "wrong-token"}},
        "read-only-token": {**_SMALL, "git": {"secretName": "read-only-token"}},
        "missing-revision": {**_SMALL, "model": {"revision": "no-such-branch"}},
        "missing-folder": {**_SMALL, "dataset": {"revision": "without-images"}},
        "failing-trainer": {**_SMALL, "train": {"weights": "data/shapes.yaml"}},
    },
)
