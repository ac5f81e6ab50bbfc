"""`trainchart doctor`: what would keep a run from starting, before it is submitted."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from trainchart.chart.paths import CHART
from trainchart.cli.connection import add_connection_options, connected
from trainchart.cli.output import add_format_option, coloured, complain, show
from trainchart.cli.parser import Commands
from trainchart.errors import ExitCode, UsageError
from trainchart.terminal import CLEAR, printable, put

if TYPE_CHECKING:
    from trainchart.checks.finding import Finding
    from trainchart.checks.run_spec import RunSpec


# The name of the run where none is given: what it stands for is sent, and not kept, so no run may have it already.
_NOBODYS = "trainchart-doctor"


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser(
        "doctor",
        help="say what in the cluster would keep a run from starting, before it is submitted",
        description="Look whether the cluster, the namespace and this account have all that a run needs. Nothing is changed.",
        epilog="exit codes: 0 no problem (there may be warnings), 2 the values are refused, 5 API server not reachable, 8 a problem",
    )
    parser.add_argument(
        "-f", "--values", action="append", default=[], metavar="FILE", dest="files",
        help="values files of the run, as for helm; - is the standard input (without any: the cluster alone is looked at)",
    )  # fmt: skip
    parser.add_argument("--name", default="", help="the name it shall have (default: one that is not looked at)")
    parser.add_argument("--quick", action="store_true", help="only what `trainchart submit` looks at")
    add_format_option(parser)
    add_connection_options(parser)


def run(options: argparse.Namespace) -> ExitCode:
    from trainchart.checks.doctor import examine
    from trainchart.checks.values import as_paths

    if options.files.count("-") > 1:
        raise UsageError("doctor: the standard input (-) can be read once")
    if options.name and not options.files:
        raise UsageError("doctor: --name is of a run; name its values files by -f")
    spec = None
    api = connected(options)
    if options.files:
        with as_paths(options.files) as files:
            spec = valid_run_spec(files, name=options.name or _NOBODYS, namespace=api.namespace)
        if spec is None:
            if options.format == "json":
                complain("the values are refused", ExitCode.REFUSED, as_json=True)
            return ExitCode.REFUSED
    found: list[Finding] = []
    with Progress() as progress:
        for check in examine(api, spec, quick=options.quick, named=bool(options.name), notify=progress.notify):
            found.append(check)
            if options.format == "text":
                progress.clear()
                show(line(check), styled=True)
    show(_json(found, api.calls) if options.format == "json" else summary(found))
    return ExitCode.PROBLEM if any(check.severity == "problem" for check in found) else ExitCode.OK


def valid_run_spec(
    files: Sequence[tuple[str, str]], *, name: str, namespace: str, chart: Path = CHART, warnings: bool = False
) -> RunSpec | None:
    """What the run asks for; None, and the findings on the standard error, where `trainchart validate` refuses the values.

    Args:
        files: each with what it is called, see `as_paths`.
        name: the release's name.
        namespace: the release's namespace.
        chart: of the run.
        warnings: tell them too where nothing is refused.
    """
    from trainchart.checks.values import run_spec_from, validated
    from trainchart.cli.validate import as_text

    report = validated(files, name=name, namespace=namespace, chart=chart)
    if not report.valid or (warnings and report.findings):
        put(as_text(report), sys.stderr, styled=True)
    if not report.valid:
        return None
    return run_spec_from([path for path, _ in files], name=name, namespace=namespace, chart=chart)


class Progress:
    """What is looked at, in one line of the terminal that goes when something is printed."""

    def __enter__(self) -> Progress:
        self._shown = sys.stderr.isatty()
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def notify(self, what: str) -> None:
        if self._shown:
            put(f"looking at {what} ...", sys.stderr, before=CLEAR, end="")

    def clear(self) -> None:
        if self._shown:
            put("", sys.stderr, before=CLEAR, end="")


def line(finding: Finding) -> str:
    """`severity  what was found; what to do`."""
    fix = f"; {finding.fix}" if finding.fix else ""
    padding = " " * (12 - len(finding.severity))
    return f"{coloured(finding.severity)}{padding}{printable(finding.text + fix)}"


def summary(findings: Iterable[Finding]) -> str:
    counted = Counter(finding.severity for finding in findings)
    counts = [
        f"{counted[severity]} {severity}{'s' if counted[severity] > 1 and severity in ('problem', 'warning') else ''}"
        for severity in ("problem", "warning", "waiting", "not-checked", "ok")
        if counted[severity]
    ]
    return ", ".join(counts) if counted["problem"] else ", ".join(["no problem", *counts])


def _json(findings: Sequence[Finding], calls: int) -> str:
    import json
    from dataclasses import asdict

    well = not any(finding.severity == "problem" for finding in findings)
    return json.dumps({"ok": well, "findings": [asdict(finding) for finding in findings], "calls": calls}, indent=2)
