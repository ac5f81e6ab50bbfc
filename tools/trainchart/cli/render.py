"""`trainchart render`: print the objects of a run, to read them or to compare them with others."""

from __future__ import annotations

import argparse
import sys

from trainchart.cli.options import add_release_options, add_values_options, check_values, overrides_of
from trainchart.cli.output import coloured
from trainchart.cli.parser import Commands, exit_codes
from trainchart.errors import ExitCode
from trainchart.terminal import print_text


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser(
        "render",
        help="print the objects of a run",
        description="Print the objects that `helm install NAME -f FILE ...` would create, without the pod of `helm test`, "
        "or what is wrong with the values. The same values give the same text. No cluster is needed.",
        epilog=exit_codes(),
    )
    parser.add_argument("first", nargs="*", metavar="FILE", help="values files, as -f")
    add_values_options(parser, "values files; later ones override earlier ones; - is the standard input")
    add_release_options(parser)


def run(options: argparse.Namespace) -> ExitCode:
    from trainchart.chart.render import render_text
    from trainchart.checks.values import as_paths, validated
    from trainchart.values.validate import values_of

    overrides = overrides_of(options)
    given = [*options.first, *options.files]
    check_values("render", given, overrides)
    with as_paths(given) as files:
        report = validated(files, overrides, name=options.name, namespace=options.namespace)
        if not report.valid:
            print_text(report.text(coloured), sys.stderr, styled=True)
            return ExitCode.REFUSED
        values = values_of([path for path, _ in files], overrides)
    texts = render_text(values, name=options.name, namespace=options.namespace)
    for path, text in sorted(texts.items()):
        if path.endswith(".yaml") and not path.startswith("tests/") and text.strip():
            print_text(f"---\n# {path}\n{text.strip()}")
    return ExitCode.OK
