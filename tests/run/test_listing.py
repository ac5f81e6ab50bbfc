"""What `trainchart list` prints, and what it requests from the API server."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from tests.fakes.api import FakeApi
from tests.fakes.captured import captured
from trainchart.cli import list as list_command
from trainchart.cli import main as cli
from trainchart.cli.list import STATES
from trainchart.cluster import kinds
from trainchart.run import listing
from trainchart.run.state import State
from trainchart.units import span

NOW = datetime(2026, 11, 24, 18, 14, tzinfo=timezone.utc)


def served(monkeypatch: pytest.MonkeyPatch, api: FakeApi) -> None:
    monkeypatch.setattr(list_command, "connect", lambda _options: api)


def runs(count: int) -> FakeApi:
    api = FakeApi(namespace="follow")
    for number in range(count):
        job = captured("hog1")["job"]
        job["metadata"]["name"] = f"run-{number:02}"
        created = NOW - timedelta(minutes=number)
        job["metadata"]["creationTimestamp"] = f"{created:%Y-%m-%dT%H:%M:%SZ}"
        job["metadata"]["labels"]["trainchart.dev/family"] = ("yolov5", "llm-sft")[number % 2]
        job["status"]["state"]["phase"] = ("Running", "Completed", "Failed")[number % 3]
        api.put(kinds.JOBS, job)
    return api


def test_runs_are_listed_by_one_call_the_newest_first() -> None:
    api = runs(5)
    found = listing.runs(api)  # type: ignore[arg-type]
    assert [one.name for one in found] == [f"run-{number:02}" for number in range(5)]
    assert api.calls == 1


def test_runs_are_filtered_by_family_and_state() -> None:
    api = runs(12)
    found = listing.runs(api, family="yolov5", states=[State.RUNNING, State.FAILED])  # type: ignore[arg-type]
    assert {(one.family, one.state.value) for one in found} == {("yolov5", "running"), ("yolov5", "failed")}


def test_the_columns_of_the_table_are_aligned_with_their_header(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    served(monkeypatch, runs(3))
    assert cli.main(["list"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["NAME", "FAMILY", "STATE", "ATTEMPT", "PODS", "AGE", "DURATION", "DEVICE-HOURS", "QUEUE"]
    for row, state in zip(rows, ["running", "completed", "failed"], strict=True):
        assert row[head.index("STATE") :].startswith(state)
        assert row[head.index("QUEUE") :] == "default"


def test_an_empty_list_is_a_sentence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    served(monkeypatch, FakeApi())
    assert cli.main(["list"]) == 0
    assert cli.main(["list", "--all-namespaces", "--state", "failed"]) == 0
    assert cli.main(["list", "--output", "json"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "no runs in namespace training",
        "no runs of this family and state in any namespace",
        "[]",
    ]


def test_the_states_to_filter_by_are_those_that_a_job_can_have() -> None:
    assert set(STATES) == {state.value for state in State} - {"no job"}


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (59.9, "59 s"), (200, "3 min 20 s"), (7200, "2 h"), (7500, "2 h 5 min"), (360000, "4 d 4 h"), (-5, "0 s")],
)  # fmt: skip
def test_spans_of_time_in_words(seconds: float, words: str) -> None:
    assert span(seconds) == words


def test_device_hours_are_those_of_all_pods_from_the_first_attempt_on() -> None:
    job = captured("hog1")["job"]
    assert listing.as_object(listing.row(job), NOW)["deviceHours"] == 0, "it has no devices"
    job["metadata"].setdefault("annotations", {})["trainchart.dev/devices"] = "8"
    one = listing.row(job)
    assert one.started
    assert one.device_hours(one.started + timedelta(minutes=90)) == 12
    assert one.device_hours(one.started - timedelta(minutes=1)) == 0, "clocks differ"


def test_a_job_with_missing_fields_still_makes_a_row() -> None:
    empty: dict[str, Any] = {}
    assert listing.aligned(listing.table([listing.row(empty)], NOW))
