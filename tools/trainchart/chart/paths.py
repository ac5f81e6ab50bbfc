"""The paths of the chart, of the schema for editors and of the pages: in the checkout that these tools run from, or in the wheel.

A wheel has all of them below `bundle/`, in the folders of the repository; pyproject.toml says so.
"""

from __future__ import annotations

from pathlib import Path

BUNDLE = Path(__file__).parents[1] / "bundle"
IS_INSTALLED = BUNDLE.is_dir()
"""Whether these tools were installed from a wheel, and not from a checkout (an editable installation)."""
ROOT = BUNDLE if IS_INSTALLED else Path(__file__).parents[3]
CHART = ROOT / "charts" / "train"
LIB = CHART / "charts" / "lib"
"""The library chart: templates, rules, families, accelerators and runner."""
EDITOR_SCHEMA = ROOT / "values" / "schema.json"
