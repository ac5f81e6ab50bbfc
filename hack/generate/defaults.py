"""The chart's defaults, from the typed models; and as files for its templates, which cannot read values.yaml.

A null in the user's values deletes the default of values.yaml before any template runs. `files/defaults.yaml` restores
it, so that null and "" mean the same: not configured. `files/sections.yaml` says in which maps that holds.
"""

from __future__ import annotations

from typing import Any, get_args

import yaml

from trainchart.values.models import Values
from trainchart.values.models.base import Section, is_map, section_of

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


def defaults(model: type[Section]) -> dict[str, Any]:
    """Every key of a section with its default, at every depth."""
    return {
        key: _default(info.annotation, info.get_default(call_default_factory=True))
        for key, info in model.model_fields.items()
    }


def _default(annotation: Any, value: Any) -> Any:
    """The default of a key; where it has none, the empty value of its type."""
    if value is not None:
        return value
    if is_map(annotation):
        return {}
    if section := section_of(annotation):
        return defaults(section)
    return "" if _is_text(annotation) else None


def _is_text(annotation: Any) -> bool:
    return annotation is str or any(_is_text(part) for part in get_args(annotation))


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
