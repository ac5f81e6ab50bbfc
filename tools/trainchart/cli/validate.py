"""`trainchart validate`: check values files before anything is installed."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from trainchart.cli.options import add_format_option, check_files
from trainchart.cli.output import coloured
from trainchart.cli.parser import Commands, exit_codes
from trainchart.errors import ExitCode
from trainchart.terminal import print_text, printable

if TYPE_CHECKING:
    from trainchart.values.validate import Finding, Report


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser(
        "validate",
        help="check values files before anything is installed",
        description="Report what `helm install NAME -f FILE ...` would report about values files, with lines and "
        "columns, and duplicate keys and likely typing mistakes. No cluster is needed.",
        epilog=exit_codes(ok="valid"),
    )
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="values files; later ones override earlier ones; - is the standard input",
    )
    parser.add_argument("--name", default="run-42", help="name of the release (default: %(default)s)")
    parser.add_argument("--namespace", default="training", help="namespace of the release (default: %(default)s)")
    add_format_option(parser)


def run(options: argparse.Namespace) -> ExitCode:
    from trainchart.values.validate import validate

    check_files("validate", options.files)
    report = validate(options.files, name=options.name, namespace=options.namespace)
    if options.format == "json":
        print_text(_format_json(report))
    else:
        print_text(format_report(report), styled=True)
    return ExitCode.OK if report.valid else ExitCode.REFUSED


def format_report(report: Report) -> str:
    """A line per finding, as compilers print them, and a last line with the counts."""
    lines = [_format_finding(finding) for finding in report.findings]
    counts = [
        f"{count} {severity}{'' if count == 1 else 's'}"
        for severity in ("error", "warning")
        if (count := sum(finding.severity == severity for finding in report.findings))
    ]
    if report.valid:
        counts.insert(0, printable(f"valid: {report.summary}"))
    return "\n".join([*lines, ", ".join(counts)])


def _format_finding(finding: Finding) -> str:
    parts = (finding.file or "--name", finding.line, finding.column)
    place = ":".join(str(part) for part in parts if part is not None)
    message = f"{finding.key}: {finding.message}" if finding.key else finding.message
    return f"{printable(place)}: {coloured(finding.severity)}: {printable(message)}"


def _format_json(report: Report) -> str:
    import json
    from dataclasses import asdict

    findings = [asdict(finding) for finding in report.findings]
    return json.dumps({"valid": report.valid, "findings": findings}, indent=2)
