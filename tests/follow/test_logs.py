"""Every line of every pod is read once, in its order, whatever the connections do."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.live import NAME, Cluster, stamped
from trainchart.cluster.api import Api
from trainchart.cluster.errors import ForbiddenError, UnreachableError
from trainchart.follow import logs
from trainchart.follow.logs import Line, Position, current_lines, follow
from trainchart.follow.retry import Retry
from trainchart.run import state


class Following:
    """`logs -f` in a thread."""

    def __init__(self, cluster: Cluster, **options: Any) -> None:
        self.lines: list[Line] = []
        self.messages: list[str] = []
        self.error: Exception | None = None
        self._cluster, self._options = cluster, options
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def texts(self, rank: int = 0) -> list[str]:
        return [line.text.decode() for line in self.lines if line.pod.rank == rank]

    def until(self, condition: Callable[[], Any]) -> None:
        deadline = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < deadline, (self.lines, self.messages, self.error)
            time.sleep(0.005)

    def end(self) -> Following:
        self._thread.join(20)
        assert not self._thread.is_alive(), (self.lines[-3:], self.messages)
        return self

    def _follow(self) -> None:
        api = cast(Api, self._cluster)
        try:
            follow(api, state.load(api, NAME), self.lines.append, self.messages.append, **self._options)
        except Exception as error:
            self.error = error


LINES = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.sampled_from(["a", "b", ""])), max_size=12)


@given(lines=LINES, breaks=st.lists(st.integers(0, 6), max_size=6))
@settings(max_examples=60, deadline=None)
def test_broken_connections_lose_and_repeat_nothing(lines: list[tuple[int, int, str]], breaks: list[int]) -> None:
    """Even if lines have the same nanosecond, and the same text."""
    cluster = Cluster()
    log = [stamped(second, nanos, text) for second, nanos, text in sorted(lines, key=lambda line: line[:2])]
    cluster.pod(0, 0, *log)
    cluster.end()
    cluster.phase("Completed")
    cluster.breaks = list(breaks)
    following = Following(cluster).end()
    assert following.error is None
    assert following.texts() == [line.partition(b" ")[2].decode() for line in log]


def test_a_line_after_a_younger_one_is_not_lost() -> None:
    cluster = Cluster()
    log = [stamped(10, 0, "a"), stamped(11, 5, "b"), stamped(10, 999, "late"), stamped(11, 6, "c")]
    cluster.pod(0, 0, *log)
    cluster.end()
    cluster.phase("Completed")
    cluster.breaks = [2, 1, 3]
    assert Following(cluster).end().texts() == ["a", "b", "late", "c"]


def test_lines_that_come_while_a_connection_breaks_are_read() -> None:
    cluster = Cluster(replicas=2)
    cluster.phase("Running")
    uids = [cluster.pod(rank, 0, stamped(0, rank, "begins")) for rank in (0, 1)]
    cluster.breaks = [1, 1, 3, 2, 5, 4]
    following = Following(cluster)
    for number in range(1, 30):
        for uid in uids:
            cluster.lines[uid].append(stamped(number // 10, number, f"line {number}"))
        time.sleep(0.003)
    cluster.end(0)
    cluster.end(1)
    cluster.phase("Completed")
    following.end()
    for rank in (0, 1):
        assert following.texts(rank) == ["begins", *(f"line {number}" for number in range(1, 30))]


def test_the_next_attempt_is_read_from_its_start_though_its_pod_has_the_same_name() -> None:
    cluster = Cluster(retries=1)
    cluster.phase("Running")
    cluster.pod(0, 0, stamped(0, 1, "first"))
    following = Following(cluster)
    following.until(lambda: following.texts() == ["first"])
    # The stream breaks, and what answers to the name now is the next attempt's.
    cluster.pod(0, 1, stamped(0, 1, "second"), stamped(0, 2, "third"))
    following.until(lambda: len(following.texts()) == 3)
    cluster.end()
    cluster.phase("Completed")
    following.end()
    assert [(line.pod.attempt, line.text) for line in following.lines] == [(0, b"first"), (1, b"second"), (1, b"third")]


def test_an_outage_is_reported_once_and_waited_for() -> None:
    cluster = Cluster()
    cluster.phase("Running")
    uid = cluster.pod(0, 0, stamped(0, 1, "before"))
    cluster.breaks = [1]
    following = Following(cluster)
    following.until(lambda: following.texts() == ["before"])
    cluster.away = True
    time.sleep(0.3)
    cluster.lines[uid].append(stamped(1, 1, "after"))
    cluster.end()
    cluster.phase("Completed")
    cluster.away = False
    following.end()
    assert following.texts() == ["before", "after"]
    away, back = following.messages
    assert "cannot be reached: Connection refused; trying again for up to 10 minutes" in away
    assert back.startswith("the API server answers again, after ")


@pytest.mark.lab
def test_an_outage_longer_than_the_limit_ends_it() -> None:
    cluster = Cluster()
    cluster.phase("Running")
    cluster.pod(0, 0, stamped(0, 1, "before"))
    messages: list[str] = []
    following = Following(cluster, retry=Retry(messages.append, limit=0.2))
    following.until(lambda: following.texts() == ["before"])
    cluster.away = True
    following.end()
    assert isinstance(following.error, UnreachableError)
    assert "given up" in str(following.error)


def test_a_missing_right_ends_it() -> None:
    cluster = Cluster()
    cluster.phase("Running")
    cluster.pod(0, 0, stamped(0, 1, "secret"))
    cluster.forbidden = {"get pods/log"}
    assert isinstance(Following(cluster).end().error, ForbiddenError)


def test_a_tail_stays_a_tail_when_the_connection_breaks() -> None:
    cluster = Cluster()
    cluster.pod(0, 0, *(stamped(0, number, str(number)) for number in range(9)))
    cluster.end()
    cluster.phase("Completed")
    cluster.breaks = [1, 5]
    assert Following(cluster, tail=3).end().texts() == ["6", "7", "8"]


def test_a_log_from_a_moment_on_stays_one_when_the_connection_breaks() -> None:
    cluster = Cluster()
    cluster.pod(0, 0, *(stamped(number, 0, str(number)) for number in range(9)))
    cluster.end()
    cluster.phase("Completed")
    cluster.breaks = [0, 2]
    assert Following(cluster, since="2026-11-24T18:00:05Z").end().texts() == ["5", "6", "7", "8"]


def test_a_pod_that_never_started_has_no_log() -> None:
    cluster = Cluster()
    cluster.pod()
    cluster.pods[f"{NAME}-train-0"]["status"] = {"phase": "Failed", "reason": "Evicted"}
    cluster.phase("Failed")
    following = Following(cluster).end()
    assert (following.lines, following.error) == ([], None)


def test_the_lines_of_several_ranks_are_ordered_by_time() -> None:
    cluster = Cluster(replicas=2)
    cluster.pod(0, 0, stamped(0, 1, "a"), stamped(2, 0, "d"))
    cluster.pod(1, 0, stamped(0, 2, "b"), stamped(1, 0, "c"))
    api = cast(Api, cluster)
    assert [line.text for line in current_lines(api, state.load(api, NAME).pods, print)] == [b"a", b"b", b"c", b"d"]


def test_a_node_may_write_its_own_time_zone() -> None:
    position = Position()
    assert position.take(b"2026-11-24T20:10:32.5+02:00 x") == ("2026-11-24T20:10:32.5+02:00", b"x")
    assert position.resume_from() == "2026-11-24T18:10:31Z"


def test_an_error_message_of_a_node_is_not_taken_for_a_log() -> None:
    with pytest.raises(logs.NoLogError, match="unable to retrieve container logs"):
        Position().take(b"unable to retrieve container logs for containerd://f0d8")
