"""`trainchart submit`: validate, check, install and follow a run, in one command."""

from __future__ import annotations

import argparse
import os
import secrets
import sys
from dataclasses import dataclass, replace
from functools import partial
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
    parse_duration,
)
from trainchart.cli.outputs import KNOWN, Outputs
from trainchart.cli.parser import Commands, exit_codes
from trainchart.errors import ExitCode, TrainchartError, UsageError
from trainchart.terminal import print_message, print_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from trainchart.checks.finding import Finding
    from trainchart.checks.run_spec import RunSpec
    from trainchart.cluster.api import Api
    from trainchart.cluster.fields import Object
    from trainchart.files import Tree
    from trainchart.install.owner import Owner
    from trainchart.run.state import Snapshot
    from trainchart.values.overrides import Overrides


# How long the API server may be away when a run has just been installed, for what belongs to it.
_OUTAGE_SECONDS = 60.0


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser(
        "submit",
        passed_on="helm_arguments",
        help="validate values, check the cluster, install a run and follow it until it finishes",
        usage="trainchart submit {NAME | --generate-name PREFIX} -f FILE [-f FILE ...] [--param NAME=VALUE ...] "
        "[--set KEY=VALUE ...] [options] [-- HELM ARGUMENTS]",
        description="Validate the values, check that the cluster has what the run needs (`trainchart doctor --quick`), "
        "install it as `helm install` does, and follow it until it finishes.",
        epilog=exit_codes(
            ExitCode.UNREACHABLE, ExitCode.FORBIDDEN, ExitCode.PROBLEM,
            ok="completed", also="and those of `trainchart wait`",
        ),
    )  # fmt: skip
    parser.add_argument(
        "name", nargs="?", default="", metavar="NAME", help="name of the release; every run needs its own"
    )
    add_values_options(parser, "values files; later ones override earlier ones; - is the standard input")
    parser.add_argument(
        "--generate-name", default="", metavar="PREFIX",
        help="instead of NAME: a name that begins so, printed first; with --owner always the same for the same owner",
    )  # fmt: skip
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
    step = parser.add_argument_group("step of a pipeline", "trainchart docs submit says more")
    step.add_argument(
        "--owner", nargs=4, metavar=("API", "KIND", "NAME", "UID"),
        help="an object of the run's namespace that the run is removed with, such as tekton.dev/v1 PipelineRun ...",
    )  # fmt: skip
    step.add_argument(
        "--adopt", action="store_true",
        help="follow a run of this name and owner that an earlier attempt has submitted, instead of refusing the name",
    )  # fmt: skip
    step.add_argument(
        "--guard", action="store_true",
        help="start a small pod that stops the run if this one is killed, and no other attempt takes it up",
    )  # fmt: skip
    step.add_argument(
        "--guard-timeout", type=parse_duration, default=120.0, metavar="DURATION",
        help="how long nobody may follow the run (default: 2m)",
    )  # fmt: skip
    step.add_argument(
        "--step-id", default="", metavar="ID",
        help="for an engine that cannot name an owner: it is what this pod belongs to, with --adopt and --guard; ID is the "
        "same for all attempts of a step, and --generate-name makes the run's name of it; outside a pod there is no owner",
    )  # fmt: skip
    step.add_argument(
        "--output", nargs=2, action="append", default=[], metavar=("WHAT", "FILE"), dest="outputs",
        help=f"write an output to a file, in any case and empty where the run has none: {', '.join(KNOWN)}",
    )  # fmt: skip
    add_connection_options(parser)


def run(options: argparse.Namespace) -> int:
    return write_outputs(options, lambda: submit(options, {}))


def write_outputs(options: argparse.Namespace, work: Callable[[], Submitted]) -> int:
    """Do the work of a command with `add_submit_options`, write its outputs in any case, and return its exit code."""
    signals.interrupt_once()
    outputs = Outputs(options.outputs, options.files)
    outcome = Submitted(ExitCode.FAILED)
    try:
        outcome = work()
    except TrainchartError as error:
        outcome = Submitted(error.exit_code)
        raise
    except KeyboardInterrupt:
        outcome = Submitted(_interrupted_code(options))
    finally:
        signals.ignore()
        if outputs:
            outputs.write(outcome.code, outcome.run)
    return outcome.code


@dataclass(frozen=True)
class Submitted:
    """What `submit` comes to."""

    code: int
    run: Snapshot | None = None


