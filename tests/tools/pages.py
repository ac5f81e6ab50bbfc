"""Pages of the documentation, as a reader copies from them."""

from __future__ import annotations

import re
from typing import Any

import yaml

from tests.chart.matrix import ROOT


def yaml_blocks(page: str) -> list[Any]:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return [yaml.safe_load(block) for block in re.findall(r"^```yaml\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)]
