"""The chart's rules and the runner's own check of its settings, asked about the same text."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from runner import settings
from runner.errors import RunnerError
from tests.chart.rules import HAMI
from tests.runner.conftest import sample_settings
from trainchart.chart.paths import CHART, LIB
from trainchart.chart.render import render, with_defaults
from trainchart.errors import RenderError
from trainchart.files import Tree, overlay
from trainchart.values.schema_errors import violations

PLACES: dict[str, Callable[[str], Tree]] = {
    "model.repository": lambda url: {"model": {"repository": url}},
    "publish.repository": lambda url: {"publish": {"repository": url}},
    "dataset.endpoint": lambda url: {"dataset": {"type": "s3", "repository": "", "bucket": "b", "endpoint": url}},
    "mlflow.trackingUri": lambda url: {"mlflow": {"trackingUri": url}},
    "model.revision": lambda name: {"model": {"revision": name}},
    "publish.branch": lambda name: {"publish": {"branch": name}},
}


def chart_accepts(change: Tree) -> bool:
    """Whether the schema and the rules accept the values, as validate and both programs do."""
    values = overlay(HAMI, change)
    if violations(with_defaults(values), CHART / "values.schema.json"):
        return False
    try:
        render(values)
    except RenderError:
        return False
    return True


def runner_accepts(change: Tree, folder: Path) -> bool:
    """Whether the runner starts with these settings."""
    told = overlay(sample_settings(), change)
    (folder / "settings.json").write_text(json.dumps(told))
    shutil.copy(LIB / "files/pod.json", folder)
    try:
        settings.load(folder)
    except RunnerError:
        return False
    return True
