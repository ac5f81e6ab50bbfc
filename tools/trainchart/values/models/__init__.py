"""The values of a run, typed; and the chart's JSON schema made of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, TypeAdapter

from trainchart.values.models.accelerator import Accelerator
from trainchart.values.models.base import (
    PLAIN,
    Count,
    Duration,
    Empty,
    Image,
    KeyName,
    LabelKey,
    LabelValue,
    Line,
    Name,
    ObjectName,
    Open,
    OptionalDuration,
    Percent,
    Quantity,
    ResourceName,
    Section,
    Text,
)
from trainchart.values.models.families import FAMILIES
from trainchart.values.models.flat import flat, with_empty
from trainchart.values.models.kubernetes import Affinity, Toleration
from trainchart.values.models.sections import (
    Cache,
    Dataset,
    Git,
    Mlflow,
    NetworkPolicy,
    Publish,
    Resources,
    SecurityContext,
    ServiceAccount,
    Source,
    Tune,
    Workspace,
)

LINE = 120  # characters of a line of the schema

EnvironmentName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]

OF_THE_RUN = r"^(HOME|TERMINATION_LOG|JOB_ATTEMPT|JOB_GROUP|(POD|VC|VK)_.*)$"
"""Environment by which the runner knows which run and pod it is: set by the chart, Volcano's plugins or Kubernetes."""


def _without_those_of_the_run(schema: dict[str, Any]) -> None:
    schema["patternProperties"][OF_THE_RUN] = {"not": {}, "description": "it says which run and pod this is"}


class Values(Section):
    family: str = Field("", description="What to train: a folder of files/families/.")
    image: Image = Field(
        "",
        description="The training image: it has python3, git, git-lfs and the trainer.",
        examples=["registry.example.com/training/yolo:7.0"],
    )
    imagePullPolicy: Literal["Always", "IfNotPresent", "Never"] = Field("IfNotPresent", description="When to pull it.")
    imagePullSecrets: list[Name] = Field(
        default_factory=list, description="Names of Secrets of type kubernetes.io/dockerconfigjson."
    )
    replicas: int = Field(1, ge=1, le=1000, description="Pods of the gang: all of them run, or none.")
    queue: ObjectName = Field("default", description="Volcano queue.")
    priorityClassName: ObjectName = Field(None, description="PriorityClass of the run.")
    retries: int = Field(
        0, ge=0, le=100, description="How often a run that failed for no fault of its user is started again."
    )
    timeLimit: Duration = Field("720h", description="The longest that one attempt may take.", examples=["90m", "72h"])
    ttlAfterFinished: OptionalDuration = Field(
        None,
        description="How long the Job and its pods stay after the end; empty: until the release is uninstalled.",
        examples=["7d"],
    )
    accelerator: Accelerator | None = Field(None, description="The devices of a pod.")
    resources: Resources | None = Field(None, description="Processor and memory of a pod.")
    sharedMemory: Quantity = Field(None, description="Size of /dev/shm; counts as memory of the pod.", examples=["2Gi"])
    workspace: Workspace | None = Field(None, description="Where the run works.")
    git: Git | None = Field(None, description="Credentials and certificates for all repositories.")
    model: Source | None = Field(None, description="The model: sources of the trainer and starting weights.")
    dataset: Dataset | None = Field(None, description="The data to train on.")
    cache: Cache | None = Field(None, description="A volume that keeps sources with `cached: true` for many runs.")
    train: Open | None = Field(None, description="The family's own settings.")
    tune: Tune | None = Field(None, description="A search for better settings: many trainings instead of one.")
    publish: Publish | None = Field(None, description="Where the result goes.")
    mlflow: Mlflow | None = Field(None, description="Tracking of parameters and metrics on an MLflow server.")
    env: Annotated[dict[EnvironmentName, str], Field(json_schema_extra=_without_those_of_the_run)] | None = Field(
        None,
        description="Additional environment of the trainer, its export and the checks of its data; not of the runner and git. "
        "Never for secrets.",
    )
    nodeSelector: dict[LabelKey, LabelValue] | None = Field(
        None, description="Labels of the nodes that may run the pods."
    )
    tolerations: list[Toleration] = Field(default_factory=list, description="Taints that the pods tolerate.")
    affinity: Affinity | None = Field(None, description="Which nodes, and which pods beside them, the pods want.")
    securityContext: SecurityContext | None = Field(None, description="The user of the training process.")
    serviceAccount: ServiceAccount | None = Field(None, description="The account of the pods.")
    networkPolicy: NetworkPolicy | None = Field(None, description="Network isolation of the run.")


