"""What the tools know of a family beside its data in the chart."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trainchart.chart.families import Data

if TYPE_CHECKING:
    from trainchart.values.memory import Estimate, Layout
    from trainchart.values.models.base import Section


@dataclass(frozen=True)
class Family:
    """The Python side of a family; `values/models/families/<name>.py` makes one."""

    model: type[Section]
    """The typed model of its `train` section."""
    estimate: Callable[[Data, Layout], Estimate] | None
    """The device memory that one training process needs, from the effective `train` values; None where nobody can
    know."""
    example: Data
    """What its ready-to-run values file holds beside the family's own defaults."""
    notes: Mapping[str, str]
    """Comments for keys of that file, by path; the other keys have their descriptions."""
    train: Data | None = None
    """The `train` section of that file, where it shall not show all the family's defaults."""

    def __post_init__(self) -> None:
        if "accelerator" not in self.example:
            raise ValueError("the example of a family needs an accelerator: its profile and count")
