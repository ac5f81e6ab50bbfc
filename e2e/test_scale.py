"""With hundreds of runs in a namespace, following one takes hardly more processor time, and as few calls to the API
server, as with one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from e2e.following import cause, cpu_seconds, make_queue, remove_queue, trainchart
from e2e.kube import poll
from e2e.runs import Session
from e2e.scale import Crowd, crowd
from trainchart.checks import diagnosis
from trainchart.cluster.api import Api
from trainchart.follow import status
from trainchart.run import listing, state

pytestmark = [pytest.mark.family("diagnosis"), pytest.mark.runs("diagnosis-well")]

FINISHED, RUNNING = 200, 20
FULL_QUEUE = "full{session}"
SLOWER = 2.0


@pytest.fixture(scope="module")
def few(session: Session) -> Iterator[Crowd]:
    """A namespace with one healthy run and two that are stuck."""
    queue = session.named(FULL_QUEUE)
    make_queue(session.world.admin, queue, {"cpu": "1m"})
    try:
        with crowd(session, "diagnosis-well") as made:
            made.run(0, 1)
            made.create([made.named("sick-queue", queue=queue)])
            broken = made.named("sick-image")
            broken["spec"]["tasks"][0]["template"]["spec"]["containers"][0]["image"] = "Not/a-name:1"
            made.create([broken])
            cause(made.admin, "sick-queue", "queue-too-small")
            cause(made.admin, "sick-image", "image-name")
            yield made
    finally:
        poll(
            lambda: session.world.admin.call("kubectl", "get", "ns", f"scale{session.id}")[0] != 0,
            180,
            "it is gone",
        )
        remove_queue(session.world.admin, queue)


def _calls(api: Api, what: str) -> int:
    before = api.calls
    if what == "list":
        assert listing.runs(api)
    elif what == "running-00":
        assert status.load_status(api, what).findings == ()
    else:
        assert diagnosis.diagnose(api, state.load(api, what))
    return api.calls - before


def _measured(crowd: Crowd) -> tuple[dict[str, int], dict[str, float]]:
    """The calls, and the least processor time of five runs of the whole command."""
    admin, api = crowd.admin, crowd.api
    what = ("list", "running-00", "sick-queue", "sick-image")
    calls = {one: _calls(api, one) for one in what}

    def seconds(*arguments: str) -> float:
        return min(cpu_seconds(lambda: trainchart(admin, *arguments)) for _ in range(5))

    times = {one: seconds("list") if one == "list" else seconds("status", one) for one in what}
    return calls, times


def test_more_runs_cost_no_more_calls_and_hardly_more_time(few: Crowd, session: Session) -> None:
    few_calls, few_times = _measured(few)
    few.finish(FINISHED, session.named(FULL_QUEUE))
    few.run(1, RUNNING)
    many_calls, many_times = _measured(few)
    code, output, _ = trainchart(few.admin, "list", "--output", "json")
    assert code == 0
    assert len(json.loads(output)) >= FINISHED + RUNNING
    for what in few_calls:
        print(
            f"{what:12} calls {few_calls[what]} alone, {many_calls[what]} among {FINISHED + RUNNING}; "
            f"CPU seconds {few_times[what]:.2f} and {many_times[what]:.2f}"
        )
    assert many_calls == few_calls
    assert many_calls["list"] == 1
    assert many_calls["running-00"] <= 3
    assert many_times["list"] < SLOWER * few_times["list"]
    assert many_times["running-00"] < SLOWER * few_times["running-00"]
