"""One run in a folder at a time, by whole runners as processes: refused, taken over, frozen, killed, without locks, on a full disk."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from features import tune
from runner import checkpoint, export, interrupts, lease, prepare, trees
from runner.context import Context
from runner.errors import EXIT_CODES, Interrupted, RunnerError
from runner.workspace import Workspace
from tests.conftest import rows

from .conftest import UID, Ended

OTHER = "ffffffff-1111-2222-3333-444455556666"
BEAT, EXPIRY = 0.25, 3.0
LOST = EXIT_CODES["folder-taken"].code
HOOKS = """
def train_arguments(context):
    return ["train.py", str(context.output)]

def train_environment(context):
    return {}

def metrics(context):
    return []

def checkpoints(context):
    return sorted(context.output.glob("*.ckpt"), reverse=True)

def layout(context, shapes):
    (context.artifacts / "model.pt").write_text(context.train["say"])
"""
# Trains until the file `go` is there, and writes a last word when it is told to stop.
TRAIN = """
import signal, sys, time
from pathlib import Path
output = Path(sys.argv[1])

def stop(*_):
    (output / "last-word").touch()
    sys.exit(1)

signal.signal(signal.SIGTERM, stop)
(output / "1.ckpt").write_text("whole")
print("trains", flush=True)
while not Path("go").exists():
    time.sleep(0.05)
"""
# The runner with shorter times, which are constants of it.
SHORT = f"""
import sys
from pathlib import Path
from runner import __main__, lease
lease.BEAT_SECONDS, lease.EXPIRY_SECONDS = {BEAT}, {EXPIRY}
sys.exit(__main__.main(__main__.Run(Path(__main__.__file__).parents[1])))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "workspace" / "run-42"


@pytest.fixture
def home(tmp_path: Path, folder: Path, make_home: Callable[..., Path]) -> Callable[..., Path]:
    """Runs on a claim that has their train.py; `say` is the one setting of the family."""
    family = tmp_path / "family"
    family.mkdir()
    (family / "hooks.py").write_text(HOOKS)
    (folder / "model").mkdir(parents=True)
    (folder / "model" / "train.py").write_text(TRAIN)

    def make(name: str = "home", say: str = "a", **changes: Any) -> Path:
        publish = {"type": "none", "modelName": "m", "maxBatchSize": 1}
        fixed = {
            "sources": {},
            "publish": publish,
            "workspace.type": "newClaim",
            "train": {"say": say},
            "run.name": name,
        }
        made = make_home({**fixed, **changes}, family, name)
        (made / "short.py").write_text(SHORT)
        return made

    return make


class Process:
    """A runner whose log can be read while it runs."""

    def __init__(self, home: Path, log: Path, **environment: str) -> None:
        self.message = log.with_suffix(".message")
        keep = {key: os.environ[key] for key in ("PATH", "LANG") if key in os.environ}
        fixed = {"HOME": str(log.parent), "TERMINATION_LOG": str(self.message)}
        self.log = log
        with log.open("wb") as output:
            self.popen = subprocess.Popen(
                [sys.executable, "short.py"],
                cwd=home,
                env={**keep, **fixed, **environment},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_for(self, text: str, seconds: float = 30) -> Process:
        until = time.monotonic() + seconds
        while text not in self.log.read_text():
            assert self.popen.poll() is None, f"it ended without {text!r}:\n{self.log.read_text()}"
            assert time.monotonic() < until, f"no {text!r} in\n{self.log.read_text()}"
            time.sleep(0.02)
        return self

    def end(self) -> Ended:
        self.popen.wait(timeout=60)
        message = json.loads(self.message.read_text()) if self.message.exists() else {}
        return Ended(self.popen.returncode, self.log.read_text(), message)

    def signal(self, number: int) -> None:
        """To the runner and its trainer, as when a pod is frozen or its node is lost."""
        for pid in [self.popen.pid, *children(self.popen.pid)]:
            with suppress(ProcessLookupError):  # a child that has ended since
                os.kill(pid, number)


def children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in found]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    started: list[Process] = []

    def go(home: Path, uid: str = UID, **environment: str) -> Process:
        process = Process(home, tmp_path / f"{len(started)}.log", JOB_GROUP=f"run-{uid}", **environment)
        started.append(process)
        return process

    yield go
    for process in started:
        if process.popen.poll() is None:
            process.signal(signal.SIGKILL)
        process.popen.wait()


