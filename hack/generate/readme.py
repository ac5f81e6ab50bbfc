"""The table of families in README.md, between two marks; the rest of it is written by hand."""

from __future__ import annotations

from collections.abc import Iterator

from trainchart.chart.families import Data, family_data, family_names
from trainchart.chart.paths import ROOT

BEGIN, END = "<!-- families: generated, see make generate -->\n", "<!-- end of families -->\n"


def readme_text() -> str:
    """README.md with its table of families renewed."""
    before, _, rest = (ROOT / "README.md").read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    return "".join([before, BEGIN, *_table(), END, after])


def _table() -> Iterator[str]:
    yield "| `family` | trains | pods |\n|---|---|---|\n"
    for name in family_names():
        data = family_data(name)
        page = f"docs/{name}.md"
        summary = f"[{data['summary']}]({page})" if (ROOT / page).is_file() else data["summary"]
        yield f"| `{name}` | {summary} | {_pods(data)} |\n"


def _pods(data: Data) -> str:
    """How many pods a run of the family may have, in a few words."""
    if data.get("maxReplicas") == 1:
        return "one, with several devices" if data.get("multiProcessBackends") else "one"
    most = f"up to {data['maxReplicas']}" if data.get("maxReplicas") else "several"
    needs_devices = "cpu" in data["backends"] and "cpu" not in data.get("multiProcessBackends", [])
    return f"{most}, with accelerators" if needs_devices else most
