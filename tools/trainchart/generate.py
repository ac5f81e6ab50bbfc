"""Files of the repository that are made from code; committed, and compared in the tests."""

from __future__ import annotations

from pathlib import Path

from trainchart.render import CHART
from trainchart.values import schema_text


def generated() -> dict[Path, str]:
    """Every generated file with the text it should have."""
    return {CHART / "values.schema.json": schema_text()}
