"""The Python API: `import trainchart`, as a notebook uses it, against the fake clusters of the commands."""

from __future__ import annotations

import collections
import copy
import dataclasses
import datetime
import enum
import importlib.util
import os
import pickle
import subprocess
import sys
import threading
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import trainchart as tc
from tests.checks.cluster import ROOT
from tests.cli.test_submit import Cluster as Releases
from tests.cli.test_submit import cluster as releases  # noqa: F401 - a fixture
from tests.cli.test_submit import helm_that
from tests.conftest import program
from tests.fakes.api import FakeApi
from tests.fakes.live import NAME, Cluster, stamped
from tests.fakes.runs import left, put_run
from tests.follow.test_stop import obeys
from trainchart.chart import engines
from trainchart.chart.helm_program import HelmProgram
from trainchart.checks import diagnosis
from trainchart.checks.finding import problem
from trainchart.client import progress, runs
from trainchart.client.arguments import seconds
from trainchart.client.values import as_files
from trainchart.cluster.errors import NotFoundError
from trainchart.follow.outcome import RESULT_ANNOTATION
from trainchart.install.install import InstallError, InterruptedInstallError
from trainchart.values.validate import values_of


@dataclasses.dataclass
class Epochs:
    epochs: int


KUBECONFIG = """\
{current-context: a, contexts: [{name: a, context: {cluster: a, user: a, namespace: training}}],
 clusters: [{name: a, cluster: {server: "https://127.0.0.1:1"}}], users: [{name: a, user: {token: a}}]}
"""
ITSELF: dict[str, Any] = {}
ITSELF["train"] = ITSELF
FILES = [ROOT / f"{name}.yaml" for name in ("values/custom", "values/accelerators/cpu", "e2e/values/custom")]
RESULT = {"status": "completed", "branch": "sft-1", "commit": "c0ffee", "metrics": {"epochs": 2, "loss": 0.25}}

# Of the values that these tests submit.
pytestmark = pytest.mark.filterwarnings("ignore:.*publish.patience")


def use(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs.Cluster, "api", cluster)
    monkeypatch.setattr(diagnosis, "diagnose", lambda *_: [])


@pytest.fixture
def live(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    cluster = Cluster()
    use(cluster, monkeypatch)
    yield cluster
    Cluster.close_all()


def epoch(number: int, loss: float) -> bytes:
    return stamped(number, 0, f"trainchart time=t event=metrics epoch={number} epochs=2 train/loss={loss}")


def finished(live: Cluster, code: int = 0, result: dict[str, Any] | None = None, phase: str = "Completed") -> None:
    live.pod(0, 0, epoch(1, 0.5), epoch(2, 0.25))
    live.end(0, code, result or RESULT)
    live.phase(phase)


# -- values


def test_values_are_a_mapping_or_files_or_both_and_later_ones_win() -> None:
    report = tc.validate([*FILES, {"replicas": 2}])
    assert report.valid, str(report)
    assert "replicas 2" in report.summary
    assert tc.validate({"family": "yolov5"}).valid is False


def test_what_is_wrong_is_said_as_validate_says_it_with_the_mapping_s_place() -> None:
    report = tc.validate([*FILES, {"train": {"epoch": 3}, "replica": 2}])
    assert not report.valid
    assert "values 4:3:1: error: replica: unknown key, did you mean 'replicas'?" in str(report)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([], "no values are given"),
        (3, "give a mapping"),
        ([3], "values of type int"),
        ({"env": {"A": object()}}, r"env\.A: <object .*> is of type object; use text"),
        ({"train": {"exportFormats": {"onnx"}}}, r"train\.exportFormats: \{'onnx'\} is of type set"),
        ({"tolerations": [{"key": b"a"}]}, r"tolerations\[0\]\.key: b'a' is of type bytes"),
        ({"train": Epochs(3)}, r"train: Epochs\(epochs=3\) .*; give dataclasses\.asdict of it"),
        (Epochs(3), r"values of type Epochs; give dataclasses\.asdict of it"),
        ({"env": {None: "a"}}, "env: None cannot be a key"),
        (ITSELF, "contain themselves"),
        ("family: custom\nreplicas: 2\n", r"of YAML, give yaml\.safe_load\(text\)"),
    ],
)
def test_what_is_no_value_is_refused_in_a_sentence(values: Any, words: str) -> None:
    with pytest.raises(tc.TrainchartError, match=words):
        tc.validate(values)