@pytest.fixture
def make_context(
    make_context: Callable[..., Context], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Context]]:
    """Contexts whose leases end with the test, and end no process but their own."""
    made: list[Context] = []
    monkeypatch.setattr(interrupts, "request", lambda error: None)
    monkeypatch.setattr(interrupts, "_pending", None)

    def make(changes: dict[str, Any], **environment: str) -> Context:
        made.append(make_context(changes, **environment))
        return made[-1]

    yield make
    for context in made:
        context.lease.release(lease.FAILED)


def finish(folder: Path) -> None:
    (folder / "model" / "go").touch()


def test_a_second_run_in_the_same_folder_is_refused_and_the_first_keeps_what_it_has(
    home: Callable[..., Path], start: Callable[..., Process], folder: Path
) -> None:
    first = start(home("first")).wait_for("trains")
    second = start(home("second", say="b"), OTHER).end()
    assert second.code == LOST
    failure = second.message["failure"]
    assert f"run first (Job {UID})" in failure["reason"]
    assert "use another workspace.directory, or stop the other run (trainchart stop first)" in failure["fix"]
    assert "event=waiting" in second.log
    assert "trains" not in second.log.splitlines()
    assert not (folder / "result.json").exists(), "what the second came to is none of the first's"
    finish(folder)
    assert first.end().code == 0, first.end().log
    assert (folder / "output" / "1.ckpt").exists()
    assert (folder / "artifacts" / "model.pt").read_text() == "a"
    assert json.loads((folder / "result.json").read_text())["run"] == "first"


def test_of_two_runs_that_start_at_once_one_trains(
    home: Callable[..., Path], start: Callable[..., Process], folder: Path
) -> None:
    processes = [start(home("one")), start(home("two"), OTHER)]
    until = time.monotonic() + 30
    while all(process.popen.poll() is None for process in processes) and time.monotonic() < until:
        time.sleep(0.05)
    finish(folder)
    assert sorted(process.end().code for process in processes) == [0, LOST]
    assert sum("trains" in process.log.read_text().splitlines() for process in processes) == 1


@pytest.mark.lab
def test_the_folder_of_a_run_that_was_killed_is_taken_over_when_nothing_beats_any_more(
    home: Callable[..., Path], start: Callable[..., Process], folder: Path
) -> None:
    first = start(home("first")).wait_for("trains")
    first.signal(signal.SIGKILL)
    finish(folder)
    second = start(home("second"), OTHER).end()
    assert second.code == 0, second.log
    (takeover,) = second.events("takeover")
    silence = re.search(r"heartbeat has stopped for (\d+) seconds", takeover)
    assert silence
    assert int(silence[1]) >= EXPIRY
    assert f"run first (Job {UID})" in takeover


@pytest.mark.parametrize("attempt", rows(["0", "1"], "1"))
def test_the_same_run_starts_again_at_once(
    home: Callable[..., Path], start: Callable[..., Process], folder: Path, attempt: str
) -> None:
    first = start(home("first")).wait_for("trains")
    first.signal(signal.SIGKILL)
    finish(folder)
    second = start(home("first"), JOB_ATTEMPT=attempt).end()
    assert second.code == 0, second.log
    assert not second.events("waiting")
    assert not second.events("takeover")


@pytest.mark.parametrize("ending", rows([signal.SIGTERM, None], signal.SIGTERM))
def test_a_run_that_ended_gives_its_folder_back(
    home: Callable[..., Path], start: Callable[..., Process], folder: Path, ending: int | None
) -> None:
    first = start(home("first")).wait_for("trains")
    if ending:
        first.popen.send_signal(ending)
    finish(folder)
    assert first.end().code == (143 if ending else 0)
    second = start(home("second"), OTHER).end()
    assert second.code == 0, second.log
    assert not second.events("waiting")


