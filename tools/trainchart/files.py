"""Values files: read, and laid over each other as Helm does it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

Tree = dict[str, Any]


def load_values(*paths: Path) -> Tree:
    """The values of several files, later ones over earlier ones: `helm install -f first -f second`."""
    values: Tree = {}
    for path in paths:
        values = overlay(values, yaml.safe_load(path.read_text(encoding="utf-8")) or {})
    return values


def overlay(below: Mapping[str, Any], above: Mapping[str, Any]) -> Tree:
    """Maps are merged, everything else of `above` replaces what is below it; a null stays, and means "not configured"."""
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        merged[key] = overlay(under, value) if isinstance(value, dict) and isinstance(under, dict) else value
    return merged
