"""Section `accelerator`, and a profile: a file of the chart's files/accelerators/, or the user's own in the values."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from trainchart.values.models.base import (
    MOST,
    Empty,
    LabelKey,
    Line,
    ObjectName,
    Percent,
    Quantity,
    ResourceName,
    Section,
    Text,
)
from trainchart.values.words import also, must_be

ProfileName = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z0-9][-a-z0-9]*$", max_length=63),
    Field(json_schema_extra=must_be("the name of a profile: a-z, 0-9 and '-'")),
]
VariantName = Annotated[
    str,
    StringConstraints(pattern=r"^[-A-Za-z0-9._]*$", max_length=63),
    Field(
        json_schema_extra=must_be(
            "the part of the resource's name that varies: letters, digits, '-', '_' and '.' (slice 1g.10gb+me is 1g.10gb.me)"
        )
    ),
]


class Device(Section):
    parameter: Text = Field(
        None, description="Name of the parameter of platforms' pipelines that requests it; of the chart's own profiles."
    )


class DeviceCount(Device):
    name: Text = Field(
        None, description="Name of the resource that counts devices; {variant} stands for accelerator.variant."
    )
    max: int | None = Field(None, ge=1, le=MOST, description="Maximum number of devices of a pod.")


class DeviceShare(Device):
    name: Text = Field(None, description="Name of the resource to request; {variant} stands for accelerator.variant.")
    max: int | None = Field(None, ge=1, le=MOST, description="Maximum that can be requested.")
    oneDevice: bool = Field(
        False, description="Whether it applies to a single device only; several devices are whole ones."
    )


class DeviceMemory(DeviceShare):
    unit: Quantity = Field(
        ..., description="Memory that one unit of the resource stands for.", examples=["1Mi", "256Mi"]
    )


class ProfileResources(Section):
    count: DeviceCount | None = Field(None, description="How to request devices.")
    corePercent: DeviceShare | None = Field(None, description="How to request a share of compute.")
    memory: DeviceMemory | None = Field(None, description="How to request device memory.")


class Scheduler(Section):
    """A pod that another scheduler places is placed alone: only Volcano starts all pods of a gang, or none."""

    name: ObjectName = Field(..., description="Name of the scheduler.", examples=["vendor-scheduler"])
    forGangs: Line | None = Field(None, description="What to use for several pods, for the message that refuses them.")


class Choices(Section):
    """Annotations by which the device plugin or its scheduler chooses devices."""

    types: LabelKey | None = Field(
        None, description="Annotation with the types of devices.", examples=["vendor.example.com/use-type"]
    )
    mode: LabelKey | None = Field(
        None, description="Annotation with the way to share a device.", examples=["vendor.example.com/share-mode"]
    )
    modes: list[Line] | None = Field(None, description="Choices of accelerator.mode.")


class Profile(Section):
    title: Line = Field(..., description="Name of the devices, for messages.")
    requires: Text = Field(None, description="What it needs in the cluster.")
    backend: Line = Field(..., description="Name of the device in frameworks.", examples=["cpu", "cuda", "npu"])
    resources: ProfileResources = Field(
        ..., description="Resources by what they request; those that are left out cannot be set."
    )
    variants: list[VariantName] | None = Field(
        None, description="Choices of accelerator.variant; with variantPattern, examples of them."
    )
    variantPattern: Line | None = Field(
        None, description="Regular expression of the choices, where the vendor goes on naming new ones."
    )
    processes: Literal["one", "perDevice"] = Field(..., description="How many training processes a pod has.")
    deviceClass: ObjectName = Field(
        None, description="DeviceClass of dynamic resource allocation, instead of resources."
    )
    annotations: dict[LabelKey, str] | None = Field(None, description="Annotations of the pods.")
    runtimeClassName: ObjectName = Field(None, description="RuntimeClass of the pods.")
    scheduler: Scheduler | None = Field(
        None, description="Scheduler of the pods, where the devices have one of their own; then a run has one pod."
    )
    choices: Choices | None = Field(None, description="How to choose among devices.")
    verified: Text = Field(None, description="Whether it has been tested on hardware.")
    source: Text = Field(None, description="Where the names are documented, with the version.")


class ResourceNames(Section):
    count: ResourceName = Field(None, description="Resource that counts devices.", examples=["vendor.example.com/gpu"])
    corePercent: ResourceName = Field(None, description="Resource that requests a share of compute.")
    memory: ResourceName = Field(None, description="Resource that requests device memory.")


class Accelerator(Section):
    profile: ProfileName | Literal[""] | None = Field(
        "cpu",
        description="Profile of the devices: one of the chart's (`trainchart accelerators` lists them), or one of "
        "profiles.",
        examples=["cpu"],
        json_schema_extra=also("type", "kind", "vendor", "gpuType", "name"),
    )
    variant: VariantName | None = Field(
        None,
        description="Variant of the profile, if it has several: a MIG slice, or the model of a card.",
        examples=["1g.10gb"],
        json_schema_extra=also("model", "slice", "mig", "migProfile"),
    )
    count: Annotated[int, Field(ge=1, le=1000)] | Empty = Field(
        None,
        description="Number of devices per pod.",
        examples=[1],
        json_schema_extra=also(
            "gpus", "gpu", "gpuCount", "devices", "numGpus", "gpuPerTrial", "nprocPerNode", "cards", "npus"
        ),
    )
    corePercent: Percent = Field(
        None,
        description="Share of each device's compute, in percent.",
        examples=[50],
        json_schema_extra=also("cores", "gpucores", "gpuCore", "percent", "vcore"),
    )
    memory: Quantity = Field(
        None,
        description="Memory of each device.",
        examples=["4096Mi"],
        json_schema_extra=also("gpumem", "gpuMemory", "vram", "vmemory"),
    )
    types: list[Line] | None = Field(
        None,
        description="Types of devices to use, as the device plugin names them; empty: any.",
        examples=[["A100", "H100"]],
        json_schema_extra=also("gpuTypes", "useGpuType", "useGputype", "cardTypes"),
    )
    mode: Line | None = Field(
        None,
        description="How a device is shared, where the profile has several ways; empty: as the node does.",
        examples=["mig"],
        json_schema_extra=also("vgpuMode", "shareMode", "sharing"),
    )
    schedulerName: ObjectName = Field(
        None,
        description="Scheduler of the pods, where the devices have one of their own; empty: the profile's, else Volcano. With it, a "
        "run has one pod.",
        examples=["vendor-scheduler"],
        json_schema_extra=also("scheduler"),
    )
    resourceNames: ResourceNames | None = Field(
        None, description="Resource names that replace the profile's, for clusters that renamed them."
    )
    profiles: dict[ProfileName, Profile] | None = Field(
        None,
        description='Your own profiles by name, in the form of the chart\'s (see "A profile of your own" in `trainchart docs values`).',
    )
