"""Section `accelerator`, and what a profile is: a file of the chart's files/accelerators/, or one of the user's own."""

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

ProfileName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][-a-z0-9]*$", max_length=63)]
VariantName = Annotated[str, StringConstraints(pattern=r"^[-A-Za-z0-9._]*$", max_length=63)]


class DeviceCount(Section):
    name: Text = Field(None, description="Resource that counts devices; {variant} stands for accelerator.variant.")
    max: int | None = Field(None, ge=1, le=MOST, description="Most devices that a pod can have.")


class DeviceShare(Section):
    name: Text = Field(None, description="Resource that asks for it; {variant} stands for accelerator.variant.")
    max: int | None = Field(None, ge=1, le=MOST, description="Most that can be asked for.")
    oneDevice: bool = Field(False, description="Honoured for one device only; of several each is whole.")


class DeviceMemory(DeviceShare):
    unit: Quantity = Field(
        ..., description="Memory that one unit of the resource stands for.", examples=["1Mi", "256Mi"]
    )


class ProfileResources(Section):
    count: DeviceCount | None = Field(None, description="How devices are counted.")
    corePercent: DeviceShare | None = Field(None, description="How a share of compute is asked for.")
    memory: DeviceMemory | None = Field(None, description="How device memory is asked for.")


class Profile(Section):
    title: Line = Field(..., description="What it is, in a few words.")
    requires: Text = Field(None, description="What the cluster must have for it.")
    backend: Line = Field(..., description="What frameworks call the device.", examples=["cpu", "cuda", "npu"])
    resources: ProfileResources = Field(
        ..., description="Resources by what they ask for; those left out cannot be set."
    )
    variants: list[VariantName] | None = Field(None, description="Choices for accelerator.variant.")
    processes: Literal["one", "perDevice"] = Field(..., description="Training processes in a pod.")
    deviceClass: ObjectName = Field(
        None, description="DeviceClass of dynamic resource allocation, instead of resources."
    )
    annotations: dict[LabelKey, str] | None = Field(None, description="Annotations of the pods.")
    runtimeClassName: ObjectName = Field(None, description="RuntimeClass of the pods.")
    refused: Text = Field(None, description="Why Volcano cannot place it; shown instead of a run.")
    verified: Text = Field(None, description="Whether it has run on hardware.")


class ResourceNames(Section):
    count: ResourceName = Field(None, description="Resource that counts devices.", examples=["vendor.example.com/gpu"])
    corePercent: ResourceName = Field(None, description="Resource that asks for a share of compute.")
    memory: ResourceName = Field(None, description="Resource that asks for device memory.")


class Accelerator(Section):
    profile: ProfileName | Literal[""] | None = Field(
        "cpu", description="A file of files/accelerators/, or one of profiles.", examples=["cpu"]
    )
    variant: VariantName | None = Field(None, description="Which of the profile's variants.", examples=["1g.10gb"])
    count: Annotated[int, Field(ge=1, le=1000)] | Empty = Field(None, description="Devices per pod.", examples=[1])
    corePercent: Percent = Field(None, description="Share of each device's compute, in percent.", examples=[50])
    memory: Quantity = Field(None, description="Memory of each device, as a quantity.", examples=["4096Mi"])
    resourceNames: ResourceNames | None = Field(
        None, description="Other resource names than the profile's, for clusters that renamed them."
    )
    profiles: dict[ProfileName, Profile] | None = Field(None, description="Your own profiles by name.")
