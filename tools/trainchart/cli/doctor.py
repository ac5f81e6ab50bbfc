"""`trainchart doctor`: find what would keep a run from starting, before it is submitted."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from trainchart.chart.paths import CHART
from trainchart.cli.options import (
    add_connection_options,
    add_format_option,
    add_values_options,
    check_values,
    connect,
    overrides_of,
)
from trainchart.cli.output import coloured, print_error
from trainchart.cli.parser import Commands, exit_codes
from trainchart.errors import ExitCode, UsageError
from trainchart.terminal import CLEAR, print_text, printable

if TYPE_CHECKING:
    from trainchart.checks.finding import Finding
    from trainchart.checks.run_spec import RunSpec
    from trainchart.cluster.api import Api
    from trainchart.values.overrides import Overrides


# The name of the run if none is given. Its objects are sent as dry runs, so no run may have this name.
_UNUSED_NAME = "trainchart-doctor"


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser(
        "doctor",
        help="find what would keep a run from starting, before it is submitted",
        description="Check whether the cluster, the namespace and this account have all that a run needs. "
        "Nothing is changed; with --data a pod looks at the data, and is deleted.",
        epilog=exit_codes(ExitCode.UNREACHABLE, ExitCode.PROBLEM, ok="no problem, perhaps warnings"),
    )
    add_values_options(
        parser, "values files of the run; - is the standard input (without values: check only the cluster)"
    )
    parser.add_argument("--name", default="", help="name of the run (default: the name is not checked)")
    parser.add_argument(
        "--data",
        action="store_true",
        help="also start a pod of the run's image that looks at every source, and at the repository of the result",
    )
    parser.add_argument("--quick", action="store_true", help="check only what `trainchart submit` checks")
    add_format_option(parser)
    add_connection_options(parser)


def run(options: argparse.Namespace) -> ExitCode:
    from trainchart.checks.finding import has_problem
    from trainchart.checks.values import as_paths

    overrides = overrides_of(options)
    has_values = bool(options.files or overrides)
    if has_values:
        check_values("doctor", options.files, overrides)
    elif options.name or options.data:
        option = "--name" if options.name else "--data"
        raise UsageError(f"doctor: {option} needs the values of the run; name its files by -f")
    spec = None
    api = connect(options)
    if has_values:
        with as_paths(options.files) as files:
            spec = valid_run_spec(files, overrides, name=options.name or _UNUSED_NAME, namespace=api.namespace)
        if spec is None:
            if options.format == "json":
                print_error("the values are not valid", ExitCode.REFUSED, as_json=True)
            return ExitCode.REFUSED
    as_json = options.format == "json"
    findings = run_checks(
        api,
        spec,
        quick=options.quick,
        named=bool(options.name),
        data=options.data,
        show=lambda _: not as_json,
        stream=sys.stdout,
    )
    print_text(_format_json(findings, api.calls) if as_json else summary(findings))
    return ExitCode.PROBLEM if has_problem(findings) else ExitCode.OK


def valid_run_spec(
    files: Sequence[tuple[str, str]],
    overrides: Overrides,
    *,
    name: str,
    namespace: str,
    chart: Path = CHART,
    warnings: bool = False,
) -> RunSpec | None:
    """What the run requests; None if the values are not valid, with the findings on the standard error.

    Args:
        files: paths, each with its name in messages; see `as_paths`.
        overrides: the values of the command line.
        name: the release's name.
        namespace: the release's namespace.
        chart: the folder of the chart.
        warnings: print warnings about valid values too.
    """
    from trainchart.checks.values import run_spec_from, validated

    report = validated(files, overrides, name=name, namespace=namespace, chart=chart)
    if not report.valid or (warnings and report.diagnostics):
        print_text(report.text(coloured), sys.stderr, styled=True)
    if not report.valid:
        return None
    return run_spec_from([path for path, _ in files], overrides, name=name, namespace=namespace, chart=chart)


def run_checks(
    api: Api,
    spec: RunSpec | None,
    *,
    quick: bool,
    named: bool = True,
    data: bool = False,
    show: Callable[[Finding], bool],
    stream: TextIO,
) -> list[Finding]:
    """Run the checks and return their findings. Those to `show` are printed at once, above a line of progress."""
    from trainchart.checks.data import check_data
    from trainchart.checks.doctor import examine
    from trainchart.checks.finding import has_problem, not_checked

    def examined() -> Iterator[Finding]:
        yield from examine(api, spec, quick=quick, named=named, notify=progress)
        if data and spec:
            if has_problem(findings):
                yield not_checked("data", "data: not looked at before the problems above are solved")
            else:
                yield from check_data(api, spec, progress)

    def progress(subject: str) -> None:
        if sys.stderr.isatty():
            print_text(f"checking {subject} ..." if subject else "", sys.stderr, prefix=CLEAR, end="")

    findings: list[Finding] = []
    try:
        for finding in examined():
            findings.append(finding)
            if show(finding):
                progress("")
                print_text(format_finding(finding), stream, styled=True)
    finally:
        progress("")
    return findings


def format_finding(finding: Finding) -> str:
    """`severity  what was found; what to do`."""
    padding = " " * (12 - len(finding.severity))
    return f"{coloured(finding.severity)}{padding}{printable(str(finding))}"


def summary(findings: Iterable[Finding]) -> str:
    """The counts by severity: `1 problem, 2 warnings, 14 ok`."""
    counted = Counter(finding.severity for finding in findings)
    counts = [
        f"{counted[severity]} {severity}{'s' if counted[severity] > 1 and severity in ('problem', 'warning') else ''}"
        for severity in ("problem", "warning", "waiting", "not-checked", "ok")
        if counted[severity]
    ]
    return ", ".join(counts) if counted["problem"] else ", ".join(["no problem", *counts])


def _format_json(findings: Sequence[Finding], calls: int) -> str:
    import json
    from dataclasses import asdict

    from trainchart.checks.finding import has_problem

    return json.dumps(
        {"ok": not has_problem(findings), "findings": [asdict(finding) for finding in findings], "calls": calls},
        indent=2,
    )
