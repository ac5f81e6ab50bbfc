"""Tracking, against a small server with MLflow's rules and limits that can be told to fail."""

from __future__ import annotations

import http.server
import json
import math
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from features import mlflow
from features.mlflow import api, run, tracker
from runner.context import Context

from .conftest import UID

TOKEN = "canary-s3cret-t0ken"
NAME = re.compile(r"[/\w.\- ]{1,250}", re.ASCII)


@dataclass
class Tracking:
    """What the server knows; `bearer` is the token that it wants."""

    url: str = ""
    bearer: str = ""
    experiments: dict[str, dict[str, str]] = field(default_factory=dict)
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    artifacts: str = "mlflow-artifacts:"
    longest_param: int = 6000
    status: int = 0  # to answer with, instead of anything else
    hangs: bool = False
    calls: list[str] = field(default_factory=list)

    @property
    def run(self) -> dict[str, Any]:
        (run,) = self.runs.values()
        return run

    def points(self, key: str) -> list[tuple[int, Any]]:
        return [(metric["step"], metric["value"]) for metric in self.run["metrics"] if metric["key"] == key]


class Handler(http.server.BaseHTTPRequestHandler):
    server_state: Tracking

    def log_message(self, *_: Any) -> None:
        pass

    def do_any(self) -> None:
        state, parts = self.server_state, urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        call = parts.path.removeprefix("/api/2.0/")
        state.calls.append(call)
        while state.hangs:
            time.sleep(0.02)
        if state.status:
            return self.answer(state.status, {"error_code": "TOLD_TO_FAIL", "message": "told to fail"})
        if state.bearer and self.headers.get("Authorization") != f"Bearer {state.bearer}":
            return self.answer(401, {"error_code": "UNAUTHENTICATED", "message": "You are not authenticated."})
        if call.startswith("mlflow-artifacts/artifacts/"):
            state.files[unquote(call.split("/", 2)[2])] = body
            return self.answer(200, {})
        request = json.loads(body) if body else {key: value[0] for key, value in parse_qs(parts.query).items()}
        try:
            return self.answer(
                200, getattr(self, call.removeprefix("mlflow/").replace("/", "_").replace("-", "_"))(request)
            )
        except RefusedError as refused:
            return self.answer(refused.status, {"error_code": refused.code, "message": str(refused)})

    do_GET = do_POST = do_PUT = do_any  # noqa: N815

    def answer(self, status: int, content: Any) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(content).encode())

    def experiments_get_by_name(self, request: dict[str, Any]) -> Any:
        found = self.server_state.experiments.get(request["experiment_name"])
        if not found:
            raise RefusedError(404, "RESOURCE_DOES_NOT_EXIST", "No such experiment")
        return {"experiment": found}

    def experiments_create(self, request: dict[str, Any]) -> Any:
        number = str(len(self.server_state.experiments) + 1)
        self.server_state.experiments[request["name"]] = {"experiment_id": number, "lifecycle_stage": "active"}
        return {"experiment_id": number}

    def experiments_restore(self, request: dict[str, Any]) -> Any:
        for experiment in self.server_state.experiments.values():
            if experiment["experiment_id"] == request["experiment_id"]:
                experiment["lifecycle_stage"] = "active"
        return {}

    def runs_search(self, request: dict[str, Any]) -> Any:
        tag, value = re.fullmatch(r"tags\.`(.+)` = '(.+)'", request["filter"]).groups()  # type: ignore[union-attr]
        runs = [run for run in self.server_state.runs.values() if run["tags"].get(tag) == value]
        return {"runs": [self.shown(run) for run in runs]} if runs else {}

    def runs_create(self, request: dict[str, Any]) -> Any:
        number = f"run{len(self.server_state.runs) + 1}"
        uri = f"{self.server_state.artifacts}/1/{number}/artifacts"
        info = {"run_id": number, "status": "RUNNING", "artifact_uri": uri, "run_name": request["run_name"]}
        tags = {tag["key"]: tag["value"] for tag in request["tags"]}
        self.server_state.runs[number] = {"info": info, "params": {}, "tags": tags, "metrics": [], "ended": None}
        return {"run": self.shown(self.server_state.runs[number])}

    def runs_update(self, request: dict[str, Any]) -> Any:
        run = self.server_state.runs[request["run_id"]]
        run["info"]["status"], run["ended"] = request["status"], request.get("end_time")
        return {}

    def runs_log_batch(self, request: dict[str, Any]) -> Any:
        run = self.server_state.runs[request["run_id"]]
        metrics, params, tags = (request.get(kind, []) for kind in ("metrics", "params", "tags"))
        if len(metrics) > 1000 or len(params) > 100 or len(tags) > 100 or len(json.dumps(request)) > 1_000_000:
            raise RefusedError(400, "INVALID_PARAMETER_VALUE", "too much for one batch")
        for entry in [*metrics, *params, *tags]:
            if not NAME.fullmatch(entry["key"]) or re.search(r"(^|/)\.{0,2}(/|$)", entry["key"]):
                raise RefusedError(400, "INVALID_PARAMETER_VALUE", f"Invalid name {entry['key']!r}")
        for param in params:
            if len(param["value"]) > self.server_state.longest_param:
                raise RefusedError(400, "INVALID_PARAMETER_VALUE", "Param value is too long")
            if run["params"].setdefault(param["key"], param["value"]) != param["value"]:
                raise RefusedError(400, "INVALID_PARAMETER_VALUE", "Changing param values is not allowed")
        run["tags"].update({tag["key"]: tag["value"] for tag in tags})
        run["metrics"] += metrics
        return {}

    def metrics_get_history(self, request: dict[str, Any]) -> Any:
        run = self.server_state.runs[request["run_id"]]
        return {"metrics": [metric for metric in run["metrics"] if metric["key"] == request["metric_key"]]}

    @staticmethod
    def shown(run: dict[str, Any]) -> Any:
        return {
            "info": run["info"],
            "data": {"params": [{"key": key, "value": value} for key, value in run["params"].items()]},
        }


