"""What the tools know of a family, and the chart's data files about families and accelerator profiles.

Nothing here names a family or a profile: they are found in the chart's folders, and in `trainchart.values.families`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from trainchart.paths import LIB

if TYPE_CHECKING:
    from trainchart.estimate import Estimate, Layout
    from trainchart.values.base import Section

Data = Mapping[str, Any]


@dataclass(frozen=True)
class Family:
    """The Python side of a family; `values/families/<name>.py` makes one."""

    model: type[Section]
    """The typed model of its `train` section."""
    estimate: Callable[[Data, Layout], Estimate] | None
    """The device memory that one training process needs, from the effective `train` values; None where nobody can know."""
    example: Data
    """What its ready-to-run values file holds beside the family's own defaults."""
    notes: Mapping[str, str]
    """Comments for keys of that file, by path; the other keys have their descriptions."""
    train: Data | None = None
    """The `train` section of that file, where it shall not show all the family's defaults."""


def family_names() -> list[str]:
    return sorted(path.parent.name for path in LIB.glob("files/families/*/family.yaml"))


def profile_names() -> list[str]:
    return sorted(path.stem for path in LIB.glob("files/accelerators/*.yaml"))


@cache
def family_data(name: str) -> Data:
    """`family.yaml` of a family."""
    return _data(f"families/{name}/family.yaml")


@cache
def profile_data(name: str) -> Data:
    """The data of an accelerator profile."""
    return _data(f"accelerators/{name}.yaml")


def _data(path: str) -> Data:
    import yaml

    data: Data = yaml.safe_load((LIB / "files" / path).read_text(encoding="utf-8"))
    return data
