"""What a run says is kept in a workspace that outlives its pods, attempt by attempt, and never at the run's cost."""

from __future__ import annotations

import json
import re
import resource
import signal
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
        return make_home({"sources": {}, "publish": publish, "workspace.type": "newClaim", **changes}, family)

    return make


@pytest.mark.lab
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
    ended = run(home(SPEAKS, **{"run.sharedMemoryBytes": 1 << 60}), VC_TASK_INDEX="1")
    kept = workspace / "logs" / UID / "attempt-0"
    assert [path.name for path in kept.iterdir()] == ["rank-1.log"]
    assert (kept / "rank-1.log").read_text(encoding="utf-8") == ended.log


def test_a_workspace_that_goes_with_its_pod_keeps_nothing(
    home: Callable[..., Path], run: Callable[..., Ended], workspace: Path
) -> None:
    assert run(home(SPEAKS, **{"workspace.type": "emptyDir"})).code == 0
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
    log.keep(Path("/dev/full"), Path("/dev"))
    for number in range(3):
        log.line(f"line {number}")
    first, warning, *rest = capsys.readouterr().out.splitlines()
    assert (first, rest) == ("line 0", ["line 1", "line 2"])
    assert "No space left on device" in warning


def test_what_is_no_text_is_kept_as_it_is_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(log, "_copy", None)
    log.keep(tmp_path / "logs" / "rank-0.log", tmp_path)
    log.line("half a character \udc80")
    assert (tmp_path / "logs" / "rank-0.log").read_bytes() == b"half a character \\udc80\n"


def lines_of(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8").splitlines()


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A log that keeps 20,000 bytes: 2,500 of its beginning, and 7,500 of its end whenever it is cut."""
    for name, value in {"_copy": None, "KEPT_BYTES": 20_000, "HEAD_BYTES": 2_500, "TAIL_BYTES": 7_500}.items():
        monkeypatch.setattr(log, name, value)
    log.keep(tmp_path / "rank-0.log", tmp_path)
    return tmp_path / "rank-0.log"


def test_of_a_log_without_end_the_beginning_and_the_end_are_kept_and_it_is_told_once(
    kept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(20_000):
        log.line(f"line {number}")
        assert kept.stat().st_size <= 20_000
    shown = capsys.readouterr().out.splitlines()
    (warning,) = [line for line in shown if "event=warning" in line]
    assert "is longer than" in warning
    lines = lines_of(kept)
    (gap,) = [place for place, line in enumerate(lines) if "bytes are left out here" in line]
    assert lines[:gap] == shown[:gap]
    assert lines[gap + 1 :] == shown[-len(lines) + gap + 1 :]
    assert len("\n".join(lines[:gap])) >= 2_400
    assert len("\n".join(lines[gap:])) >= 7_500
    left_out = int(lines[gap].split("some ")[1].split()[0])
    assert left_out == pytest.approx(len("\n".join(shown)) - kept.stat().st_size, abs=200)


def test_a_log_that_was_cut_is_gone_on_with(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(2):
        for number in range(3_000):
            log.line(f"line {number}")
        monkeypatch.setattr(log, "_copy", None)
        log.keep(kept, kept.parent)
    assert kept.stat().st_size <= 20_000
    assert (lines_of(kept)[0], lines_of(kept)[-1]) == ("line 0", "line 2999")


def test_a_disk_that_has_room_again_keeps_the_rest_and_says_what_is_missing(
    kept: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A limit on the size of files fails in the middle of a line, as a full disk does."""
    log.line("first")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        log.line("second, and more of it")
        log.line("third")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert lines_of(kept) == ["first"]
    log.line("last")
    first, missing, last = lines_of(kept)
    assert (first, last) == ("first", "last")
    assert "3 lines are missing here" in missing  # the two, and the warning
    assert capsys.readouterr().out.count("is not kept in the workspace") == 1


def test_a_log_is_not_kept_through_a_link(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(log, "_copy", None)
    (tmp_path / "elsewhere").write_text("something of mine\n")
    (tmp_path / "rank-0.log").symlink_to(tmp_path / "elsewhere")
    log.keep(tmp_path / "rank-0.log", tmp_path)
    log.line("a line")
    assert (tmp_path / "elsewhere").read_text() == "something of mine\n"
    assert "the log is not kept in the workspace" in capsys.readouterr().out


MUCH = """
import os, re, sys
from pathlib import Path
for number in range(40_000):
    print(f"line {number} " + "x" * 1000)
for _ in range(2_000):
    sys.stdout.write("no line ends here " * 5_000)
sys.stdout.write("\\n")
status = Path("/proc", str(os.getppid()), "status").read_text()
print("the runner's memory:", re.search(r"VmHWM:\\s+(\\d+) kB", status)[1], flush=True)
"""


@pytest.mark.lab
def test_a_trainer_that_prints_without_end_eats_neither_the_claim_nor_the_memory(
    home: Callable[..., Path], run: Callable[..., Ended], workspace: Path
) -> None:
    """40 MB of lines, then 180 MB without an end of line."""
    ended = run(home(MUCH))
    assert ended.code == 0, ended.log[-2000:]
    file = workspace / "logs" / UID / "attempt-0" / "rank-0.log"
    assert file.stat().st_size < 33 << 20
    assert ended.log.startswith(file.read_text(encoding="utf-8")[:1_000_000])
    assert ended.log.endswith(file.read_text(encoding="utf-8")[-1_000_000:])
    (memory,) = re.findall(r"the runner's memory: (\d+)", ended.log)
    assert int(memory) < 100_000
