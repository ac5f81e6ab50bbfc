"""The end-to-end case of each family: its image, what it needs on the git server, and the runs that its tests look at.

A module here is the case of the family of its name, with `_` for `-`. It imports the standard library and e2e/ alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from e2e.cluster.docker import image_name

Values = dict[str, Any]

QUICK = ("yolov5", "allreduce")
"""The cases of `make e2e`. All others are slow, and run by `make e2e-all`."""

CLAIM = "shared"
SHARED: Values = {"workspace": {"type": "existingClaim", "claimName": CLAIM, "accessMode": "ReadWriteMany"}}
"""A workspace that outlives the run's pods, in the folder kind.SHARED of the node."""

UNSET_DEVICE: Values = dict.fromkeys(("count", "corePercent", "memory"))
"""For a reference document, which asks for a GPU that there is not."""

SESSION = "{session}"
"""Stands for the test session's id in the texts of a run: a name that no other session uses."""


@dataclass(frozen=True)
class Case:
    image: str
    """A folder of e2e/images/."""
    sources: Mapping[str, Callable[[str], Path]] = field(default_factory=dict)
    """Repository on the git server -> makes its tree, given the image's whole name."""
    results: tuple[str, ...] = ()
    """Repositories that runs push to, empty at first."""
    runs: Mapping[str, Values] = field(default_factory=dict)
    """Run -> what it lays over the family's values files (`value_files` in e2e/runs.py). In a slow case, the run
    `happy` of the family `x` is called `x-happy` by its tests.
    """
    family: str = ""
    """The family of its runs, where it is not the one that the module is named after."""
    reference: str = ""
    """A folder of tests/references/, whose values file its runs lie over instead of values/<family>.yaml."""

    @property
    def image_name(self) -> str:
        return image_name(self.image)


def load(names: Iterable[str] = ()) -> dict[str, Case]:
    """The named cases, or all: the quick ones first, as their tests go first."""
    modules = {path.stem.replace("_", "-"): path.stem for path in sorted(Path(__file__).parent.glob("[a-z]*.py"))}
    wanted = set(names) or modules.keys()
    if unknown := sorted(wanted - modules.keys()):
        raise LookupError(f"there is no case {', '.join(unknown)} in e2e/cases/; there are {', '.join(modules)}")
    order = [*QUICK, *(name for name in modules if name not in QUICK)]
    return {name: import_module(f"{__name__}.{modules[name]}").CASE for name in order if name in wanted}


def run_name(case: str, run: str) -> str:
    """What the tests call a run, and how its release's name begins."""
    return run if case in QUICK else f"{case}-{run}"


def named(values: Any, session: str) -> Any:
    """The same values, with the session's id in them."""
    if isinstance(values, str):
        return values.replace(SESSION, session)
    if isinstance(values, dict):
        return {key: named(value, session) for key, value in values.items()}
    return [named(value, session) for value in values] if isinstance(values, list) else values
