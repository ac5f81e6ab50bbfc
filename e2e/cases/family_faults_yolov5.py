"""Faults of YOLOv5's own train.py, val.py and export.py."""

from __future__ import annotations

from e2e.fixtures import yolov5
from e2e.fixtures.faults import case, fault

CASE = case(
    "yolov5",
    "train-cpu-yolo",
    {
        "import": fault("train.py", "yolov5.utils.loss", epochs=1),
        # Of what val.py calls.
        "evaluation": fault("train.py", "yolov5.utils.metrics:ap_per_class", epochs=1),
        "nan": fault("train.py", "yolov5.utils.loss:ComputeLoss.__call__", factor="nan", epochs=1),
        # Which export.py catches.
        "export": fault("export.py", "torch.jit:trace", epochs=1),
    },
    dataset=yolov5.dataset_repository,
    model={"yolov5": yolov5.model_repository},
)
