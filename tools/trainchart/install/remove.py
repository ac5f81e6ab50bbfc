"""Remove a run: uninstall its release, or delete its objects where Helm has none (`helm template | kubectl create`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from trainchart.chart.engine import Engine, HelmError, Target
from trainchart.checks.refusals import explain
from trainchart.cluster import kinds
from trainchart.cluster.api import Api
from trainchart.cluster.errors import ForbiddenError
from trainchart.cluster.fields import text
from trainchart.cluster.helm import release_selector
from trainchart.errors import ExitCode, TrainchartError
from trainchart.install.install import exit_code_of
from trainchart.run.installed import INSTANCE, Installed, is_kept
from trainchart.run.state import PART_OF

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
