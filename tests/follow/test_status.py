"""What `trainchart status` prints, and what it requests from the API server."""

from __future__ import annotations

import io
import json
from datetime import datetime, timezone
from time import sleep
from typing import Any

import pytest

from tests.fakes.api import FakeApi
from tests.fakes.captured import captured, cluster
from trainchart.checks.finding import Finding
from trainchart.cli import main as cli
from trainchart.cli import status as status_command
from trainchart.cluster import kinds
from trainchart.cluster.errors import NotFoundError, UnreachableError
from trainchart.follow import screen, status
from trainchart.follow.screen import Picture, change, cut, lines, visible
from trainchart.follow.watcher import Status
from trainchart.run.state import Pod, Snapshot, State, load, snapshot_of

NOW = datetime(2026, 11, 24, 18, 14, tzinfo=timezone.utc)
LOG = b"""trainchart time=2026-11-24T18:13:00Z event=run run=hog1 uid=u attempt=0 rank=0 replicas=1
trainchart time=2026-11-24T18:13:01Z event=dataset part=train used=125 total=128 unit=images left_out="3.jpg: truncated"
trainchart time=2026-11-24T18:13:01Z event=dataset part=val used=32 total=32 unit=images
trainchart time=2026-11-24T18:13:01Z event=start stage=train
what the trainer prints
trainchart time=2026-11-24T18:13:30Z event=metrics epoch=3 epochs=10 metrics/mAP_0.5=0.61
"""


def served(monkeypatch: pytest.MonkeyPatch, api: FakeApi) -> None:
    monkeypatch.setattr(status_command, "connect", lambda _options: api)


def test_a_running_run_is_one_screen_with_stage_and_pods() -> None:
    api = cluster("hog1")
    api.logs["hog1-train-0"] = LOG
    found = status.load_status(api, "hog1")  # type: ignore[arg-type]
    assert [part["used"] for part in status.as_object(found)["dataset"]] == [125, 32]
    assert lines(found, NOW) == [
        "run       hog1 in namespace follow, family custom",
        "state     running since 2 min 14 s",
        "stage     train, epoch 3 of 10, metrics/mAP_0.5 0.61",
        "dataset   uses 125 of 128 images of train, all 32 images of val",
        "requests  1 pod of cpu 700m, memory 16Mi, queue default",
        "pods      rank 0  running  trainchart-control-plane  2 min 15 s",
    ]


def test_a_finding_is_shown_with_its_fix_and_the_message_of_the_cluster() -> None:
    shown = lines(status.load_status(cluster("queue-small"), "queue-small"), NOW)  # type: ignore[arg-type]
    assert shown[-3:] == [
        "problem   queue follow-small is too small: the gang requests cpu 300m, and the queue may have 200m",
        "          to do: lower replicas, resources or accelerator, name a larger queue in queue:, or let an administrator enlarge this one",
        "          details: queue resource quota insufficient: insufficient cpu",
    ]


AWAY = b"""trainchart time=2026-11-24T18:13:40Z event=start stage=publish
trainchart time=2026-11-24T18:13:50Z event=waiting stage=publish seconds=125 left=7075 reason="publish.repository: away: error: 503"
"""


def test_a_run_that_waits_for_its_git_server_is_shown_as_waiting() -> None:
    api = cluster("hog1")
    api.logs["hog1-train-0"] = LOG + AWAY
    shown = lines(status.load_status(api, "hog1"), NOW)  # type: ignore[arg-type]
    assert shown[-3:] == [
        "waiting   the server does not take the result yet; trying for 2 min 5 s so far, and for 1 h 57 min more (publish.patience)",
        "          to do: check the server of the result; the run then continues by itself, and on a claim its artifacts stay",
        "          details: publish.repository: away: error: 503",
    ]
    api.logs["hog1-train-0"] += b"trainchart time=2026-11-24T18:14:00Z event=end stage=publish seconds=20\n"
    assert not [line for line in lines(status.load_status(api, "hog1"), NOW) if "waiting" in line]  # type: ignore[arg-type]


def test_a_stage_that_began_above_the_tail_is_known_by_its_epochs() -> None:
    api = cluster("hog1")
    api.logs["hog1-train-0"] = LOG.splitlines()[-1]
    assert status.place(status.load_status(api, "hog1")).startswith("train, epoch 3 of 10")  # type: ignore[arg-type]


def test_a_large_gang_is_shown_in_groups() -> None:
    pods = tuple(Pod(f"run-train-{rank}", rank, phase="Running", node="n", exit_code=None) for rank in range(63))
    failed = Pod("run-train-63", 63, phase="Failed", exit_code=1)
    run = Snapshot("run", "training", pods=(*pods, failed), replicas=64, state=State.RUNNING)
    shown = lines(Status(run), NOW)
    assert shown[-2:] == ["pods      rank 0-62  running", "          rank 63  failed (exit code 1)"]


