"""The settings of a run, as the chart has passed them to its runner."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainchart.cluster import kinds
from trainchart.cluster.fields import Object, parsed, text

if TYPE_CHECKING:
    from trainchart.cluster.api import Api


def settings_of(api: Api, name: str) -> Object:
    """Return settings.json (docs/runner.md); empty where the ConfigMap does not exist."""
    found = api.get(kinds.CONFIG_MAPS, f"{name}-run")
    return parsed(text(found, "data", "settings.json"))
