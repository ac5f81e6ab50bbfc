"""The JSON schema of the values, made from the typed models: the chart's, and `values/schema.json` for editors."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter

from hack.generate.flat import Schema, flat, with_empty
from trainchart.chart.families import profile_names
from trainchart.chart.paths import LIB
from trainchart.values.models import Values
from trainchart.values.models.base import (
    PLAIN,
    Count,
    Empty,
    KeyName,
    LabelKey,
    LabelValue,
    Line,
    Name,
    ObjectName,
    OptionalDuration,
    Percent,
    Quantity,
    ResourceName,
    Section,
    Text,
)
from trainchart.values.models.families import FAMILIES
from trainchart.values.words import ALSO, INSTEAD, PATTERN

DOCUMENTATION = ("description", "examples", ALSO, INSTEAD)
"""Keywords of a single key, which the chart's schema goes without: Helm keeps a copy of it in every release."""

HELM = ("global", LIB.name)
"""What Helm puts into the values of every chart that has a parent or a library."""

_SHARED_TYPES: dict[str, Any] = {
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
"""Types that many keys have: the schema defines each once."""


def schema_text(families: Mapping[str, type[Section]] = FAMILIES) -> str:
    """The chart's `values.schema.json`: shape only."""
    return json.dumps(schema(families, drop=(*DOCUMENTATION, PATTERN)), indent=2) + "\n"


def editor_schema_text() -> str:
    """`values/schema.json`: the same with every key described, and without those that are Helm's own."""
    document = schema()
    for key in HELM:
        del document["properties"][key]
    document["$defs"]["Accelerator"]["properties"]["profile"]["examples"] = profile_names()
    return json.dumps(document, indent=2) + "\n"


def schema(families: Mapping[str, type[Section]] = FAMILIES, *, drop: Sequence[str] = ()) -> Schema:
    """The self-contained JSON schema of the values with the given families, without the keywords in `drop`.

    `train` is open in the model and closed here: `if family is F then train is F's section`.
    """
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
    document = _with_shared_types(with_empty(flat(document, drop)), drop)
    shared = {"description": "Values of a parent chart; not used.", "type": "object"}
    lib = {"type": "object", "properties": {"global": shared}, "additionalProperties": False}
    document["properties"] |= flat({"global": shared, "lib": {"description": "Helm's own; not used.", **lib}}, drop)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **document}


def _with_shared_types(document: Schema, drop: Sequence[str]) -> Schema:
    """The schema with references to _SHARED_TYPES wherever one of them is written out."""
    types = {name: flat(TypeAdapter(kind).json_schema(), drop) for name, kind in _SHARED_TYPES.items()}
    names = {json.dumps(kind, sort_keys=True): name for name, kind in types.items()}

    def refer(node: Any) -> Any:
        if isinstance(node, list):
            return [refer(item) for item in node]
        if not isinstance(node, dict):
            return node
        documentation = {key: node[key] for key in DOCUMENTATION if key in node}
        shape = {key: value for key, value in node.items() if key not in documentation}
        if name := names.get(json.dumps(shape, sort_keys=True)):
            return {"$ref": f"#/$defs/{name}", **documentation}
        return {key: refer(value) for key, value in node.items()}

    referring: Schema = refer(document)
    return {**referring, "$defs": {**types, **referring["$defs"]}}
