"""Ends a run in order, and keeps what its pods said: Volcano deletes the pods of a run that is aborted."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trainchart.cluster import kinds
from trainchart.cluster.errors import ForbiddenError, NotFoundError
from trainchart.errors import ExitCode, TrainchartError
from trainchart.follow import outcome
from trainchart.follow.logs import Line, Logs
from trainchart.follow.outcome import RESULT_ANNOTATION
from trainchart.follow.pods import Pods
from trainchart.follow.retry import Patience
from trainchart.run import state
from trainchart.run.state import Pod, Snapshot, State

if TYPE_CHECKING:
    from trainchart.cluster.api import Api

POLL_SECONDS = 0.5
# Volcano takes a command only in some phases, and forgets it in the others.
AGAIN_SECONDS = 15.0
DRAIN_SECONDS = 10.0
MAX_ANNOTATION = 16_384  # a termination message has 4096 bytes at most


class StillEndingError(TrainchartError):
    """The pods took longer than they may."""

    exit_code = ExitCode.TIMED_OUT


@dataclass(frozen=True)
class Stopped:
    """What became of it."""

    snapshot: Snapshot
    had_ended: bool
    """It had, before anybody asked."""


def keeps_logs(snapshot: Snapshot) -> bool:
    """Whether its runner keeps the logs itself, on a claim."""
    return bool(snapshot.workspace_claim)


def stop(
    api: Api,
    snapshot: Snapshot,
    say: Callable[[str], None],
    *,
    show: Callable[[Line], None] | None,
    seconds: float,
) -> Stopped:
    """Ends the run, and returns when its pods are gone. `show` takes what they print, from their start to their end.

    Raises:
        ForbiddenError: it may not be stopped; the text names the right.
        NotFoundError: it was uninstalled meanwhile.
        StillEndingError; UnreachableError
    """
    if snapshot.has_ended:
        return Stopped(snapshot, had_ended=True)
    patience = Patience(say)
    pods = Pods(api, snapshot.name, snapshot.uid, patience)
    logs = Logs(api, pods, patience, show or _unread, say)
    deadline, told = time.monotonic() + seconds, 0
    try:
        pods.start()
        pods.listed.wait(30)
        if show:
            logs.start_new()
        _command(api, snapshot)
        asked = time.monotonic()
        while True:
            now = patience.ask(lambda: state.load(api, snapshot.name))
            if now.state is State.NO_JOB or now.uid != snapshot.uid:
                raise NotFoundError(f"{snapshot.name} was uninstalled while it ended")
            pods.learn(now.pods)
            there = [pod for pod in now.pods if not pod.has_ended]
            if now.has_ended and not there:
                break
            if len(there) != told:
                told = len(there)
                if told:
                    say(f"{snapshot.name}: {told} pod{'s' if told > 1 else ''} still to end")
            if time.monotonic() > deadline:
                raise StillEndingError(
                    f"{snapshot.name} has not ended after {seconds:.0f} s: it is {now.state.value} with {len(there)} pod{'s' if len(there) != 1 else ''}; "
                    f"it goes on ending, and `{snapshot.command('stop {}')}` waits for it again"
                )
            if now.phase in ("Pending", "Running", "Restarting", "") and time.monotonic() - asked > AGAIN_SECONDS:
                _command(api, snapshot)
                asked = time.monotonic()
            if error := pods.error or logs.error:
                say(f"what its pods say at their end may be lost: {error}")
                pods.error = logs.error = None
            patience.rest(POLL_SECONDS)
        if show:
            logs.start_new()
            logs.drain(DRAIN_SECONDS)
        _await_words(pods)
        last = outcome.with_seen(now, pods.seen())
        _keep_result(api, last, say)
        return Stopped(last, had_ended=False)
    finally:
        patience.over.set()


def _command(api: Api, snapshot: Snapshot) -> None:
    """What `vcctl job suspend` sends: Volcano's controller takes the Command, and deletes it."""
    body = {
        "apiVersion": f"{kinds.COMMANDS.group}/{kinds.COMMANDS.version}",
        "kind": "Command",
        "metadata": {"generateName": f"{snapshot.name}-stop-", "ownerReferences": [snapshot.reference]},
        "action": "AbortJob",
        "target": {**snapshot.reference, "controller": True},
        "reason": "Stopped",
        "message": "trainchart stop",
    }
    try:
        api.create(kinds.COMMANDS, body)
    except ForbiddenError as error:
        raise ForbiddenError(
            f"{error}; stopping needs `create commands` in {kinds.COMMANDS.group} (deploy/submitter.yaml); "
            f"`helm uninstall {snapshot.name} -n {snapshot.namespace}` ends the run too, and keeps nothing of it"
        ) from None


def _await_words(pods: Pods) -> None:
    """A pod's last state comes by the watch, maybe after the Job's."""
    deadline = time.monotonic() + 5
    while any(pod.started and not pod.has_ended for pod in pods.seen()) and time.monotonic() < deadline:
        time.sleep(0.1)


def _keep_result(api: Api, last: Snapshot, say: Callable[[str], None]) -> None:
    """On the Job, for its pods are gone."""
    pod: Pod | None = last.rank_0 if last.rank_0 and last.rank_0.result else last.culprit
    if pod is None or not pod.result or last.state is not State.STOPPED:
        return
    words = json.dumps(pod.result, separators=(",", ":"), ensure_ascii=False)
    if len(words.encode()) > MAX_ANNOTATION:
        return
    try:
        api.patch(kinds.JOBS, last.name, {"metadata": {"annotations": {RESULT_ANNOTATION: words}}})
    except ForbiddenError as error:
        say(f"what it said at its end is not kept: {error}")


def _unread(_: Line) -> None:
    """Where the runner keeps its log itself."""