class RefusedError(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


@pytest.fixture
def server() -> Iterator[Tracking]:
    state = Tracking()
    handler = type("Bound", (Handler,), {"server_state": state})
    listener = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    listener.daemon_threads = True
    threading.Thread(target=listener.serve_forever, args=(0.01,), daemon=True).start()
    state.url = f"http://127.0.0.1:{listener.server_port}"
    yield state
    state.hangs = False
    listener.shutdown()
    listener.server_close()


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracker, "RETRY_SECONDS", (0.05,))
    monkeypatch.setattr(tracker, "FLUSH_SECONDS", 2.0)
    monkeypatch.setattr(tracker, "KILLED_SECONDS", 1.0)


@pytest.fixture
def config(server: Tracking) -> mlflow.Config:
    return mlflow.Config(server.url, "team-vision")


def info(attempt: int = 0, **params: str) -> mlflow.RunInfo:
    return mlflow.RunInfo("run-42", UID, attempt, params or {"train.epochs": "3"}, {"trainchart.family": "yolov5"})


def wait_for(condition: Any) -> None:
    until = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.parametrize("status", ["FINISHED", "FAILED", "KILLED"])
def test_a_run_is_running_and_then_has_ended(config: mlflow.Config, server: Tracking, status: str) -> None:
    run = mlflow.Tracker.start(config, info())
    wait_for(lambda: server.runs)
    assert server.run["info"]["status"] == "RUNNING"
    run.metrics({"loss": 0.5}, 1)
    run.metrics({"loss": 0.25, "mAP": 0.1}, 2)
    run.end(status)
    assert (server.run["info"]["status"], server.run["info"]["run_name"]) == (status, "run-42")
    assert server.run["ended"] == pytest.approx(time.time() * 1000, abs=60_000)
    assert server.points("loss") == [(1, 0.5), (2, 0.25)]
    assert server.run["params"] == {"train.epochs": "3"}
    assert server.run["tags"]["trainchart.uid"] == UID
    assert server.run["tags"]["trainchart.family"] == "yolov5"