def test_long_lines_are_wrapped_to_the_width_of_the_terminal_only() -> None:
    run = Snapshot("run", "training")
    shown = lines(Status(run, None, (Finding("x", "problem", "run", "word " * 40, "fix"),)), NOW, width=60)
    assert max(map(len, shown)) <= 60
    assert [row[:10].strip() for row in shown if row[:10].strip()] == ["run", "state", "pods", "problem"]


def rank(number: int, log: bytes, api: FakeApi) -> None:
    case = captured("hog1")
    pod = case["pods"][0]
    pod["metadata"]["name"] = f"hog1-train-{number}"
    pod["metadata"]["labels"]["volcano.sh/task-index"] = str(number)
    api.put(kinds.PODS, pod)
    api.logs[f"hog1-train-{number}"] = log


def test_a_rank_that_waits_for_one_that_does_not_come_is_named() -> None:
    api = cluster("hog1")
    api.there[kinds.JOBS][0]["spec"]["tasks"][0]["replicas"] = 2
    api.logs["hog1-train-0"] = LOG.splitlines()[0]
    waits = b'trainchart time=2026-11-24T18:13:09Z event=waiting what="rank 0 to tell the commits" reason="timed out"\n'
    rank(1, waits, api)
    found = status.load_status(api, "hog1")  # type: ignore[arg-type]
    assert found.findings[0].key == "waits-for-rank"
    assert found.findings[0].text.startswith(
        "rank 1 waits for rank 0 to tell the commits; rank 0 has printed nothing for "
    )


def test_a_run_that_is_not_found_suggests_a_similar_one() -> None:
    with pytest.raises(NotFoundError, match=r"run hog not found in namespace follow; did you mean hog1\?"):
        load(cluster("hog1"), "hog")  # type: ignore[arg-type]


def test_a_job_without_our_label_is_not_a_run() -> None:
    api = cluster("hog1")
    del api.there[kinds.JOBS][0]["metadata"]["labels"]
    with pytest.raises(NotFoundError, match="is not a run of trainchart"):
        load(api, "hog1")  # type: ignore[arg-type]


def test_a_release_without_its_job_is_not_taken_for_a_missing_one() -> None:
    api = FakeApi()
    labels = {"trainchart.dev/family": "custom"}
    api.put(kinds.CONFIG_MAPS, {"metadata": {"name": "run-42-run", "namespace": "training", "labels": labels}})
    found = status.load_status(api, "run-42")  # type: ignore[arg-type]
    assert found.run.state is State.NO_JOB
    assert [cause.key for cause in found.findings] == ["no-job"]
    assert lines(found, NOW)


def test_a_release_whose_job_was_refused_is_not_taken_for_one_whose_job_was_deleted() -> None:
    api = FakeApi()
    api.put(kinds.CONFIG_MAPS, {"metadata": {"name": "run-42-run", "namespace": "training"}})
    labels = {"owner": "helm", "name": "run-42", "status": "failed"}
    api.put(kinds.SECRETS, {"metadata": {"name": "sh.helm.release.v1.run-42.v1", "labels": labels}})
    assert [cause.key for cause in status.load_status(api, "run-42").findings] == ["refused"]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("phase", "state"),
    [("", "pending"), ("Terminated", "failed"), ("Aborted", "stopped"), ("Aborting", "ending"), ("New", "pending")],
)
def test_each_phase_of_volcano_has_a_state(phase: str, state: str) -> None:
    job = captured("hog1")["job"]
    job["status"]["state"]["phase"] = phase
    assert snapshot_of(job, []).state.value == state


def test_a_job_that_is_being_deleted_is_ending() -> None:
    job = captured("hog1")["job"]
    job["metadata"]["deletionTimestamp"] = "2026-11-24T18:20:00Z"
    assert snapshot_of(job, []).state is State.ENDING


def test_pods_of_an_earlier_job_of_the_same_name_are_left_out() -> None:
    case = captured("hog1")
    case["pods"][0]["metadata"]["ownerReferences"][0]["uid"] = "another"
    assert snapshot_of(case["job"], case["pods"]).pods == ()


