"""`trainchart docs`: the pages that messages name, as an installation has them."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from trainchart.chart.paths import ROOT
from trainchart.cli.parser import Commands, exit_codes
from trainchart.errors import ExitCode, UsageError
from trainchart.terminal import print_text


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser(
        "docs",
        help="print a page of the documentation",
        description="Print a page of the documentation in Markdown, or a file that a page names. Without a name, all "
        "are listed. In a page, a link to pods.md means `trainchart docs pods`.",
        epilog=exit_codes(),
    )
    parser.add_argument("page", nargs="?", default="", metavar="PAGE", help="such as pods, or submitter.yaml")


def names() -> list[str]:
    """What can be printed."""
    return [*_pages(), *_files()]


def _pages() -> dict[str, Path]:
    return {path.stem: path for path in sorted(ROOT.glob("docs/*.md"))}


def _files() -> dict[str, Path]:
    """The files that pages name: by their names, or below a folder of deploy/ as `kubeflow/train.yaml`."""
    manifests = {str(path.relative_to(ROOT / "deploy")): path for path in sorted(ROOT.glob("deploy/**/*.yaml"))}
    return {**manifests, **{path.name: path for path in ROOT.glob("docs/*.ipynb")}}


def run(options: argparse.Namespace) -> ExitCode:
    import difflib

    pages, files = _pages(), _files()
    known = {**pages, **files}
    name = options.page.removeprefix("docs/").removeprefix("deploy/").removesuffix(".md")
    if not name:
        index = re.sub(r"\[([^]]+)\]\([^)]+\)", r"\1", pages["README"].read_text("utf-8"))  # without links
        # Not its rows of files outside docs/, which an installation does not have.
        rows = re.findall(r"^\| ([\w-]+)\.md \| (.+) \|$", index, re.MULTILINE)
        print_text("\n".join(f"{page:<18} {answer}" for page, answer in [*rows, ("files", ", ".join(files))]))
        return ExitCode.OK
    if name not in known:
        near = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]}?" if near else "`trainchart docs` lists the pages"
        raise UsageError(f"docs: there is no page {options.page!r}; {hint}")
    print_text(known[name].read_text("utf-8").rstrip("\n"))
    return ExitCode.OK
