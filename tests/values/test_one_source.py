"""Defaults and descriptions stand in the typed models only; every file with a copy of them is generated."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.chart.matrix import ROOT

PARTS = ("charts", "deploy", "docs", "hack", "tools", "values", "README.md")
MODELS = Path("tools/trainchart/values/models")
FAMILY = Path("charts/train/charts/lib/files/families/yolov5/family.yaml")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of what is generated, and of what it is made from."""
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(ROOT / part, tmp_path / part)
    return tmp_path


def python(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": f"{root / 'tools'}{os.pathsep}{root}", "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run([sys.executable, *arguments], cwd=root, env=environment, capture_output=True, text=True)


def replace(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{file} has {old!r} {text.count(old)} times"
    file.write_text(text.replace(old, new), encoding="utf-8")


def stale(root: Path) -> set[str]:
    """The files that `make generate --check` would refuse."""
    done = python(root, "-m", "hack.generate", "--check")
    files = {line.partition(" is not up to date")[0] for line in done.stderr.splitlines()}
    assert done.returncode == (1 if files else 0), done.stderr
    return {str(Path(file).relative_to(root)) for file in files}


CHART = "charts/train"
REFERENCE = {"docs/values.md", f"{CHART}/values.yaml"}
DEFAULTS = f"{CHART}/charts/lib/files/defaults.yaml"
PARAMETERS = "charts/platform/files/parameters.json"
SCHEMAS = {f"{CHART}/values.schema.json", "values/schema.json"}
MUTATIONS = {
    "a default": ("__init__.py", '"720h"', '"719h"', {*REFERENCE, DEFAULTS}),
    "a description": ("sections.py", "Size of the emptyDir, or", "Size of the volume, or", {*REFERENCE, "values/schema.json", PARAMETERS}),
    "a section": (
        "__init__.py",
        "    cache: Cache | None",
        "    kept: Cache | None",
        {*REFERENCE, *SCHEMAS, DEFAULTS, f"{CHART}/charts/lib/files/sections.yaml"},
    ),
}  # fmt: skip


@pytest.mark.lab
@pytest.mark.parametrize(("file", "old", "new", "expected"), MUTATIONS.values(), ids=MUTATIONS)
def test_a_changed_model_makes_the_generated_files_stale(
    copy: Path, file: str, old: str, new: str, expected: set[str]
) -> None:
    replace(copy / MODELS / file, old, new)
    assert stale(copy) == expected


@pytest.mark.lab
def test_an_option_of_one_family_is_its_data_and_its_model_beside_hook_and_test(copy: Path) -> None:
    replace(copy / FAMILY, "  train:\n", "  train:\n    patience: 100\n")
    replace(
        copy / MODELS / "families/yolov5.py",
        "    epochs: Count = ",
        '    patience: Count = Field(None, description="Epochs without improvement.")\n    epochs: Count = ',
    )
    check_option(copy, {"train": {"patience": 5}})


@pytest.mark.lab
def test_an_option_of_all_families_is_its_model_beside_what_uses_it_and_test(copy: Path) -> None:
    replace(
        copy / MODELS / "sections.py",
        "class Cache(Section):\n",
        'class Cache(Section):\n    maxSize: Quantity = Field("20Gi", description="Largest size of the cache.")\n',
    )
    check_option(copy, {"cache": {"maxSize": "5Gi"}})
    assert "  # -- Largest size of the cache.\n  maxSize: 20Gi\n" in (copy / CHART / "values.yaml").read_text()


def check_option(root: Path, values: dict[str, object]) -> None:
    """The option is in every generated file, and accepted."""
    done = python(root, "-m", "hack.generate")
    assert done.returncode == 0, done.stderr
    assert not stale(root)
    (root / "own.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    files = ("values/yolov5.yaml", "values/accelerators/nvidia.yaml", "own.yaml")
    validated = python(root, "-m", "trainchart", "validate", *files)
    assert validated.returncode == 0, validated.stdout + validated.stderr