def test_the_next_attempt_continues_in_the_run_that_a_killed_one_left(config: mlflow.Config, server: Tracking) -> None:
    first = mlflow.Tracker.start(config, info())
    first.metrics({"loss": 0.5}, 1)
    wait_for(lambda: server.runs and server.points("loss"))  # and then it is killed
    second = mlflow.Tracker.start(config, info(1, **{"train.epochs": "3", "image": "new"}))
    second.metrics({"loss": 0.5}, 1)  # read again from the trainer's file
    second.metrics({"loss": 0.25}, 2)
    second.end("FINISHED")
    assert server.points("loss") == [(1, 0.5), (2, 0.25)]
    assert server.run["info"]["status"] == "FINISHED"
    assert server.run["tags"]["trainchart.attempt"] == "1"
    assert server.run["params"] == {"train.epochs": "3", "image": "new"}


def test_an_attempt_after_an_ended_one_is_running_again(config: mlflow.Config, server: Tracking) -> None:
    mlflow.Tracker.start(config, info()).end("KILLED")
    second = mlflow.Tracker.start(config, info(1))
    wait_for(lambda: server.run["info"]["status"] == "RUNNING")
    assert server.run["ended"] is None
    second.end("FAILED")
    assert server.run["info"]["status"] == "FAILED"


def test_a_deleted_experiment_is_restored(config: mlflow.Config, server: Tracking) -> None:
    server.experiments["team-vision"] = {"experiment_id": "7", "lifecycle_stage": "deleted"}
    mlflow.Tracker.start(config, info()).end("FINISHED")
    assert server.experiments["team-vision"]["lifecycle_stage"] == "active"
    assert server.run["info"]["status"] == "FINISHED"


def test_keeps_to_the_limits_of_the_server(config: mlflow.Config, server: Tracking) -> None:
    params = {f"p{number:03}": "ä" * 7000 for number in range(250)}
    run = mlflow.Tracker.start(config, info(0, **params))
    run.metrics({f"m{number}": float(number) for number in range(2500)}, 1)
    run.end("FINISHED")
    assert server.run["params"] == dict.fromkeys(params, "ä" * 6000)
    assert len(server.run["metrics"]) == 2500


def test_cuts_parameters_for_an_older_server(config: mlflow.Config, server: Tracking) -> None:
    server.longest_param = 500
    mlflow.Tracker.start(config, info(short="s", long="x" * 3000)).end("FINISHED")
    assert server.run["params"] == {"short": "s", "long": "x" * 500}


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("metrics/mAP_0.5:0.95", "metrics/mAP_0.5_0.95"),
        ("mAP@0.5", "mAP_0.5"),
        ("/top//../x/", "top/x"),
        ("精度", "__"),
        ("..", "_"),
        ("a" * 300, "a" * 250),
    ],
)
def test_makes_names_that_the_server_takes(config: mlflow.Config, server: Tracking, name: str, told: str) -> None:
    run = mlflow.Tracker.start(config, info())
    run.metrics({name: 1.0}, 1)
    run.end("FINISHED")
    assert server.points(told) == [(1, 1.0)]


def test_tells_numbers_that_json_has_not(config: mlflow.Config, server: Tracking) -> None:
    run = mlflow.Tracker.start(config, info())
    run.metrics({"nan": math.nan, "inf": -math.inf}, 1)
    run.end("FINISHED")
    assert server.points("nan") + server.points("inf") == [(1, "NaN"), (1, "-Infinity")]


