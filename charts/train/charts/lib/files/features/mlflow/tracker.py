"""One run of the server for all attempts of a release, told from a thread of its own."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Deque, Dict, List, Optional, Set, Tuple, Union

from runner import log

from . import api
from .api import Api, ApiError, Config, Metric, Run

LONGEST_QUEUE = 10_000  # rows and files that wait for a server; the oldest go first
FLUSH_SECONDS, KILLED_SECONDS = 10.0, 5.0
RETRY_SECONDS = (1.0, 2.0, 5.0, 15.0, 60.0)
STATUSES = ("FINISHED", "FAILED", "KILLED")


@dataclass(frozen=True)
class RunInfo:
    """What the run is called, and what it was started with."""

    name: str
    uid: str  # of the Volcano Job: what an attempt finds the run of those before it by
    attempt: int
    params: Dict[str, str] = field(default_factory=dict)
    tags: Dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Artifact:
    path: Path
    name: str


_Entry = Union[List[Metric], _Artifact]


class Tracker:
    """Metrics and files of a run on their way to the server. No method raises, and none but `end` waits."""

    def __init__(self, config: Config, run: RunInfo) -> None:
        self._info = run
        self._api = Api(config)
        self._queue: Deque[_Entry] = deque(maxlen=LONGEST_QUEUE)
        self._lost = 0
        self._changed = threading.Condition()
        self._status = ""  # how the run ended, as soon as it has
        self._deadline = 0.0
        self._run: Optional[Run] = None
        self._continued = False
        self._known: Dict[str, Set[Tuple[int, float]]] = {}  # by metric: what attempts before have told
        self._warned: Set[str] = set()
        self._down = False
        self._silent = False  # after the end: the last line of a log is the runner's
        self._told = False  # whether the server knows how the run ended
        self._thread = threading.Thread(target=self._work, name="mlflow", daemon=True)

    @classmethod
    def start(cls, config: Config, run: RunInfo) -> Tracker:
        """Begins, or goes on with, the run; the server is asked in the background."""
        tracker = cls(config, run)
        tracker._thread.start()
        return tracker

    def metrics(self, row: Dict[str, float], step: int) -> None:
        now = int(time.time() * 1000)
        names = {api.metric_name(key): value for key, value in row.items() if isinstance(value, (int, float))}
        self._put([Metric(key, float(value), now, step) for key, value in sorted(names.items())])

    def artifact(self, path: Path, name: str) -> None:
        self._put(_Artifact(path, name))

    def end(self, status: str) -> None:
        """Tells what is left and how the run ended: FINISHED, FAILED or KILLED. Takes seconds at most; once is enough."""
        with self._changed:
            if self._status:
                return
            self._status = status if status in STATUSES else "FAILED"
            self._deadline = time.monotonic() + (KILLED_SECONDS if status == "KILLED" else FLUSH_SECONDS)
            self._changed.notify_all()
        self._thread.join(max(0.0, self._deadline - time.monotonic()))
        left = len(self._queue) + self._lost
        if not self._told:
            self._warn(f"the server was not told that the run is {self._status}, nor {left} rows and files")
        elif left:
            self._warn(f"the server was not told {left} rows and files")
        self._silent = True

    def _put(self, entry: _Entry) -> None:
        with self._changed:
            self._lost += len(self._queue) == LONGEST_QUEUE
            self._queue.append(entry)
            self._changed.notify_all()

    # The thread

    def _work(self) -> None:
        try:
            self._until_end()
        except Exception as error:  # a defect here is no reason to end a training
            self._warn(f"{type(error).__name__}: {error}")

    def _until_end(self) -> None:
        failures = 0
        while not self._told:
            with self._changed:
                while self._run and not self._queue and not self._status:
                    self._changed.wait()
            try:
                self._step()
                failures, self._down = 0, False
            except ApiError as error:
                if not self._down:
                    self._warn(f"the server does not take what it is told; the run goes on, and tries again: {error}")
                self._down = True
                if not self._pause(failures):
                    return
                failures += 1

    def _pause(self, failures: int) -> bool:
        """Waits before the next attempt, ever longer while the run goes on; False where its end leaves no time for one."""
        with self._changed:
            self._changed.wait_for(lambda: self._status, RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)])
        if self._status and failures:
            time.sleep(max(0.0, min(0.5, self._left())))
        return not self._status or self._left() > 0

    def _step(self) -> None:
        """One thing that is to be told: first the run itself, then row by row, last how it ended. Raises ApiError to be repeated."""
        if self._status:
            self._api.timeout = max(0.5, min(api.TIMEOUT_SECONDS, self._left()))
        if not self._run:
            self._run = self._open()
        elif self._queue and not self._hurried():
            self._tell(self._run, self._queue[0])
        elif self._status:
            self._api.set_status(self._run.id, self._status, int(time.time() * 1000))
            self._told = True

    def _left(self) -> float:
        return self._deadline - time.monotonic()

    def _hurried(self) -> bool:
        """Whether what is left of the time is needed to tell how the run ended."""
        return bool(self._status) and self._left() < KILLED_SECONDS / 2

    def _open(self) -> Run:
        info, now = self._info, int(time.time() * 1000)
        experiment = self._api.experiment()
        run = self._api.find_run(experiment, info.uid)
        tags = {api.ATTEMPT_TAG: str(info.attempt), **info.tags}
        if run:
            self._continued = True
            self._api.set_status(run.id, "RUNNING")
            self._api.log_tags(run.id, tags)
        else:
            tags = {api.UID_TAG: info.uid, "mlflow.source.type": "JOB", "mlflow.source.name": "trainchart", **tags}
            run = self._api.create_run(experiment, info.name, tags, now)
        # A parameter cannot be changed on the server, and one that an attempt before has told is no news.
        missing = {key: value for key, value in info.params.items() if api.metric_name(key) not in run.params}
        try:
            self._api.log_params(run.id, missing)
        except ApiError as error:
            if error.again:
                raise
            self._warn(f"the server refused the parameters: {error}")
        if not self._silent:
            log.event("tracking", run=run.id, experiment=self._api.config.experiment, continued=self._continued)
        return run

    def _tell(self, run: Run, entry: _Entry) -> None:
        try:
            if isinstance(entry, _Artifact):
                if not self._api.upload(run, entry.path, entry.name):
                    self._warn(
                        f"artifacts of {run.artifact_uri} do not go through the server; {entry.name} is left out"
                    )
            else:
                self._api.log_metrics(run.id, self._news(run, entry))
        except ApiError as error:
            if error.again:
                raise
            self._warn(f"the server refused it: {error}")
        except OSError as error:
            self._warn(f"artifact {getattr(entry, 'name', '')} cannot be read: {error}")
        with self._changed:
            if self._queue and self._queue[0] is entry:
                self._queue.popleft()

    def _news(self, run: Run, row: List[Metric]) -> List[Metric]:
        """The row without what an attempt before has told: the server would keep it twice."""
        if not self._continued:
            return row
        for metric in row:
            if metric.key not in self._known:
                self._known[metric.key] = set(self._api.history(run.id, metric.key))
        return [metric for metric in row if (metric.step, metric.value) not in self._known[metric.key]]

    def _warn(self, reason: str) -> None:
        """Once for each reason."""
        if reason not in self._warned and not self._silent:
            self._warned.add(reason)
            log.event("warning", reason=f"mlflow.trackingUri {self._api.config.tracking_uri}: {reason}")


def close(config: Config, uid: str, status: str) -> Optional[str]:
    """Ends a run that was left RUNNING, from outside; its id, or None where there is none. Raises ApiError."""
    server = Api(config)
    try:
        run = server.find_run(server.experiment(create=False), uid)
    except ApiError as error:
        if error.code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise
    if run is None or run.status in STATUSES:
        return None
    server.set_status(run.id, status, int(time.time() * 1000))
    return run.id
