"""Parts of Kubernetes objects that values hand on: every field of core/v1 and networking.k8s.io/v1 that they have.

A typing mistake in them is refused here. The API server would refuse it after half of a release is installed, and Helm 3 drops
it: the pods then run anywhere. What spans several fields is among the chart's rules (templates/rules/_placement.tpl).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from trainchart.values.models.base import MOST, LabelKey, LabelValue, Name, Section

KUBERNETES = "x-kubernetes"
"""Marks the definitions whose fields are not the values' own: in them, nothing stands for "not configured"."""

NamespaceName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)]
PortName = Annotated[str, StringConstraints(pattern=r"^([0-9]+-)*[0-9]*[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length=15)]
PortNumber = Annotated[int, Field(ge=1, le=65535)]
Weight = Annotated[int, Field(ge=1, le=100)]

_BYTE = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_GROUP = "[0-9A-Fa-f]{1,4}"
# Eight groups, or fewer around a "::" that stands for the others.
_GROUPS = "|".join(
    [f"{_GROUP}(:{_GROUP}){{7}}", f"::({_GROUP}(:{_GROUP}){{0,6}})?"]
    + [f"{_GROUP}(:{_GROUP}){{{before}}}::({_GROUP}(:{_GROUP}){{0,{5 - before}}})?" for before in range(6)]
    + [f"{_GROUP}(:{_GROUP}){{6}}::"]
)
Cidr = Annotated[
    str,
    StringConstraints(
        pattern=f"^({_BYTE}([.]{_BYTE}){{3}}/(3[0-2]|[12]?[0-9])|({_GROUPS})/(12[0-8]|1[01][0-9]|[1-9]?[0-9]))$"
    ),
]

_EXAMPLE_CIDR = "10.0.0.0/8"


class Part(BaseModel):
    """A map with the fields of a Kubernetes type, and no others."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True, json_schema_extra={KUBERNETES: True})


class Toleration(Part):
    key: LabelKey | Literal[""] = Field("", description="Key of the taint; empty, with operator Exists: all.")
    operator: Literal["Exists", "Equal", ""] = Field("Equal", description="Exists: whatever the taint's value.")
    value: LabelValue = Field("", description="Value of the taint, with operator Equal.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute", ""] = Field(
        "", description="Effect of the taint; empty: all."
    )
    tolerationSeconds: int = Field(
        0, ge=-MOST, le=MOST, description="With NoExecute: how long pods stay on a node that gets the taint."
    )


class LabelRequirement(Part):
    key: LabelKey = Field(..., description="Key of a label.")
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"] = Field(..., description="How its value is compared.")
    values: list[LabelValue] = Field(default_factory=list, description="With In and NotIn: the values.")


class LabelSelector(Part):
    matchLabels: dict[LabelKey, LabelValue] = Field(default_factory=dict, description="Labels that are there.")
    matchExpressions: list[LabelRequirement] = Field(default_factory=list, description="What else holds of labels.")


class NodeRequirement(Part):
    key: LabelKey = Field(..., description="Key of a node's label.")
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"] = Field(
        ..., description="How its value is compared."
    )
    values: list[LabelValue] = Field(
        default_factory=list, description="With In and NotIn: the values. With Gt and Lt: one whole number, as text."
    )


class FieldRequirement(Part):
    key: Literal["metadata.name"] = Field(..., description="The one field that nodes can be chosen by.")
    operator: Literal["In", "NotIn"] = Field(..., description="How it is compared.")
    values: list[Name] = Field(..., min_length=1, max_length=1, description="The name of one node.")


class NodeTerm(Part):
    matchExpressions: list[NodeRequirement] = Field(default_factory=list, description="What holds of a node's labels.")
    matchFields: list[FieldRequirement] = Field(default_factory=list, description="What holds of a node's fields.")


class NodeSelector(Part):
    nodeSelectorTerms: list[NodeTerm] = Field(..., min_length=1, description="One of these holds.")


class PreferredNodes(Part):
    weight: Weight = Field(..., description="How much it counts, of 100.")
    preference: NodeTerm = Field(..., description="Which nodes.")


class NodeAffinity(Part):
    requiredDuringSchedulingIgnoredDuringExecution: NodeSelector | None = Field(
        None, description="Nodes that are allowed."
    )
    preferredDuringSchedulingIgnoredDuringExecution: list[PreferredNodes] = Field(
        default_factory=list, description="Nodes that are better than others."
    )


class PodTerm(Part):
    topologyKey: LabelKey = Field(..., description="Label of nodes: those with the same value are one place.")
    labelSelector: LabelSelector | None = Field(None, description="Which pods.")
    namespaces: list[NamespaceName] = Field(default_factory=list, description="Where they are; empty: here.")
    namespaceSelector: LabelSelector | None = Field(None, description="Where they are, by labels of namespaces.")
    matchLabelKeys: list[LabelKey] = Field(default_factory=list, description="Labels that are as this pod's.")
    mismatchLabelKeys: list[LabelKey] = Field(default_factory=list, description="Labels that are not as this pod's.")


class PreferredPods(Part):
    weight: Weight = Field(..., description="How much it counts, of 100.")
    podAffinityTerm: PodTerm = Field(..., description="Which pods.")


class PodAffinity(Part):
    requiredDuringSchedulingIgnoredDuringExecution: list[PodTerm] = Field(
        default_factory=list, description="Pods that must (not) be in the same place."
    )
    preferredDuringSchedulingIgnoredDuringExecution: list[PreferredPods] = Field(
        default_factory=list, description="Pods that are better (not) in the same place."
    )


class Affinity(Section):
    nodeAffinity: NodeAffinity | None = Field(None, description="Which nodes.")
    podAffinity: PodAffinity | None = Field(None, description="Beside which pods.")
    podAntiAffinity: PodAffinity | None = Field(None, description="Apart from which pods.")


class IpBlock(Part):
    cidr: Cidr = Field(..., description="Addresses.", examples=[_EXAMPLE_CIDR])
    excluded: list[Cidr] = Field(
        default_factory=list, alias="except", description="Addresses of these that are not.", examples=["10.1.0.0/16"]
    )


def _not_empty(schema: dict[str, Any]) -> None:
    schema.update({"minProperties": 1, KUBERNETES: True})


class Peer(Part):
    model_config = ConfigDict(json_schema_extra=_not_empty)

    ipBlock: IpBlock | None = Field(None, description="Addresses.")
    podSelector: LabelSelector | None = Field(None, description="Pods, by labels.")
    namespaceSelector: LabelSelector | None = Field(None, description="Pods of namespaces, by their labels.")


class Port(Part):
    protocol: Literal["TCP", "UDP", "SCTP"] = Field("TCP", description="Its protocol.")
    port: PortNumber | PortName | None = Field(None, description="A number, or a name of the pods' own; none: all.")
    endPort: PortNumber | None = Field(None, description="The last of a range of ports.")


class Egress(Part):
    to: list[Peer] = Field(default_factory=list, description="Targets; none: all.")
    ports: list[Port] = Field(default_factory=list, description="Ports; none: all.")
