"""YOLOv5, killed in the middle of its training: apart from the quick case, as it takes a training of its own."""

from __future__ import annotations

from e2e.cases import SHARED, Case
from e2e.fixtures import yolov5

RESULTS = "yolov5-resumed"
EPOCHS = 4

CASE = Case(
    image="train-cpu-yolo",
    family="yolov5",
    sources={"yolov5": yolov5.model_repository, "shapes": yolov5.dataset_repository},
    results=(RESULTS,),
    runs={
        # Small steps of large images, so that an epoch takes longer than it takes to see its checkpoint and kill it.
        "killed": {
            **SHARED,
            "retries": 1,
            "train": {"epochs": EPOCHS, "batchSize": 1, "imageSize": 320},
            "publish": {"repository": f"https://gitea.git.svc:3000/team/{RESULTS}.git"},
        },
    },
)
