"""What users are told names no file that an installation from a wheel, or a packed chart, does not have."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import yaml

from tests.chart.matrix import ROOT
from trainchart.chart.paths import CHART, LIB

FOLDER = re.compile(r"(?<![\w/.-])(?:bench|charts|deploy|docs|e2e|hack|images|tests|tools|values)/[\w.-]+")
OTHERS = {"tools/train.py", "tools/export_model.py", "tests/few-images"}
"""Of PaddleDetection, and of the repository that a CI job is for."""
PAGE = re.compile(r"trainchart docs ([\w.-]*\w)")
PROGRAMS = (*ROOT.glob("tools/trainchart/**/*.py"), *LIB.glob("files/**/*.py"))
CHARTS = (CHART, ROOT / "charts/platform")


def texts(program: Path) -> Iterator[str]:
    """The texts in a program, but not its docstrings."""
    tree = ast.parse(program.read_text(encoding="utf-8"))
    documented = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in documented:
            yield node.value


@cache
def told() -> dict[str, str]:
    """What users can read, by where it is written."""
    found = {str(path.relative_to(ROOT)): "\n".join(texts(path)) for path in PROGRAMS}
    for chart in CHARTS:
        for path in (*chart.glob("**/templates/**/*"), *chart.glob("values*"), *chart.glob("README.md")):
            if path.is_file():
                written = path.read_text(encoding="utf-8")
                found[str(path.relative_to(ROOT))] = re.sub(r"\{\{-? ?/\*.*?\*/ ?-?\}\}", "", written, flags=re.DOTALL)
    for path in LIB.glob("files/**/*.yaml"):  # families and accelerators: their comments are ours
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
        data.pop("source", None)  # where a profile's names are from: files of other projects
        found[str(path.relative_to(ROOT))] = yaml.safe_dump(data, width=1000)
    for path in (*ROOT.glob("deploy/*.yaml"), *ROOT.glob("tools/trainchart/**/*.j2")):
        found[str(path.relative_to(ROOT))] = path.read_text(encoding="utf-8")
    found["values/schema.json"] = (ROOT / "values/schema.json").read_text(encoding="utf-8")
    return found


def test_no_message_names_a_file_of_the_repository() -> None:
    found = {where: set(FOLDER.findall(text)) - OTHERS for where, text in told().items()}
    assert {where: names for where, names in found.items() if names} == {}


def test_every_page_that_a_message_names_exists() -> None:
    named = {page for text in told().values() for page in PAGE.findall(text)}
    there = {path.stem for path in ROOT.glob("docs/*.md")} | {path.name for path in ROOT.glob("deploy/*.yaml")}
    assert "rights" in named
    assert named - there == set()
