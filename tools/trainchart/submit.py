"""`helm install` as a process: what it is given, and what is made of its refusal. Nothing of a failed one is left behind."""

from __future__ import annotations

import secrets
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trainchart.checks.finding import Finding, problem
from trainchart.checks.refusals import explain
from trainchart.cluster import kinds
from trainchart.cluster.api import Api
from trainchart.cluster.errors import ForbiddenError
from trainchart.cluster.helm import release_selector
from trainchart.errors import ExitCode, TrainchartError, UsageError

INSTALL_SECONDS = 300
UNINSTALL_SECONDS = 120

# Of the release, so that nobody else's is taken for it: another `submit` may have taken the name between our look and Helm's.
_MARK = "trainchart.dev/submission"
_CODES = {
    "no-right": ExitCode.FORBIDDEN,
    "unreachable": ExitCode.UNREACHABLE,
    "too-slow": ExitCode.UNREACHABLE,
    "webhook-down": ExitCode.UNREACHABLE,
    "interrupted": ExitCode.INTERRUPTED,
}
# The validator and doctor have not seen what these would change, or the command would look elsewhere than Helm.
_NOT_PASSED_ON = {
    "--set": "-f FILE",
    "--set-string": "-f FILE",
    "--set-file": "-f FILE",
    "--set-json": "-f FILE",
    "--set-literal": "-f FILE",
    "--values": "-f FILE",
    "-f": "-f FILE",
    "--namespace": "-n",
    "-n": "-n",
    "--kube-context": "--context",
    "--kube": "--context and --kubeconfig",  # whatever else says which server or account
    "--kubeconfig": "--kubeconfig",
    "--generate-name": "NAME",
    "--name-template": "NAME",
    "-g": "NAME",
    "--dry-run": "--dry-run",
}


class InstallError(TrainchartError):
    """Helm could not install the release; the text says why, what to do, and what is left."""

    def __init__(self, text: str, finding: Finding) -> None:
        super().__init__(text)
        self.finding = finding
        self.exit_code = _CODES.get(finding.key, ExitCode.REFUSED)


@dataclass(frozen=True)
class Helm:
    """The program, and the cluster it is pointed at: that of our own API client, by its options and nothing else."""

    program: str
    namespace: str
    context: str = ""  # "" in a pod, whose own account both then use
    kubeconfig: str = ""  # "" for $KUBECONFIG or the default, which both read

    def command(self, *arguments: str) -> list[str]:
        options = {"--namespace": self.namespace, "--kube-context": self.context, "--kubeconfig": self.kubeconfig}
        return [self.program, *arguments, *(word for key, value in options.items() if value for word in (key, value))]


def helm_for(api: Api, program: str, kubeconfig: str, environment: Mapping[str, str]) -> Helm:
    """Helm for the server, account and namespace that our own client uses.

    Raises:
        UsageError: the environment says otherwise; Helm would look at another cluster than the checks.
    """
    same = {"HELM_NAMESPACE": (api.namespace, "-n"), "HELM_KUBECONTEXT": (api.context, "--context")}
    for name, value in sorted(environment.items()):
        if name in same and value not in ("", same[name][0]):
            ours, option = same[name]
            raise UsageError(f"submit: {name} is {value}, and all else would look at {ours}; unset it, or use {option}")
        # The value may be a token.
        if name.startswith("HELM_KUBE") and name not in same and value not in ("", "false"):
            raise UsageError(
                f"submit: {name} is set, and would show Helm another server or account than the kubeconfig's; unset it, "
                "and name a --context or --kubeconfig that has it"
            )
    return Helm(program, api.namespace, api.context, kubeconfig)


def found(program: str) -> str:
    """Where the program is.

    Raises:
        UsageError
    """
    where = shutil.which(program)
    if not where:
        raise UsageError(f"there is no program {program} on PATH; install Helm 3 or 4, or name it by --helm")
    return where


def checked(arguments: Sequence[str]) -> list[str]:
    """More arguments for helm, none of which says what `submit` has its own option for.

    Raises:
        UsageError
    """
    for argument in arguments:
        # A short option may have its value in the same word.
        option = argument.partition("=")[0] if argument.startswith("--") else argument[:2]
        if not argument.startswith("-") and not arguments[0].startswith("-"):
            raise UsageError(f"submit: {argument}: values files are named by -f; what stands behind -- is for helm")
        instead = _NOT_PASSED_ON.get(option) or (_NOT_PASSED_ON["--kube"] if option.startswith("--kube") else "")
        if instead:
            raise UsageError(f"submit: {option} cannot be passed on to helm; use {instead} of submit")
    return list(arguments)


def is_taken(api: Api, name: str, mark: str = "") -> bool:
    """Whether Helm keeps a release of this name, with this mark. Whoever may not look cannot install either, and Helm will say so."""
    selector = release_selector(name) + (f",{_MARK}={mark}" if mark else "")
    try:
        return bool(api.objects(kinds.SECRETS, selector=selector, metadata_only=True)[0])
    except ForbiddenError:
        return False


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
    """What helm printed: the release's notes.

    Raises:
        InstallError
    """
    if is_taken(api, name):
        finding = explain("cannot reuse a name that is still in use")
        raise InstallError(_words(name, finding), finding)
    values = [word for file in files for word in ("-f", file)]
    dry = ["--dry-run=server"] if dry_run else []
    mark = secrets.token_hex(8)
    command = helm.command("install", name, str(chart), *values, *dry, *more, "--labels", f"{_MARK}={mark}")
    try:
        process = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        said = f"timed out waiting for the condition: helm install took more than {INSTALL_SECONDS} s"
    except KeyboardInterrupt:
        stopped = problem("interrupted", name, "it was interrupted")
        left = "" if dry_run else _clean_up(api, helm, name, mark)
        raise InstallError(_words(name, stopped) + left, stopped) from None
    else:
        if process.returncode == 0:
            return process.stdout
        said = process.stderr.strip() or process.stdout.strip()
    finding = explain(said)
    left = "" if dry_run else _clean_up(api, helm, name, mark)
    raise InstallError(_words(name, finding) + left, finding)


def _words(name: str, finding: Finding) -> str:
    fix = f"; {finding.fix}" if finding.fix else ""
    return f"{name} is not installed: {finding.text}{fix}"


def _clean_up(api: Api, helm: Helm, name: str, mark: str) -> str:
    """Removes what a failed installation has left, and says so. Nobody else's: the release has our mark."""
    by_hand = f" (what Helm had made already is left: `helm uninstall {name} -n {helm.namespace}` removes it)"
    try:
        if not is_taken(api, name, mark):
            return ""
        command = helm.command("uninstall", name)
        done = subprocess.run(command, capture_output=True, text=True, timeout=UNINSTALL_SECONDS, check=False)
    except (TrainchartError, subprocess.TimeoutExpired):
        return by_hand
    return " (what Helm had made already is removed)" if done.returncode == 0 else by_hand
