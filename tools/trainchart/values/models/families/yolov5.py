"""Family yolov5: the parameters of YOLOv5 7.0's train.py, the memory it needs, and its ready-to-run example."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Annotated, Any

from pydantic import Field

from trainchart.values.memory import Estimate, EstimateError, Layout
from trainchart.values.models.base import Count, Device, Named, Section, Text
from trainchart.values.models.family import Family
from trainchart.values.words import also


class Yolov5(Section):
    imageSize: Count = Field(
        None,
        description="Edge of the square training images, in pixels.",
        examples=[640],
        json_schema_extra=also("imgsz", "img", "imgSize", "size"),
    )
    batchSize: Count = Field(
        None, description="Images per step, of all processes together.", examples=[16], json_schema_extra=also("batch")
    )
    epochs: Count = Field(None, description="Passes over the dataset.", examples=[3])
    data: Text = Field(
        None,
        description="Dataset description; looked for in the model repository's data/, its root, and the dataset.",
        examples=["coco128.yaml"],
        json_schema_extra=also("dataset", "dataYaml"),
    )
    weights: Text = Field(
        None,
        description="Starting weights, a path in the model repository.",
        examples=["models/yolov5n.pt"],
        json_schema_extra=also("model", "pretrained", "initialWeights"),
    )
    workers: int | None = Field(
        None,
        ge=0,
        description="Processes that load images, per training process.",
        examples=[0],
        json_schema_extra=also("numWorkers", "dataloaderWorkers"),
    )
    device: Annotated[Device, Named("DEVICE", default="0")] = Field(
        None,
        description="Devices, such as 0,1 or cpu; empty: those of the accelerator.",
        examples=["0,1"],
        json_schema_extra=also("devices"),
    )
    arguments: list[str] | None = Field(
        None,
        description="More arguments of train.py.",
        examples=[["--optimizer", "AdamW"]],
        json_schema_extra=also("args", "extraArgs", "options"),
    )


@dataclass(frozen=True)
class _Size:
    parameters: int
    """Of the model for 80 classes, as train.py counts them. Two classes have 0.1 to 0.5 million fewer."""
    saved: int
    """Bytes per pixel of an image that the forward pass keeps for the backward pass, in single precision."""


# Ultralytics' models/yolov5*.yaml of 7.0: depth multiples 0.33 0.33 0.67 1.00 1.33, width multiples 0.25 0.50 0.75 1.00 1.25,
# and models/hub/ for those with an output more (6). Both columns are measured by bench/memory.py.
_SIZES = {
    "n": _Size(1_872_157, 398),
    "s": _Size(7_235_389, 763),
    "m": _Size(21_190_557, 1416),
    "l": _Size(46_563_709, 2262),
    "x": _Size(86_749_405, 3299),
    "n6": _Size(3_246_940, 400),
    "s6": _Size(12_626_620, 767),
    "m6": _Size(35_731_932, 1429),
    "l6": _Size(76_770_172, 2287),
    "x6": _Size(140_794_780, 3342),
}
_NAME = re.compile(r"yolov5([nsmlx]6?)(?![a-z0-9])", re.IGNORECASE)

PEAK = 1.3
"""Peak of a step over what the forward pass saves: gradients of the activations under way, and workspaces of the convolutions.

Fitted to what CUDA reserved in published profiles: 3.28 GB for yolov5s, 16 images of 640 pixels (ultralytics/yolov5#5092), and
0.71 GB for yolov5n, 16 images of 416 (#9287). The README's largest batches for 16 GB (128, 64, 40, 24, 16 for n to x) agree.
"""


def estimate(train: Mapping[str, Any], layout: Layout) -> Estimate:
    """The memory of rank 0, in bytes.

    With P parameters, in single precision as train.py keeps them:

    - parameters 4 P, gradients 4 P;
    - optimizer: SGD with momentum keeps 4 P, Adam and AdamW 8 P (`smart_optimizer`, utils/torch_utils.py);
    - copies: the moving average `ModelEMA`, 4 P; on a device also autocast's half copies of the weights, 2 P, and with several
      processes the buckets in which DDP exchanges gradients, 4 P;
    - activations: images per process x pixels x bytes per pixel of the model x 1.3, half of it in half precision (autocast,
      wherever the device is not a CPU). Approximate.

    Raises:
        EstimateError: the name of the weights does not say which model it is.
    """
    arguments = train.get("arguments") or []
    # A description of the model in --cfg comes before the one in the weights.
    source = _argument(arguments, "--cfg") or str(train.get("weights") or "")
    named = _NAME.search(source.rpartition("/")[2])
    if not named:
        raise EstimateError(
            f"train.weights: '{source}' does not say which of the sizes {', '.join(_SIZES)} the model has"
        )
    size = named[1].lower()
    known = _SIZES[size]
    half = layout.backend != "cpu" and train.get("device") != "cpu"
    stride = 64 if size.endswith("6") else 32
    edge = ceil(int(train["imageSize"]) / stride) * stride
    largest = 1.5 if "--multi-scale" in arguments else 1.0
    images = ceil(int(train["batchSize"]) / layout.processes)
    saved = images * (edge * largest) ** 2 * known.saved * (0.5 if half else 1.0)
    states = 2 if (_argument(arguments, "--optimizer") or "SGD").startswith("Adam") else 1
    return Estimate(
        model=f"YOLOv5{size}, {images} {'image' if images == 1 else 'images'} of {edge} x {edge} pixels per process",
        parameters=4 * known.parameters,
        gradients=4 * known.parameters,
        optimizer=4 * states * known.parameters,
        copies=(4 + (2 if half else 0) + (4 if layout.processes > 1 else 0)) * known.parameters,
        activations=round(saved * PEAK),
    )


def _argument(arguments: Sequence[str], name: str) -> str | None:
    """What follows an option of train.py, the last time it is given."""
    value = None
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=False):
        if argument == name:
            value = following
        elif argument.startswith(f"{name}="):
            value = argument.partition("=")[2]
    return value


FAMILY = Family(
    model=Yolov5,
    estimate=estimate,
    example={
        "image": "registry.example.com/training/yolov5:7.0",
        "git": {"secretName": "git-credentials"},
        "model": {"repository": "https://git.example.com/team/yolov5.git"},
        "dataset": {"repository": "https://git.example.com/team/coco128.git"},
        "publish": {"repository": "https://git.example.com/team/yolov5-trained.git"},
        # What the reference pipeline asks for: one card shared by HAMi, half of its compute, 4 GiB of its memory.
        "accelerator": {"profile": "hami-alauda", "count": 1, "corePercent": 50, "memory": "4096Mi"},
        "replicas": 1,
        "resources": {"requests": {"cpu": "1", "memory": "8Gi"}, "limits": {"cpu": "8", "memory": "20Gi"}},
        "sharedMemory": "2Gi",
        "workspace": {"type": "emptyDir", "size": "5Gi"},
    },
    notes={
        "model": "The sources of YOLOv5 7.0, with the starting weights as train.weights (in LFS).",
        "dataset": "A dataset in YOLO format; train.data is its description.",
    },
)
