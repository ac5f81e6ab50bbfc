"""How large a release is in the cluster: Helm's record of it, as Helm packs it. The end-to-end tests hold this against a real one."""

from __future__ import annotations

import base64
import gzip
import json

import pytest
import yaml

from tests.chart.matrix import CHART, FAMILIES, ROOT
from trainchart.files import Tree, load_values
from trainchart.render import render_text

# 64 KiB, less what a real record has besides: times, Helm's order of the keys. Measured: 0.9 kB.
BOUND = 63 * 1024


def record_bytes(values: Tree) -> int:
    """The bytes of the Secret's entry: JSON of the chart (without its library), the values and what was rendered, packed."""
    texts = render_text(values)
    notes, check = texts.pop("NOTES.txt"), texts.pop("tests/check.yaml")
    manifest = "".join(f"---\n# Source: train/templates/{path}\n{text}" for path, text in sorted(texts.items()))
    own = [
        path for path in sorted(CHART.rglob("*")) if path.is_file() and "charts" not in path.relative_to(CHART).parts
    ]
    named = {str(path.relative_to(CHART)): base64.b64encode(path.read_bytes()).decode() for path in own}
    apart = {"Chart.yaml", "values.yaml", "values.schema.json"}
    files = [{"name": name, "data": data} for name, data in named.items() if name not in apart]
    chart = {
        "metadata": yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8")),
        "templates": [file for file in files if file["name"].startswith("templates/")],
        "values": yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8")),
        "schema": named["values.schema.json"],
        "files": [file for file in files if not file["name"].startswith("templates/")],
    }
    hook = {"name": "run-42-check", "kind": "Pod", "path": "train/templates/tests/check.yaml", "manifest": check}
    info = {"status": "deployed", "description": "Install complete", "notes": notes}
    record = {"name": "run-42", "info": info, "chart": chart, "config": values, "manifest": manifest, "hooks": [hook]}
    return len(base64.b64encode(gzip.compress(json.dumps(record).encode(), 9)))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_release_is_small(family: str) -> None:
    assert record_bytes(load_values(ROOT / f"values/{family}.yaml")) < BOUND
