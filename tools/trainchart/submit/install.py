"""Run `helm install`, explain a failure, and remove what a failed installation has created."""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Sequence
from pathlib import Path

from trainchart.checks.finding import Finding, problem
from trainchart.checks.refusals import explain
from trainchart.cluster import kinds
from trainchart.cluster.api import Api
from trainchart.cluster.errors import ForbiddenError
from trainchart.cluster.helm import release_selector
from trainchart.errors import ExitCode, TrainchartError
from trainchart.submit.helm import Helm

INSTALL_SECONDS = 300
UNINSTALL_SECONDS = 120

# A label of the release: another `submit` may take the name between our check and Helm's, and its release must stay.
_SUBMISSION = "trainchart.dev/submission"
_EXIT_CODES = {
    "no-right": ExitCode.FORBIDDEN,
    "unreachable": ExitCode.UNREACHABLE,
    "too-slow": ExitCode.UNREACHABLE,
    "webhook-down": ExitCode.UNREACHABLE,
    "interrupted": ExitCode.INTERRUPTED,
}


class InstallError(TrainchartError):
    """Helm could not install the release; the message says why, what to do, and what is left in the cluster."""

    def __init__(self, name: str, finding: Finding, leftovers: str = "") -> None:
        fix = f"; {finding.fix}" if finding.fix else ""
        super().__init__(f"{name} is not installed: {finding.text}{fix}{leftovers}")
        self.finding = finding
        self.exit_code = _EXIT_CODES.get(finding.key, ExitCode.REFUSED)


def install(
    api: Api,
    helm: Helm,
    name: str,
    files: Sequence[str],
    chart: Path,
    *,
    more: Sequence[str] = (),
    dry_run: bool = False,
) -> str:
    """Install a release and return what helm printed: the release's notes.

    Args:
        api: the cluster that `helm` installs in.
        helm: the program.
        name: the release's name.
        files: paths of values files.
        chart: the chart's folder.
        more: arguments for helm.
        dry_run: let the server check all objects, and create none.

    Raises:
        InstallError
    """
    if _release_exists(api, name):
        raise InstallError(name, explain("cannot reuse a name that is still in use"))
    submission = f"{_SUBMISSION}={secrets.token_hex(8)}"
    values = [word for file in files for word in ("-f", file)]
    dry = ["--dry-run=server"] if dry_run else []
    command = helm.command("install", name, str(chart), *values, *dry, *more, "--labels", submission)
    try:
        process = _run(command, INSTALL_SECONDS)
        if process.returncode == 0:
            return process.stdout
        finding = explain(process.stderr.strip() or process.stdout.strip())
    except subprocess.TimeoutExpired:
        finding = explain(f"timed out waiting for the condition: helm install took more than {INSTALL_SECONDS} s")
    except KeyboardInterrupt:
        finding = problem("interrupted", name, "it was interrupted")
    finding = finding.on(api.connection)
    raise InstallError(name, finding, "" if dry_run else _remove(api, helm, name, submission))


def _release_exists(api: Api, name: str, label: str = "") -> bool:
    """Whether a release of this name and label exists.

    An account without the permission to list Secrets cannot install either, which Helm reports.
    """
    selector = release_selector(name) + (f",{label}" if label else "")
    try:
        return bool(api.objects(kinds.SECRETS, selector=selector, metadata_only=True)[0])
    except ForbiddenError:
        return False


def _remove(api: Api, helm: Helm, name: str, submission: str) -> str:
    """Uninstall what a failed installation has created, and only that; returns a note about it for the user."""
    uninstall = api.connection.command(f"helm uninstall {name} -n {helm.namespace}")
    by_hand = f" (what Helm created is left: `{uninstall}` removes it)"
    try:
        if not _release_exists(api, name, submission):
            return ""
        process = _run(helm.command("uninstall", name), UNINSTALL_SECONDS)
    except (TrainchartError, subprocess.TimeoutExpired):
        return by_hand
    return " (what Helm created was removed)" if process.returncode == 0 else by_hand


def _run(command: Sequence[str], seconds: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
