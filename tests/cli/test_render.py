"""`trainchart render`."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

from tests.values.checks import CPU, YOLOV5
from trainchart.chart.paths import CHART
from trainchart.cli import main as cli


def test_the_objects_are_those_that_helm_would_create(capsys: pytest.CaptureFixture[str], helm: str) -> None:
    options = ["--name", "first", "-n", "team"]
    assert cli.main(["render", str(YOLOV5), "-f", str(CPU), "--set", "train.epochs=7", *options]) == 0
    said = capsys.readouterr().out
    command = [helm, "template", "first", str(CHART), "--no-hooks", "-f", str(YOLOV5), "-f", str(CPU)]
    theirs = subprocess.run(
        [*command, "--set", "train.epochs=7", "-n", "team"], check=True, capture_output=True, text=True
    )
    by_name = [
        sorted((one["kind"], one["metadata"]["name"], one) for one in yaml.load_all(text, yaml.CSafeLoader) if one)
        for text in (said, theirs.stdout)
    ]
    assert by_name[0] == by_name[1] != []


def test_wrong_values_are_refused_as_by_validate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("replicas: 0\n")
    assert cli.main(["render", str(YOLOV5), str(own)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert f"{own}:1:1: error: replicas: 0 is less than 1\n" in said.err
    assert cli.main(["render"]) == 2
    assert capsys.readouterr().err.startswith("trainchart: render: no values are given")
