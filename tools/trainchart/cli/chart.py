"""`trainchart chart`: print the folder of the chart, for the helm program."""

from __future__ import annotations

import argparse

from trainchart.chart.paths import CHART
from trainchart.cli.parser import Commands, exit_codes
from trainchart.errors import ExitCode
from trainchart.terminal import print_text


def add_parser(commands: Commands) -> None:
    commands.add_parser(
        "chart",
        help="print the folder of the chart",
        description="Print the folder of the chart of this version: helm install NAME $(trainchart chart) -f FILE",
        epilog=exit_codes(),
    )


def run(_options: argparse.Namespace) -> ExitCode:
    print_text(str(CHART))
    return ExitCode.OK