def test_status_as_json_has_state_pods_and_findings(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    api = cluster("oom")
    served(monkeypatch, api)
    assert cli.main(["status", "oom", "--output", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["state"], found["attempt"], found["attempts"]) == ("failed", 0, 1)
    assert found["pods"][0]["state"] == "killed for memory"
    assert found["findings"][0]["key"] == "out-of-memory"


def test_watching_in_a_pipe_prints_each_change_once_and_ends_with_the_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    api = cluster("hog1")
    api.logs["hog1-train-0"] = LOG
    served(monkeypatch, api)
    states = iter(["Running", "Running", "Completed"])

    def later(_seconds: float) -> None:
        sleep(0.05)
        api.there[kinds.JOBS][0]["status"]["state"]["phase"] = next(states, "Completed")

    monkeypatch.setattr("time.sleep", later)
    assert cli.main(["status", "hog1", "--watch"]) == 0
    printed = [line.partition(" ")[2] for line in capsys.readouterr().out.splitlines()]
    assert printed == ["running, train, epoch 3 of 10, metrics/mAP_0.5 0.61", "completed"]


def test_a_line_of_changes_contains_no_elapsed_time() -> None:
    found = status.load_status(cluster("no-gpu"), "no-gpu")  # type: ignore[arg-type]
    assert change(found).startswith("pending, rank 0 waiting for a node; no node has nvidia.com/gpu")


# -- the picture in a terminal


class Screen:
    """As much of a terminal as the picture needs: rows that wrap, up, and clear to the end."""

    def __init__(self, columns: int) -> None:
        self.columns, self.rows, self.at = columns, [""], 0

    def write(self, text: str) -> None:
        import re

        for part in re.findall(r"\033\[\d*[A-Za-z]|\r|\n|[^\033\r\n]+", text):
            if part.endswith("F") and part.startswith("\033"):
                self.at = max(self.at - int(part[2:-1]), 0)
            elif part == "\033[J":
                del self.rows[self.at :]
                self.rows.append("")
            elif part == "\n":
                self.at += 1
                self.rows += [""] * (self.at + 1 - len(self.rows))
            elif part != "\r" and not part.startswith("\033"):
                self.rows[self.at] = part

    def narrow(self, columns: int) -> None:
        """Wrap again what is on it."""
        rows = [row[start : start + columns] for row in self.rows for start in range(0, max(len(row), 1), columns)]
        self.columns, self.rows, self.at = columns, rows, len(rows) - 1


def test_the_picture_is_redrawn_in_place_when_the_window_is_resized() -> None:
    screen_, picture = Screen(40), Picture()
    screen_.write(picture.next(["a" * 30, "b", "c"], 40, 24))
    screen_.write(picture.next(["d" * 30, "e"], 40, 24))
    assert screen_.rows == ["d" * 30, "e", ""]
    screen_.narrow(12)
    screen_.write(picture.next(["f" * 30, "g"], 12, 24))
    assert screen_.rows == ["f" * 11, "g", ""]


def test_a_picture_that_is_higher_than_the_window_is_cut() -> None:
    rows = [str(number) for number in range(30)]
    drawn = Picture().next(rows, 80, 10)
    assert drawn.endswith("\n...\n")
    assert drawn.count("\n") == 9


@pytest.mark.parametrize("columns", [0, 3, 5, 9])
def test_a_coloured_line_is_cut_by_its_visible_characters(columns: int) -> None:
    row = f"ab{screen.coloured('problem', 'cdefg', colour=True)}hi"
    assert visible(row) == 9
    assert visible(cut(row, columns)) == columns
    assert cut(row, columns).count("\033[") in (0, 2)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_watching_in_a_terminal_redraws_in_place_and_restores_the_cursor(monkeypatch: pytest.MonkeyPatch) -> None:
    api = cluster("hog1")
    api.logs["hog1-train-0"] = LOG
    served(monkeypatch, api)
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)

    def later(_seconds: float) -> None:
        api.there[kinds.JOBS][0]["status"]["state"]["phase"] = "Completed"
        sleep(0.05)

    monkeypatch.setattr("time.sleep", later)
    assert cli.main(["status", "hog1", "--watch"]) == 0
    first, *_, last = terminal.getvalue().split("\033[J")
    assert first.startswith("\033[?25l")
    assert "completed" in last
    assert last.endswith("\033[?25h")
    assert "\033[6F\r\033[J" in terminal.getvalue()  # up over the six lines of the first picture
    assert terminal.getvalue().count("F\r\033[J") == terminal.getvalue().count("\033[J") - 1


def test_an_interrupted_watch_restores_the_cursor(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_seconds: float) -> None:
        raise KeyboardInterrupt

    served(monkeypatch, cluster("hog1"))
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setattr("time.sleep", interrupted)
    assert cli.main(["status", "hog1", "--watch"]) == 130
    assert terminal.getvalue().endswith("\033[?25h")


def test_watching_survives_an_outage_of_the_api_server(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    api = cluster("hog1")
    served(monkeypatch, api)
    answers = iter([UnreachableError("the API server does not answer"), None])
    ask = api.get

    def get(kind: Any, name: str, **more: Any) -> Any:
        if error := next(answers, None):
            raise error
        return ask(kind, name, **more)

    def later(_seconds: float) -> None:
        monkeypatch.setattr(api, "get", get)
        api.there[kinds.JOBS][0]["status"]["state"]["phase"] = "Completed"
        sleep(0.05)

    monkeypatch.setattr("time.sleep", later)
    assert cli.main(["status", "hog1", "--watch"]) == 0
    printed = capsys.readouterr()
    assert printed.err.splitlines() == [
        "trainchart: the API server does not answer; trying again",
        "trainchart: the API server answers again, after 0 s",
    ]
    assert printed.out.splitlines()[-1].endswith(" completed")
