"""Remove finished runs that are older than a limit. What runs, waits or is being installed is never removed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from trainchart.cluster import kinds
from trainchart.cluster.fields import Object, number, text
from trainchart.errors import TrainchartError
from trainchart.install.remove import remove
from trainchart.run.installed import Installed, user_of
from trainchart.run.settings import settings_of
from trainchart.run.state import State

if TYPE_CHECKING:
    from trainchart.chart.engine import Engine, Target
    from trainchart.cluster.api import Api

# A release without a Job may be one that is being installed now, for its Job comes last.
INSTALLING = timedelta(minutes=15)
# helm takes a fifth of a second of CPU for each, and waits for the API server for the rest.
WORKERS = 4


@dataclass(frozen=True)
class Due:
    """A finished run that is to be removed."""

    run: Installed
    ended: datetime
    """When it finished, or is taken to have."""


@dataclass(frozen=True)
class Outcome:
    due: Due
    error: TrainchartError | None = None


def due(
    api: Api,
    runs: Sequence[Installed],
    notify: Callable[[str], None],
    *,
    older_than: timedelta,
    now: datetime,
    keep_failed: bool = False,
) -> list[Due]:
    """The runs that have finished longer ago than `older_than`, the oldest first.

    Args:
        api: for the settings of runs whose Job does not exist.
        runs: to choose from: all of a namespace.
        notify: called with what stays for the sake of another run.
        older_than: how long a run stays after it has finished.
        now: the present time.
        keep_failed: leave runs that have failed.

    Raises:
        ForbiddenError, UnreachableError
    """
    found: list[Due] = []
    for run in runs:
        if not run.state.is_final or run.is_copy or (keep_failed and run.state is State.FAILED):
            continue
        ended = run.ended if run.job else _ended_without_job(api, run, now)
        if not ended or now - ended < older_than:
            continue
        if user := user_of(run, runs):
            notify(f"{run.name} stays: {user.name} is {user.state.value} on its claim")
            continue
        found.append(Due(run, ended))
    return sorted(found, key=lambda one: one.ended)


def _ended_without_job(api: Api, run: Installed, now: datetime) -> datetime | None:
    """When a run whose Job does not exist is taken to have finished; None where it may be being installed.

    Nothing says when it did (ttlAfterFinished has removed the Job, or it never had one), but it was not before it was
    installed. Where a claim with its checkpoints would go, it counts from when its timeLimit was over at the latest.
    """
    changed = run.changed
    if changed is None or now - changed < INSTALLING:
        return None
    if not run.own_claims:
        return changed
    settings = settings_of(replace(api, namespace=run.namespace), run.name)
    return min(now, changed + timedelta(seconds=number(settings, "run", "timeLimitSeconds")))


def prune(
    api: Api, helm: Callable[[], tuple[Engine, Target]], chosen: Iterable[Due], notify: Callable[[str], None]
) -> Iterator[Outcome]:
    """Remove the runs, several at a time, and yield each as it is done; one that fails does not keep the others.

    Args:
        api: the cluster.
        helm: gives Helm and the cluster.
        chosen: the runs.
        notify: called with what could not be looked for.
    """

    def removed(one: Due) -> Outcome | None:
        here = replace(api, namespace=one.run.namespace)
        try:
            if not _is_unchanged(here, one.run):
                notify(f"{one.run.name} stays: it was started again meanwhile")
                return None
            remove(here, helm, one.run, notify)
        except TrainchartError as error:
            return Outcome(one, error)
        return Outcome(one)

    with ThreadPoolExecutor(WORKERS) as pool:
        running: set[Future[Outcome | None]] = {pool.submit(removed, one) for one in chosen}
        try:
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                yield from filter(None, (future.result() for future in done))
        finally:
            pool.shutdown(cancel_futures=True)


def _is_unchanged(api: Api, run: Installed) -> bool:
    """Whether the Job, or without one the release, is still the one that was listed, or is gone.

    Meanwhile the run may have been resumed, or removed and installed again: then its release comes before its Job.
    """
    job = api.get(kinds.JOBS, run.name)
    if job:
        return _is_same(job, run.job) and replace(run, job=job).state.is_final
    release = run.release and api.metadata(kinds.SECRETS, text(run.release, "metadata", "name"))
    return not release or _is_same(release, run.release)


def _is_same(one: Object, before: Object | None) -> bool:
    return before is not None and text(one, "metadata", "uid") == text(before, "metadata", "uid")
