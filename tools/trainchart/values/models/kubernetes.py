"""Parts of Kubernetes objects in the values, with every field that they have in core/v1 and networking.k8s.io/v1.

The schema refuses a typo in them. The API server would refuse it with half of the release installed, and Helm 3 drops the
field: the pods then run anywhere. Rules that span several fields are the chart's (templates/rules/_placement.tpl).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from trainchart.values.models.base import MOST, LabelKey, LabelValue, Name, Section
from trainchart.values.words import instead, must_be

KUBERNETES = "x-kubernetes"
"""Marks definitions whose fields are Kubernetes' own: an empty value in them does not mean "not configured"."""

NamespaceName = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63),
    Field(json_schema_extra=must_be("the name of a namespace: a-z, 0-9 and '-'")),
]
PortName = Annotated[
    str,
    StringConstraints(pattern=r"^([0-9]+-)*[0-9]*[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length=15),
    Field(json_schema_extra=must_be("the name of a port: a-z, 0-9 and '-', with a letter")),
]
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
    Field(json_schema_extra=must_be("a range of addresses with the length of its prefix")),
]

_EXAMPLE_CIDR = "10.0.0.0/8"


class Part(BaseModel):
    """A map with exactly the fields of a Kubernetes type."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True, json_schema_extra={KUBERNETES: True})


class Toleration(Part):
    key: LabelKey | Literal[""] = Field("", description="Key of the taint; empty, with operator Exists: all.")
    operator: Literal["Exists", "Equal", ""] = Field(
        "Equal", description="Equal: the taint has this value. Exists: any value."
    )
    value: LabelValue = Field("", description="Value of the taint, with operator Equal.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute", ""] = Field(
        "", description="Effect of the taint; empty: all."
    )
    tolerationSeconds: int = Field(
        0, ge=-MOST, le=MOST, description="With NoExecute: how long pods stay on a node after it gets the taint."
    )


class LabelRequirement(Part):
    key: LabelKey = Field(..., description="Key of a label.")
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"] = Field(..., description="How its value is compared.")
    values: list[LabelValue] = Field(default_factory=list, description="With In and NotIn: the values.")


class LabelSelector(Part):
    matchLabels: dict[LabelKey, LabelValue] = Field(default_factory=dict, description="Labels with their values.")
    matchExpressions: list[LabelRequirement] = Field(
        default_factory=list, description="Further requirements on labels."
    )


class NodeRequirement(Part):
    key: LabelKey = Field(..., description="Key of a node's label.")
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"] = Field(
        ..., description="How its value is compared."
    )
    values: list[LabelValue] = Field(
        default_factory=list, description="With In and NotIn: the values. With Gt and Lt: one whole number, as text."
    )


class FieldRequirement(Part):
    key: Literal["metadata.name"] = Field(..., description="The one field that nodes can be selected by.")
    operator: Literal["In", "NotIn"] = Field(..., description="How it is compared.")
    values: list[Name] = Field(..., min_length=1, max_length=1, description="The name of one node.")


class NodeTerm(Part):
    matchExpressions: list[NodeRequirement] = Field(
        default_factory=list, description="Requirements on the labels of a node."
    )
    matchFields: list[FieldRequirement] = Field(
        default_factory=list, description="Requirements on the fields of a node."
    )


class NodeSelector(Part):
    nodeSelectorTerms: list[NodeTerm] = Field(..., min_length=1, description="Terms, of which a node has to match one.")


class PreferredNodes(Part):
    weight: Weight = Field(..., description="Weight from 1 to 100.")
    preference: NodeTerm = Field(..., description="Nodes that are preferred.")


class NodeAffinity(Part):
    requiredDuringSchedulingIgnoredDuringExecution: NodeSelector | None = Field(
        None, description="Nodes that are required."
    )
    preferredDuringSchedulingIgnoredDuringExecution: list[PreferredNodes] = Field(
        default_factory=list, description="Nodes that are preferred."
    )


class PodTerm(Part):
    topologyKey: LabelKey = Field(..., description="Label of nodes: nodes with the same value are one topology domain.")
    labelSelector: LabelSelector | None = Field(None, description="Labels of the pods.")
    namespaces: list[NamespaceName] = Field(
        default_factory=list, description="Namespaces of the pods; empty: that of the run."
    )
    namespaceSelector: LabelSelector | None = Field(None, description="Namespaces of the pods, by their labels.")
    matchLabelKeys: list[LabelKey] = Field(
        default_factory=list, description="Labels whose values are those of this pod."
    )
    mismatchLabelKeys: list[LabelKey] = Field(
        default_factory=list, description="Labels whose values differ from those of this pod."
    )


class PreferredPods(Part):
    weight: Weight = Field(..., description="Weight from 1 to 100.")
    podAffinityTerm: PodTerm = Field(..., description="Pods that are preferred.")


class PodAffinity(Part):
    requiredDuringSchedulingIgnoredDuringExecution: list[PodTerm] = Field(
        default_factory=list, description="Pods that must (not) be in the same topology domain."
    )
    preferredDuringSchedulingIgnoredDuringExecution: list[PreferredPods] = Field(
        default_factory=list, description="Pods that should (not) be in the same topology domain."
    )


class Affinity(Section):
    nodeAffinity: NodeAffinity | None = Field(None, description="Nodes to run on.")
    podAffinity: PodAffinity | None = Field(None, description="Pods to run next to.")
    podAntiAffinity: PodAffinity | None = Field(None, description="Pods to stay away from.")


class TopologySpread(Part):
    """A TopologySpreadConstraint, whose pods are those of the run."""

    model_config = ConfigDict(
        json_schema_extra={
            KUBERNETES: True,
            **instead(
                **dict.fromkeys(("labelSelector", "matchLabelKeys"), "the pods of the run are spread, and no others")
            ),
        }
    )

    topologyKey: LabelKey = Field(
        ...,
        description="Label of nodes: nodes with the same value are one topology domain.",
        examples=["kubernetes.io/hostname"],
    )
    maxSkew: int = Field(1, ge=1, le=MOST, description="By how many pods two domains may differ.")
    whenUnsatisfiable: Literal["DoNotSchedule", "ScheduleAnyway"] = Field(
        "DoNotSchedule", description="DoNotSchedule: the pods wait. ScheduleAnyway: it is a preference."
    )
    minDomains: int = Field(1, ge=1, le=MOST, description="With DoNotSchedule: how many domains there must be.")
    nodeAffinityPolicy: Literal["Honor", "Ignore"] = Field(
        "Honor", description="Whether only nodes that nodeSelector and affinity allow count."
    )
    nodeTaintsPolicy: Literal["Honor", "Ignore"] = Field(
        "Ignore", description="Whether only nodes whose taints are tolerated count."
    )


class IpBlock(Part):
    cidr: Cidr = Field(..., description="Range of addresses.", examples=[_EXAMPLE_CIDR])
    excluded: list[Cidr] = Field(
        default_factory=list,
        alias="except",
        description="Ranges within it that are excluded.",
        examples=["10.1.0.0/16"],
    )


def _not_empty(schema: dict[str, Any]) -> None:
    schema.update({"minProperties": 1, KUBERNETES: True, **instead(cidr="write ipBlock: {cidr: 10.0.0.0/8}")})


class Peer(Part):
    model_config = ConfigDict(json_schema_extra=_not_empty)

    ipBlock: IpBlock | None = Field(None, description="Range of addresses.")
    podSelector: LabelSelector | None = Field(None, description="Pods, by their labels.")
    namespaceSelector: LabelSelector | None = Field(None, description="Namespaces, by their labels.")


class Port(Part):
    protocol: Literal["TCP", "UDP", "SCTP"] = Field("TCP", description="Protocol.")
    port: PortNumber | PortName | None = Field(None, description="Number or name of the port; none: all ports.")
    endPort: PortNumber | None = Field(None, description="Last port of a range that begins with port.")


class Egress(Part):
    to: list[Peer] = Field(default_factory=list, description="Allowed targets; none: all.")
    ports: list[Port] = Field(default_factory=list, description="Allowed ports; none: all.")
