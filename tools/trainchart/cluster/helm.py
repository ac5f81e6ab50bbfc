"""What Helm keeps of a release: a Secret per revision, with the state of it in labels."""

from __future__ import annotations

from collections.abc import Sequence

from trainchart.cluster.fields import Object, number


def release_selector(name: str) -> str:
    return f"owner=helm,name={name}"


def newest(records: Sequence[Object]) -> Object:
    """The last revision's; empty where there is none. The API server sorts by name, and .v9 comes after .v10."""
    return max(records, key=lambda record: number(record, "metadata", "labels", "version"), default={})
