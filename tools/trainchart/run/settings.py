"""The settings of a run, as the chart has passed them to its runner: the effective values of its release."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from trainchart.cluster import kinds
from trainchart.cluster.fields import Object, mapping, parsed, text

if TYPE_CHECKING:
    from trainchart.cluster.api import Api

SOURCES = ("model", "dataset")
_CONFIGURED_BY = {"git": "repository", "claim": "claimName", "s3": "bucket"}


def settings_of(api: Api, name: str) -> Object:
    """Return settings.json (docs/runner.md); empty where the ConfigMap does not exist."""
    found = api.get(kinds.CONFIG_MAPS, f"{name}-run")
    return parsed(text(found, "data", "settings.json"))


def target(settings: Mapping[str, Any]) -> str:
    """Return where a run publishes its result; empty where it does not, or that is not known."""
    publish, kind = mapping(settings, "publish"), text(settings, "publish", "type")
    if kind == "s3":
        place = (text(publish, "endpoint").rstrip("/"), text(publish, "bucket"), text(publish, "prefix").strip("/"))
        folder = text(publish, "folder") or f"{text(settings, 'run', 'name')}-<8 characters of the Job's UID>"
        return f"folder {folder} of {'/'.join(filter(None, place))}"
    repository, branch = text(publish, "repository"), text(publish, "branch") or "sft-<time>"
    return f"branch {branch} of {repository}" if repository and kind != "none" else ""


def sources(settings: Mapping[str, Any]) -> dict[str, Object]:
    """Return those of model and dataset that the run has: the key of the source's type is configured."""
    found = {name: mapping(settings, name) for name in SOURCES}
    return {name: one for name, one in found.items() if text(one, _CONFIGURED_BY.get(text(one, "type"), ""))}


def location(source: Mapping[str, Any]) -> str:
    """Return where a source lies, as the runner calls it in manifests and results."""
    if text(source, "type") == "s3":
        parts = (text(source, "endpoint").rstrip("/"), text(source, "bucket"), text(source, "prefix").strip("/"))
        return "/".join(parts).rstrip("/")
    return f"claim:{text(source, 'claimName')}" if text(source, "type") == "claim" else text(source, "repository")
