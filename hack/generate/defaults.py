"""The chart's defaults as data for its own templates, which cannot read values.yaml.

A null in the user's values takes the default of values.yaml away before any template runs. `files/defaults.yaml` gives it
back, so that null and "" mean the same: not configured. `files/sections.yaml` says in which maps that holds.
"""

from __future__ import annotations

from typing import Any

import yaml

from trainchart.chart.paths import CHART
from trainchart.values.models import Values
from trainchart.values.models.base import Section, is_map, section_of

HEADER = "# Generated from values.yaml, without what is empty there. Made by: make generate\n"

SECTIONS_HEADER = """\
# Generated from the typed values: the maps whose keys are the values' own, so that an empty one is not configured. All others are
# the user's, and are passed on whole. Made by: make generate
"""


def defaults_text() -> str:
    """`files/defaults.yaml`, as it is committed."""
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    return HEADER + yaml.safe_dump(_configured(values), sort_keys=False)


def sections_text() -> str:
    """`files/sections.yaml`, as it is committed."""
    return SECTIONS_HEADER + yaml.safe_dump(_sections(Values), sort_keys=False)


def _sections(model: type[Section]) -> dict[str, Any]:
    """The maps of a section whose keys are the values' own, at every depth; "*" is any name of the user's."""
    found: dict[str, Any] = {}
    for key, info in model.model_fields.items():
        # A family's settings are its own to know, and are all of one depth.
        if key == "train":
            found[key] = {}
        elif section := section_of(info.annotation):
            below = _sections(section)
            found[key] = {"*": below} if is_map(info.annotation) else below
    return found


def _configured(tree: dict[str, Any]) -> dict[str, Any]:
    """What is not empty, at every depth; sections stay, so that templates find each of them."""
    return {
        key: _configured(value) if isinstance(value, dict) else value
        for key, value in tree.items()
        if value is not None and value != ""
    }