@pytest.mark.lab
def test_a_frozen_run_that_wakes_when_its_folder_is_another_s_ends_without_touching_it(
    home: Callable[..., Path], start: Callable[..., Process], folder: Path
) -> None:
    first = start(home("first")).wait_for("trains")
    first.signal(signal.SIGSTOP)
    second = start(home("second", say="b"), OTHER).wait_for("event=takeover").wait_for("trains")
    before = sorted(str(path) for path in folder.glob("o*/**/*"))
    first.signal(signal.SIGCONT)
    ended = first.end()
    assert ended.code == LOST, ended.log
    assert f"run second (Job {OTHER}) has taken the folder" in ended.last
    assert "heartbeat had stopped" in ended.last
    assert sorted(str(path) for path in folder.glob("o*/**/*")) == before, "its trainer had no last word"
    assert not (folder / "result.json").exists()
    assert json.loads((folder / "logs" / UID / "attempt-0" / "result.json").read_text()) == ended.message
    finish(folder)
    assert second.end().code == 0, second.end().log


@pytest.mark.lab
def test_a_pod_of_an_older_attempt_ends_when_a_newer_one_has_the_folder(
    home: Callable[..., Path], start: Callable[..., Process], folder: Path
) -> None:
    """The node of the first was cut off: the run has started again elsewhere, and the pod still trains."""
    zombie = start(home("first")).wait_for("trains")
    newer = start(home("first"), JOB_ATTEMPT="1").wait_for("trains")
    ended = zombie.end()
    assert ended.code == EXIT_CODES["stopped"].code, "nothing that could end the newer one"
    assert "attempt 1 of this run has taken the folder" in ended.last
    late = start(home("first"), JOB_ATTEMPT="0").end()
    assert late.code == EXIT_CODES["stopped"].code
    assert not (folder / "output" / "last-word").exists()
    finish(folder)
    assert newer.end().code == 0


def test_a_second_rank_waits_until_rank_0_has_the_folder(
    make_context: Callable[..., Context], monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {"workspace.type": "newClaim", "pod.joinSeconds": 0}
    one = make_context(changes, VC_TASK_INDEX="1")
    with pytest.raises(RunnerError) as failure:
        one.lease.acquire()
    assert failure.value.exit.name == "peer-lost"
    assert "no run holds it" in failure.value.reason
    zero = make_context(changes)
    zero.lease.acquire()
    one.lease.acquire()
    one.lease.check()
    zero.lease.release(lease.COMPLETED)
    one.lease.check()
    late = make_context(changes, VC_TASK_INDEX="1")
    late.lease.acquire()


def test_a_rank_of_another_run_or_attempt_does_not_come_in(make_context: Callable[..., Context]) -> None:
    changes = {"workspace.type": "newClaim", "pod.joinSeconds": 0}
    make_context(changes, JOB_ATTEMPT="1").lease.acquire()
    for environment, code in (
        ({"JOB_ATTEMPT": "0"}, "stopped"),
        ({"JOB_ATTEMPT": "2"}, "peer-lost"),
        ({"JOB_GROUP": f"run-{OTHER}"}, "peer-lost"),
    ):
        with pytest.raises(RunnerError) as failure:
            make_context(changes, VC_TASK_INDEX="1", **environment).lease.acquire()
        assert failure.value.exit.name == code


@pytest.fixture
def held(make_context: Callable[..., Context], monkeypatch: pytest.MonkeyPatch) -> tuple[Context, list[RunnerError]]:
    """A context that holds its folder, and what its thread would end the run with."""
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.02)
    monkeypatch.setattr(lease, "EXPIRY_SECONDS", 0.3)
    ended: list[RunnerError] = []
    monkeypatch.setattr(interrupts, "request", ended.append)
    context = make_context({"workspace.type": "newClaim"})
    context.lease.acquire()
    return context, ended


