"""`trainchart explain`: what a value is."""

from __future__ import annotations

import argparse
import textwrap
from typing import TYPE_CHECKING

from trainchart.cli.options import add_format_option
from trainchart.cli.parser import Commands, exit_codes
from trainchart.errors import ExitCode, UsageError
from trainchart.terminal import print_text

if TYPE_CHECKING:
    from trainchart.values.explain import Explained

_WIDTH = 100


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser(
        "explain",
        help="say what a value is: its type, default and meaning",
        description="Say what a value is: its type, default, meaning and parameter; of a section, what is in it. Without a "
        "key, the sections are listed.",
        epilog=exit_codes(),
    )
    parser.add_argument("key", nargs="?", default="", metavar="KEY", help="such as replicas, publish or train.epochs")
    parser.add_argument(
        "--family", default="", metavar="FAMILY", help="whose settings `train` has (default: those of every family)"
    )
    add_format_option(parser)


def run(options: argparse.Namespace) -> ExitCode:
    import json
    from dataclasses import asdict

    from trainchart.values.explain import NoSuchKeyError, explain

    try:
        found = explain(options.key, options.family)
    except NoSuchKeyError as error:
        raise UsageError(f"explain: {error}") from None
    if options.format == "json":
        print_text(json.dumps([asdict(one) for one in found], indent=2))
    elif len(found) == 1 or (options.key and all(one.path == options.key for one in found)):
        print_text("\n\n".join(map(_whole, found)))
    else:
        print_text("\n".join(map(_line, found)))
    return ExitCode.OK


def _whole(value: Explained) -> str:
    """All that is known of a value."""
    facts = {
        "family": value.family,
        "type": value.kind,
        "default": value.default or ("" if value.is_section else "none"),
        "example": " or ".join(value.examples),
        "parameter": ", ".join(value.parameters),
    }
    rows = [f"  {name:<10} {text}" for name, text in facts.items() if text]
    meaning = textwrap.fill(value.description, _WIDTH, initial_indent="  ", subsequent_indent="  ")
    return "\n".join([value.path, *rows, "", meaning])


def _line(value: Explained) -> str:
    of = f" ({value.family})" if value.family else ""
    return f"{value.path + of:<40} {textwrap.shorten(value.description, _WIDTH, placeholder=' ...')}".rstrip()
