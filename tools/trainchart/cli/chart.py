"""`trainchart chart`: where the chart of this installation lies, for the helm program."""

from __future__ import annotations

import argparse

from trainchart.chart.paths import CHART
from trainchart.cli.output import show
from trainchart.cli.parser import Commands
from trainchart.errors import ExitCode


def add_parser(commands: Commands) -> None:
    commands.add_parser(
        "chart",
        help="print where the chart lies",
        description="Print the folder of the chart that these tools judge by: helm install NAME $(trainchart chart) -f FILE",
    )


def run(_options: argparse.Namespace) -> ExitCode:
    show(str(CHART))
    return ExitCode.OK
