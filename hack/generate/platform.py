"""What is made for the chart `charts/platform`: its values.yaml, its schema, its reference, and the parameters of the families."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from pydantic import TypeAdapter

from hack.generate.flat import Schema, flat
from hack.generate.reference import table, value_rows
from hack.generate.values_yaml import value_lines
from hack.generate.versions import chart_text
from trainchart.chart.paths import ROOT
from trainchart.values.commented_yaml import comment
from trainchart.values.models.base import PLAIN, Line
from trainchart.values.models.families import FAMILIES
from trainchart.values.models.kubernetes import KUBERNETES
from trainchart.values.models.platform import Platform, Submitter
from trainchart.values.parameters import Parameter, parameters
from trainchart.values.preset import schema_comment
from trainchart.values.reference import defaults, values_in

CHART = ROOT / "charts/platform"

_HEADER = """\
What a namespace gets to run trainchart. Generated from the typed values: make generate
`trainchart docs platform-values` has all keys with their types, `trainchart docs engines` how the chart is used.
"""

_INTRODUCTION = """\
<!-- Generated from tools/trainchart/values/models/platform.py: make generate -->
# Values of the platform chart

One release of `charts/platform` prepares one namespace: rights, templates for engines, clean-up. [engines.md](engines.md) shows how
to use it. Keys that are not listed here are refused, and so is null.
"""


def platform() -> dict[Path, str]:
    """The text of every generated file of the chart and of its documentation, by its path."""
    return {
        CHART / "Chart.yaml": chart_text(CHART / "Chart.yaml"),
        CHART / "values.yaml": _values_text(),
        CHART / "values.schema.json": json.dumps(platform_schema(), indent=2) + "\n",
        CHART / "files/parameters.json": _parameters_text(),
        ROOT / "docs/platform-values.md": _reference_text(),
    }


def _values_text() -> str:
    lines = value_lines(Platform, defaults(Platform))
    return "\n".join([schema_comment("values.schema.json"), *comment(_HEADER), "", *lines, ""])


def platform_schema() -> Schema:
    """The self-contained schema of the chart's values, closed at every level; every key has to be there."""
    document = flat(Platform.model_json_schema())
    definitions = document["$defs"]
    for definition in definitions.values():
        definition.pop(KUBERNETES, None)
    definitions |= {"plain": PLAIN, "line": flat(TypeAdapter(Line).json_schema())}
    document["properties"]["global"] = {"description": "Values of a parent chart; not used.", "type": "object"}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "allOf": [{"$ref": "#/$defs/plain"}], **document}


def _reference_text() -> str:
    return "\n".join([_INTRODUCTION, *_reference()])


def _reference() -> Iterator[str]:
    head = ["Key", "Type", "Default", "Description"]
    yield from table(head, list(value_rows(values_in(Platform, Platform.model_json_schema(), defaults(Platform)))))
    yield "## Keys of a submitter\n"
    yield from table(head, list(value_rows(values_in(Submitter, Submitter.model_json_schema(), None))))


def _parameters_text() -> str:
    """The parameters of each family's Pipeline and WorkflowTemplate: those that have no default have to be given."""
    families = {name: [_parameter(parameter) for parameter in parameters(name)] for name in FAMILIES}
    return json.dumps(families, indent=2) + "\n"


def _parameter(parameter: Parameter) -> dict[str, str]:
    default = {} if parameter.default is None else {"default": parameter.default}
    return {"name": parameter.name, "description": parameter.description, **default}
