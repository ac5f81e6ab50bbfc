"""Install a release, explain a failure, and remove what a failed installation has created."""

from __future__ import annotations

from dataclasses import replace

from trainchart.chart.engine import Engine, HelmError, NewRelease, Target
from trainchart.checks.finding import Finding, problem
from trainchart.checks.refusals import explain
from trainchart.cluster import kinds
from trainchart.cluster.api import Api
from trainchart.cluster.errors import ForbiddenError
from trainchart.cluster.helm import release_selector
from trainchart.errors import ExitCode, TrainchartError

# A label of the release: another `submit` may take the name between our check and Helm's, and its release must stay.
_SUBMISSION = "trainchart.dev/submission"
_EXIT_CODES = {
    "no-right": ExitCode.FORBIDDEN,
    "unreachable": ExitCode.UNREACHABLE,
    "too-slow": ExitCode.UNREACHABLE,
    "webhook-down": ExitCode.UNREACHABLE,
}


class InstallError(TrainchartError):
    """Helm could not install the release; the message says why, what to do, and what is left in the cluster."""

    def __init__(self, name: str, finding: Finding, leftovers: str = "") -> None:
        fix = f"; {finding.fix}" if finding.fix else ""
        super().__init__(f"{name} is not installed: {finding.text}{fix}{leftovers}")
        self.finding = finding
        self.exit_code = exit_code_of(finding)


def exit_code_of(finding: Finding) -> ExitCode:
    """The exit code for an operation of Helm that failed."""
    return _EXIT_CODES.get(finding.key, ExitCode.REFUSED)


class InterruptedInstallError(InstallError):
    """A signal came; what Helm had created is removed, unless the message names it."""

    def __init__(self, name: str, leftovers: str) -> None:
        super().__init__(name, problem("interrupted", name, "it was interrupted"), leftovers)
        self.exit_code = ExitCode.INTERRUPTED


def install(api: Api, engine: Engine, target: Target, release: NewRelease, submission: str) -> str:
    """Install a release and return its notes.

    Args:
        api: a client of the cluster.
        engine: Helm.
        target: the same cluster, for Helm.
        release: with the values that were checked.
        submission: a random text, by which the release is recognized.

    Raises:
        InstallError
        InterruptedInstallError: KeyboardInterrupt came.
    """
    name = release.name
    try:
        is_taken = _release_exists(api, name)
    except KeyboardInterrupt:
        raise InterruptedInstallError(name, "") from None
    if is_taken:
        raise InstallError(name, explain("cannot reuse a name that is still in use"))
    marked = replace(release, labels={**release.labels, _SUBMISSION: submission})
    try:
        return engine.install(marked, target)
    except HelmError as error:
        finding = explain(str(error)).on(api.connection)
    except KeyboardInterrupt:
        finding = None
    leftovers = "" if release.dry_run else _remove(api, engine, target, name, submission)
    if finding is None:
        raise InterruptedInstallError(name, leftovers)
    raise InstallError(name, finding, leftovers)


def was_installed(api: Api, name: str, submission: str) -> bool:
    """Whether `install` has made a release of this name."""
    return _release_exists(api, name, f"{_SUBMISSION}={submission}")


def _release_exists(api: Api, name: str, label: str = "") -> bool:
    """Whether a release of this name and label exists.

    An account without the permission to list Secrets cannot install either, which Helm reports.
    """
    selector = release_selector(name) + (f",{label}" if label else "")
    try:
        return bool(api.objects(kinds.SECRETS, selector=selector, metadata_only=True)[0])
    except ForbiddenError:
        return False


def _remove(api: Api, engine: Engine, target: Target, name: str, submission: str) -> str:
    """Uninstall what a failed installation has created, and only that; returns a note about it for the user."""
    try:
        if not was_installed(api, name, submission):
            return ""
        engine.uninstall(name, target)
    except TrainchartError:
        uninstall = api.connection.command(f"helm uninstall {name} -n {target.namespace}")
        return f" (what Helm created is left: `{uninstall}` removes it)"
    return " (what Helm created was removed)"