def schema(families: dict[str, type[Section]] | None = None, *, drop: Sequence[str] = ()) -> dict[str, Any]:
    """The JSON schema of the values, self-contained, for the given families (by default, the chart's own).

    `drop` are keywords that are left out of it.

    `train` is open in the model and closed here: `if family is F then train is F's section`.
    """
    families = FAMILIES if families is None else families
    document = Values.model_json_schema()
    definitions = document["$defs"]
    branches = []
    for name in sorted(families):
        section = families[name].model_json_schema()
        definitions.update(section.pop("$defs", {}))
        definitions[f"train.{name}"] = section
        train = {"$ref": f"#/$defs/train.{name}"}
        branches.append(
            {
                "if": {"properties": {"family": {"const": name}}, "required": ["family"]},
                "then": {"properties": {"train": train}},
            }
        )
    document["properties"]["family"]["enum"] = ["", *sorted(families)]
    document["allOf"] = [{"$ref": "#/$defs/plain"}, *branches]
    definitions["plain"] = PLAIN
    document = _with_kinds(with_empty(flat(document, drop)))
    # Helm puts these into the values of every chart that has a parent or a library.
    shared = {"description": "Values of a parent chart; not used.", "type": "object"}
    lib = {"type": "object", "properties": {"global": shared}, "additionalProperties": False}
    document["properties"] |= flat({"global": shared, "lib": {"description": "Helm's own; not used.", **lib}}, drop)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **document}


_KINDS: dict[str, Any] = {
    "line": Line,
    "text": Text,
    "flag": bool | Empty,
    "count": Count,
    "percent": Percent,
    "quantity": Quantity,
    "duration": OptionalDuration,
    "objectName": ObjectName,
    "name": Name,
    "labelKey": LabelKey,
    "labelValue": LabelValue,
    "resourceName": ResourceName,
    "keyName": KeyName | Empty,
}
"""Types that many keys have: the schema describes each once."""
_WORDS = ("description", "examples")


def _with_kinds(document: dict[str, Any]) -> dict[str, Any]:
    """References to the types of _KINDS, wherever they are written out."""
    kinds = {name: flat(TypeAdapter(kind).json_schema()) for name, kind in _KINDS.items()}
    names = {json.dumps(kind, sort_keys=True): name for name, kind in kinds.items()}

    def refer(node: Any) -> Any:
        if isinstance(node, list):
            return [refer(item) for item in node]
        if not isinstance(node, dict):
            return node
        words = {key: node[key] for key in _WORDS if key in node}
        name = names.get(json.dumps({key: value for key, value in node.items() if key not in words}, sort_keys=True))
        if name:
            return {"$ref": f"#/$defs/{name}", **words}
        return {key: refer(value) for key, value in node.items()}

    referring: dict[str, Any] = refer(document)
    return {**referring, "$defs": {**kinds, **referring["$defs"]}}


def _text(node: Any, indent: str = "") -> str:
    """JSON with everything short on one line."""
    line = json.dumps(node)
    if len(indent) + len(line) <= LINE or not isinstance(node, (dict, list)) or not node:
        return line
    inner = indent + " "
    if isinstance(node, list):
        lines = [f"{inner}{_text(item, inner)}" for item in node]
    else:
        lines = [f"{inner}{json.dumps(key)}: {_text(value, inner)}" for key, value in node.items()]
    begin, end = "[]" if isinstance(node, list) else "{}"
    return f"{begin}\n" + ",\n".join(lines) + f"\n{indent}{end}"


def schema_text(families: dict[str, type[Section]] | None = None) -> str:
    """The chart's `values.schema.json`: shape alone, for a copy of it is in every release."""
    return _text(schema(families, drop=["description", "examples"])) + "\n"


def editor_schema_text() -> str:
    """`values/schema.json`: the same with every key described, for editors."""
    return _text(schema()) + "\n"
