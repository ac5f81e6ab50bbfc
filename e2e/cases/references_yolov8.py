"""The Kubeflow pipeline of YOLOv8 as it is written: weights and description by their names; and a dataset as Roboflow exports it."""

from __future__ import annotations

from e2e.cases import UNSET_DEVICE, Case
from e2e.fixtures import yolov5, yolov8

RESULTS = "references-yolov8-trained"

_URL = "https://gitea.git.svc:3000/team"
_DOCUMENT = {
    "accelerator": UNSET_DEVICE,
    "workspace": {"type": "emptyDir"},
    "git": {"secretName": "git-credentials"},
    "model": {"repository": f"{_URL}/yolov8n.git"},
    "publish": {"type": "git", "repository": f"{_URL}/{RESULTS}.git"},
}

CASE = Case(
    family="yolov8",
    reference="yolov8-kubeflow",
    image="train-cpu-yolo",
    sources={
        "yolov8n": yolov8.weights_repository,
        "coco128": yolov5.coco128_repository,
        "roboflow": yolov5.roboflow_repository,
    },
    results=(RESULTS,),
    runs={
        "document": {
            **_DOCUMENT,
            "dataset": {"repository": f"{_URL}/coco128.git"},
            "train": {"model": "yolov8n.pt", "data": "coco128.yaml"},
        },
        "roboflow": {
            **_DOCUMENT,
            "dataset": {"repository": f"{_URL}/roboflow.git"},
            "train": {"model": "yolov8n.pt", "data": "data.yaml", "epochs": 1},
        },
    },
)
