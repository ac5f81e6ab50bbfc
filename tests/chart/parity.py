"""The chart's rules and the runner's own check of its settings, asked about the same text."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from runner import settings
from runner.errors import RunnerError
from tests.chart.accepted import is_accepted
from tests.chart.rules import HAMI, UPLOADED
from tests.runner.conftest import sample_settings
from trainchart.chart.paths import LIB
from trainchart.files import Tree, overlay

PLACES: dict[str, Callable[[str], Tree]] = {
    "model.repository": lambda url: {"model": {"repository": url, "secretName": "of-the-model"}},
    "publish.repository": lambda url: {"publish": {"repository": url}},
    "dataset.endpoint": lambda url: {"dataset": {"type": "s3", "repository": "", "bucket": "b", "endpoint": url}},
    "publish.endpoint": lambda url: {"publish": {"type": "s3", "repository": "", "bucket": "b", "endpoint": url}},
    "publish.prefix": lambda name: {"publish": {**UPLOADED, "prefix": name}},
    "publish.folder": lambda name: {"publish": {**UPLOADED, "folder": name}},
    "mlflow.trackingUri": lambda url: {"mlflow": {"trackingUri": url}},
    "model.revision": lambda name: {"model": {"revision": name}},
    "publish.branch": lambda name: {"publish": {"branch": name}},
}


def chart_accepts(change: Tree) -> bool:
    """Whether the schema and the rules accept the values, as validate and both programs do."""
    return is_accepted(overlay(HAMI, change))


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
