"""Every combination of family, accelerator, workspace and replicas, and the one outcome that is stated for it.

`make test` tries a sample in which every pair of values that can meet does meet; `make lab` tries the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import groupby, product
from typing import Any, TypeVar

import pytest
import yaml

from tests.pairwise import pairwise
from trainchart.chart.paths import CHART, LIB
from trainchart.files import Tree, load_values, overlay

T = TypeVar("T")

ROOT = CHART.parents[1]
FAMILIES = sorted(path.parent.name for path in LIB.glob("files/families/*/family.yaml"))
PROFILES = sorted(path.stem for path in LIB.glob("files/accelerators/*.yaml"))
WORKSPACES: dict[str, Tree] = {
    "emptyDir": {"type": "emptyDir", "size": "5Gi"},
    "ephemeral": {"type": "ephemeral", "size": "5Gi", "storageClassName": "local"},
    "newClaim": {"type": "newClaim", "size": "5Gi", "accessMode": "ReadWriteOnce"},
    "newSharedClaim": {"type": "newClaim", "size": "5Gi", "accessMode": "ReadWriteMany", "storageClassName": "nfs"},
    "existingClaim": {"type": "existingClaim", "claimName": "data", "accessMode": "ReadWriteOnce"},
    "existingSharedClaim": {"type": "existingClaim", "claimName": "data", "accessMode": "ReadWriteMany"},
}
REPLICAS = (1, 2, 4)


@dataclass(frozen=True)
class Cell:
    family: str
    profile: str
    workspace: str
    replicas: int

    def __str__(self) -> str:
        return f"{self.family}-{self.profile}-{self.workspace}-{self.replicas}"

    @property
    def values(self) -> Tree:
        files = overlay(_file(f"{self.family}.yaml"), _file(f"accelerators/{self.profile}.yaml"))
        return overlay(files, {"workspace": WORKSPACES[self.workspace], "replicas": self.replicas})

    @property
    def refusals(self) -> list[str]:
        """The keys that the chart refuses this cell for; empty when it is admitted."""
        return list(self._refusals())

    def _refusals(self) -> Iterator[str]:
        several = self.replicas > 1
        backend = self.data["backend"]
        if several and self.data.get("scheduler"):
            yield "replicas"
        if backend not in self._family["backends"]:
            yield "accelerator.profile"
        most = self._family.get("maxReplicas") or self.replicas
        if self.replicas > most or (several and backend not in self._family["multiProcessBackends"]):
            yield "replicas"
        if several and WORKSPACES[self.workspace].get("accessMode") == "ReadWriteOnce":
            yield "workspace.accessMode"
        if backend == "cpu":
            train = self.values["train"]
            yield from (key for key in self._family.get("acceleratorOnly", []) if train.get(key.removeprefix("train.")))

    @property
    def data(self) -> dict[str, Any]:
        """The profile's."""
        return _data(f"accelerators/{self.profile}")

    @property
    def _family(self) -> dict[str, Any]:
        return _data(f"families/{self.family}/family")


@cache
def _file(path: str) -> Tree:
    """A values file, read once; `overlay` leaves it as it is."""
    return load_values(ROOT / "values" / path)


@cache
def _data(path: str) -> dict[str, Any]:
    data: dict[str, Any] = yaml.safe_load((LIB / "files" / f"{path}.yaml").read_text(encoding="utf-8"))
    return data


CELLS = [Cell(*cell) for cell in product(FAMILIES, PROFILES, WORKSPACES, REPLICAS)]
ADMITTED = [cell for cell in CELLS if not cell.refusals]
REFUSED = [cell for cell in CELLS if cell.refusals]


def sampled(cells: list[Cell]) -> list[Cell]:
    return pairwise(cells, lambda cell: (cell.family, cell.profile, cell.workspace, cell.replicas))


def groups(cells: list[Cell]) -> list[Any]:
    """Parameters of a test, each a list of cells: a sample by family; the others, which only `make lab` tries, by family
    and accelerator. A test for each cell would cost more than what it tests.
    """
    sample = sampled(cells)
    rest = [cell for cell in cells if cell not in sample]
    return [
        *(pytest.param(list(found), id=family) for family, found in groupby(sorted(sample, key=of_family), of_family)),
        *(
            pytest.param(list(found), id=f"{family}-{profile}", marks=pytest.mark.lab)
            for (family, profile), found in groupby(rest, lambda cell: (cell.family, cell.profile))
        ),
    ]


def of_family(cell: Cell) -> str:
    return cell.family


def for_each(cells: Iterable[T], check: Callable[[T], object]) -> None:
    """Check all of them; each that fails is named, and the first failure told in full."""
    failures = {str(cell): error for cell in cells if (error := _failure(cell, check))}
    if failures:
        raise AssertionError(f"fails for {', '.join(failures)}") from next(iter(failures.values()))


def _failure(cell: T, check: Callable[[T], object]) -> BaseException | None:
    try:
        check(cell)
    except (Exception, pytest.fail.Exception) as error:  # the latter, of pytest.raises, is no Exception
        return error
    return None
