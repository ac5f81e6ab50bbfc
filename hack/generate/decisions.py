"""The index of the decision pages, made from their titles."""

from __future__ import annotations

from pathlib import Path

_HEAD = """\
<!-- Made from the titles of the pages by: make generate -->
# Decisions

Why things are as they are, one page each: what had to be solved, what was chosen, the alternatives, and the consequences. A page is changed with the code that it is about;
one that no longer holds says so and names its successor.

To add one, copy the form of any page (context, decision, alternatives, consequences), give it the next number, and run `make generate`.

"""


def decisions_index(folder: Path) -> str:
    """The text of `docs/decisions/README.md`."""
    rows = []
    for page in sorted(folder.glob("[0-9]*.md")):
        number, _, title = page.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ").partition(". ")
        rows.append(f"| {number} | [{title}]({page.name}) |\n")
    return "".join([_HEAD, "| | decision |\n|---|---|\n", *rows])
