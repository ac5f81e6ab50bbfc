"""The README does what it says, and says the same in every language."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.newcomer import COMMANDS, OUTPUT
from e2e.run import INSTALL
from tests.chart.matrix import FAMILIES, ROOT
from trainchart.cli.main import main

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
TRANSLATIONS = ("README.zh-CN.md", "README.ko.md")


@dataclass(frozen=True)
class Page:
    """What the README has in every language."""

    levels: list[int]
    """Of the headings."""
    blocks: list[tuple[str, str]]
    """Language and text of the fenced blocks, without comments."""
    links: list[str]
    names: list[list[str]]
    """Of each table row and list entry, what is written as code."""


def read(name: str) -> Page:
    text = (ROOT / name).read_text(encoding="utf-8")
    plain = FENCE.sub("", text)
    return Page(
        [len(marks) for marks in re.findall(r"^(#+) \S", plain, re.MULTILINE)],
        [(language, without_comments(block)) for language, block in FENCE.findall(text)],
        [link for link in re.findall(r"\]\(([^)]+)\)", plain) if not link.startswith("README")],
        [sorted(re.findall(r"`([^`]+)`", line)) for line in plain.splitlines() if line.startswith(("|", "- "))],
    )


def without_comments(block: str) -> str:
    return re.sub(r" *# .*$", "", block, flags=re.MULTILINE)


ENGLISH = read("README.md")


@pytest.mark.parametrize("what", ["levels", "blocks", "links", "names"])
@pytest.mark.parametrize("name", TRANSLATIONS)
def test_a_translation_is_in_step(name: str, what: str) -> None:
    assert getattr(read(name), what) == getattr(ENGLISH, what)


@pytest.mark.parametrize("name", ["README.md", *TRANSLATIONS])
def test_every_language_links_to_the_others(name: str) -> None:
    head = (ROOT / name).read_text(encoding="utf-8").split("\n", 4)[2]
    assert re.findall(r"\]\(([^)]+)\)", head) == [other for other in ("README.md", *TRANSLATIONS) if other != name]


def test_the_table_has_every_family() -> None:
    assert [names[0] for names in ENGLISH.names if names and names[0] in FAMILIES] == list(FAMILIES)


def test_the_first_commands_print_what_the_page_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    codes = [main(shlex.split(line)[1:]) for line in COMMANDS if line.startswith("trainchart ")]
    assert codes == [0, 0, 2]
    printed = capfd.readouterr()
    assert sorted((printed.err + printed.out).splitlines()) == sorted(OUTPUT)


def test_the_first_training_is_the_one_that_make_run_installs() -> None:
    assert shlex.join(INSTALL) in ENGLISH.blocks[3][1]
