"""The end-to-end case of each family: its image, what it needs on the git server, and the runs that its tests look at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Values = dict[str, Any]


@dataclass(frozen=True)
class Case:
    image: str
    """A folder of e2e/images/."""
    sources: Mapping[str, Callable[[str], Path]] = field(default_factory=dict)
    """Repository on the git server -> makes its tree, given the image's whole name."""
    results: tuple[str, ...] = ()
    """Repositories that runs push to, empty at first."""
    runs: Mapping[str, Values] = field(default_factory=dict)
    """Run -> what it lays over values/<family>.yaml, values/accelerators/cpu.yaml and e2e/values/<family>.yaml."""