def submit(options: argparse.Namespace, called: Mapping[str, str]) -> Submitted:
    """Install a run and follow it. A signal removes what is being installed; what it does after that is `wait`'s.

    Args:
        options: `name`, `generate_name`, `helm_arguments`, the values and those of `add_submit_options`.
        called: what values files are called in messages, if not by their paths.
    """
    options.submission = ""
    try:
        return _submit(options, called)
    except KeyboardInterrupt:
        if _is_installed(options):
            outcome = wait.interrupted(options)
            return Submitted(outcome.code, outcome.run)
        print_message(f"{options.name or 'the run'} is not installed: it was interrupted")
        return Submitted(_interrupted_code(options))


def _is_installed(options: argparse.Namespace) -> bool:
    """Whether a signal is one for a run: the installation is just over, or was an earlier attempt's.

    Raises:
        ForbiddenError, UnreachableError: it is not known.
    """
    from trainchart.cluster import kinds
    from trainchart.follow.retry import Retry
    from trainchart.install.install import was_installed
    from trainchart.install.names import generate_name
    from trainchart.install.owner import Owner

    owner = Owner(*options.owner) if options.adopt and options.owner else None
    if owner and options.generate_name:
        options.name = options.name or generate_name(options.generate_name, _attempts_share(options))
    if not owner and not options.submission:
        return False
    api = connect(options)
    retry = Retry(print_message, limit=options.stop_timeout)
    if owner:
        return owner.owns(retry.call(lambda: api.get(kinds.JOBS, options.name)))
    return retry.call(lambda: was_installed(api, options.name, options.submission))


def _submit(options: argparse.Namespace, called: Mapping[str, str]) -> Submitted:
    from trainchart.chart.engine import NewRelease
    from trainchart.chart.engines import engine
    from trainchart.follow.retry import Retry
    from trainchart.install.adopt import adopt
    from trainchart.install.guard import check_guard
    from trainchart.install.helm import check_arguments, target_of
    from trainchart.install.install import InterruptedInstallError, install
    from trainchart.install.owner import LABEL, Owner, check_owner

    choose_helm(options)
    helm = engine()
    check_arguments(options.helm_arguments, helm.program)
    if options.step_id:
        _find_owner(options)
    owner = Owner(*options.owner) if options.owner else None
    _check_options(options, owner)
    overrides = replace(overrides_of(options), sections={"owner": ("--owner", owner.reference)} if owner else {})
    check_values("submit", options.files, overrides)
    api = connect(options)
    target = target_of(api, options.kubeconfig, os.environ)
    # No one else would follow the run of an earlier attempt: an outage is waited for, as by `wait`.
    retry = Retry(print_message)
    if not options.adopt:
        retry.cancel()
    if owner:
        retry.call(partial(check_owner, api, owner))
    own_pod = retry.call(partial(check_guard, api)) if options.guard else None
    is_adopting = owner and options.adopt and not options.dry_run
    if owner and is_adopting and retry.call(partial(adopt, api, helm, target, options.name, owner, print_message)):
        print_message(f"{options.name} was submitted by an earlier attempt, and is followed")
        return _follow(options, api, owner, own_pod)
    values = _checked_values(options, called, api, overrides)
    if isinstance(values, ExitCode):
        return Submitted(values)
    options.submission = secrets.token_hex(8)
    try:
        release = NewRelease(
            options.name,
            options.chart,
            values,
            labels={LABEL: owner.uid} if owner else {},
            dry_run=options.dry_run,
            arguments=options.helm_arguments,
        )
        notes = install(api, helm, target, release, options.submission)
    except InterruptedInstallError as error:
        print_message(str(error))
        return Submitted(_interrupted_code(options))
    if options.dry_run:
        print_text(f"{options.name} would be installed in {api.namespace}; nothing was changed")
        return Submitted(ExitCode.OK)
    return _follow(options, api, owner, own_pod, notes)


def _check_options(options: argparse.Namespace, owner: Owner | None) -> None:
    """Check what argparse cannot, and settle the run's name.

    Raises:
        UsageError
    """
    from trainchart.chart.paths import CHART
    from trainchart.install.names import generate_name

    options.chart = options.chart or CHART
    if not (options.chart / "Chart.yaml").exists():
        raise UsageError(
            f"submit: --chart: {options.chart} has no Chart.yaml; name the folder of a chart, which `helm pull --untar` makes of "
            "one in a registry, and `tar -xf` of an archive"
        )
    if bool(options.name) == bool(options.generate_name):
        raise UsageError("submit: give either NAME or --generate-name PREFIX")
    if options.adopt and not owner:
        raise UsageError("submit: --adopt needs --owner, by which a run of an earlier attempt is recognized")
    if options.generate_name:
        options.name = generate_name(options.generate_name, _attempts_share(options))
        print_text(options.name)


