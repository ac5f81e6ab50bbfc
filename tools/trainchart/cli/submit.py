"""`trainchart submit`: validate, check, install and follow a run, in one command."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from trainchart.cli import signals, wait
from trainchart.cli.options import (
    add_connection_options,
    add_follow_options,
    add_helm_option,
    add_values_options,
    check_values,
    choose_helm,
    connect,
    overrides_of,
)
from trainchart.cli.parser import Commands, exit_codes
from trainchart.errors import ExitCode, UsageError
from trainchart.terminal import print_message, print_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trainchart.checks.finding import Finding
    from trainchart.checks.run_spec import RunSpec
    from trainchart.cluster.api import Api


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser(
        "submit",
        passed_on="helm_arguments",
        help="validate values, check the cluster, install a run and follow it until it finishes",
        usage="trainchart submit NAME -f FILE [-f FILE ...] [--param NAME=VALUE ...] [--set KEY=VALUE ...] [options] "
        "[-- HELM ARGUMENTS]",
        description="Validate the values, check that the cluster has what the run needs (`trainchart doctor --quick`), "
        "install it as `helm install` does, and follow it until it finishes.",
        epilog=exit_codes(
            ExitCode.UNREACHABLE, ExitCode.FORBIDDEN, ExitCode.PROBLEM,
            ok="completed", also="and those of `trainchart wait`",
        ),
    )  # fmt: skip
    parser.add_argument("name", metavar="NAME", help="name of the release; every run needs its own")
    add_values_options(parser, "values files; later ones override earlier ones; - is the standard input")
    add_submit_options(parser)


def add_submit_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of commands that install a run and follow it; `run` takes them."""
    parser.add_argument("--no-wait", action="store_true", help="exit when the run is installed")
    add_follow_options(parser)
    parser.add_argument(
        "--doctor", action=argparse.BooleanOptionalAction, default=True, help="check the cluster first (default: yes)"
    )
    parser.add_argument("--dry-run", action="store_true", help="validate and check everything, and install nothing")
    parser.add_argument("--chart", type=Path, metavar="FOLDER", help="another chart than trainchart's own")
    add_helm_option(parser)
    add_connection_options(parser)


def run(options: argparse.Namespace) -> int:
    return submit(options, {})


def submit(options: argparse.Namespace, called: Mapping[str, str]) -> int:
    """Install a run and follow it. A signal removes what is being installed; what it does after that is `wait`'s.

    Args:
        options: `name`, `helm_arguments`, the values and those of `add_submit_options`.
        called: what values files are called in messages, if not by their paths.
    """
    from trainchart.submit.install import InterruptedInstallError

    signals.interrupt_once()
    try:
        return _submit(options, called)
    except InterruptedInstallError as error:
        print_message(str(error))
    except KeyboardInterrupt:
        print_message(f"{options.name} is not installed: it was interrupted")
    return signals.exit_code() if options.on_signal == "stop" else ExitCode.INTERRUPTED


def _submit(options: argparse.Namespace, called: Mapping[str, str]) -> int:
    from trainchart.chart.engines import engine
    from trainchart.chart.paths import CHART
    from trainchart.checks.values import as_paths
    from trainchart.cli.doctor import valid_run_spec
    from trainchart.submit.helm import check_arguments, target_of
    from trainchart.submit.install import install
    from trainchart.values.validate import values_of

    choose_helm(options)
    helm = engine()
    check_arguments(options.helm_arguments, helm.program)
    overrides = overrides_of(options)
    check_values("submit", options.files, overrides)
    chart = options.chart or CHART
    if not (chart / "Chart.yaml").exists():
        raise UsageError(f"submit: --chart: {chart} has no Chart.yaml; name the folder of a chart")
    api = connect(options)
    target = target_of(api, options.kubeconfig, os.environ)
    with as_paths(options.files, called) as files:
        spec = valid_run_spec(files, overrides, name=options.name, namespace=api.namespace, chart=chart, warnings=True)
        if spec is None:
            return ExitCode.REFUSED
        if (options.doctor or options.dry_run) and not _passes_doctor(api, spec, quick=not options.dry_run):
            return ExitCode.PROBLEM
        values = values_of([path for path, _ in files], overrides)
        more, dry_run = options.helm_arguments, options.dry_run
        notes = install(api, helm, target, options.name, values, chart, more=more, dry_run=dry_run)
    if options.dry_run:
        print_text(f"{options.name} would be installed in {api.namespace}; nothing was changed")
        return ExitCode.OK
    if options.no_wait:
        print_text(notes.rstrip())
        return ExitCode.OK
    print_message(f"{options.name} is installed in {api.namespace}")
    return wait.follow(options).code


def _passes_doctor(api: Api, spec: RunSpec, *, quick: bool) -> bool:
    """Whether doctor finds no problem. Prints all findings but those of quick checks that pass."""
    from trainchart.cli.doctor import has_problem, run_checks, summary

    def show(finding: Finding) -> bool:
        return not quick or finding.severity in ("problem", "warning", "waiting")

    findings = run_checks(api, spec, quick=quick, show=show, stream=sys.stderr)
    if not has_problem(findings):
        return True
    anyway = "; --no-doctor installs it anyway" if quick else ""
    print_message(f"{spec.name} is not installed: {summary(findings)}{anyway}")
    return False
