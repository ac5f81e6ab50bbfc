"""Family ppyoloe: the parameters of PaddleDetection's PP-YOLOE training, the memory it needs, and its ready-to-run
example."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from trainchart.values.memory import Estimate, EstimateError, Layout
from trainchart.values.models.base import Count, Section, Text
from trainchart.values.models.family import Family
from trainchart.values.words import also


class Ppyoloe(Section):
    config: Text = Field(
        None,
        description="Configuration file in the model repository.",
        examples=["configs/ppyoloe/ppyoloe_crn_l_300e_coco.yml"],
    )
    epochs: Count = Field(
        None, description="Passes over the dataset.", examples=[10], json_schema_extra=also("epoch", "numEpochs")
    )
    batchSize: Count = Field(
        None, description="Images per step of each process.", examples=[2], json_schema_extra=also("batch")
    )
    workers: int | None = Field(
        None,
        ge=0,
        description="Processes that load images, per training process.",
        examples=[2],
        json_schema_extra=also("workerNum", "numWorkers"),
    )
    learningRate: float | None = Field(
        None,
        gt=0,
        description="Base learning rate; empty: the configuration's.",
        examples=[0.001],
        json_schema_extra=also("lr", "baseLr"),
    )
    logInterval: Count = Field(
        None,
        description="Steps from one line of the trainer's log to the next.",
        examples=[1],
        json_schema_extra=also("logIter"),
    )
    snapshotInterval: Count = Field(
        None,
        description="Epochs from one snapshot to the next.",
        examples=[1],
        json_schema_extra=also("snapshotEpoch", "saveInterval"),
    )
    pretrainWeights: Text = Field(
        None,
        description="Starting weights, a .pdparams file in the model repository; empty: random ones. Nothing is "
        "downloaded.",
        examples=["weights/CSPResNetb_l_pretrained.pdparams"],
        json_schema_extra=also("weights", "pretrained"),
    )
    trainImages: Text = Field(None, description="Folder of the dataset with the training images.")
    trainAnnotations: Text = Field(None, description="Their annotations in COCO format, a file of the dataset.")
    evalImages: Text = Field(None, description="Folder of the dataset with the images for evaluation.")
    evalAnnotations: Text = Field(
        None, description="Their annotations; the number of classes is that of their categories."
    )
    evaluate: bool | None = Field(
        None,
        description="Evaluate after every snapshot; then the best model is published, not the last.",
        json_schema_extra=also("eval"),
    )
    amp: bool | None = Field(
        None, description="Automatic mixed precision; needs an accelerator.", json_schema_extra=also("fp16", "bf16")
    )
    options: dict[str, Any] | None = Field(
        None,
        description="More settings of the configuration, as of -o; keys with dots reach into it, however deep. "
        "TrainDataset.allow_empty trains on images without boxes, too.",
        examples=[{"OptimizerBuilder.optimizer.momentum": 0.8, "TrainDataset.allow_empty": True}],
        json_schema_extra=also("args", "arguments", "opt"),
    )


@dataclass(frozen=True)
class _Size:
    parameters: int
    """Of the model for 80 classes, with the statistics of its normalizations. Two classes have 0.5 million fewer
    (s)."""
    saved: int
    """Bytes per pixel of an image that the forward pass keeps for the backward pass, in single precision."""


# Both columns are measured by bench/memory.py with paddledet 2.6.0. Depth multiples 0.33 0.67 1.00 1.33, width multiples 0.50 0.75 1.00 1.25.
_SIZES = {
    "s": _Size(8_105_517, 886),
    "m": _Size(24_176_429, 1542),
    "l": _Size(54_147_469, 2360),
    "x": _Size(102_434_541, 3341),
}
_NAME = re.compile(r"ppyoloe(?:_plus)?_crn_([smlx])(?![a-z0-9])", re.IGNORECASE)

LARGEST = 768
"""The largest edge that PP-YOLOE's configurations resize training images to."""
PEAK = 1.3
"""Peak of a step over what the forward pass saves; taken from YOLOv5's, and not measured for PaddlePaddle."""


def estimate(train: Mapping[str, Any], layout: Layout) -> Estimate:
    """The memory of rank 0, in bytes.

    With P parameters, in single precision:

    - parameters 4 P, gradients 4 P;
    - optimizer: Momentum, the configurations' own, keeps 4 P; Adam and AdamW 8 P (paddle/optimizer/);
    - copies: the moving average `ModelEMA` 4 P (ppdet/optimizer/ema.py), with train.amp half copies of the weights 2 P, with
      several processes the buckets in which DataParallel exchanges gradients 4 P;
    - activations: images per process x pixels of the largest training size x bytes per pixel of the model x 1.3, half of it with
      train.amp. Approximate.

    Raises:
        EstimateError: the name of the configuration does not say which model it is.
    """
    source = str(train.get("config") or "")
    named = _NAME.search(source.rpartition("/")[2])
    if not named:
        raise EstimateError(
            f"train.config: '{source}' does not say which of the sizes {', '.join(_SIZES)} the model has"
        )
    size = named[1].lower()
    known, half = _SIZES[size], bool(train.get("amp")) and layout.backend != "cpu"
    options = train.get("options") or {}
    states = 2 if str(options.get("OptimizerBuilder.optimizer.type") or "").startswith("Adam") else 1
    images = int(train["batchSize"])
    saved = images * LARGEST**2 * known.saved * (0.5 if half else 1.0)
    return Estimate(
        model=f"PP-YOLOE-{size}, {images} {'image' if images == 1 else 'images'} of {LARGEST} x {LARGEST} pixels per process",
        parameters=4 * known.parameters,
        gradients=4 * known.parameters,
        optimizer=4 * states * known.parameters,
        copies=(4 + (2 if half else 0) + (4 if layout.processes > 1 else 0)) * known.parameters,
        activations=round(saved * PEAK),
    )


FAMILY = Family(
    model=Ppyoloe,
    estimate=estimate,
    example={
        "image": "registry.example.com/training/ppyoloe:2.7.0",
        "git": {"secretName": "git-credentials"},
        "model": {"repository": "https://git.example.com/team/paddledetection.git"},
        "dataset": {"repository": "https://git.example.com/team/coco.git"},
        "publish": {"repository": "https://git.example.com/team/ppyoloe-trained.git"},
        "accelerator": {"profile": "nvidia", "count": 1},
        "replicas": 1,
        "resources": {"requests": {"cpu": "4", "memory": "16Gi"}, "limits": {"cpu": "16", "memory": "32Gi"}},
        "sharedMemory": "4Gi",
        "workspace": {"type": "emptyDir", "size": "60Gi"},
    },
    notes={
        "model": "PaddleDetection 2.6 or newer, with its tools/ and configs/.",
        "dataset": "A dataset in COCO format.",
    },
)
