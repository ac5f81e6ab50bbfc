"""`trainchart families`: list what can be trained."""

from __future__ import annotations

import argparse

from trainchart.cli.options import add_format_option
from trainchart.cli.parser import Commands, exit_codes
from trainchart.errors import ExitCode
from trainchart.terminal import print_text


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser(
        "families",
        help="list what can be trained",
        description="List the families: the trainers that the chart knows, and the one for programs of your own. "
        "`trainchart preset FAMILY` writes a values file, `trainchart explain train --family FAMILY` lists its settings.",
        epilog=exit_codes(),
    )
    add_format_option(parser)


def run(options: argparse.Namespace) -> ExitCode:
    import json

    from trainchart.chart.families import family_data, family_names
    from trainchart.run.listing import aligned

    families = {name: family_data(name) for name in family_names()}
    if options.format == "json":
        keys = ("title", "summary", "task", "framework", "backends", "requires", "maxReplicas", "tunable")
        found = [{"name": name, **{key: data.get(key) for key in keys}} for name, data in families.items()]
        print_text(json.dumps(found, indent=2))
        return ExitCode.OK
    cells = [["FAMILY", "TASK", "DEVICES", "PODS", "TUNE", "TRAINER"]]
    for name, data in families.items():
        most = data.get("maxReplicas")
        devices = ", ".join(data.get("backends") or ["any"])
        pods, tuned = "any" if most is None else str(most), "yes" if data.get("tunable") else "no"
        cells.append([name, data.get("task") or "-", devices, pods, tuned, data.get("summary") or data["title"]])
    print_text("\n".join(aligned(cells)))
    return ExitCode.OK
