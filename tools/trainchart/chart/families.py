"""The chart's families and accelerator profiles, as found in its folders."""

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
    """The content of a family's `family.yaml`."""
    return _data(f"families/{name}/family.yaml")


@cache
def profile_data(name: str) -> Data:
    """The content of a profile's file in `files/accelerators/`."""
    return _data(f"accelerators/{name}.yaml")


@cache
def local_profile() -> tuple[str, Data]:
    """The profile whose devices a run may use on a machine without a cluster, and how they are found there: `runtime` of Docker,
    `device` of Podman, `file` of the driver.
    """
    return next((name, profile_data(name)["local"]) for name in profile_names() if "local" in profile_data(name))


def _data(path: str) -> Data:
    import yaml

    data: Data = yaml.safe_load((LIB / "files" / path).read_text(encoding="utf-8"))
    return data