def _attempts_share(options: argparse.Namespace) -> str:
    """What all attempts of this step have in common, and nothing else has; empty if that is unknown."""
    uid = options.owner[-1] if options.owner else ""
    return "/".join(filter(None, (uid, options.step_id)))


def _find_owner(options: argparse.Namespace) -> None:
    """Set what --step-id stands for: --owner, --adopt and --guard, as far as this is a pod that belongs to something.

    Raises:
        UsageError
        ForbiddenError, UnreachableError: the pod cannot be read.
    """
    from trainchart.cluster import own_pod
    from trainchart.follow.retry import Retry
    from trainchart.install.owner import owner_of

    if options.owner:
        raise UsageError("submit: --step-id finds the owner by itself; leave --owner out")
    if "{{" in options.step_id:
        raise UsageError(
            f"submit: --step-id: the engine has not replaced what is in braces in {options.step_id!r}; Kubeflow Pipelines "
            "does so from 2.5 on, for a placeholder that is the whole value of an input"
        )
    api = connect(options)
    pod = Retry(print_message).call(partial(own_pod.find, api))
    owner = owner_of(pod) if pod else None
    options.guard, options.adopt = pod is not None, owner is not None
    if owner:
        options.owner = [owner.api_version, owner.kind, owner.name, owner.uid]
    else:
        print_message(f"--step-id: {own_pod.name()} is no pod of an engine, so nothing else owns the run")


def _checked_values(
    options: argparse.Namespace, called: Mapping[str, str], api: Api, overrides: Overrides
) -> Tree | ExitCode:
    """The values to install, or why they are not, which has been printed."""
    from trainchart.checks.values import as_paths
    from trainchart.cli.doctor import valid_run_spec
    from trainchart.values.validate import values_of

    with as_paths(options.files, called) as files:
        spec = valid_run_spec(
            files, overrides, name=options.name, namespace=api.namespace, chart=options.chart, warnings=True
        )  # fmt: skip
        if spec is None:
            return ExitCode.REFUSED
        if (options.doctor or options.dry_run) and not _passes_doctor(api, spec, quick=not options.dry_run):
            return ExitCode.PROBLEM
        return values_of([path for path, _ in files], overrides)


def _follow(
    options: argparse.Namespace, api: Api, owner: Owner | None, own_pod: Object | None, notes: str = ""
) -> Submitted:
    """What comes after the installation, where a signal is the run's; `notes` are those of Helm."""
    from trainchart.follow.retry import Retry
    from trainchart.install.guard import start_guard
    from trainchart.install.owner import own_release

    retry = Retry(print_message, limit=_OUTAGE_SECONDS)
    try:
        if notes:
            if options.no_wait:
                print_text(notes.rstrip())
            else:
                print_message(f"{options.name} is installed in {api.namespace}")
        if owner:
            own_release(api, options.name, owner, print_message, retry.call)
        if own_pod:
            start_guard(api, options.name, own_pod, print_message, retry.call, seconds=options.guard_timeout)
        if options.no_wait:
            return Submitted(ExitCode.OK, _last_state(api, options))
        outcome = wait.follow(options)
    except KeyboardInterrupt:
        outcome = wait.interrupted(options)
    return Submitted(outcome.code, outcome.run or _last_state(api, options))


def _last_state(api: Api, options: argparse.Namespace) -> Snapshot | None:
    """The run as far as it is known, for the outputs of one whose end was not seen."""
    from trainchart.run import state

    try:
        return state.load(api, options.name) if options.outputs else None
    except TrainchartError:
        return None


def _interrupted_code(options: argparse.Namespace) -> int:
    return signals.exit_code() if options.on_signal == "stop" else ExitCode.INTERRUPTED


def _passes_doctor(api: Api, spec: RunSpec, *, quick: bool) -> bool:
    """Whether doctor finds no problem. Prints all findings but those of quick checks that pass."""
    from trainchart.checks.finding import has_problem
    from trainchart.cli.doctor import run_checks, summary

    def show(finding: Finding) -> bool:
        return not quick or finding.severity in ("problem", "warning", "waiting")

    findings = run_checks(api, spec, quick=quick, show=show, stream=sys.stderr)
    if not has_problem(findings):
        return True
    anyway = "; --no-doctor installs it anyway" if quick else ""
    print_message(f"{spec.name} is not installed: {summary(findings)}{anyway}")
    return False
