"""`trainchart validate`: what is wrong with values files, before anything is installed."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from trainchart.cli.output import add_format_option, coloured, show
from trainchart.cli.parser import Commands
from trainchart.errors import ExitCode, UsageError
from trainchart.terminal import printable

if TYPE_CHECKING:
    from trainchart.values.validate import Finding, Report


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser(
        "validate",
        help="say what is wrong with values files, before anything is installed",
        description="Say what `helm install NAME -f FILE ...` would say of values files, and what only a file can tell: "
        "lines, keys written twice, likely typing mistakes. No cluster is asked.",
        epilog="exit codes: 0 valid, 2 refused (values, files or usage), 130 interrupted",
    )
    parser.add_argument(
        "files", nargs="+", metavar="FILE", help="values files, later ones over earlier ones; - is the standard input"
    )
    parser.add_argument("--name", default="run-42", help="the release's name (default: %(default)s)")
    parser.add_argument("--namespace", default="training", help="the release's namespace (default: %(default)s)")
    add_format_option(parser)


def run(options: argparse.Namespace) -> ExitCode:
    from trainchart.values.validate import validate

    if options.files.count("-") > 1:
        raise UsageError("validate: the standard input (-) can be read once")
    report = validate(options.files, name=options.name, namespace=options.namespace)
    if options.format == "json":
        show(_json(report))
    else:
        show(as_text(report), styled=True)
    return ExitCode.OK if report.valid else ExitCode.REFUSED


def as_text(report: Report) -> str:
    """A line per finding, as compilers print them, and a last line with the counts."""
    lines = [_line(finding) for finding in report.findings]
    counts = [
        f"{count} {severity}{'' if count == 1 else 's'}"
        for severity in ("error", "warning")
        if (count := sum(finding.severity == severity for finding in report.findings))
    ]
    if report.valid:
        counts.insert(0, printable(f"valid: {report.summary}"))
    return "\n".join([*lines, ", ".join(counts)])


def _line(finding: Finding) -> str:
    places = (finding.file or "--name", finding.line, finding.column)
    place = ":".join(str(part) for part in places if part is not None)
    words = [*([finding.key] if finding.key else []), finding.message]
    return f"{printable(place)}: {coloured(finding.severity)}: {printable(': '.join(words))}"


def _json(report: Report) -> str:
    import json
    from dataclasses import asdict

    findings = [asdict(finding) for finding in report.findings]
    return json.dumps({"valid": report.valid, "findings": findings}, indent=2)
