"""The table of families in README.md and its translations, between two marks; the rest of them is written by hand."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from trainchart.chart.families import Data, family_data, family_names
from trainchart.chart.paths import ROOT

BEGIN, END = "<!-- families: generated, see make generate -->\n", "<!-- end of families -->\n"
HEAD = "| `family` | trains | pods |\n"


def readme_texts() -> dict[Path, str]:
    """README.md with its table of families renewed; in a translation, rows that are there are kept."""
    return {path: _renewed(path) for path in sorted(ROOT.glob("README*.md"))}


def _renewed(path: Path) -> str:
    before, _, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    table, _, after = rest.partition(END)
    kept = (
        {}
        if path.name == "README.md"
        else {name: row for row, name in re.findall(r"^(\| `([\w-]+)` .*\n)", table, re.MULTILINE)}
    )
    return "".join([before, BEGIN, *_table(kept), END, after])


def _table(kept: Mapping[str, str]) -> Iterator[str]:
    yield kept.get("family", HEAD)
    yield "|---|---|---|\n"
    for name in family_names():
        data = family_data(name)
        page = f"docs/{name}.md"
        summary = f"[{data['summary']}]({page})" if (ROOT / page).is_file() else data["summary"]
        yield kept.get(name, f"| `{name}` | {summary} | {_pods(data)} |\n")


def _pods(data: Data) -> str:
    """How many pods a run of the family may have, in a few words."""
    if data.get("maxReplicas") == 1:
        return "one, with several devices" if data.get("multiProcessBackends") else "one"
    most = f"up to {data['maxReplicas']}" if data.get("maxReplicas") else "several"
    needs_devices = "cpu" in data["backends"] and "cpu" not in data.get("multiProcessBackends", [])
    return f"{most}, with accelerators" if needs_devices else most
