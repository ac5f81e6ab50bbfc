"""Runs that tasks of Kubeflow Pipelines submit: their tests start the pipelines, so that nothing is installed by helm."""

from __future__ import annotations

from e2e.cases import Case, Values, custom
from e2e.fixtures import yolov8

RESULTS = "kubeflow-trained"
_URL = f"https://gitea.git.svc:3000/team/{RESULTS}.git"

CASE = Case(
    family="yolov8",
    image="train-cpu-yolo",  # one image for both: a custom program needs no more than its python3
    sources={**custom.CASE.sources, "shapes-yolov8": yolov8.dataset_repository},
    results=(custom.RESULTS, RESULTS),
)

TRAINING: Values = {
    "publish": {"repository": _URL},
    "train": {"epochs": 1, "exportFormats": []},
}
"""Over the family's values files."""

SEARCH: Values = {
    **TRAINING,
    "train": {"model": "best.pt", "epochs": 1, "exportFormats": [], "arguments": ["plots=False", "warmup_epochs=0"]},
    "tune": {
        "trials": 2,
        "metric": "val/box_loss",
        "goal": "minimize",
        "seed": 25,
        "space": {"batchSize": {"choices": [2, 4]}},
    },
}
"""A search from what the training has published."""
