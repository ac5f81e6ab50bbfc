"""The run's folder on its claim: one run works in it at a time (docs/decisions/0017-a-run-holds-its-folder.md)."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from dataclasses import dataclass

from trainchart.checks.finding import Finding, ok, problem
from trainchart.checks.run_spec import RunSpec
from trainchart.cluster.fields import Object, text
from trainchart.run.state import State, snapshot_of

_DIRECTORY = "trainchart.dev/workspace-directory"


@dataclass(frozen=True)
class Folder:
    """`directory` is relative to the root of the claim."""

    claim: str
    directory: str

    def __str__(self) -> str:
        return f"{self.directory} on claim {self.claim}"

    def overlaps(self, other: Folder) -> bool:
        """Whether they are one folder, or one of them lies in the other."""
        shorter, longer = sorted((self._parts, other._parts), key=len)
        return self.claim == other.claim and longer[: len(shorter)] == shorter

    @property
    def _parts(self) -> list[str]:
        return [part for part in posixpath.normpath(self.directory).split("/") if part not in ("", ".")]


def check_folder(spec: RunSpec, folder: Folder, jobs: Iterable[Object]) -> Finding:
    """Whether another run works in it; whether a Job of this name exists is another check."""
    subject = f"folder {folder}"
    for job in jobs:
        there, run = folder_of(job), snapshot_of(job, [])
        if there is None or run.name == spec.name or run.state.is_final or not folder.overlaps(there):
            continue
        text_ = f"run {run.name}, which is {run.state.value}, works in {there}; two runs cannot share a folder"
        stop = f", or stop it (`{run.command('stop {}')}`)" if run.state is not State.ENDING else ""
        fix = f"name another workspace.directory; or wait until it has finished{stop}"
        return problem("folder-in-use", subject, text_, fix)
    return ok(subject, f"no other run works in {folder}")


def folder_of(job: Object) -> Folder | None:
    """Where a run works; None where that is a folder of its pods alone."""
    claim = snapshot_of(job, []).workspace_claim
    # Jobs of an older chart do not say it. They work in a folder of their own name, unless their values name another.
    directory = text(job, "metadata", "annotations", _DIRECTORY) or text(job, "metadata", "name")
    return Folder(claim, directory) if claim else None
