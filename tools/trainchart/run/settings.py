"""What a run is, as the chart told its runner."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainchart.cluster import kinds
from trainchart.cluster.fields import Object, parsed, text

if TYPE_CHECKING:
    from trainchart.cluster.api import Api


def settings_of(api: Api, name: str) -> Object:
    """settings.json (docs/runner.md); empty where it is not there."""
    found = api.get(kinds.CONFIG_MAPS, f"{name}-run")
    return parsed(text(found, "data", "settings.json"))
