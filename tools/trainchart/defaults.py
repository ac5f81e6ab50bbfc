"""The chart's defaults as data for its own templates, which cannot read values.yaml.

A null in the user's values takes the default of values.yaml away before any template runs. `files/defaults.yaml` gives it
back, so that null and "" mean the same: not configured.
"""

from __future__ import annotations

from typing import Any

import yaml

from trainchart.paths import CHART

HEADER = "# Generated from values.yaml, without what is empty there. Made by: make generate\n"


def defaults_text() -> str:
    """`files/defaults.yaml`, as it is committed."""
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    return HEADER + yaml.safe_dump(_configured(values), sort_keys=False)


def _configured(tree: dict[str, Any]) -> dict[str, Any]:
    """What is not empty, at every depth; sections stay, so that templates find each of them."""
    return {
        key: _configured(value) if isinstance(value, dict) else value
        for key, value in tree.items()
        if value is not None and value != ""
    }
