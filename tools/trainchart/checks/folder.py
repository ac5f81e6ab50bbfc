"""The run's folder on its claim: one run works in it at a time (docs/decisions/0017-a-run-holds-its-folder.md)."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from trainchart.checks.finding import Finding, ok, problem
from trainchart.checks.reader import ClusterReader, NoRight
from trainchart.checks.run_spec import RunSpec
from trainchart.cluster import kinds
from trainchart.cluster.fields import Object, text
from trainchart.run.state import FAMILY, PART_OF, State, of

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


def folder_checks(reader: ClusterReader, spec: RunSpec) -> Iterator[Finding]:
    """Calls: the namespace's runs, where this one has a claim."""
    folder = folder_of(spec.job)
    if folder is None:
        return
    jobs = reader.objects(kinds.JOBS, selector=f"{PART_OF},{FAMILY}")
    yield jobs.check(f"folder {folder}") if isinstance(jobs, NoRight) else check_folder(folder, spec.name, jobs)


def check_folder(folder: Folder, name: str, jobs: Iterable[Object]) -> Finding:
    """`name` is the run's own; whether there is a Job of that name is another check."""
    topic = f"folder {folder}"
    for job in jobs:
        there, run = folder_of(job), of(job, [])
        if there is None or run.name == name or run.state.is_final or not folder.overlaps(there):
            continue
        found = f"run {run.name}, which is {run.state.value}, works in {there}; two runs cannot share a folder"
        stop = (
            "wait for its end"
            if run.state is State.ENDING
            else f"wait for its end, or stop it (`{run.command('stop {}')}`)"
        )
        return problem(topic, found, f"name another workspace.directory; or {stop}")
    return ok(topic, "no other run works in it")


def folder_of(job: Object) -> Folder | None:
    """Where a run works; None where that is a folder of its pods alone."""
    claim = of(job, []).workspace_claim
    # Jobs of an older chart do not say it. They work in a folder of their own name, unless their values name another.
    directory = text(job, "metadata", "annotations", _DIRECTORY) or text(job, "metadata", "name")
    return Folder(claim, directory) if claim else None