@pytest.mark.parametrize(
    "text", ["y", "N", "on", "1e3", "12e4567", "0o17", "1_000", "1:30", "2026-01-01", "~", "null", "", "<<", "="]
)
def test_a_text_stays_one_whatever_yaml_reads_without_quotes(text: str) -> None:
    with as_files({"env": {"A": text}, text: ["a", {text: text}]}) as (files, _):
        assert values_of(files) == {"env": {"A": text}, text: ["a", {text: text}]}


def test_numbers_and_lists_of_other_packages_are_what_they_hold() -> None:
    class Array:  # as numpy, pandas and torch have them
        def __init__(self, held: Any) -> None:
            self.held = held

        def tolist(self) -> Any:
            return self.held

    class Text(str, enum.Enum):
        CPU = "cpu"

    class Number(enum.IntEnum):
        ONE = 1

    given = {
        "epochs": Array(3), "formats": Array(["onnx", Path("a/b")]), "device": Text.CPU, "number": Number.ONE,
        "deque": collections.deque([1, 2.5]), "day": datetime.date(2026, 1, 2), Text.CPU: types.MappingProxyType({"a": True, "b": None}),
    }  # fmt: skip
    with as_files(given) as (files, _):
        assert values_of(files) == {
            "epochs": 3, "formats": ["onnx", "a/b"], "device": "cpu", "number": 1,
            "deque": [1, 2.5], "day": "2026-01-02", "cpu": {"a": True, "b": None},
        }  # fmt: skip


def test_a_report_is_false_and_a_notebook_shows_its_lines_if_values_are_not_valid() -> None:
    report = tc.validate({"family": "nothing"})
    assert not report
    assert tc.validate(FILES)
    shown: list[str] = []
    report._repr_pretty_(types.SimpleNamespace(text=shown.append), False)
    assert shown == [str(report)]


@pytest.mark.filterwarnings("ignore:accelerator.memory")
def test_what_a_preset_counts_is_checked() -> None:
    assert (
        tc.preset("yolov8", accelerator="hami", fraction=0.5)["accelerator"]
        == (tc.preset("yolov8", accelerator="hami", fraction="50%")["accelerator"])
    )
    for wrong in ({"count": 0}, {"replicas": 1.5}, {"count": "2"}):
        with pytest.raises(tc.TrainchartError, match=r"(count|replicas): .* is not a whole number of at least 1"):
            tc.preset("yolov8", accelerator="nvidia", **wrong)


# -- other processes, and notebooks


