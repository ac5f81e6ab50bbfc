"""What all sections of the values share: closed objects, and the types that a value may have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from trainchart.values.characters import LINE, LINES
from trainchart.values.words import MUST_BE, PATTERN, must_be


@dataclass(frozen=True)
class Named:
    """Marks a key that is also a parameter of platforms' pipelines, with its name there: see `values/parameters.py`.

    On a section, `{}` in the name stands for the names in the section: `model` has MODEL_{}, and its `repository` REPO_URL.
    """

    name: str
    required: bool = False
    default: str | None = None
    """What pipelines have as the default; None: what the family's ready-to-run file has."""
    below: str = ""
    """A path below this folder of the pod is a path in the run's folder."""
    description: str = ""
    """Instead of the key's own."""


class Section(BaseModel):
    """A map of values that refuses unknown keys. Every key may be left out, and then has its default."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)


Empty = Literal[""] | None
"""`--set key=` and `key:` both mean "not configured"."""

PLAIN: dict[str, Any] = {
    "pattern": LINES,
    PATTERN: f"{MUST_BE}text without control characters",
    "propertyNames": {"$ref": "#/$defs/line"},
    "additionalProperties": {"$ref": "#/$defs/plain"},
    "items": {"$ref": "#/$defs/plain"},
}
"""Schema of any value, at every depth: no control characters in strings and keys. Each keyword applies to its own
type of value."""

Line = Annotated[str, StringConstraints(pattern=LINE), Field(json_schema_extra=must_be("one line of text"))]
Text = Line | None

MOST = 2**31 - 1
"""The largest number that every reader of settings and objects accepts."""

Count = Annotated[int, Field(ge=1, le=MOST)] | Empty
Percent = Annotated[int, Field(ge=1, le=100)] | Empty

Quantity = (
    Annotated[
        str,
        StringConstraints(pattern=r"^[0-9]{1,15}(\.[0-9]{1,9})?(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$"),
        Field(
            json_schema_extra=must_be(
                "a quantity: a number and, without a blank, none or one of m, k, M, G, T, Ki, Mi, Gi, Ti"
            )
        ),
    ]
    # A number in the range that is written without an exponent, which the chart does not accept.
    | Annotated[float, Field(ge=0.001, le=1e15)]
    | Empty
)
"""A Kubernetes quantity, such as 500m, 2, 512Mi or 20Gi."""

_DURATION = Field(json_schema_extra=must_be("a duration: one whole number and s, m, h or d"))
Duration = Annotated[
    str,
    StringConstraints(pattern=r"^[1-9][0-9]{0,5}[smhd]$"),
    Field(json_schema_extra=must_be("a duration: one whole number above 0 and s, m, h or d")),
]

OptionalDuration = Annotated[str, StringConstraints(pattern=r"^(0|[1-9][0-9]{0,5})[smhd]$"), _DURATION] | Empty
"""A duration, which may be 0."""

_NAME = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
Name = Annotated[
    str,
    StringConstraints(pattern=rf"^{_NAME}(\.{_NAME})*$", max_length=253),
    Field(json_schema_extra=must_be("the name of an object: a-z, 0-9, '-' and '.'")),
]
"""The name of an object in the cluster."""

ObjectName = Name | Empty

Bucket = (
    Annotated[
        str,
        StringConstraints(pattern=r"^[A-Za-z0-9][-A-Za-z0-9._:]*$", max_length=255),
        Field(json_schema_extra=must_be("the name of a bucket, without s3:// and folders")),
    ]
    | Empty
)

_LABEL = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
LabelKey = Annotated[
    str,
    StringConstraints(pattern=rf"^({_NAME}(\.{_NAME})*/)?{_LABEL}$", max_length=317),
    Field(json_schema_extra=must_be("the key of a label, such as example.com/gpu: letters, digits, '-', '_' and '.'")),
]
LabelValue = Annotated[
    str,
    StringConstraints(pattern=r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$", max_length=63),
    Field(json_schema_extra=must_be("the value of a label: letters, digits, '-', '_' and '.'")),
]

EXTENDED_RESOURCE = rf"^{_NAME}(\.{_NAME})*/{_LABEL}$"
ResourceName = (
    Annotated[
        str,
        StringConstraints(pattern=EXTENDED_RESOURCE, max_length=253),
        Field(json_schema_extra=must_be("the resource of a device plugin, such as vendor.example.com/gpu")),
    ]
    | Empty
)

_HOST = r"([A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?|\[[0-9A-Fa-f:]+\])(:[0-9]+)?/"
_PART = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*"
Image = Annotated[
    str,
    StringConstraints(
        pattern=rf"^({_HOST})?{_PART}(/{_PART})*(:[A-Za-z0-9_][-A-Za-z0-9_.]*)?(@[a-z0-9]+:[0-9a-f]+)?$",
        max_length=1000,
    ),
    Field(json_schema_extra=must_be("the name of an image: HOST/PATH:TAG in lower case, without https:// and blanks")),
]
"""A reference to an image: host, path in lower case, tag, digest."""

KeyName = Annotated[
    str,
    StringConstraints(pattern=r"^\.?[-_a-zA-Z0-9][-._a-zA-Z0-9]*$", max_length=253),
    Field(json_schema_extra=must_be("the key of a Secret or ConfigMap: letters, digits, '-', '_' and '.'")),
]
"""A key of a Secret or ConfigMap, which is the name of a file in the pod: it begins with at most one dot."""

Device = Line | Annotated[int, Field(ge=0)] | None
"""Devices of a pod, as trainers take them: 0 or 0,1 or cpu."""

Open = dict[str, Any]
"""A map that is passed on as it is."""


def section_of(annotation: Any) -> type[Section] | None:
    """The section in an annotation such as `Git | None`; an entry of a list is none."""
    if get_origin(annotation) is list:
        return None
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next((found for part in get_args(annotation) if (found := section_of(part))), None)


def entry_of(annotation: Any) -> type[BaseModel] | None:
    """The model of the entries of a list such as `list[Volume]`."""
    (entry, *_) = get_args(annotation) if get_origin(annotation) is list else (None,)
    return entry if isinstance(entry, type) and issubclass(entry, BaseModel) else None


def is_map(annotation: Any) -> bool:
    """Whether an annotation is a map whose keys the user chooses."""
    return get_origin(annotation) is dict or any(is_map(part) for part in get_args(annotation))
