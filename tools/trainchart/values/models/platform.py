"""The typed values of the chart `charts/platform`. Only `make generate` reads them, for that chart's values.yaml and schema."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from trainchart.values.models.base import Duration, Image, LabelKey, LabelValue, Line, Name, Section
from trainchart.values.models.kubernetes import Toleration
from trainchart.version import __version__


def _require_all(schema: dict[str, Any]) -> None:
    schema["required"] = list(schema["properties"])


class Whole(Section):
    """A section of which every key is there: a null would delete its default, and is refused."""

    model_config = ConfigDict(json_schema_extra=_require_all)


_AMOUNT = r"^[0-9]{1,15}(\.[0-9]{1,9})?(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$"
# Helm prints a larger number with an exponent, which is no quantity.
Amount = Annotated[str, StringConstraints(pattern=_AMOUNT)] | Annotated[float, Field(ge=0.001, lt=1e6)] | Literal[""]
SubjectName = Annotated[Line, StringConstraints(min_length=1, max_length=253)]
Schedule = Annotated[Line, StringConstraints(min_length=1, max_length=100)]


class Submitter(BaseModel):
    model_config = ConfigDict(extra="forbid")

    kind: Literal["ServiceAccount", "User", "Group"] = Field("ServiceAccount", description="Kind of the account.")
    name: SubjectName = Field(..., description="Name of the account.")
    create: bool = Field(False, description="Whether to create this ServiceAccount.")
    secrets: bool = Field(
        True,
        description="Whether it may read and write Secrets, in which Helm keeps releases; without, it cannot use "
        "`helm install`, `trainchart submit` and the templates of engines.",
    )


_SUBMITTERS: Any = [{"name": "trainchart", "create": True}]


class Amounts(Whole):
    cpu: Amount = Field("", description="CPU cores; empty: not set.")
    memory: Amount = Field("", description="Memory; empty: not set.")


class Requests(Amounts):
    cpu: Amount = Field("50m", description="CPU cores; empty: not set.")
    memory: Amount = Field("128Mi", description="Memory; empty: not set.")


class Limits(Amounts):
    memory: Amount = Field("512Mi", description="Memory; empty: not set.")


class StepResources(Whole):
    requests: Requests | None = Field(None, description="What the scheduler reserves.")
    limits: Limits | None = Field(None, description="The most that a step may use.")


class Tekton(Whole):
    enabled: bool = Field(False, description="Whether to install the Task and a Pipeline per family.")
    logs: Literal["combined", "perRank"] = Field(
        "combined",
        description="combined: one task that submits, follows and prints the lines of all pods, with their rank. "
        "perRank: a task per rank that prints its log, beside one that waits.",
    )
    triggerTemplates: bool = Field(
        False, description="Whether to install a TriggerTemplate per family too (Tekton Triggers)."
    )


class Argo(Whole):
    enabled: bool = Field(False, description="Whether to install a WorkflowTemplate per family.")


class Prune(Whole):
    enabled: bool = Field(False, description="Whether a CronJob removes runs that finished a while ago.")
    schedule: Schedule = Field("17 3 * * *", description="When, as cron writes it.", examples=["0 4 * * 0"])
    olderThan: Duration = Field(
        "7d", description="How long ago a run must have finished: a number with s, m, h or d.", examples=["30d"]
    )
    keepFailed: bool = Field(True, description="Whether runs that failed are kept.")


class Platform(Whole):
    image: Image = Field(
        f"trainchart/trainchart:{__version__}",
        description="Image of the trainchart tools, which every step runs; `trainchart docs packaging` says how to build it.",
        examples=["registry.example.com/ml/trainchart:1.0.0"],
    )
    imagePullPolicy: Literal["Always", "IfNotPresent", "Never"] = Field(
        "IfNotPresent", description="When to pull the image."
    )
    imagePullSecrets: list[Name] = Field(
        default_factory=list,
        description="Names of Secrets to pull the image with; ServiceAccounts that the chart creates get them too.",
    )
    submitters: list[Submitter] = Field(
        _SUBMITTERS,
        description="Accounts that may submit, follow and stop runs in this namespace: name, kind (ServiceAccount, "
        "User or Group), create (makes the ServiceAccount), secrets (false: without the right to Secrets). Engines "
        "run as the first ServiceAccount that has it.",
    )
    clusterReader: bool = Field(
        False,
        description="Whether the submitters may read what doctor and status look at in the whole cluster: nodes, "
        "queues, pods.",
    )
    families: list[Name] = Field(default_factory=list, description="Families to install templates for; empty: all.")
    tekton: Tekton | None = Field(None, description="Tekton Pipelines.")
    argo: Argo | None = Field(None, description="Argo Workflows.")
    guard: bool = Field(
        False,
        description="Whether every run gets a small pod that stops it when nobody follows it any more: for engines "
        "that kill a step without a signal (Tekton with keep-pod-on-cancel).",
    )
    prune: Prune | None = Field(None, description="Regular clean-up of finished runs.")
    resources: StepResources | None = Field(None, description="CPU and memory of a step.")
    nodeSelector: dict[LabelKey, LabelValue] = Field(
        default_factory=dict,
        description="Labels of the nodes for Argo's steps and the CronJob; a PipelineRun says its own in "
        "taskRunTemplate.podTemplate.",
    )
    tolerations: list[Toleration] = Field(
        default_factory=list, description="Taints that Argo's steps and the CronJob tolerate; for Tekton as above."
    )
