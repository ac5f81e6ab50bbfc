"""`train` of family yolov5: the parameters of YOLOv5 7.0's train.py."""

from __future__ import annotations

from pydantic import Field

from trainchart.values.base import Count, Section, Text


class Yolov5(Section):
    imageSize: Count = Field(None, description="Edge of the square training images, in pixels.", examples=[640])
    batchSize: Count = Field(None, description="Images per step, of all processes together.", examples=[16])
    epochs: Count = Field(None, description="Passes over the dataset.", examples=[3])
    data: Text = Field(
        None,
        description="Dataset description; looked for in the model repository's data/, its root, and the dataset.",
        examples=["coco128.yaml"],
    )
    weights: Text = Field(
        None, description="Starting weights, a path in the model repository.", examples=["models/yolov5n.pt"]
    )
    workers: int | None = Field(
        None, ge=0, description="Processes that load images, per training process.", examples=[0]
    )
    device: Text = Field(
        None, description="Devices, such as 0,1 or cpu; empty: those of the accelerator.", examples=["0,1"]
    )
    arguments: list[str] | None = Field(
        None, description="More arguments of train.py.", examples=[["--optimizer", "AdamW"]]
    )
