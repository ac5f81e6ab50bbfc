"""The repository as its visitors find it: links that lead somewhere, generated files that are marked, one list of CI steps."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from hack.generate.outputs import generated
from tests.chart.matrix import ROOT
from tests.values.checks import CPU, YOLOV5
from trainchart.chart.paths import CHART
from trainchart.cli.main import main

PARTLY_GENERATED = {
    "README.ko.md",
    "README.md",
    "README.zh-CN.md",
    "charts/platform/Chart.yaml",
    "charts/train/Chart.yaml",
    "charts/train/charts/lib/Chart.yaml",
}
PATH = re.compile(r"`((?:charts|deploy|docs|e2e|hack|images|tests|tools|values)/[\w./*-]+)`")
LINK = re.compile(r"(?<!\\)\]\(([^)\s]+)\)")


def git(*arguments: str) -> list[str]:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()


PAGES = [name for name in git("ls-files", "*.md") if (ROOT / name).is_file()]


def anchors(page: Path) -> set[str]:
    """The anchors that forges make of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", PAGES)
def test_every_link_of_a_page_leads_to_a_file_and_a_heading(name: str) -> None:
    page = ROOT / name
    broken = []
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        path, _, anchor = link.partition("#")
        if re.match(r"\w+:", link):
            continue
        target = (page.parent / path) if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("name", [name for name in PAGES if name != "docs/adding-a-family.md"])
def test_every_path_that_a_page_names_exists(name: str) -> None:
    named = PATH.findall((ROOT / name).read_text(encoding="utf-8"))
    tops = (ROOT, CHART)  # `charts/lib` is the chart's own path
    assert [path for path in named if not any(any(top.glob(path.rstrip("/"))) for top in tops)] == []


def test_generated_files_are_marked_as_such() -> None:
    paths = [path.relative_to(ROOT).as_posix() for path in generated()]
    # These have text that is written by hand, too.
    whole = [path for path in paths if path not in PARTLY_GENERATED]
    marked = git("check-attr", "linguist-generated", *whole)
    assert [line for line in marked if not line.endswith(": set")] == []


def test_the_forge_runs_every_step_of_the_ci_script() -> None:
    steps = re.findall(r"\bstep (\w+)$", (ROOT / ".ci/run").read_text(encoding="utf-8"), re.MULTILINE)
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    assert steps
    assert workflow["jobs"]["make"]["strategy"]["matrix"]["target"] == steps


def test_the_pre_commit_hook_for_other_repositories_refuses_wrong_values(tmp_path: Path) -> None:
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    program, *arguments = shlex.split(hook["entry"])
    assert program == "trainchart"
    assert hook["pass_filenames"] is False  # several files would be laid over each other
    own = tmp_path / "own.yaml"
    own.write_text("replicas: 1\n", encoding="utf-8")
    assert main([*arguments, str(YOLOV5), str(CPU), str(own)]) == 0
    own.write_text("replica: 1\n", encoding="utf-8")
    assert main([*arguments, str(YOLOV5), str(CPU), str(own)]) == 2