@pytest.mark.parametrize(
    "error",
    [
        tc.InvalidValuesError(tc.validate({"family": "nothing"})),
        tc.ClusterError("run-42", [problem("secret-missing", "Secret a", "Secret a does not exist", "create it")]),
        tc.RunFailedError(["run-42 failed", "its loss is not a number"], 44),
        tc.WaitTimeoutError("run-42 has not finished"),
        InstallError("run-42", problem("exists", "run-42", "it exists")),
        NotFoundError("run nope not found"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_and_runs_pass_between_processes(error: tc.TrainchartError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), vars(again), again.exit_code) == (
        type(error),
        str(error),
        vars(error),
        error.exit_code,
    )


FORK = """\
import multiprocessing, os, sys
import trainchart as tc

def check(path):
    os.environ["PATH"] = path
    return str(tc.validate(sys.argv[2:])).splitlines()[-1]

print(check("/nowhere"))
with multiprocessing.get_context("fork").Pool(1) as pool:
    try:
        pool.apply_async(check, ("/nowhere",)).get(30)
    except tc.TrainchartError as error:
        print(error)
    print(pool.apply_async(check, (os.path.dirname(sys.argv[1]),)).get(30))
"""


@pytest.mark.skipif(not importlib.util.find_spec("helm_python"), reason="the extra engine is not installed")
def test_a_forked_process_does_not_wait_forever_for_the_library() -> None:
    command = [sys.executable, "-c", FORK, program("helm"), *map(str, FILES)]
    process = subprocess.run(command, capture_output=True, text=True, check=True, timeout=90)
    checked, refused, by_program = process.stdout.splitlines()
    assert checked.startswith("valid: ")
    assert "this process was forked from one that had used Helm's code" in refused
    assert by_program == checked


def test_a_client_stays_in_its_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "config"
    config.write_text(KUBECONFIG)
    run = tc.Run(NAME, tc.Cluster("training", kubeconfig=config))
    client = run.cluster.api
    assert run.cluster.api is client
    for again in (pickle.loads(pickle.dumps(run)), copy.deepcopy(run)):
        assert again == run
        assert again.cluster.api is not client
    monkeypatch.setattr(os, "getpid", lambda: 0)  # as in a process that was forked
    assert run.cluster.api is not client


def test_a_run_without_a_cluster_is_where_kubeconfig_says_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for namespace in ("one", "two"):
        config = tmp_path / namespace
        config.write_text(KUBECONFIG.replace("training", namespace))
        monkeypatch.setenv("KUBECONFIG", str(config))
        assert tc.Run(NAME).namespace == namespace


def test_a_notebook_shows_where_an_error_was_caused_and_nothing_of_the_inside() -> None:
    try:
        tc.validate("nowhere.yaml")
    except tc.TrainchartError as error:
        place, *_, message = error._render_traceback_()
    assert "test_client.py" in place
    assert message == "FileError: nowhere.yaml does not exist"
    assert len([place, *_, message]) <= 3


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: tc.Run("a", "training"), r"'training' is not a Cluster; of a namespace, give Cluster\('training'\)"),  # type: ignore[arg-type]
        (lambda: tc.Cache({}, "training"), "is not a Cluster"),  # type: ignore[arg-type]
        (lambda: tc.Run(""), "'' is not the name of a run"),
        (lambda: tc.runs(states="fialed"), "'fialed' is none"),
        (lambda: list(tc.Run("a").logs(rank="0")), "rank: '0' is not a whole number of at least 0"),  # type: ignore[arg-type]
        (lambda: list(tc.Run("a").logs(tail=-1)), "tail: -1 is not a whole number of at least 0"),
        (lambda: tc.Run("a").wait(timeout="1h"), "timeout: '1h' is not a time; give seconds or a datetime.timedelta"),  # type: ignore[arg-type]
    ],
)
def test_wrong_arguments_are_refused_in_a_sentence(make: Any, words: str) -> None:
    with pytest.raises(tc.TrainchartError, match=words):
        make()


def test_a_preset_is_a_mapping_that_is_valid_when_changed(capsys: pytest.CaptureFixture[str]) -> None:
    values = tc.preset("yolov8", accelerator="cpu")
    assert "memory: " in capsys.readouterr().err
    assert values["family"] == "yolov8"
    values["train"]["epochs"] = 3
    assert tc.validate(values).valid


# -- submit


