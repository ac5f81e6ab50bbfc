"""The reference pipeline of YOLOv5 as it is written, with ultralytics/yolov5 itself; and a dataset as Roboflow exports it."""

from __future__ import annotations

from e2e.cases import UNSET_DEVICE, Case
from e2e.fixtures import upstream, yolov5

RESULTS = "references-yolov5-trained"
REVISIONS = {"v7": "v7.0", "head": "HEAD"}

_URL = "https://gitea.git.svc:3000/team"
# What is the document's own again, over what makes e2e's own training small.
_DOCUMENT = {
    "accelerator": UNSET_DEVICE,
    "mlflow": {"trackingUri": ""},
    "dataset": {"repository": f"{_URL}/coco128.git", "path": "datasets/coco128"},
    "publish": {"repository": f"{_URL}/{RESULTS}.git"},
    "train": {"epochs": 3, "data": "coco128.yaml", "arguments": [], "device": ""},
}

CASE = Case(
    family="yolov5",
    reference="yolov5-tekton",
    image="train-cpu-yolo",
    sources={
        **{
            f"yolov5-{name}": upstream.yolov5(f"yolov5-{name}", revision)
            for name, revision in REVISIONS.items()
            if upstream.has("yolov5")
        },
        "yolov5": yolov5.model_repository,
        "coco128": yolov5.coco128_repository,
        "roboflow": yolov5.roboflow_repository,
    },
    results=(RESULTS,),
    runs={
        **{name: {**_DOCUMENT, "model": {"repository": f"{_URL}/yolov5-{name}.git"}} for name in REVISIONS},
        "roboflow": {
            **_DOCUMENT,
            "dataset": {"repository": f"{_URL}/roboflow.git", "path": "datasets/shapes"},
            "train": {"data": "data.yaml", "device": ""},
        },
    },
)
