"""The chart's data files about families and accelerator profiles. Nothing here names one: they are found in the chart's folders."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from trainchart.chart.paths import LIB

Data = Mapping[str, Any]


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