@pytest.fixture
def helm(releases: Releases, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:  # noqa: F811
    use(releases, monkeypatch)
    program = helm_that(releases)
    engines.use(HelmProgram(program))
    yield program
    engines.use(None)


def test_a_run_is_submitted_as_by_the_command(helm: str, releases: Releases) -> None:  # noqa: F811
    run = tc.submit([*FILES, {"env": {"LR": "0.125"}}], name="run-42")
    assert (run.name, run.namespace) == ("run-42", releases.namespace)
    installed = (releases.state.parent / "values").read_text()
    assert "0.125" in installed
    assert tc.submit(FILES, prefix="nightly-").name.startswith("nightly-")
    with pytest.raises(tc.TrainchartError, match="a release of this name exists"):
        tc.submit(FILES, name="run-42")


@pytest.mark.lab
def test_nothing_is_installed_for_values_or_a_cluster_that_cannot_run_it(helm: str, releases: Releases) -> None:  # noqa: F811
    with pytest.raises(tc.InvalidValuesError) as invalid:
        tc.submit([*FILES, {"replicas": 0}], name="run-42")
    assert not invalid.value.report.valid
    with pytest.raises(tc.ClusterError, match="Secret nowhere does not exist") as sick:
        tc.submit([*FILES, {"git": {"secretName": "nowhere"}}], name="run-42")
    assert [finding.key for finding in sick.value.findings if finding.severity == "problem"] == ["secret-missing"]
    for name, prefix in (("", ""), ("a", "b")):
        with pytest.raises(tc.TrainchartError, match="either name or prefix"):
            tc.submit(FILES, name=name, prefix=prefix)
    assert not list(releases.state.iterdir())
    tc.submit([*FILES, {"git": {"secretName": "nowhere"}}], name="run-42", doctor=False)
    assert [path.name for path in releases.state.iterdir()] == ["run-42"]


def test_ctrl_c_while_a_run_is_installed_is_an_interrupt_and_no_error_of_the_run(
    helm: str,
    releases: Releases,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupted(*_: Any) -> None:
        raise InterruptedInstallError("run-42", " (what Helm created was removed)")

    monkeypatch.setattr("trainchart.install.install.install", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tc.submit(FILES, name="run-42")
    assert "run-42 is not installed: it was interrupted (what Helm created was removed)" in capsys.readouterr().err


# -- a run


def test_waiting_shows_the_run_and_returns_its_result(live: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    finished(live)
    run = tc.Run(NAME)
    assert run.wait()["branch"] == "sft-1"
    assert f"{NAME} completed" in capsys.readouterr().out
    assert run.wait(progress=False)["commit"] == "c0ffee"
    assert capsys.readouterr().out == ""
    assert run.state == "completed"
    assert run.result() == RESULT


def test_a_failed_run_is_an_error_with_its_code_and_reason(live: Cluster) -> None:
    reason = "no such file \x1b[2J"  # of the trainer, and not of the notebook
    failure = {"stage": "train", "code": 40, "name": "train-failed", "reason": reason, "fix": "add it"}
    finished(live, 40, {"status": "failed", "failure": failure}, phase="Failed")
    with pytest.raises(tc.RunFailedError, match="no such file") as failed:
        tc.Run(NAME).wait()
    assert failed.value.code == 40
    assert r"no such file \x1b[2J" in str(failed.value)


def test_a_log_that_cannot_be_there_is_an_error_and_not_an_empty_one(live: Cluster) -> None:
    run = tc.Run(NAME, tc.Cluster())
    with pytest.raises(NotFoundError, match=rf"{NAME} is pending and has no pods yet; `trainchart status {NAME} "):
        list(run.logs())
    live.pod(0, 0, epoch(1, 0.5))
    assert len(list(run.logs(rank=0))) == 1
    with pytest.raises(tc.TrainchartError, match=rf"rank: {NAME} has ranks 0 to \d"):
        list(run.logs(rank=99))


def test_times_are_seconds_or_a_timedelta() -> None:
    assert seconds("timeout", datetime.timedelta(minutes=2)) == 120
    assert seconds("timeout", 5) == 5


def test_a_wait_that_takes_too_long_is_a_timeout_and_the_run_continues(live: Cluster) -> None:
    with pytest.raises(TimeoutError, match="continues"):
        tc.Run(NAME).wait(timeout=0)
    assert live.created == [], "no command was sent"


def test_ctrl_c_stops_following_only(
    live: Cluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("trainchart.follow.wait.wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tc.Run(NAME).wait()
    assert f"stopped following; {NAME} continues" in capsys.readouterr().err
    assert live.created == []


def test_metrics_are_rows_or_a_data_frame_where_pandas_is(live: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    finished(live)
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert [(row["epoch"], row["train/loss"]) for row in tc.Run(NAME).metrics()] == [(1, 0.5), (2, 0.25)]


def test_logs_are_lines_and_end_with_the_run_or_with_the_reader(live: Cluster) -> None:
    live.pod(0, 0, stamped(1, 0, "one"), stamped(2, 0, "two"))
    live.phase("Running")
    run = tc.Run(NAME)
    assert list(run.logs()) == ["one", "two"]
    assert list(run.logs(tail=1)) == ["two"]
    followed = run.logs(follow=True)
    assert next(followed) == "one"
    followed.close()  # type: ignore[attr-defined]

    def end() -> None:
        live.end(0)
        live.phase("Completed")

    threading.Timer(0.1, end).start()
    assert list(run.logs(follow=True)) == ["one", "two"]


def test_a_stopped_run_keeps_what_its_pods_reported_as_by_the_command(live: Cluster) -> None:
    live.phase("Running")
    live.pod(0, 0, stamped(1, 0, "first words"))
    obeys(live)
    assert tc.Run(NAME).stop() == "stopped"
    (patched,) = live.patched
    assert "stopped" in patched["metadata"]["annotations"][RESULT_ANNOTATION]
    assert tc.Run(NAME).stop() == "stopped", "there is nothing left to stop"


def test_a_run_is_deleted_as_by_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    api = FakeApi()
    use(api, monkeypatch)
    put_run(api, "run-42", release="")
    put_run(api, "run-43", release="", phase="Running")
    tc.Run("run-42").delete()
    assert not [one for one in left(api) if "run-42" in one]
    with pytest.raises(
        tc.TrainchartError, match="run-43 is not removed: it is running; add stop=True to stop it first"
    ):
        tc.Run("run-43").delete()
    with pytest.raises(NotFoundError, match="run-42"):
        tc.Run("run-42").delete()


def test_a_run_that_does_not_exist_is_an_error_and_no_traceback_in_a_cell(live: Cluster) -> None:
    live.job, live.settings = None, None
    run = tc.Run("gone")
    with pytest.raises(NotFoundError):
        run.result()
    assert "gone" in run._repr_html_()


# -- notebooks


def test_a_notebook_shows_a_run_as_its_page_and_runs_as_a_table(live: Cluster, tmp_path: Path) -> None:
    finished(live)
    assert live.job
    live.job["metadata"]["labels"]["app.kubernetes.io/part-of"] = "trainchart"
    shown = tc.Run(NAME)._repr_html_()
    assert shown.startswith('<iframe srcdoc="')
    assert "&lt;svg" in shown, "with its curve"
    assert "<script" not in shown.lower()
    assert (tc.Run(NAME).report().write(tmp_path / "run.html")).read_text().startswith("<!DOCTYPE html>")
    listed = tc.runs()
    assert [run.name for run in listed] == [NAME]
    assert NAME in repr(listed)
    assert f"<td>{NAME}</td>" in listed._repr_html_()
    assert list(tc.runs(states=("failed",))) == []
    with pytest.raises(tc.TrainchartError, match="'done' is none; there are pending"):
        tc.runs(states=("done",))


def test_a_cell_has_lines_and_one_that_is_replaced(capsys: pytest.CaptureFixture[str]) -> None:
    calls: list[tuple[str, Any]] = []

    class Handle:
        def update(self, data: Any, **_: Any) -> None:
            calls.append(("update", data))

    def display(data: Any, **_: Any) -> Handle:
        calls.append(("display", data))
        return Handle()

    console = progress.Notebook(display)
    console.line("prepare begins")
    console.live("epoch 1")
    console.live("epoch 2")
    assert capsys.readouterr().out == "prepare begins\n"
    assert calls == [("display", {"text/plain": "epoch 1"}), ("update", {"text/plain": "epoch 2"})]


def test_importing_it_loads_nothing_that_takes_time() -> None:
    code = "import sys, trainchart; print([name for name in ('pydantic', 'kubernetes', 'jinja2', 'yaml') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_packages_keep_the_names_of_the_functions_free() -> None:
    """`trainchart.submit` would become a package at the first import of one of that name."""
    functions = {name for name in tc.__all__ if name.islower()}
    assert not functions & {path.stem for path in (ROOT / "tools/trainchart").iterdir()}
    assert set(tc.__all__) <= set(dir(tc))
    with pytest.raises(AttributeError, match="submitt"):
        _ = tc.submitt
