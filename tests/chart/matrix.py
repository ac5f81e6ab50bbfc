"""Every combination of family, accelerator, workspace and replicas, and the one outcome that is stated for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any

import yaml

from trainchart.files import Tree, load_values, overlay
from trainchart.paths import CHART, LIB

ROOT = CHART.parents[1]
FAMILIES = sorted(path.parent.name for path in LIB.glob("files/families/*/family.yaml"))
PROFILES = sorted(path.stem for path in LIB.glob("files/accelerators/*.yaml"))
WORKSPACES: dict[str, Tree] = {
    "emptyDir": {"type": "emptyDir", "size": "5Gi"},
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
        files = overlay(load_values(ROOT / f"values/{self.family}.yaml"), self._accelerator)
        return overlay(files, {"workspace": WORKSPACES[self.workspace], "replicas": self.replicas})

    @property
    def _accelerator(self) -> Tree:
        """The profile's file; a profile that is refused whatever is asked for has none."""
        if not self.data.get("refused"):
            return load_values(ROOT / f"values/accelerators/{self.profile}.yaml")
        unset = dict.fromkeys(("variant", "corePercent", "memory"))
        return {"accelerator": {"profile": self.profile, "count": 1, **unset}}

    @property
    def refusals(self) -> list[str]:
        """The keys that the chart refuses this cell for; empty when it is admitted."""
        return list(self._refusals())

    def _refusals(self) -> Iterator[str]:
        several = self.replicas > 1
        backend = self.data["backend"]
        if self.data.get("refused") or backend not in self._family["backends"]:
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
def _data(path: str) -> dict[str, Any]:
    data: dict[str, Any] = yaml.safe_load((LIB / "files" / f"{path}.yaml").read_text(encoding="utf-8"))
    return data


CELLS = [Cell(*cell) for cell in product(FAMILIES, PROFILES, WORKSPACES, REPLICAS)]
ADMITTED = [cell for cell in CELLS if not cell.refusals]
REFUSED = [cell for cell in CELLS if cell.refusals]
