"""`trainchart submit`: from values files to the end of the run, in one command."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from trainchart.cli.connection import add_connection_options, connected
from trainchart.cli.duration import seconds_of
from trainchart.cli.output import show
from trainchart.cli.parser import Commands
from trainchart.errors import ExitCode, UsageError
from trainchart.terminal import put, tell

if TYPE_CHECKING:
    from trainchart.checks.run_spec import RunSpec
    from trainchart.cluster.api import Api


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser(
        "submit",
        passed_on="helm_arguments",
        help="validate, look at the cluster, install a run and follow it to its end: one command for a pipeline",
        usage="trainchart submit NAME -f FILE [-f FILE ...] [options] [-- HELM ARGUMENTS]",
        description="Validate the values, look whether the cluster has what the run needs (`trainchart doctor --quick`), "
        "install it by `helm install`, and follow it to its end.",
        epilog="exit codes: those of `trainchart wait` for the run; 2 refused (values, usage, or by the cluster), "
        "5 API server not reachable, 6 no right, 8 doctor found a problem; docs/exit-codes.md has all",
    )
    parser.add_argument("name", metavar="NAME", help="the release's name; every run needs its own")
    parser.add_argument(
        "-f", "--values", action="append", required=True, metavar="FILE", dest="files",
        help="values files, later ones over earlier ones; - is the standard input",
    )  # fmt: skip
    parser.add_argument("--no-wait", action="store_true", help="end when the run is installed")
    parser.add_argument(
        "--timeout", type=seconds_of, metavar="D", help="follow it no longer than this, such as 90m or 12h"
    )
    parser.add_argument("--start-timeout", type=seconds_of, metavar="D", help="and no longer than this until it starts")
    parser.add_argument("--quiet", action="store_true", help="of the run, say how it ended, and nothing before")
    parser.add_argument("--logs", action="store_true", help="print what all its pods print")
    parser.add_argument(
        "--doctor", action=argparse.BooleanOptionalAction, default=True, help="look at the cluster first (default: yes)"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="validate, look at all, let the server judge, install nothing"
    )
    parser.add_argument("--chart", type=Path, metavar="FOLDER", help="another chart than trainchart's own")
    parser.add_argument("--helm", default="helm", metavar="PROGRAM", help="Helm 3 or 4 (default: %(default)s)")
    add_connection_options(parser)


def run(options: argparse.Namespace) -> int:
    from trainchart import submit
    from trainchart.chart.paths import CHART
    from trainchart.checks.values import as_paths
    from trainchart.cli.doctor import valid_run_spec

    more = submit.checked(options.helm_arguments)
    if options.files.count("-") > 1:
        raise UsageError("submit: the standard input (-) can be read once")
    chart = options.chart or CHART
    if not (chart / "Chart.yaml").exists():
        raise UsageError(f"submit: --chart: {chart} has no Chart.yaml; name the folder of a chart")
    program = submit.found(options.helm)
    api = connected(options)
    helm = submit.helm_for(api, program, options.kubeconfig, os.environ)
    with as_paths(options.files) as files:
        spec = valid_run_spec(files, name=options.name, namespace=api.namespace, chart=chart, warnings=True)
        if spec is None:
            return ExitCode.REFUSED
        if (options.doctor or options.dry_run) and not _is_well(api, spec, quick=not options.dry_run):
            return ExitCode.PROBLEM
        paths = [path for path, _ in files]
        notes = submit.install(api, helm, options.name, paths, chart, more=more, dry_run=options.dry_run)
    if options.dry_run:
        show(f"{options.name} would be installed in {api.namespace}; nothing was changed")
        return ExitCode.OK
    if options.no_wait:
        show(notes.rstrip())
        return ExitCode.OK
    tell(f"{options.name} is installed in {api.namespace}")
    return _follow(options)


def _is_well(api: Api, spec: RunSpec, *, quick: bool) -> bool:
    """Tells what is not well; in a dry run all."""
    from trainchart.checks.doctor import examine
    from trainchart.cli.doctor import Progress, line, summary

    found = []
    with Progress() as progress:
        for check in examine(api, spec, quick=quick, notify=progress.notify):
            found.append(check)
            if not quick or check.severity in ("problem", "warning", "waiting"):
                progress.clear()
                put(line(check), sys.stderr, styled=True)
    if any(check.severity == "problem" for check in found):
        anyway = "; --no-doctor installs it anyway" if quick else ""
        tell(f"{spec.name} is not installed: {summary(found)}{anyway}")
        return False
    return True


def _follow(options: argparse.Namespace) -> int:
    """As `trainchart wait NAME` does, its exit code and its Ctrl-C included."""
    from trainchart.cli import wait

    return wait.run(options)
