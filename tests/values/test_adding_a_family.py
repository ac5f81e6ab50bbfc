"""docs/adding-a-family.md, done in a copy of the repository: four places, `generate`, and nothing else touched."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.chart.matrix import ROOT

pytestmark = pytest.mark.lab

PARTS = ("charts", "deploy", "docs", "e2e", "hack", "tests", "tools", "values", "pyproject.toml", "README.md")
FOLDER = "charts/train/charts/lib/files/families/toy-net"

PLACES = {
    f"{FOLDER}/family.yaml": """
title: Toynet
summary: a toy
task: other
framework: pytorch
launcher: python
backends: [cpu, cuda]
multiProcessBackends: [cuda]
globalBatch: train.batchSize
requires: [model, publish]
maxReplicas: 2
maxReplicasReason: it is a toy
requiredSettings: [train.layers]
defaults:
  train:
    layers: 2
    batchSize: 4
""",
    f"{FOLDER}/hooks.py": """
def train_arguments(context):
    return ["train.py", "--layers", context.train["layers"], "--output", context.output]


def train_environment(context):
    return {}


def metrics(context):
    return []


def layout(context, shapes):
    (context.artifacts / "model.pt").write_bytes((context.output / "model.pt").read_bytes())
""",
    "tools/trainchart/values/models/families/toy_net.py": '''
"""Family toy-net: for the guide."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from trainchart.values.memory import Estimate, Layout
from trainchart.values.models.family import Family
from trainchart.values.models.base import Count, Section


class ToyNet(Section):
    layers: Count = Field(None, description="Layers.", examples=[2])
    batchSize: Count = Field(None, description="Records per step, of all processes together.", examples=[4])


def estimate(train: Mapping[str, Any], layout: Layout) -> Estimate:
    parameters = 4 * 1000 * int(train["layers"])
    return Estimate("a toy", parameters, parameters, parameters, 0, int(train["batchSize"]) // layout.processes)


FAMILY = Family(
    model=ToyNet,
    estimate=estimate,
    example={
        "image": "registry.example.com/training/toy:1.0",
        "git": {"secretName": "git-credentials"},
        "model": {"repository": "https://git.example.com/team/toy.git"},
        "publish": {"repository": "https://git.example.com/team/toy-trained.git"},
        "accelerator": {"profile": "nvidia", "count": 1},
        "resources": {"requests": {"cpu": "1", "memory": "8Gi"}, "limits": {"cpu": "8", "memory": "20Gi"}},
    },
    notes={"model": "The sources of the toy."},
)
''',
    "e2e/values/toy-net.yaml": """
image: trainchart/toy-cpu:3
train: {layers: 1}
""",
    "e2e/cases/toy_net.py": """
from pathlib import Path

from e2e.cases import Case

CASE = Case(image="toy-cpu", sources={"toy": lambda image: Path()}, results=("toy-trained",))
""",
    "e2e/test_toy_net.py": "",
    "e2e/images/toy-cpu/Dockerfile": "FROM scratch\n",
}
GENERATED = {"values/toy-net.yaml"}
REWRITTEN = {
    "charts/train/values.schema.json",
    "charts/platform/files/parameters.json",
    "values/schema.json",
    "docs/values.md",
    "README.md",
}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository with the family in it, generated."""
    root = tmp_path_factory.mktemp("repository")
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, root / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(ROOT / part, root / part)
    for path, text in PLACES.items():
        assert not (root / path).exists()
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text.lstrip("\n"), encoding="utf-8")
    done = python(root, "-m", "hack.generate")
    assert done.returncode == 0, done.stderr
    return root


def trainchart(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return python(root, "-m", "trainchart", *arguments)


def python(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": f"{root / 'tools'}{os.pathsep}{root}"}
    return subprocess.run([sys.executable, *arguments], cwd=root, env=environment, capture_output=True, text=True)


def files(root: Path) -> dict[str, bytes]:
    found = [path for part in PARTS for path in [root / part, *(root / part).rglob("*")] if path.is_file()]
    return {str(path.relative_to(root)): path.read_bytes() for path in found if "__pycache__" not in path.parts}


def test_nothing_but_its_places_and_the_generated_files_is_touched(copy: Path) -> None:
    before, after = files(ROOT), files(copy)
    assert after.keys() - before.keys() == PLACES.keys() | GENERATED
    assert before.keys() <= after.keys()
    assert {path for path, content in before.items() if after[path] != content} == REWRITTEN


def test_a_family_without_its_model_is_named(copy: Path) -> None:
    model = copy / "tools/trainchart/values/models/families/toy_net.py"
    away = model.rename(copy / "toy_net.py")
    done = python(copy, "-m", "hack.generate", "--check")
    away.rename(model)
    assert done.returncode == 1
    assert "family toy-net has no typed model; write tools/trainchart/values/models/families/toy_net.py" in done.stderr


def test_its_values_are_admitted_and_its_own_rules_are_kept(copy: Path) -> None:
    run = ("validate", "values/toy-net.yaml", "values/accelerators/cpu.yaml")
    admitted = trainchart(copy, *run, "e2e/values/toy-net.yaml")
    assert admitted.returncode == 0, admitted.stdout + admitted.stderr
    wrong = {"replicas": 3, "train": {"layers": 0, "depth": 1}}
    (copy / "wrong.yaml").write_text(yaml.safe_dump(wrong), encoding="utf-8")
    refused = trainchart(copy, *run, "wrong.yaml")
    (copy / "wrong.yaml").unlink()
    assert refused.returncode == 2
    for words in (
        "train.layers: 0 is less than 1",
        "train.depth: unknown key",
        "replicas: 3 is more than Toynet can use: it is a toy",
    ):
        assert words in refused.stdout, refused.stdout


def test_the_tools_write_its_values_file_and_estimate_it(copy: Path) -> None:
    made = trainchart(copy, "preset", "toy-net", "--accelerator", "nvidia", "--gpu-memory", "8Gi")
    assert made.returncode == 0, made.stderr
    assert yaml.safe_load(made.stdout)["train"] == {"layers": 2, "batchSize": 4}
    assert "memory: needs about" in made.stderr


def test_its_image_is_known_to_the_end_to_end_tests(copy: Path) -> None:
    done = python(copy, "-c", "from e2e.cluster.docker import TRAINING_IMAGES; print(TRAINING_IMAGES['toy-cpu'])")
    assert done.stdout.strip() == "3", done.stderr


def test_the_tests_that_go_over_the_families_pass_with_it(copy: Path) -> None:
    modules = ["chart/test_matrix.py", "chart/test_templates.py", "tools/test_generated.py", "values/test_estimate.py"]
    files = [f"tests/{module}" for module in modules]
    chosen = "(test_matrix and toy-net) or (not test_matrix and (family or generated) and not shape)"
    done = python(copy, "-m", "pytest", *files, "-k", chosen, "-p", "no:cacheprovider", "-n", "0", "-rA")
    assert done.returncode == 0, done.stdout[-4000:]
    for module in modules:
        assert f"PASSED tests/{module}" in done.stdout, f"none of {module} was chosen"
