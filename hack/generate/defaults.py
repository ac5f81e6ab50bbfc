"""The chart's defaults, from the typed models; and as files for its templates, which cannot read values.yaml.

A null in the user's values deletes the default of values.yaml before any template runs. `files/defaults.yaml` restores
it, so that null and "" mean the same: not configured. `files/sections.yaml` says in which maps that holds.
"""

from __future__ import annotations

from typing import Any

import yaml

from trainchart.values.models import Values
from trainchart.values.models.base import Section, is_map, section_of
from trainchart.values.reference import defaults

DEFAULTS_HEADER = "# The defaults of values.yaml without the empty ones. Generated: make generate\n"

SECTIONS_HEADER = """\
# The maps whose keys the chart defines, in which an empty value is not configured; "*" is any name that the user chose.
# All other maps are passed on as they are. Generated: make generate
"""


def defaults_text() -> str:
    """The content of `files/defaults.yaml`."""
    return DEFAULTS_HEADER + yaml.safe_dump(_configured(defaults(Values)), sort_keys=False)


def sections_text() -> str:
    """The content of `files/sections.yaml`."""
    return SECTIONS_HEADER + yaml.safe_dump(_sections(Values), sort_keys=False)


def _sections(model: type[Section]) -> dict[str, Any]:
    """The sections of a section, at every depth."""
    found: dict[str, Any] = {}
    for key, info in model.model_fields.items():
        # A family's own settings have no sections.
        if key == "train":
            found[key] = {}
        elif section := section_of(info.annotation):
            below = _sections(section)
            found[key] = {"*": below} if is_map(info.annotation) else below
    return found


def _configured(tree: dict[str, Any]) -> dict[str, Any]:
    """The values that are not empty, at every depth. Sections stay, so that templates find each of them."""
    return {
        key: _configured(value) if isinstance(value, dict) else value
        for key, value in tree.items()
        if value is not None and value != ""
    }
