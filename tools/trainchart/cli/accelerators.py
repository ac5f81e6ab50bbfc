"""`trainchart accelerators`: list what can be trained on."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from typing import Any

from trainchart.cli.options import add_format_option
from trainchart.cli.parser import Commands, exit_codes
from trainchart.errors import ExitCode
from trainchart.terminal import print_text


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser(
        "accelerators",
        help="list what can be trained on",
        description="List the accelerator profiles: the devices that a run may request, by the resources of their device "
        "plugins. `trainchart preset FAMILY --accelerator PROFILE` uses one, `trainchart explain accelerator` lists the keys.",
        epilog=exit_codes(),
    )
    add_format_option(parser)


def run(options: argparse.Namespace) -> ExitCode:
    import json

    from trainchart.chart.families import profile_data, profile_names
    from trainchart.run.listing import aligned

    profiles = {name: profile_data(name) for name in profile_names()}
    if options.format == "json":
        print_text(json.dumps([{"name": name, **data} for name, data in profiles.items()], indent=2))
        return ExitCode.OK
    cells = [["PROFILE", "RESOURCES", "DEVICES"]]
    cells += [[name, ", ".join(_resources(data)) or "none", data["title"]] for name, data in profiles.items()]
    print_text("\n".join(aligned(cells)))
    return ExitCode.OK


def _resources(data: Mapping[str, Any]) -> Iterator[str]:
    for resource in data["resources"].values():
        yield resource.get("name") or f"claim of {data.get('deviceClass')}"
