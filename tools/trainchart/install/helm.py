"""The cluster and arguments of Helm: it must use the values and the cluster that were checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from trainchart.chart.engine import Target
from trainchart.cluster.api import Api
from trainchart.errors import UsageError

# Options of helm, and what to use instead.
_REFUSED = {
    **{option: option for option in ("--set", "--set-string", "--set-json", "-f")},
    **dict.fromkeys(("--set-file", "--set-literal", "--values"), "-f FILE"),
    **dict.fromkeys(("--generate-name", "-g", "--name-template"), "NAME"),
    **dict.fromkeys(("--namespace", "-n"), "-n"),
    "--kube-context": "--context",
    "--kubeconfig": "--kubeconfig",
    "--dry-run": "--dry-run",
    # helm would print it, and install nothing.
    **dict.fromkeys(("--help", "-h"), "--help"),
}
# Any other option of this prefix names a server or an account.
_CONNECTION_PREFIX = "--kube"
# These change the objects after they were rendered and checked.
_POST_RENDERER = ("--post-renderer", "--post-renderer-args")


def target_of(api: Api, kubeconfig: str, environment: Mapping[str, str]) -> Target:
    """The server, account and namespace of an API client, for Helm.

    Raises:
        UsageError: the environment would make Helm use other ones.
    """
    same = {"HELM_NAMESPACE": (api.namespace, "-n"), "HELM_KUBECONTEXT": (api.context, "--context")}
    for name, (ours, option) in same.items():
        if environment.get(name, "") not in ("", ours):
            raise UsageError(f"{name} is {environment[name]}, but the checks use {ours}; unset it, or use {option}")
    driver = environment.get("HELM_DRIVER", "")
    if driver not in ("", "secret", "secrets"):
        raise UsageError(
            f"HELM_DRIVER is {driver}, but trainchart reads releases from Secrets, Helm's default; unset it"
        )
    for name, value in sorted(environment.items()):
        # The message leaves out the value, which may be a token.
        if name.startswith("HELM_KUBE") and name not in same and value not in ("", "false"):
            raise UsageError(
                f"{name} is set, so Helm would use another server or account than the kubeconfig's; unset it, "
                "and use --context or --kubeconfig"
            )
    return Target(api.namespace, api.context, kubeconfig)


def check_arguments(arguments: Sequence[str], program: str) -> None:
    """Check the arguments after `--`, which are passed on to the helm program (empty if there is none).

    Raises:
        UsageError: there is no program, or one of them would change what the checks have seen.
    """
    if arguments and not program:
        raise UsageError(
            f"submit: {arguments[0]}: arguments after -- are passed on to the helm program, but trainchart[engine] installs "
            "without it; add --helm helm, or leave them out"
        )
    for argument in arguments:
        if not argument.startswith("-") and not arguments[0].startswith("-"):
            raise UsageError(f"submit: {argument}: name values files by -f; arguments after -- are passed on to helm")
        # A short option may include its value.
        option = argument.partition("=")[0] if argument.startswith("--") else argument[:2]
        if option in _POST_RENDERER:
            raise UsageError(
                f"submit: {option} cannot be passed on to helm: it would change objects that were checked; "
                "use helm install"
            )
        instead = _REFUSED.get(option)
        if not instead and option.startswith(_CONNECTION_PREFIX):
            instead = "--context and --kubeconfig"
        if instead:
            raise UsageError(f"submit: {option} cannot be passed on to helm; use {instead} of submit")
