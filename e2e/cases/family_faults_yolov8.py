"""Faults of ultralytics' trainer and exporter."""

from __future__ import annotations

from e2e.fixtures import yolov8
from e2e.fixtures.faults import case, fault

_LOSS = "ultralytics.utils.loss:v8DetectionLoss.loss"

CASE = case(
    "yolov8",
    "train-cpu-yolo",
    {
        "batch": fault("train", _LOSS),
        # After two steps and one evaluation of the first epoch, and a step of the second.
        "last-epoch": fault("train", _LOSS, after=4),
        "nan": fault("train", _LOSS, factor="nan"),
        "export": fault("export", "torch.jit:trace", epochs=1, exportFormats=["torchscript"]),
    },
    dataset=yolov8.dataset_repository,
    model={},
)
