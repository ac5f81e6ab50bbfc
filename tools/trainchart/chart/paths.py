"""Where the chart lies, and the schema that editors read: in the checkout these tools run from, or inside the installed package.

A wheel holds both below `bundle/`, in the folders of the repository; setup.py puts them there, and git has no copy of them.
"""

from __future__ import annotations

from pathlib import Path

BUNDLE = Path(__file__).parents[1] / "bundle"
IS_INSTALLED = BUNDLE.is_dir()
"""Whether these tools were installed from a wheel; else they run from a checkout, as in an editable installation."""
ROOT = BUNDLE if IS_INSTALLED else Path(__file__).parents[3]
CHART = ROOT / "charts" / "train"
LIB = CHART / "charts" / "lib"
"""Where the chart's templates, rules, families, accelerators and runner lie."""
EDITOR_SCHEMA = ROOT / "values" / "schema.json"
