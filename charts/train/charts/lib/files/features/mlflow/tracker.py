"""Reports all attempts of a release as one MLflow run, from a background thread."""

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

MAX_QUEUE = 10_000  # rows and files that wait for the server; the oldest are dropped first
FLUSH_SECONDS, KILLED_SECONDS = 10.0, 5.0
RETRY_SECONDS = (1.0, 2.0, 5.0, 15.0, 60.0)
STATUSES = ("FINISHED", "FAILED", "KILLED")


@dataclass(frozen=True)
class RunInfo:
    """The name of the run, and what it was started with."""

    name: str
    uid: str  # of the Volcano Job: later attempts find the MLflow run by it
    attempt: int
    params: Dict[str, str] = field(default_factory=dict)
    tags: Dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Artifact:
    path: Path
    name: str


_Entry = Union[List[Metric], _Artifact]


class Tracker:
    """Sends metrics and files of a run to the server. No method raises, and only `end` blocks."""

    def __init__(self, config: Config, run: RunInfo) -> None:
        self._info = run
        self._api = Api(config)
        self._queue: Deque[_Entry] = deque(maxlen=MAX_QUEUE)
        self._lost = 0
        self._changed = threading.Condition()
        self._status = ""  # the final status, once the run has finished
        self._deadline = 0.0
        self._run: Optional[Run] = None
        self._continued = False
        self._known: Dict[str, Set[Tuple[int, float]]] = {}  # by metric: what earlier attempts have reported
        self._warned: Set[str] = set()
        self._down = False
        self._silent = False  # after the end, when the runner logs its last line
        self._ended = False  # whether the server has the final status
        self._thread = threading.Thread(target=self._work, name="mlflow", daemon=True)

    @classmethod
    def start(cls, config: Config, run: RunInfo) -> Tracker:
        """Start, or continue, the MLflow run in the background."""
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
        """Send what is left and the final status (FINISHED, FAILED or KILLED), for a few seconds at most. Further calls
        do nothing.
        """
        with self._changed:
            if self._status:
                return
            self._status = status if status in STATUSES else "FAILED"
            self._deadline = time.monotonic() + (KILLED_SECONDS if status == "KILLED" else FLUSH_SECONDS)
            self._changed.notify_all()
        self._thread.join(max(0.0, self._deadline - time.monotonic()))
        left = len(self._queue) + self._lost
        if not self._ended:
            self._warn(f"the server did not receive the status {self._status}, nor {left} rows and files")
        elif left:
            self._warn(f"the server did not receive {left} rows and files")
        self._silent = True

    def _put(self, entry: _Entry) -> None:
        with self._changed:
            self._lost += len(self._queue) == MAX_QUEUE
            self._queue.append(entry)
            self._changed.notify_all()

    # The thread

    def _work(self) -> None:
        try:
            self._until_end()
        except Exception as error:  # a bug here must not end the training
            self._warn(f"{type(error).__name__}: {error}")

    def _until_end(self) -> None:
        failures = 0
        while not self._ended:
            with self._changed:
                while self._run and not self._queue and not self._status:
                    self._changed.wait()
            try:
                self._step()
                failures, self._down = 0, False
            except ApiError as error:
                if not self._down:
                    self._warn(f"the server does not accept the data; the run continues, and retries: {error}")
                self._down = True
                if not self._pause(failures):
                    return
                failures += 1

    def _pause(self, failures: int) -> bool:
        """Wait before the next attempt, longer each time. Returns False if the run has finished and its time is up."""
        with self._changed:
            self._changed.wait_for(lambda: self._status, RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)])
        if self._status and failures:
            time.sleep(max(0.0, min(0.5, self._left())))
        return not self._status or self._left() > 0

    def _step(self) -> None:
        """Send one thing: first the run itself, then row by row, last the final status. Raises ApiError if it has to be
        repeated.
        """
        if self._status:
            self._api.timeout = max(0.5, min(api.TIMEOUT_SECONDS, self._left()))
        if not self._run:
            self._run = self._open()
        elif self._queue and not self._must_end():
            self._send(self._run, self._queue[0])
        elif self._status:
            self._api.set_status(self._run.id, self._status, int(time.time() * 1000))
            self._ended = True

    def _left(self) -> float:
        return self._deadline - time.monotonic()

    def _must_end(self) -> bool:
        """Whether the remaining time is needed for the final status."""
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
        # The server refuses changed parameters; an earlier attempt may have set them.
        missing = {key: value for key, value in info.params.items() if api.metric_name(key) not in run.params}
        try:
            self._api.log_params(run.id, missing)
        except ApiError as error:
            if error.is_temporary:
                raise
            self._warn(f"the server refused the parameters: {error}")
        if not self._silent:
            log.event("tracking", run=run.id, experiment=self._api.config.experiment, continued=self._continued)
        return run

    def _send(self, run: Run, entry: _Entry) -> None:
        try:
            if isinstance(entry, _Artifact):
                if not self._api.upload(run, entry.path, entry.name):
                    self._warn(
                        f"artifacts of {run.artifact_uri} do not go through the server; {entry.name} is left out"
                    )
            else:
                self._api.log_metrics(run.id, self._unreported(run, entry))
        except ApiError as error:
            if error.is_temporary:
                raise
            self._warn(f"the server refused it: {error}")
        except OSError as error:
            self._warn(f"artifact {getattr(entry, 'name', '')} cannot be read: {error}")
        with self._changed:
            if self._queue and self._queue[0] is entry:
                self._queue.popleft()

    def _unreported(self, run: Run, row: List[Metric]) -> List[Metric]:
        """Return the row without what earlier attempts have reported: the server would keep it twice."""
        if not self._continued:
            return row
        for metric in row:
            if metric.key not in self._known:
                self._known[metric.key] = set(self._api.history(run.id, metric.key))
        return [metric for metric in row if (metric.step, metric.value) not in self._known[metric.key]]

    def _warn(self, reason: str) -> None:
        """Log a warning, once for each reason."""
        if reason not in self._warned and not self._silent:
            self._warned.add(reason)
            log.event("warning", reason=f"mlflow.trackingUri {self._api.config.tracking_uri}: {reason}")


def close(config: Config, uid: str, status: str) -> Optional[str]:
    """End a run that was left RUNNING. Returns its ID, or None if there is none. Raises ApiError."""
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
