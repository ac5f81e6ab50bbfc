"""What a kept run costs the cluster's store: Helm's record of the release, as Helm packs it, and the run's ConfigMap.

The end-to-end tests hold the record against a real one.
"""

from __future__ import annotations

import base64
import gzip
import json

import pytest
import yaml

from tests.chart.matrix import FAMILIES, ROOT
from trainchart.chart.families import family_data
from trainchart.chart.paths import CHART
from trainchart.chart.render import render, render_text
from trainchart.files import Tree, load_values, overlay

# Half a mebibyte was the aim, and what clusters ask of a run (ssh, identities, meshes, results in object stores) does not fit into it with
# programs that can be read. A ConfigMap may have 1 MiB; `trainchart prune` keeps the number of records down.
BOUND = 640 * 1024
EVERYTHING: Tree = {
    "model": {"type": "s3", "bucket": "models", "endpoint": "https://s3.example.com", "cached": True},
    "dataset": {"cached": True},
    "cache": {"claimName": "cache"},
    "mlflow": {"trackingUri": "https://mlflow.example.com"},
    "networkPolicy": {"enabled": True},
    "workspace": {"type": "newClaim", "accessMode": "ReadWriteMany"},
    "retries": 3,
}
"""What adds programs or objects to any family's run."""
SEARCH: Tree = {"tune": {"trials": 4, "metric": "loss", "space": {"lr0": {"low": 0.001, "high": 0.1}}}}


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


def config_map_bytes(values: Tree) -> int:
    (run,) = [each for each in render(values) if each["kind"] == "ConfigMap"]
    return sum(len(key) + len(text.encode()) for key, text in run["data"].items())


UPLOADED: Tree = {"type": "s3", "repository": "", "bucket": "models", "endpoint": "https://s3.example.com"}


@pytest.mark.parametrize("publish", [{}, UPLOADED], ids=["git", "s3"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_run_with_everything_switched_on_costs_little_of_the_cluster_s_store(family: str, publish: Tree) -> None:
    data = family_data(family)
    values = overlay(load_values(ROOT / f"values/{family}.yaml"), EVERYTHING)
    values["publish"].update(publish)
    values["model"].pop("repository", None)
    values["model"].pop("revision", None)
    if data.get("tunable"):
        values = overlay(values, SEARCH)
    if data.get("maxReplicas") != 1:
        values = overlay(values, {"replicas": 2})
    assert record_bytes(values) + config_map_bytes(values) < BOUND
