"""`trainchart validate`: check values files before anything is installed."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from trainchart.cli import forges
from trainchart.cli.options import (
    add_format_option,
    add_release_options,
    add_values_options,
    check_values,
    overrides_of,
)
from trainchart.cli.output import coloured
from trainchart.cli.parser import Commands, exit_codes
from trainchart.errors import ExitCode
from trainchart.files import STDIN
from trainchart.terminal import print_text

if TYPE_CHECKING:
    from trainchart.values.validate import Report


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser(
        "validate",
        help="check values before anything is installed",
        description="Report what `helm install NAME -f FILE ...` would report about values, with the line and column of "
        "a file or the option of the command line, and duplicate keys and likely typing mistakes. No cluster is needed.",
        epilog=exit_codes(ok="valid"),
    )
    parser.add_argument("first", nargs="*", metavar="FILE", help="values files, as -f")
    add_values_options(parser, "values files; later ones override earlier ones; - is the standard input")
    add_release_options(parser)
    add_format_option(parser, "github", "gitlab")


def run(options: argparse.Namespace) -> ExitCode:
    from trainchart.values.validate import validate

    files, overrides = [*options.first, *options.files], overrides_of(options)
    check_values("validate", files, overrides)
    report = validate(files, overrides, name=options.name, namespace=options.namespace)
    if options.format == "json":
        print_text(_format_json(report))
    elif options.format == "github":
        print_text(forges.for_github(report, files))
    elif options.format == "gitlab":
        print_text(forges.for_gitlab(report, [file for file in files if file != STDIN]))
    else:
        print_text(report.text(coloured), styled=True)
    return ExitCode.OK if report.valid else ExitCode.REFUSED


def _format_json(report: Report) -> str:
    import json
    from dataclasses import asdict

    diagnostics = [asdict(diagnostic) for diagnostic in report.diagnostics]
    return json.dumps({"valid": report.valid, "diagnostics": diagnostics}, indent=2)
