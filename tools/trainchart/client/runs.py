"""Runs as objects: followed, read and stopped by the functions that the commands use."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, overload

from trainchart.client.arguments import seconds, whole
from trainchart.client.errors import RunFailedError, WaitTimeoutError
from trainchart.client.pages import Page, table
from trainchart.client.progress import Silent, console
from trainchart.errors import ExitCode, TrainchartError, UsageError
from trainchart.terminal import print_message, printable

if TYPE_CHECKING:
    from trainchart.chart.engine import Engine, Target
    from trainchart.cluster.api import Api
    from trainchart.follow.logs import Line
    from trainchart.run.listing import Row
    from trainchart.run.record import Record


@dataclass(frozen=True)
class Cluster:
    """Where runs are: as `-n`, `--context` and `--kubeconfig` of the commands; in a pod, its own account and namespace."""

    namespace: str = ""
    context: str = ""
    kubeconfig: str | os.PathLike[str] = ""

    @property
    def api(self) -> Api:
        """The client, of this process: one that was forked may not use the connections of the other. Raises KubeconfigError."""
        from trainchart.cluster.connect import connect

        clients: dict[int, Api] = self.__dict__.setdefault("_clients", {})
        if (process := os.getpid()) not in clients:
            kubeconfig = os.fspath(self.kubeconfig)
            clients[process] = connect(kubeconfig=kubeconfig, context=self.context, namespace=self.namespace)
        return clients[process]

    def __reduce__(self) -> tuple[Any, ...]:
        """Without the client, whose connections are of this process; the other one makes its own."""
        return Cluster, (self.namespace, self.context, self.kubeconfig)


def check_cluster(given: object) -> None:
    """Raises UsageError: it is none, but probably the name of a namespace."""
    if not isinstance(given, Cluster):
        raise UsageError(f"{given!r} is not a Cluster; of a namespace, give Cluster({given!r})")


@dataclass(frozen=True)
class Run:
    """A run by its name; nothing is asked of the cluster before it is needed.

    Every method raises TrainchartError, whose message says what to do: NotFoundError, ForbiddenError, UnreachableError.
    """

    name: str
    cluster: Cluster = field(default_factory=Cluster, repr=False)

    def __post_init__(self) -> None:
        """Raises UsageError."""
        if not self.name or not isinstance(self.name, str):
            raise UsageError(f"Run: {self.name!r} is not the name of a run; trainchart.runs() has them")
        check_cluster(self.cluster)

    @property
    def namespace(self) -> str:
        return self.cluster.api.namespace

    @property
    def state(self) -> str:
        """pending, running, restarting, ending, completed, failed or stopped; `no job` where its Job is gone."""
        from trainchart.run.state import load

        return load(self.cluster.api, self.name).state.value

    def why(self) -> list[str]:
        """Why it does not go on, or has not finished well, with what to do; empty for a run that is well."""
        from trainchart.follow.status import load_status

        return [printable(str(finding)) for finding in load_status(self.cluster.api, self.name).findings]

    def wait(
        self,
        *,
        progress: bool = True,
        timeout: float | timedelta | None = None,
        start_timeout: float | timedelta | None = None,
    ) -> Mapping[str, Any]:
        """Follow the run until it has finished, and return its result. Ctrl-C stops following, and not the run.

        Args:
            progress: print its stages, epochs and what blocks it.
            timeout: seconds, or a timedelta, until WaitTimeoutError.
            start_timeout: the same, for a run that has not started.

        Raises:
            RunFailedError: it failed, or was stopped.
            WaitTimeoutError: it has not finished, or not started, in time; it continues.
        """
        from trainchart.follow.outcome import result_of
        from trainchart.follow.wait import Limits, wait

        limits = Limits(seconds("timeout", timeout), seconds("start_timeout", start_timeout))
        shown = console() if progress else Silent()
        try:
            outcome = wait(self.cluster.api, self.name, shown, limits=limits)
        except KeyboardInterrupt:
            shown.live("")
            print_message(f"stopped following; {self.name} continues")
            raise
        shown.live("")
        if outcome.code == ExitCode.TIMED_OUT:
            raise WaitTimeoutError("\n".join(outcome.lines))
        if outcome.code != ExitCode.OK:
            raise RunFailedError(outcome.lines, outcome.code)
        for line in outcome.lines:
            shown.line(line)
        return result_of(outcome.run) if outcome.run else {}

    def logs(self, *, follow: bool = False, rank: int | None = None, tail: int | None = None) -> Iterator[str]:
        """The lines of its pods, ordered by time; those of several ranks begin with theirs, such as `[1] `.

        Args:
            follow: go on until the run has finished.
            rank: only this one, from 0.
            tail: start with the last lines of each rank.

        Raises:
            NotFoundError: it has no pods yet, or no more, and they are not waited for.
        """
        from trainchart.cluster.errors import NotFoundError
        from trainchart.follow.logs import current_lines, no_pods
        from trainchart.run.state import load

        rank, tail = whole("rank", rank, 0), whole("tail", tail, 0)
        api = self.cluster.api
        snapshot = load(api, self.name)
        if rank is not None and rank >= snapshot.replicas > 0 and snapshot.job:
            raise UsageError(f"rank: {self.name} has ranks 0 to {snapshot.replicas - 1}")
        prefixed = snapshot.replicas > 1 and rank is None
        if follow and not (snapshot.has_finished and not snapshot.pods):
            lines = _followed(api, snapshot, [] if rank is None else [rank], tail)
        else:
            pods = [pod for pod in snapshot.pods if rank in (None, pod.rank)]
            if not pods:
                raise NotFoundError(
                    no_pods(
                        snapshot, lambda command: api.connection.command(f"trainchart {command} -n {api.namespace}")
                    )
                )
            lines = current_lines(api, pods, print_message, tail)
        for line in lines:
            text = line.text.decode("utf-8", "replace")
            yield f"[{line.pod.rank}] {text}" if prefixed else text

    def metrics(self) -> Any:
        """What it has reported so far, a row per epoch: a DataFrame where pandas is installed, else a list of dicts."""
        rows = [dict(row) for row in self._record().progress.metrics]
        try:
            import pandas  # type: ignore[import-untyped,unused-ignore]
        except ImportError:
            return rows
        frame = pandas.DataFrame(rows)
        return frame.set_index("epoch") if "epoch" in frame else frame

    def result(self, *, whole: bool = False) -> Mapping[str, Any] | None:
        """Its result: branch, commit, metrics, files, sources, stages; None where it has none yet, or it is lost with its pods.

        Args:
            whole: read it from the run's workspace, by a small pod, which takes the right to create pods.
        """
        return self._record(whole=whole).result

    def report(self) -> Page:
        """The HTML page of `trainchart report`, which a notebook shows; `report().write("run.html")` keeps it."""
        from trainchart.report.page import page

        return Page(page(self._record()))

    def stop(self, *, timeout: float | timedelta = 180) -> str:
        """Stop it, and return the state that it ended in, once its pods are gone. Its release and its workspace stay.

        Raises:
            StillStoppingError: its pods take longer than `timeout` seconds; it continues to stop.
        """
        from trainchart.follow.stop import stop
        from trainchart.run.state import load

        api, limit = self.cluster.api, seconds("timeout", timeout)
        return stop(api, load(api, self.name), print_message, show=None, seconds=limit).snapshot.state.value

    def delete(self, *, stop: bool = False) -> None:
        """Remove its release and all that belongs to it; a claim with `workspace.keep` stays.

        Args:
            stop: stop it first, if it has not finished; otherwise such a run is refused.

        Raises:
            UsageError: it has not finished, or another run uses its claim.
        """
        from trainchart.chart.engines import engine
        from trainchart.install.helm import target_of
        from trainchart.install.remove import delete

        api = self.cluster.api

        def helm() -> tuple[Engine, Target]:
            return engine(), target_of(api, os.fspath(self.cluster.kubeconfig), os.environ)

        def stopped(name: str) -> None:
            Run(name, self.cluster).stop()

        delete(api, helm, self.name, print_message, stop=stopped if stop else None, option="stop=True")

    def _record(self, *, whole: bool = False) -> Record:
        from trainchart.follow.record import load

        return load(self.cluster.api, self.name, print_message, whole=whole)

    def _repr_html_(self) -> str:
        try:
            return self.report()._repr_html_(height=480)
        except TrainchartError as error:  # what cannot be shown is no reason for a traceback in the cell
            return table([["run", "state"], [self.name, str(error)]])


class Runs(Sequence[Run]):
    """The runs of a namespace, the newest first."""

    def __init__(self, rows: Sequence[Row], cluster: Cluster) -> None:
        self._rows, self._cluster = rows, cluster

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, place: int) -> Run: ...
    @overload
    def __getitem__(self, place: slice) -> Runs: ...
    def __getitem__(self, place: int | slice) -> Run | Runs:
        if isinstance(place, slice):
            return Runs(self._rows[place], self._cluster)
        return Run(self._rows[place].name, self._cluster)

    def _cells(self) -> list[list[str]]:
        from trainchart.run.listing import table as cells

        return cells(list(self._rows), datetime.now(timezone.utc))

    def __repr__(self) -> str:
        from trainchart.run.listing import aligned

        return "\n".join(aligned(self._cells()))

    def _repr_html_(self) -> str:
        return table(self._cells())


def _followed(api: Api, snapshot: Any, ranks: list[int], tail: int | None) -> Iterator[Line]:
    """The lines as they come. Who stops reading ends the threads that read them."""
    from trainchart.follow.logs import follow

    lines: queue.SimpleQueue[Line | BaseException | None] = queue.SimpleQueue()
    closed = threading.Event()

    def read() -> None:
        try:
            follow(api, snapshot, lines.put, print_message, closed=closed, ranks=ranks, tail=tail)
            lines.put(None)
        except Exception as error:  # raised where somebody waits for it
            lines.put(error)

    threading.Thread(target=read, daemon=True).start()
    try:
        while (line := lines.get()) is not None:
            if isinstance(line, BaseException):
                raise line
            yield line
    finally:
        closed.set()