def test_artifacts_go_through_the_server(config: mlflow.Config, server: Tracking, tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text("{}")
    run = mlflow.Tracker.start(config, info())
    run.artifact(tmp_path / "result.json", "a b/result.json")
    run.artifact(tmp_path / "absent", "absent")
    run.end("FINISHED")
    assert server.files == {"1/run1/artifacts/a b/result.json": b"{}"}
    assert server.run["info"]["status"] == "FINISHED"


def test_artifacts_elsewhere_are_left_out_with_a_warning(
    config: mlflow.Config, server: Tracking, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.artifacts = "s3://models"
    (tmp_path / "result.json").write_text("{}")
    run = mlflow.Tracker.start(config, info())
    run.artifact(tmp_path / "result.json", "result.json")
    run.end("FINISHED")
    assert server.run["info"]["status"] == "FINISHED"
    assert "artifacts of s3://models/1/run1/artifacts do not go through the server" in capsys.readouterr().out


# Credentials


def test_reads_the_token_from_its_file_and_shows_it_nowhere(
    config: mlflow.Config, server: Tracking, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.bearer = TOKEN
    secret = replace(config, credentials=str(tmp_path), token_key="TOKEN")
    (tmp_path / "TOKEN").write_text("wrong\n")
    run = mlflow.Tracker.start(secret, info())
    wait_for(lambda: server.calls)
    (tmp_path / "TOKEN").write_text(TOKEN + "\n")  # a mounted secret is renewed while the run goes on
    wait_for(lambda: server.runs)
    (tmp_path / "TOKEN").write_text(TOKEN[:10] + "\n" + TOKEN[10:])
    run.metrics({"loss": 1.0}, 1)
    run.end("FINISHED")
    printed = capsys.readouterr().out
    assert "401 UNAUTHENTICATED You are not authenticated." in printed
    assert not {TOKEN, TOKEN[:10], TOKEN[10:]} & set(re.split(r"[\s\"'\\]|\\n", printed))


def test_signs_in_with_user_and_password(config: mlflow.Config, tmp_path: Path) -> None:
    (tmp_path / "USER").write_text("robot\n")
    (tmp_path / "PASSWORD").write_text("secret\n")
    basic = replace(config, credentials=str(tmp_path), user_key="USER", password_key="PASSWORD")
    assert api.Api(basic)._authorization() == {"Authorization": "Basic cm9ib3Q6c2VjcmV0"}


# A server that is down or slow


def warnings(printed: str, server: Tracking | None = None) -> list[str]:
    """Those about one server: a tracker that a test before has left behind still speaks about its own."""
    return [line for line in printed.splitlines() if "event=warning" in line and (not server or server.url in line)]


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float | None]:
    """How long each thread was waited for at most."""
    limits: list[float | None] = []
    join = threading.Thread.join

    def joined(thread: threading.Thread, timeout: float | None = None) -> None:
        limits.append(timeout)
        join(thread, timeout)

    monkeypatch.setattr(threading.Thread, "join", joined)
    return limits


def test_a_server_that_is_not_there_costs_a_warning_and_the_flush(
    capsys: pytest.CaptureFixture[str], waits: list[float | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    callers = set()
    connect = socket.create_connection

    def noted(*arguments: Any, **more: Any) -> socket.socket:
        callers.add(threading.current_thread())
        return connect(*arguments, **more)

    monkeypatch.setattr(socket, "create_connection", noted)
    run = mlflow.Tracker.start(mlflow.Config("http://127.0.0.1:9", "e"), info())
    for step in range(100):
        run.metrics({"loss": 0.1}, step)
    run.end("KILLED")
    assert callers == {run._thread}, "the training itself waits for no answer"
    (wait,) = waits
    assert wait is not None
    assert wait <= tracker.KILLED_SECONDS
    first, last = warnings(capsys.readouterr().out, Tracking("http://127.0.0.1:9"))
    assert "mlflow.trackingUri http://127.0.0.1:9" in first
    assert "Connection refused" in first
    assert "did not receive the status KILLED, nor 100 rows and files" in last


def test_a_server_that_hangs_costs_no_more_than_the_flush(
    config: mlflow.Config, server: Tracking, capsys: pytest.CaptureFixture[str], waits: list[float | None]
) -> None:
    server.hangs = True
    run = mlflow.Tracker.start(config, info())
    run.metrics({"loss": 0.1}, 1)
    run.end("KILLED")
    assert run._thread.is_alive(), "it still waits for the answer, and the run has ended"
    (wait,) = waits
    assert wait is not None
    assert wait <= tracker.KILLED_SECONDS
    assert len(warnings(capsys.readouterr().out, server)) == 1


def test_what_an_outage_held_up_is_told_after_it(
    config: mlflow.Config, server: Tracking, capsys: pytest.CaptureFixture[str]
) -> None:
    server.status = 503
    run = mlflow.Tracker.start(config, info())
    run.metrics({"loss": 0.5}, 1)
    run.metrics({"loss": 0.25}, 2)
    wait_for(lambda: len(server.calls) > 3)
    server.status = 0
    wait_for(lambda: server.runs and len(server.points("loss")) == 2)
    run.end("FINISHED")
    assert server.points("loss") == [(1, 0.5), (2, 0.25)]
    (warning,) = warnings(capsys.readouterr().out, server)
    assert "503 TOLD_TO_FAIL told to fail" in warning


def test_a_long_outage_costs_the_oldest_rows_and_no_memory(
    config: mlflow.Config, server: Tracking, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracker, "MAX_QUEUE", 10)
    server.status = 503
    run = mlflow.Tracker.start(config, info())
    wait_for(lambda: server.calls)
    for step in range(25):
        run.metrics({"loss": 0.1}, step)
    server.status = 0
    run.end("FINISHED")
    assert [step for step, _ in server.points("loss")] == list(range(15, 25))
    assert "the server did not receive 15 rows and files" in warnings(capsys.readouterr().out, server)[-1]


def test_what_the_server_refuses_does_not_hold_up_the_rest(
    config: mlflow.Config, server: Tracking, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(api, "MAX_METRICS", 5000)
    run = mlflow.Tracker.start(config, info())
    run.metrics({f"m{number}": 1.0 for number in range(1001)}, 1)
    run.metrics({"loss": 0.5}, 2)
    run.end("FINISHED")
    assert server.points("loss") == [(2, 0.5)]
    assert "too much for one batch" in warnings(capsys.readouterr().out, server)[0]


def test_does_not_carry_its_token_along_a_redirect(config: mlflow.Config, server: Tracking) -> None:
    server.status = 302
    with pytest.raises(mlflow.ApiError, match="302"):
        api.Api(config).experiment()
    assert len(server.calls) == 1


def test_a_second_end_changes_nothing(config: mlflow.Config, server: Tracking) -> None:
    run = mlflow.Tracker.start(config, info())
    run.end("FAILED")
    run.end("FINISHED")
    run.metrics({"loss": 1.0}, 1)
    assert server.run["info"]["status"] == "FAILED"


# From outside


def test_closes_a_run_that_nobody_else_will(config: mlflow.Config, server: Tracking) -> None:
    assert mlflow.close(config, UID, "KILLED") is None  # no experiment
    mlflow.Tracker.start(config, info())
    wait_for(lambda: server.runs)
    assert mlflow.close(config, "0a1b2c3d-0000-0000-0000-000000000000", "KILLED") is None
    assert mlflow.close(config, UID, "KILLED") == "run1"
    assert mlflow.close(config, UID, "FAILED") is None
    assert server.run["info"]["status"] == "KILLED"


def test_an_attempt_that_does_not_come_to_train_closes_the_run_of_the_one_before(
    make_context: Callable[..., Context], config: mlflow.Config, server: Tracking
) -> None:
    changes = {"mlflow.trackingUri": server.url, "mlflow.experiment": config.experiment}
    mlflow.Tracker.start(config, info())
    wait_for(lambda: server.runs)
    run.close(make_context(changes), "FAILED")
    assert server.run["info"]["status"] == "RUNNING"
    run.close(make_context(changes, JOB_ATTEMPT="1"), "FAILED")
    assert server.run["info"]["status"] == "FAILED"
    server.status = 503
    run.close(make_context(changes, JOB_ATTEMPT="1"), "FAILED")  # costs a warning
