"""Family yolov8: the parameters of ultralytics' detection training, the memory it needs, and its ready-to-run
example."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, Literal

from pydantic import Field

from trainchart.values.memory import Estimate, EstimateError, Layout
from trainchart.values.models.base import Count, Device, Section, Text
from trainchart.values.models.family import Family
from trainchart.values.words import also

Optimizer = Literal["auto", "SGD", "MuSGD", "Adam", "Adamax", "AdamW", "NAdam", "RAdam", "RMSProp"]
Format = Literal[
    "torchscript", "onnx", "openvino", "engine", "coreml", "saved_model", "pb", "litert", "paddle", "mnn", "ncnn"
]


class Yolov8(Section):
    model: Text = Field(
        None,
        description="Weights to start from, a file of the model repository or the image; or a description that "
        "ultralytics knows, with random weights.",
        examples=["yolov8n.yaml", "yolov8n.pt"],
        json_schema_extra=also("weights", "pretrained", "cfg"),
    )
    data: Text = Field(
        None,
        description="Dataset description: a file of the dataset or the model repository, or one of ultralytics' own, such "
        "as coco128.yaml.",
        examples=["data.yaml"],
        json_schema_extra=also("dataset", "dataYaml"),
    )
    epochs: Count = Field(None, description="Passes over the dataset.", examples=[100])
    batchSize: Count = Field(
        None, description="Images per step, of all devices together.", examples=[16], json_schema_extra=also("batch")
    )
    imageSize: Count = Field(
        None,
        description="Edge of the square training images, in pixels.",
        examples=[640],
        json_schema_extra=also("imgsz", "img", "imgSize", "size"),
    )
    workers: int | None = Field(
        None,
        ge=0,
        description="Processes that load images, per device; none on CPU.",
        examples=[8],
        json_schema_extra=also("numWorkers", "dataloaderWorkers"),
    )
    device: Device = Field(
        None,
        description="Devices, such as 0,1 or cpu; empty: those of the accelerator.",
        examples=["0,1"],
        json_schema_extra=also("devices"),
    )
    optimizer: Optimizer | None = Field(None, description="auto: AdamW for short trainings, MuSGD for long ones.")
    exportFormats: list[Format] | None = Field(
        None,
        description="What the best weights are exported to. Triton's configuration is for the first that it serves.",
        examples=[["torchscript", "onnx"]],
        json_schema_extra=also("format", "export", "exportFormat"),
    )
    arguments: list[str] | None = Field(
        None,
        description="More options of ultralytics' training, as option=value.",
        examples=[["cos_lr=True", "lr0=0.005"]],
        json_schema_extra=also("args", "extraArgs", "options"),
    )


@dataclass(frozen=True)
class _Size:
    parameters: int
    """Of the model for 80 classes, as it is trained. Two classes have 0.01 to 0.1 million fewer (yolov8x)."""
    saved: int
    """Bytes per pixel of an image that the forward pass keeps for the backward pass, in single precision."""


# Both columns are measured by bench/memory.py with ultralytics 8.4.190.
_SIZES = {
    "yolov8n": _Size(3_157_200, 489),
    "yolov8s": _Size(11_166_560, 899),
    "yolov8m": _Size(25_902_640, 1600),
    "yolov8l": _Size(43_691_520, 2475),
    "yolov8x": _Size(68_229_648, 3086),
    "yolov9t": _Size(2_128_720, 680),
    "yolov9s": _Size(7_318_368, 1282),
    "yolov9m": _Size(20_216_160, 2197),
    "yolov9c": _Size(25_590_912, 2829),
    "yolov9e": _Size(58_206_592, 5307),
    "yolov10n": _Size(2_775_520, 722),
    "yolov10s": _Size(8_128_272, 1303),
    "yolov10m": _Size(16_576_768, 2263),
    "yolov10b": _Size(20_574_384, 2990),
    "yolov10l": _Size(25_888_688, 3549),
    "yolov10x": _Size(31_808_960, 4874),
    "yolo11n": _Size(2_624_080, 561),
    "yolo11s": _Size(9_458_752, 1037),
    "yolo11m": _Size(20_114_688, 2188),
    "yolo11l": _Size(25_372_160, 2805),
    "yolo11x": _Size(56_966_176, 4193),
    "yolo12n": _Size(2_602_288, 661),
    "yolo12s": _Size(9_284_096, 1237),
    "yolo12m": _Size(20_199_168, 2443),
    "yolo12l": _Size(26_450_784, 3348),
    "yolo12x": _Size(59_210_784, 5006),
    "yolo26n": _Size(2_572_280, 669),
    "yolo26s": _Size(10_009_784, 1252),
    "yolo26m": _Size(21_896_248, 2505),
    "yolo26l": _Size(26_299_704, 3110),
    "yolo26x": _Size(58_993_368, 4646),
}
_NAME = re.compile(r"(yolov8|yolov9|yolov10|yolo11|yolo12|yolo26)([a-z])(?![a-z0-9]|-p[0-9])", re.IGNORECASE)

PEAK = 1.3
"""Peak of a step over what the forward pass saves, as for YOLOv5, whose trainer and convolutions these are.
Approximate."""


def estimate(train: Mapping[str, Any], layout: Layout) -> Estimate:
    """The memory of the first device's process, in bytes.

    With P parameters, in single precision as the trainer keeps them:

    - parameters 4 P, gradients 4 P;
    - optimizer: SGD, MuSGD and RMSProp keep 4 P, Adam and its kin 8 P (`build_optimizer`, ultralytics/engine/trainer.py). auto is
      taken for AdamW, which it is up to 10,000 steps; MuSGD, which follows, needs half of it;
    - copies: the moving average `ModelEMA`, 4 P; on a device also autocast's half copies of the weights, 2 P, and with several
      devices the buckets in which DDP exchanges gradients, 4 P;
    - activations: images per process x pixels x bytes per pixel of the model x 1.3, half of it in half precision (autocast,
      wherever the device is not a CPU). Approximate.

    Raises:
        EstimateError: the name of the model does not say which one it is.
    """
    arguments = train.get("arguments") or []
    source = str(train.get("model") or "")
    named = _NAME.search(source.rpartition("/")[2])
    known = _SIZES.get(named[0].lower()) if named else None
    if not named or not known:
        raise EstimateError(f"train.model: '{source}' does not say which of the models {', '.join(_SIZES)} it is")
    half = (
        layout.backend != "cpu" and train.get("device") != "cpu" and _option(arguments, "amp") not in ("False", "fp32")
    )
    edge = ceil(int(train["imageSize"]) / 32) * 32
    largest = 1 + float(_option(arguments, "multi_scale") or 0)
    images = ceil(int(train["batchSize"]) / layout.processes)
    saved = images * (edge * largest) ** 2 * known.saved * (0.5 if half else 1.0)
    states = 1 if str(train.get("optimizer") or "auto") in ("SGD", "MuSGD", "RMSProp") else 2
    return Estimate(
        model=f"{_title(named)}, {images} {'image' if images == 1 else 'images'} of {edge} x {edge} pixels per process",
        parameters=4 * known.parameters,
        gradients=4 * known.parameters,
        optimizer=4 * states * known.parameters,
        copies=(4 + (2 if half else 0) + (4 if layout.processes > 1 else 0)) * known.parameters,
        activations=round(saved * PEAK),
    )


def _title(named: re.Match[str]) -> str:
    return f"YOLO{named[1].lower().removeprefix('yolo')}{named[2].lower()}"


def _option(arguments: Sequence[str], name: str) -> str | None:
    """The value of an option, the last time it is given."""
    found = [argument.partition("=")[2] for argument in arguments if argument.partition("=")[0] == name]
    return found[-1] if found else None


FAMILY = Family(
    model=Yolov8,
    estimate=estimate,
    example={
        "image": "registry.example.com/training/yolov8:8.4.190",
        "git": {"secretName": "git-credentials"},
        "dataset": {"repository": "https://git.example.com/team/coco8.git"},
        "publish": {"repository": "https://git.example.com/team/yolov8-trained.git"},
        "accelerator": {"profile": "nvidia", "count": 1},
        "replicas": 1,
        "resources": {"requests": {"cpu": "4", "memory": "8Gi"}, "limits": {"cpu": "16", "memory": "24Gi"}},
        "sharedMemory": "4Gi",
        "workspace": {"type": "emptyDir", "size": "20Gi"},
    },
    train={
        "model": "yolov8n.pt",  # images/yolov8 has it
        "data": "data.yaml",
        "epochs": 100,
        "batchSize": 16,
        "imageSize": 640,
        "workers": 8,
        "optimizer": "auto",
        "exportFormats": ["torchscript"],
    },
    notes={
        "dataset": "A dataset in YOLO format, with its description train.data; its files are used as they lie there.",
    },
)
