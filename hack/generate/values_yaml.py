"""The chart's `values.yaml`: every key with its default, below its description as helm-docs reads it (`# -- ...`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

from trainchart.chart.paths import CHART
from trainchart.values.commented_yaml import comment, scalar
from trainchart.values.models import Values
from trainchart.values.models.base import Section, is_map, section_of
from trainchart.values.preset import schema_comment, schema_path
from trainchart.values.reference import defaults

HEADER = """\
The defaults of every run. Generated from the typed values: make generate
`trainchart preset` writes a file to start from; `trainchart docs values` has all keys with their types.
An empty value ("" or null) is not configured: the family's default applies (its family.yaml), else the one here.
"""


def values_yaml_text() -> str:
    """The content of the chart's `values.yaml`."""
    lines = [schema_comment(schema_path(CHART)), *comment(HEADER), "", *value_lines(Values, defaults(Values)), ""]
    return "\n".join(lines)


def value_lines(model: type[Section], values: dict[str, Any], indent: str = "") -> Iterator[str]:
    """The keys of a section, each below its description; at the top level with blank lines around sections."""
    after_section = False
    for number, (key, info) in enumerate(model.model_fields.items()):
        value = values[key]
        section = None if is_map(info.annotation) else section_of(info.annotation)
        if not indent and number and (section or after_section):
            yield ""
        after_section = section is not None
        yield from comment(f"-- {_type(info.annotation, value)}{info.description}", indent)
        if section:
            # Else helm-docs shows the whole section as one default.
            yield f"{indent}# @default -- see its keys"
            yield f"{indent}{key}:"
            yield from value_lines(section, value, f"{indent}  ")
        else:
            yield f"{indent}{key}: {scalar(value)}".rstrip()


def _type(annotation: Any, value: Any) -> str:
    """The type where helm-docs cannot tell it from the default."""
    if value is not None:
        return ""
    return "(int) " if _is_number(annotation) else "(object) "


def _is_number(annotation: Any) -> bool:
    return annotation is int or any(_is_number(part) for part in get_args(annotation))
