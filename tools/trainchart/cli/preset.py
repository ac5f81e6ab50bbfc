"""`trainchart preset`: write a values file for a family on an accelerator."""

from __future__ import annotations

import argparse
from pathlib import Path

from trainchart.cli.options import add_set_options
from trainchart.cli.output import check_target, write_file
from trainchart.cli.parser import Commands, exit_codes
from trainchart.errors import ExitCode, UsageError
from trainchart.terminal import print_message, write_bytes


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser(
        "preset",
        help="write a values file for a family on an accelerator",
        description="Write a small, commented values file that the chart accepts, and estimate the memory that the run "
        "needs.",
        epilog=exit_codes(),
    )
    parser.add_argument("family", metavar="FAMILY", help="what to train: `trainchart families` lists them")
    parser.add_argument(
        "--accelerator", metavar="PROFILE", help="what to train on: `trainchart accelerators` lists them"
    )
    parser.add_argument("--variant", metavar="NAME", help="variant of the profile, such as a slice")
    parser.add_argument("--count", type=int, metavar="N", help="devices per pod (default: 1)")
    parser.add_argument("--gpu-memory", metavar="QUANTITY", help="memory of a whole device, such as 24Gi")
    parser.add_argument("--fraction", metavar="PERCENT", help="share of each device, such as 50%%")
    parser.add_argument("--replicas", type=int, metavar="N", help="pods (default: 1)")
    add_set_options(parser)
    parser.add_argument(
        "--write", metavar="FILE", default="-", help="write to this file (default: -, the standard output)"
    )
    parser.add_argument("--force", action="store_true", help="replace FILE if it exists")
    parser.add_argument("--schema", metavar="PATH", help="schema for editors to check FILE by (default: the chart's)")
    parser.add_argument("--strict", action="store_true", help="treat warnings as errors")


def run(options: argparse.Namespace) -> int:
    """Raises: TrainchartError: such a run is not possible, or the file cannot be written."""
    from trainchart.values.preset import Request, parse_fraction, parse_memory, preset, schema_path

    file = None if options.write == "-" else Path(options.write)
    if file:
        check_target(file, force=options.force)
    request = Request(
        family=options.family,
        accelerator=options.accelerator,
        variant=options.variant,
        devices=_positive(options.count, "--count"),
        gpu_memory=parse_memory(options.gpu_memory),
        fraction=parse_fraction(options.fraction),
        replicas=_positive(options.replicas, "--replicas"),
        sets=options.sets,
    )
    made = preset(request, schema=options.schema or schema_path(file.parent if file else Path()))
    for notice in made.notices:
        print_message(notice)
    for warning in made.warnings:
        print_message(f"warning: {warning}")
    if options.strict and made.warnings:
        return ExitCode.REFUSED
    if file:
        write_file(file, made.text, force=options.force)
    else:
        write_bytes(made.text.encode("utf-8"))
    return ExitCode.OK


def _positive(number: int | None, option: str) -> int | None:
    if number is not None and number < 1:
        raise UsageError(f"{option}: {number} is less than 1")
    return number
