"""`trainchart preset`: write a values file for a family on an accelerator."""

from __future__ import annotations

import argparse
from pathlib import Path

from trainchart import terminal
from trainchart.cli.output import refuse_existing, write
from trainchart.cli.parser import Commands
from trainchart.errors import ExitCode, UsageError
from trainchart.terminal import tell


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser(
        "preset",
        help="write a values file for a family on an accelerator",
        description="Write a small, commented values file that the chart admits, and say what memory the run needs.",
        epilog="exit codes: 0 done, 2 refused (what cannot run; with --strict also what is only doubtful)",
    )
    parser.add_argument("family", metavar="FAMILY", help="what to train: a folder of the chart's files/families/")
    parser.add_argument(
        "--accelerator", metavar="PROFILE", help="what to train on: a file of the chart's files/accelerators/"
    )
    parser.add_argument("--variant", metavar="NAME", help="which of the profile's variants, such as a slice")
    parser.add_argument("--count", type=int, metavar="N", help="devices per pod (default: 1)")
    parser.add_argument("--gpu-memory", metavar="QUANTITY", help="memory of one whole device, such as 24Gi")
    parser.add_argument("--fraction", metavar="PERCENT", help="share of each device, such as 50%%")
    parser.add_argument("--replicas", type=int, metavar="N", help="pods (default: 1)")
    parser.add_argument(
        "--set", dest="settings", action="append", default=[], metavar="KEY=VALUE", help="any other value"
    )
    parser.add_argument("--write", metavar="FILE", help="the file to write (default: print to the standard output)")
    parser.add_argument("--force", action="store_true", help="replace FILE where it exists")
    parser.add_argument("--schema", metavar="PATH", help="the schema that editors check it by (default: the chart's)")
    parser.add_argument("--strict", action="store_true", help="write nothing when there is a warning")


def run(options: argparse.Namespace) -> int:
    """Write the file that the command line asks for; the result is an exit code.

    Raises:
        TrainchartError: it cannot run, or cannot be written; the text is what is said to the user.
    """
    from trainchart.values.preset import Request, parse_fraction, parse_memory, preset, schema_path

    output = Path(options.write) if options.write else None
    if output:
        refuse_existing(output, force=options.force)
    request = Request(
        family=options.family,
        accelerator=options.accelerator,
        variant=options.variant,
        devices=_positive(options.count, "--count"),
        gpu_memory=parse_memory(options.gpu_memory),
        fraction=parse_fraction(options.fraction),
        replicas=_positive(options.replicas, "--replicas"),
        settings=options.settings,
    )
    made = preset(request, schema=options.schema or schema_path(output.parent if output else Path()))
    for notice in made.notices:
        tell(notice)
    for warning in made.warnings:
        tell(f"warning: {warning}")
    if options.strict and made.warnings:
        return ExitCode.REFUSED
    if output is None:
        terminal.write(made.text.encode("utf-8"))
    else:
        write(output, made.text, force=options.force)
    return ExitCode.OK


def _positive(number: int | None, option: str) -> int | None:
    if number is not None and number < 1:
        raise UsageError(f"{option}: {number} is less than 1")
    return number
