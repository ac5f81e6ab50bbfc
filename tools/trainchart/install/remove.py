"""Remove a run: uninstall its release, or delete its objects where Helm has none (`helm template | kubectl create`)."""

from __future__ import annotations

from collections.abc import Callable, Container
from contextlib import suppress
from dataclasses import replace

from trainchart.chart.engine import Engine, HelmError, Target
from trainchart.checks.refusals import explain
from trainchart.cluster import kinds
from trainchart.cluster.api import Api
from trainchart.cluster.errors import ForbiddenError, NotFoundError
from trainchart.cluster.fields import text
from trainchart.cluster.helm import release_selector
from trainchart.errors import ExitCode, TrainchartError, UsageError
from trainchart.install.install import exit_code_of
from trainchart.run.installed import INSTANCE, Installed, installed, is_kept, user_of
from trainchart.run.state import PART_OF, not_found

# The Job first, so that its pods end; its claim last.
_OBJECTS = (
    kinds.JOBS,
    kinds.PODS,
    kinds.SERVICES,
    kinds.NETWORK_POLICIES,
    kinds.CONFIG_MAPS,
    kinds.SERVICE_ACCOUNTS,
    kinds.CLAIM_TEMPLATES,
    kinds.CLAIMS,
)
# Runs without them are common, and some accounts have no rights to them (docs/rights.md).
_OPTIONAL = (kinds.NETWORK_POLICIES, kinds.CLAIM_TEMPLATES)


class RemoveError(TrainchartError):
    """A run could not be removed; the message says why, and what to do."""

    def __init__(self, name: str, reason: str, exit_code: ExitCode = ExitCode.REFUSED) -> None:
        super().__init__(f"{name} is not removed: {reason}")
        self.exit_code = exit_code


def delete(
    api: Api,
    helm: Callable[[], tuple[Engine, Target]],
    name: str,
    notify: Callable[[str], None],
    *,
    stop: Callable[[str], object] | None,
    also: Container[str] = (),
    option: str = "--stop",
) -> Installed:
    """Remove a run by its name, and return what it was.

    Args:
        api: the cluster, and the namespace of the run.
        helm: gives Helm, which is needed for a release only, and the cluster.
        name: of the run.
        notify: called with what could not be looked for.
        stop: stops a run that has not finished, by its name; None refuses to remove such a run.
        also: the names of other runs that are removed with it, which may be stopped too where they use its claim.
        option: what the caller calls `stop`, for messages.

    Raises:
        NotFoundError: there is no such run.
        UsageError: it has not finished and may not be stopped, or another run uses its claim.
        RemoveError, ForbiddenError, UnreachableError, and what `stop` raises.
    """
    unseen: list[str] = []
    found = installed(api, name, notify=unseen.append)
    if not found:
        for message in unseen:
            notify(message)
        raise not_found(api, name)
    (run,) = found
    if not run.state.is_final:
        if not stop:
            raise UsageError(f"{name} is not removed: it is {run.state.value}; add {option} to stop it first")
        with suppress(NotFoundError):  # somebody has deleted its Job: what else there is of it is left to remove
            stop(name)
    elif run.is_being_installed and not stop:
        raise UsageError(
            f"{name} is not removed: Helm is installing it, or was interrupted a moment ago; wait, or add {option} to "
            "remove it in any case"
        )
    while run.own_claims and (user := user_of(run, installed(api))):
        if not stop or user.name not in also:
            raise UsageError(
                f"{name} is not removed: {user.name} is {user.state.value} on its claim; stop {user.name} first, or wait for it"
            )
        with suppress(NotFoundError):
            stop(user.name)
    remove(api, helm, run, notify)
    return run


def remove(api: Api, helm: Callable[[], tuple[Engine, Target]], run: Installed, notify: Callable[[str], None]) -> None:
    """Remove a run and all that belongs to it but claims that are kept. What is gone already is no error.

    Args:
        api: the cluster, and the namespace of the run.
        helm: gives Helm, which is needed for a release only, and the cluster.
        run: what to remove; whether it has finished is the caller's to judge.
        notify: called with what could not be looked for.

    Raises:
        RemoveError: Helm could not uninstall the release, or this account may not read releases.
        ForbiddenError, UnreachableError
    """
    if run.release or (run.by_helm and _may_have_release(api, run.name)):
        engine, target = helm()
        uninstall(engine, replace(target, namespace=api.namespace), run.name)
        _delete_objects(api, run.name, (kinds.PODS,), notify)  # of `helm test`, which Helm leaves
        return
    _delete_objects(api, run.name, _OBJECTS, notify)


def _may_have_release(api: Api, name: str) -> bool:
    """Whether Helm has a release that was not listed, as by an account that may list the Secrets of some namespaces only.

    Raises:
        RemoveError: this account may not know.
        UnreachableError
    """
    if not api.may("list", kinds.SECRETS):
        reason = (
            f"it is a release of Helm, and this account may not list secrets in namespace {api.namespace}, where Helm "
            "keeps it; let an administrator remove it, or bind the Role trainchart-submitter to this account (trainchart docs rights)"
        )
        raise RemoveError(name, reason, ExitCode.FORBIDDEN)
    return bool(api.objects(kinds.SECRETS, selector=release_selector(name), metadata_only=True)[0])


def uninstall(engine: Engine, target: Target, name: str) -> None:
    """Uninstall a release; that it is gone already is no error.

    Raises:
        RemoveError
    """
    try:
        engine.uninstall(name, target)
    except HelmError as error:
        if "release: not found" in str(error):
            return
        finding = explain(str(error))
        fix = f"; {finding.fix}" if finding.fix else ""
        raise RemoveError(name, f"{finding.text}{fix}", exit_code_of(finding)) from None


def _delete_objects(api: Api, name: str, of_kinds: tuple[kinds.Kind, ...], notify: Callable[[str], None]) -> None:
    selector = f"{PART_OF},{INSTANCE}={name}"
    for kind in of_kinds:
        try:
            found, _ = api.objects(kind, selector=selector, metadata_only=True)
        except ForbiddenError as error:
            if kind not in _OPTIONAL:
                raise
            notify(f"{kind.plural} of {name}, if there are any, stay: {error}")
            continue
        for one in found:
            is_copy = kind is kinds.JOBS and text(one, "metadata", "name") != name  # a run of its own
            if not is_kept(one) and not is_copy:
                api.delete(kind, text(one, "metadata", "name"))
