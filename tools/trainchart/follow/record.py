"""Everything that is known about a run, from its Job and pods, or from its workspace where those are gone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from trainchart.cluster.errors import NotFoundError
from trainchart.follow import outcome
from trainchart.follow.logs import current_lines
from trainchart.run import state
from trainchart.run.events import Progress
from trainchart.run.record import Record, status_of
from trainchart.run.settings import settings_of
from trainchart.run.state import Snapshot, State

if TYPE_CHECKING:
    from trainchart.cluster.api import Api


def load(api: Api, name: str, notify: Callable[[str], None] = lambda _: None, *, whole: bool = False) -> Record:
    """Return the run's record, of its last attempt.

    `whole` also reads the workspace, by a helper pod. Without it, only the settings and what the Job still has are
    known of a run whose pods are gone.

    Raises:
        NotFoundError
        ForbiddenError
        UnreachableError
        HelperPodError: with `whole` only.
    """
    snapshot = state.load(api, name)
    settings = settings_of(api, name)
    result: Mapping[str, Any] = outcome.result_of(snapshot)
    progress = _progress(api, snapshot, notify)
    if whole:
        from trainchart.run.attempts import kept_result

        result, log = kept_result(api, name, notify)
        if not progress.run:
            for text in log.decode("utf-8", "replace").splitlines():
                progress.feed(text)
    if not settings and snapshot.job is None:
        raise NotFoundError(f"neither the Job nor the settings of {name} exist any longer")
    status = status_of(progress, result) if snapshot.state is State.NO_JOB else snapshot.state.value
    return Record(
        name=name,
        namespace=snapshot.namespace,
        settings=settings,
        result=result or None,
        progress=progress,
        status=status,
        started=snapshot.running_since or snapshot.created,
        ended=snapshot.ended_at,
    )


def _progress(api: Api, snapshot: Snapshot, notify: Callable[[str], None]) -> Progress:
    progress, pod = Progress(), snapshot.rank_0
    if pod and (pod.is_running or pod.has_finished):
        for line in current_lines(api, [pod], notify):
            progress.feed(line.text.decode("utf-8", "replace"))
    return progress
