"""`trainchart docs`: the pages that messages name."""

from __future__ import annotations

import re

import pytest

from tests.values.checks import ROOT
from trainchart.cli.main import main


@pytest.mark.parametrize("name", ["rights", "rights.md", "docs/rights.md"])
def test_a_page_is_printed_whole(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["docs", name]) == 0
    assert capsys.readouterr().out == (ROOT / "docs/rights.md").read_text(encoding="utf-8")


def test_a_manifest_is_printed_for_kubectl(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["docs", "submitter.yaml"]) == 0
    assert capsys.readouterr().out == (ROOT / "deploy/submitter.yaml").read_text(encoding="utf-8")


def test_what_the_pages_link_to_below_docs_and_deploy_is_printed_too(capsys: pytest.CaptureFixture[str]) -> None:
    texts = [page.read_text(encoding="utf-8") for page in ROOT.glob("docs/*.md")]
    linked = {name for text in texts for name in re.findall(r"\]\((?:\.\./deploy/)?([\w./-]+)[)#]", text)}
    names = {name for name in linked if not name.startswith(("../", "decisions/"))}
    assert {"kubeflow/train.yaml", "notebook.ipynb", "pods.md"} <= names
    assert [name for name in sorted(names) if main(["docs", name])] == []
    capsys.readouterr()


def test_every_page_is_listed_with_what_it_answers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["docs"]) == 0
    listed = dict(re.findall(r"^(\S+) +(\S.*)$", capsys.readouterr().out, re.MULTILINE))
    files = sorted(path.relative_to(ROOT / "deploy").as_posix() for path in ROOT.glob("deploy/**/*.yaml"))
    assert listed.pop("files").split(", ") == [*files, "notebook.ipynb"]
    assert listed.keys() == {path.stem for path in ROOT.glob("docs/*.md")} - {"README"}
    assert listed["python"] == "the same from Python and notebooks; a notebook"


@pytest.mark.parametrize(("name", "hint"), [("right", "did you mean rights?"), ("xyz", "lists the pages")])
def test_a_page_that_there_is_not_is_refused(name: str, hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["docs", name]) == 2
    assert hint in capsys.readouterr().err
