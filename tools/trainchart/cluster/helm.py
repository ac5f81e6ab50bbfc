"""Releases as Helm stores them: one Secret per revision, with its status in labels."""

from __future__ import annotations

from collections.abc import Sequence

from trainchart.cluster.fields import Object, number


def release_selector(name: str = "") -> str:
    """The label selector for the Secrets of a release, or of all."""
    return f"owner=helm,name={name}" if name else "owner=helm"


def newest(records: Sequence[Object]) -> Object:
    """The Secret of the latest revision, or {} if there is none. The server sorts by name, where .v9 follows .v10."""
    return max(records, key=lambda record: number(record, "metadata", "labels", "version"), default={})