def until(condition: Callable[[], Any], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize(("number", "code"), [(errno.ENOSPC, "prepare-no-space"), (errno.EROFS, "workspace-lost")])
def test_a_heartbeat_that_cannot_be_written_is_a_warning_and_later_the_end(
    held: tuple[Context, list[RunnerError]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: int,
    code: str,
) -> None:
    _, ended = held

    def full(_: lease.SharedLease, _beats: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(lease.SharedLease, "_count", full)
    until(lambda: ended)
    assert ended[0].exit.name == code
    assert os.strerror(number) in ended[0].reason
    assert capsys.readouterr().out.count("event=warning") == 1


def test_a_lease_that_is_not_to_be_seen_for_a_moment_is_not_lost(
    held: tuple[Context, list[RunnerError]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some file systems rename by removing first."""
    context, ended = held
    read, hidden = Workspace.read, [None, "{half"]
    monkeypatch.setattr(Workspace, "read", lambda self, name: hidden.pop() if hidden else read(self, name))
    context.lease.check()
    assert not ended


def test_a_disk_that_was_full_for_a_moment_ends_nothing(
    held: tuple[Context, list[RunnerError]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    context, ended = held
    count = lease.SharedLease._count
    failed: list[int] = []

    def full(self: lease.SharedLease, number: int) -> None:
        if len(failed) < 3:
            failed.append(number)
            raise OSError(errno.ENOSPC, "full")
        count(self, number)

    monkeypatch.setattr(lease.SharedLease, "_count", full)
    until(lambda: len(failed) == 3)
    time.sleep(0.4)
    assert not ended
    context.lease.check()


@pytest.mark.parametrize("content", [None, "", "{half", "[]", '{"uid": 1}', "\xff"])
def test_a_lease_that_is_gone_or_unreadable_ends_its_run(
    held: tuple[Context, list[RunnerError]], content: str | None
) -> None:
    context, ended = held
    file = context.workspace.state / "lease.json"
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content.encode("latin-1"))
    with pytest.raises(Interrupted) as failure:
        context.lease.check()
    assert failure.value.error.exit.name == "folder-taken"
    until(lambda: ended)


def test_a_lease_that_nobody_can_read_is_waited_for_and_taken_over(
    make_context: Callable[..., Context], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a node that lost its power may leave it: an empty file."""
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.02)
    monkeypatch.setattr(lease, "EXPIRY_SECONDS", 0.3)
    context = make_context({"workspace.type": "newClaim"})
    (context.workspace.state / "lease.json").touch()
    context.lease.acquire()
    context.lease.check()
    assert "a run whose lease cannot be read" in capsys.readouterr().out


def test_one_change_may_be_an_old_file_that_a_cache_lets_go_and_refuses_nobody(
    make_context: Callable[..., Context], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.02)
    monkeypatch.setattr(lease, "EXPIRY_SECONDS", 0.5)
    dead = make_context({"workspace.type": "newClaim"})
    dead.lease.acquire()
    dead.lease._ended.set()  # type: ignore[attr-defined]
    (heartbeat,) = dead.workspace.state.glob("heartbeat-*")
    answers = iter(["old", "old"])
    read = Workspace.read

    def cached(self: Workspace, name: str) -> str | None:
        return next(answers, None) or read(self, name) if name == heartbeat.name else read(self, name)

    monkeypatch.setattr(Workspace, "read", cached)
    make_context({"workspace.type": "newClaim"}, JOB_GROUP=f"run-{OTHER}").lease.acquire()
    with pytest.raises(Interrupted):
        dead.lease.check()


def test_nothing_is_compared_with_a_clock_of_another_machine(
    make_context: Callable[..., Context], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A holder whose files are of next year or of last beats as any other."""
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.05)
    monkeypatch.setattr(lease, "EXPIRY_SECONDS", 2.0)
    context = make_context({"workspace.type": "newClaim"})
    context.lease.acquire()
    for year in (-1, 1):
        for path in context.workspace.state.iterdir():
            with_year = time.time() + year * 3e7
            os.utime(path, (with_year, with_year))
        with pytest.raises(RunnerError) as failure:
            make_context({"workspace.type": "newClaim"}, JOB_GROUP=f"run-{OTHER}").lease.acquire()
        assert failure.value.exit.name == "folder-taken"
    context.lease.release(lease.COMPLETED)


def test_a_workspace_that_goes_with_its_pod_needs_no_lease(make_context: Callable[..., Context]) -> None:
    context = make_context({})
    context.lease.acquire()
    context.lease.check()
    context.lease.release(lease.COMPLETED)
    assert not list(context.workspace.state.iterdir())


@pytest.fixture(scope="session")
def no_flock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not shutil.which("gcc"):
        pytest.skip("there is no gcc")
    library = tmp_path_factory.mktemp("noflock") / "noflock.so"
    source = Path(__file__).parent / "noflock.c"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    return library


@pytest.mark.parametrize("name", rows(["ENOLCK", "ENOSYS", "EOPNOTSUPP", "EINVAL"], "ENOLCK"))
def test_a_file_system_without_locks_is_told_in_words(
    home: Callable[..., Path], start: Callable[..., Process], no_flock: Path, name: str
) -> None:
    ended = start(home(), LD_PRELOAD=str(no_flock), FLOCK_ERRNO=str(getattr(errno, name))).end()
    assert ended.code == EXIT_CODES["verify-failed"].code, ended.log
    assert "does not support file locks (flock: " in ended.last
    assert "-o flock" in ended.last
    assert "Traceback" not in ended.log


@pytest.mark.lab
def test_what_a_run_with_other_settings_trained_is_moved_aside_with_what_was_exported_of_it(
    home: Callable[..., Path], start: Callable[..., Process], folder: Path
) -> None:
    finish(folder)
    assert start(home("first")).end().code == 0
    second = start(home("second", say="b"), OTHER).end()
    assert second.code == 0, second.log
    aside = folder / "previous" / UID
    assert (aside / "output" / "1.ckpt").read_text() == "whole"
    assert (aside / "artifacts" / "model.pt").read_text() == "a"
    assert json.loads((aside / "output.json").read_text())["uid"] == UID
    assert (folder / "artifacts" / "model.pt").read_text() == "b"
    (moved,) = second.events("moved-aside")
    assert re.search(rf"path=previous/{UID} bytes=[1-9]\d+ .*made by {UID}", moved)
    third = start(home("third", say="c"), OTHER).end()
    assert third.code == 0
    assert sorted(path.name for path in (folder / "previous").iterdir()) == sorted([UID, OTHER])


def test_a_run_twice_moved_aside_has_two_folders_and_a_move_that_was_killed_is_finished(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    names = [tmp_path / "artifacts", tmp_path / "output"]
    for number in (1, 2):
        for path in names:
            path.mkdir()
            (path / "file").write_text(str(number))
        workspace.move_aside(UID, names)
    assert sorted(path.name for path in workspace.previous.iterdir()) == [UID, f"{UID}-2"]
    names[1].mkdir()
    (names[1] / "file").write_text("3")
    (workspace.previous / f"{UID}-3" / "artifacts").mkdir(parents=True)
    assert workspace.move_aside(UID, names) == workspace.previous / f"{UID}-3"
    assert workspace.move_aside(UID, names) is None, "there is nothing to move"


@pytest.mark.parametrize("uid", ["", "..", "../../elsewhere", "a/b", "/etc"])
def test_what_a_record_calls_a_run_leads_nowhere_else(tmp_path: Path, uid: str) -> None:
    workspace = Workspace(tmp_path / "folder")
    (workspace.root / "output" / "sub").mkdir(parents=True)
    assert workspace.move_aside(uid, [workspace.root / "output"]) == workspace.previous / "unknown"


def test_a_full_workspace_names_what_earlier_runs_left(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    assert workspace.room.fix == "raise workspace.size"
    (workspace.previous / UID).mkdir(parents=True)
    (workspace.previous / UID / "1.ckpt").write_text("x" * 1234)
    assert "previous (1234 bytes of earlier runs)" in workspace.room.fix


def taken_by_another(context: Context) -> None:
    holder = lease.Holder(OTHER, 0, "another", "0" * 32)
    context.workspace.write("lease.json", json.dumps(dataclasses.asdict(holder)))


def start_from_scratch(context: Context, family: Any) -> None:
    checkpoint.start_from_scratch(context, family, "training")


def remove_stale(context: Context, family: Any) -> None:
    checkpoint.remove_stale(context, family)


def export_again(context: Context, family: Any) -> None:
    export.export(context, family, {})


def remove_trial(context: Context, _: Any) -> None:
    tune.Study(context, lambda epoch, row: None).remove(1)


def prepare_again(context: Context, family: Any) -> None:
    prepare.prepare(context, family, lambda: None)


@pytest.mark.parametrize("step", [start_from_scratch, remove_stale, export_again, remove_trial, prepare_again])
def test_a_run_that_lost_its_folder_deletes_moves_and_marks_nothing(
    make_context: Callable[..., Context], step: Callable[..., None]
) -> None:
    context = make_context({"workspace.type": "newClaim", "sources": {}})
    context.lease.acquire()
    for path in ("output/1.ckpt", "output/trials/1/1.ckpt", "artifacts/model.pt"):
        (context.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (context.folder / path).write_text("another's")
    context.workspace.mark("train", "settings")
    taken_by_another(context)
    before = sorted(context.folder.glob("**/*"))
    stale = {"stale": [context.output / "1.ckpt"], "checkpoints": []}
    family: Any = SimpleNamespace(
        has=lambda hook: hook in stale, call=lambda hook, failure: stale[hook], probe=lambda *_: {}
    )
    with pytest.raises(Interrupted) as failure:
        step(context, family)
    assert failure.value.error.exit.name == "folder-taken"
    assert sorted(path for path in context.folder.glob("**/*") if path.name != "lock") == before


def test_a_checkpoint_that_cannot_be_loaded_is_moved_aside_and_what_has_none_is_removed(
    make_context: Callable[..., Context],
) -> None:
    """A probe may fail for another reason than the checkpoint."""
    context = make_context({"workspace.type": "newClaim"})
    there: list[Path] = []
    family: Any = SimpleNamespace(has=lambda hook: hook == "checkpoints", call=lambda hook, failure: there)
    checkpoint.start_from_scratch(context, family, "training")
    (context.output / "leftover").touch()
    checkpoint.start_from_scratch(context, family, "training")
    assert not list(context.output.iterdir())
    assert not context.workspace.previous.exists()
    there.append(context.output / "1.ckpt")
    there[0].touch()
    checkpoint.start_from_scratch(context, family, "training")
    assert (context.workspace.previous / UID / "output" / "1.ckpt").exists()


def test_a_leftover_that_cannot_be_removed_is_moved_aside(
    make_context: Callable[..., Context], monkeypatch: pytest.MonkeyPatch
) -> None:
    context = make_context({"workspace.type": "newClaim"})
    family: Any = SimpleNamespace(has=lambda hook: False)
    checkpoint.start_from_scratch(context, family, "training")
    (context.output / "leftover").touch()

    remove = trees.remove

    def busy(path: Path, below: Path) -> None:
        if path == context.output:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), str(path))
        remove(path, below)

    monkeypatch.setattr(trees, "remove", busy)
    checkpoint.start_from_scratch(context, family, "training")
    assert not list(context.output.iterdir())
    assert (context.workspace.previous / UID / "output" / "leftover").exists()


def test_nothing_is_moved_or_removed_through_a_link(make_context: Callable[..., Context], tmp_path: Path) -> None:
    context = make_context({"workspace.type": "newClaim"})
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").touch()
    context.output.symlink_to(outside)
    context.workspace.previous.symlink_to(outside)
    checkpoint.start_from_scratch(context, SimpleNamespace(has=lambda hook: False), "training")  # type: ignore[arg-type]
    assert [path.name for path in outside.iterdir()] == ["file"]
    assert (context.workspace.previous / "unknown" / "output").is_symlink()
    assert not context.output.is_symlink()


def test_a_training_that_cannot_be_moved_aside_ends_the_run_with_what_to_do(
    make_context: Callable[..., Context], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a claim whose folders are different volumes."""
    context = make_context({"workspace.type": "newClaim"})
    context.output.mkdir()
    (context.output / "1.ckpt").touch()

    def elsewhere(path: Path, below: Path, to: Path) -> Path:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), str(to))

    monkeypatch.setattr(trees, "move_aside", elsewhere)
    with pytest.raises(RunnerError) as failure:
        checkpoint.start_from_scratch(context, SimpleNamespace(has=lambda hook: False), "training")  # type: ignore[arg-type]
    assert "cannot be moved to" in failure.value.reason
    assert "use another workspace.directory" in failure.value.fix
    assert (context.output / "1.ckpt").exists()
