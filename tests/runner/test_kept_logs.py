"""What a run says is kept in a workspace that outlives its pods, attempt by attempt, and never at the run's cost."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runner import log

from .conftest import UID, Ended

HOOKS = """
def train_arguments(context):
    return ["train.py"]

def train_environment(context):
    return {}

def metrics(context):
    return []

def layout(context, shapes):
    (context.artifacts / "model.pt").write_text("model")
"""
SPEAKS = "import sys; print('loss 0.5 \\u00fc'); print('a warning', file=sys.stderr)"
FAILS = "raise ValueError('labels are wrong')"


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return tmp_path / "workspace" / "run-42"


@pytest.fixture
def home(tmp_path: Path, workspace: Path, make_home: Callable[..., Path]) -> Callable[..., Path]:
    """A run on a claim that has its train.py already, needs no git server, and publishes nothing."""
    family = tmp_path / "family"
    family.mkdir()
    (family / "hooks.py").write_text(HOOKS)

    def make(train: str, **changes: Any) -> Path:
        (workspace / "model").mkdir(parents=True, exist_ok=True)
        (workspace / "model" / "train.py").write_text(train, encoding="utf-8")
        publish = {"type": "none", "modelName": "m", "maxBatchSize": 1}
        return make_home({"sources": {}, "publish": publish, "workspace.shared": True, **changes}, family)

    return make


def test_every_attempt_keeps_its_whole_log_and_its_result(
    home: Callable[..., Path], run: Callable[..., Ended], workspace: Path
) -> None:
    first, second = run(home(FAILS)), run(home(SPEAKS), JOB_ATTEMPT="1")
    assert (first.code, second.code) == (40, 0)
    for attempt, ended in enumerate((first, second)):
        kept = workspace / "logs" / UID / f"attempt-{attempt}"
        assert (kept / "rank-0.log").read_text(encoding="utf-8") == ended.log
        assert json.loads((kept / "result.json").read_text(encoding="utf-8")) == ended.message
    assert "event=run " in first.log
    assert first.last.startswith("trainchart ")
    assert {"loss 0.5 ü", "a warning"} <= set(second.log.splitlines())


def test_another_release_in_the_same_folder_keeps_its_own(
    home: Callable[..., Path], run: Callable[..., Ended], workspace: Path
) -> None:
    other = UID.replace("0a", "ff")
    ended = [run(home(SPEAKS), JOB_GROUP=f"run-42-{uid}") for uid in (UID, other)]
    kept = [(workspace / "logs" / uid / "attempt-0" / "rank-0.log").read_text("utf-8") for uid in (UID, other)]
    assert kept == [each.log for each in ended]


def test_every_rank_keeps_its_log_and_rank_0_alone_the_result(
    home: Callable[..., Path], run: Callable[..., Ended], workspace: Path
) -> None:
    """One that fails early: there is no rank 0 to meet."""
    ended = run(home(SPEAKS, sharedMemoryBytes=1 << 60), VC_TASK_INDEX="1")
    kept = workspace / "logs" / UID / "attempt-0"
    assert [path.name for path in kept.iterdir()] == ["rank-1.log"]
    assert (kept / "rank-1.log").read_text(encoding="utf-8") == ended.log


def test_a_workspace_that_goes_with_its_pod_keeps_nothing(
    home: Callable[..., Path], run: Callable[..., Ended], workspace: Path
) -> None:
    assert run(home(SPEAKS, **{"workspace.shared": False})).code == 0
    assert not (workspace / "logs").exists()
    assert (workspace / "result.json").exists()


def test_a_log_that_cannot_be_kept_is_one_warning(
    home: Callable[..., Path], run: Callable[..., Ended], workspace: Path
) -> None:
    ready = home(SPEAKS)
    (workspace / "logs").write_text("in the way")
    ended = run(ready)
    assert (ended.code, ended.message["status"]) == (0, "completed")
    (warning,) = ended.events("warning")
    assert "the log is not kept in the workspace" in warning


def test_a_disk_that_is_full_takes_the_copy_and_not_the_log(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(log, "_copy", None)
    log.keep(Path("/dev/full"))
    for number in range(3):
        log.line(f"line {number}")
    first, warning, *rest = capsys.readouterr().out.splitlines()
    assert (first, rest) == ("line 0", ["line 1", "line 2"])
    assert "No space left on device" in warning


def test_what_is_no_text_is_kept_as_it_is_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(log, "_copy", None)
    log.keep(tmp_path / "logs" / "rank-0.log")
    log.line("half a character \udc80")
    assert (tmp_path / "logs" / "rank-0.log").read_bytes() == b"half a character \\udc80\n"
