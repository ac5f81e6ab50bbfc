"""A chart by `helm template` as users run it, the check of the schema included."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import yaml

from trainchart.chart.paths import CHART
from trainchart.errors import RenderError
from trainchart.files import Tree


def render_by_helm(values: Tree, *, helm: str, chart: Path = CHART) -> list[dict[str, Any]]:
    """The objects of the release `run-42` in the namespace `training`.

    Raises:
        RenderError: Helm refused the values; its text is what Helm prints.
    """
    command = [helm, "template", "run-42", str(chart), "--namespace", "training", "--values", "-"]
    process = subprocess.run(
        command, input=yaml.safe_dump(values), capture_output=True, text=True, timeout=60, check=False
    )
    if process.returncode:
        raise RenderError(process.stderr.strip())
    return [manifest for manifest in yaml.safe_load_all(process.stdout) if manifest]
