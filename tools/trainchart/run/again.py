"""What a run was made of, so that it can be run again: its values, and the commits that it has trained on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trainchart.cluster.errors import ForbiddenError, NotFoundError
from trainchart.cluster.fields import mapping, text
from trainchart.files import Tree, overlay
from trainchart.run import release
from trainchart.run.settings import SOURCES, settings_of

if TYPE_CHECKING:
    from trainchart.cluster.api import Api
    from trainchart.run.state import Snapshot

_COMMIT = re.compile("[0-9a-f]{40}")
UNKNOWN = ("networkPolicy", "workspace.keep")
"""Values that the settings do not have: they are about the installation, not about the run."""


@dataclass(frozen=True)
class Made:
    """What a run was made of."""

    values: Tree
    """As the user gave them; without a release, all effective values."""
    settings: Mapping[str, Any]
    """The effective values."""
    by_release: bool
    """Whether `values` are those of its release."""


def made_of(api: Api, run: Snapshot) -> Made:
    """The values of a run. Its owner is left out: another run belongs to whoever submits it.

    Raises:
        NotFoundError: neither its release nor its settings exist.
        ForbiddenError, UnreachableError
    """
    settings = settings_of(api, run.name)
    try:
        installed = release.load(api, run.name)
    except ForbiddenError:
        installed = None
    if installed and installed.is_run:
        return Made({key: value for key, value in installed.values.items() if key != "owner"}, settings, True)
    if not settings:
        raise NotFoundError(f"neither the release nor the settings of {run.name} exist; submit it by its values files")
    # All but what the chart has computed are values under their own names (docs/decisions/0010).
    values = {key: value for key, value in settings.items() if key != "run"}
    spec = mapping(run.job, "spec")
    return Made(
        overlay(values, {key: spec[key] for key in ("queue", "priorityClassName") if key in spec}), settings, False
    )


def pinned(
    values: Mapping[str, Any], changed: Mapping[str, Any], settings: Mapping[str, Any], result: Mapping[str, Any]
) -> tuple[Tree, list[str]]:
    """Pin the git sources of a run to the commits that it has trained on.

    Args:
        values: of the run.
        changed: the same with what the user has changed: a source that is another one now is not pinned.
        settings: the effective values of the run.
        result: that it has reported.

    Returns:
        The values with those commits as revisions, and the git sources whose commit is not known.
    """
    revisions: Tree = {}
    unknown: list[str] = []
    for name in SOURCES:
        source, now = mapping(settings, name), mapping(changed, name)
        if text(source, "type") != "git" or not text(source, "repository"):
            continue
        if any(now.get(key) != mapping(values, name).get(key) for key in ("type", "repository", "revision")):
            continue
        commit = text(result, "sources", name, "commit")
        if commit:
            revisions[name] = {"revision": commit}
        elif not _COMMIT.fullmatch(text(source, "revision")):
            unknown.append(name)
    return overlay(values, revisions), unknown
