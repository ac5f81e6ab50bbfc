"""What dies of a signal is the machine's fault, wherever in a run it dies."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from runner import kills, process
from runner.__main__ import Run, unexpected_error
from runner.context import Context
from runner.errors import RunnerError
from runner.family import Family
from runner.git import Git
from runner.remote import Remote

from .conftest import Ended

DIES = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n"
SHELL_DIES = (
    "import subprocess, sys\nsys.exit(subprocess.run(['sh', '-c', 'sh -c \"kill -9 $$\"; exit $?']).returncode)\n"
)
TRAINS = "import pathlib, sys\n(pathlib.Path(sys.argv[1]) / 'best.pt').write_text('best')\n"
HOOKS = """
def train_arguments(context):
    return ["-c", {train!r}, str(context.output)]
def train_environment(context):
    return {{}}
def metrics(context):
    return []
def export_arguments(context):
    return ["-c", {export!r}]
def layout(context, shapes):
    (context.artifacts / "model.pt").write_text("model")
"""


def outside(
    tmp_path: Path, make_home: Callable[..., Path], train: str = TRAINS, export: str = "", **probes: str
) -> Path:
    """A home of a run without git, with a family of these programs."""
    family = tmp_path / "family"
    family.mkdir()
    (family / "hooks.py").write_text(HOOKS.format(train=train, export=export))
    for name, script in probes.items():
        (family / f"probe_{name}.py").write_text(script)
    changes = {"sources": {}, "publish": {"type": "none", "modelName": "m", "maxBatchSize": 1}}
    return make_home({**changes, "run.backend": "cpu"}, family)


@pytest.mark.parametrize(
    ("stage", "code", "programs"),
    [
        ("verify", 15, {"device": DIES}),
        pytest.param("verify", 15, {"device": SHELL_DIES}, marks=pytest.mark.lab),
        pytest.param("prepare", 15, {"dataset": DIES}, marks=pytest.mark.lab),  # a probe, as in verify
        pytest.param("train", 41, {"train": DIES}, marks=pytest.mark.lab),
        ("train", 41, {"train": SHELL_DIES}),
        ("export", 15, {"export": DIES}),
        pytest.param("export", 15, {"export": SHELL_DIES}, marks=pytest.mark.lab),
        ("export", 50, {"export": "import sys; sys.exit(129)"}),
    ],
)
def test_a_killed_program_is_tried_again_in_every_stage(
    stage: str, code: int, programs: dict[str, str], tmp_path: Path, make_home: Callable[..., Path], run: Callable[..., Ended]
) -> None:  # fmt: skip
    ended = run(outside(tmp_path, make_home, **programs))
    assert (ended.code, ended.message["failure"]["stage"]) == (code, stage), ended.log
    assert ("SIGKILL" in ended.message["failure"]["reason"]) == (code != 50)


def test_a_probe_that_was_killed_for_memory_names_the_memory(
    tmp_path: Path, make_context: Callable[..., Context], make_home: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    counts = iter([3, 4])
    monkeypatch.setattr(kills, "oom_kills", lambda: next(counts))
    outside(tmp_path, make_home, device=DIES)  # whose family stays
    context = make_context({})
    family = Family.__new__(Family)
    family._context = context
    monkeypatch.setattr(Family, "environment", lambda self: dict(os.environ))
    with pytest.raises(RunnerError) as caught:
        family.probe("device", {}, "verify-failed")
    assert (caught.value.exit.name, caught.value.fix) == ("process-killed", "raise resources.limits.memory")


@pytest.fixture
def replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """A program on PATH, by its name, as a shell script."""

    def go(name: str, script: str) -> None:
        folder = tmp_path / "shims"
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    return go


@pytest.mark.parametrize(
    ("program", "script"),
    [
        ("git", "kill -9 $$"),
        ("git", "sh -c 'kill -9 $$'; exit $?"),
        ("git", "echo 'error: index-pack died of signal 9' >&2; exit 128"),
        ("git-lfs", "kill -9 $$"),
    ],
)
def test_a_git_that_is_killed_is_tried_again_and_then_the_machine_s_fault(
    program: str,
    script: str,
    replaced: Callable[[str, str], None],
    make_context: Callable[..., Context],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    replaced(program, script)
    git = Git(make_context({}))
    with pytest.raises(RunnerError) as caught:
        git.run(Remote("model", "http://127.0.0.1:9/x.git"), tmp_path, "lfs", "fetch")
    assert caught.value.exit.name == "process-killed", caught.value.reason
    assert "event=retry" in capsys.readouterr().out


# Without progress


def test_a_program_that_stands_still_is_ended(tmp_path: Path) -> None:
    done = process.run(["sh", "-c", "echo begun; sleep 600"], tmp_path, dict(os.environ), stall_seconds=1)
    assert (done.stalled, done.code != 0, done.tail) == (True, True, ["begun"])


@pytest.mark.lab
@pytest.mark.parametrize(
    "script",
    ["for i in 1 2 3 4 5 6; do echo $i; sleep 0.5; done", "for i in 1 2 3 4 5 6; do echo $i > file; sleep 0.5; done"],
)
def test_a_program_that_says_or_writes_something_is_not(script: str, tmp_path: Path) -> None:
    done = process.run(["sh", "-c", script], tmp_path, dict(os.environ), stall_seconds=2)
    assert (done.stalled, done.code) == (False, 0)


def test_a_git_that_stands_still_counts_as_a_server_that_cannot_be_reached(
    replaced: Callable[[str, str], None],
    make_context: Callable[..., Context],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    git = Git(make_context({"git.stallSeconds": 1}))
    replaced("git-lfs", "sleep 60")
    with pytest.raises(RunnerError) as caught:
        git.run(Remote("publish", "http://127.0.0.1:9/x.git"), tmp_path, "lfs", "push", "origin")
    assert caught.value.exit.name == "publish-unreachable"
    assert "no progress for git.stallSeconds (1)" in caught.value.reason
    assert "event=retry" in capsys.readouterr().out


# Full disks


def test_a_full_folder_for_temporary_files_is_not_taken_for_the_workspace(
    tmp_path: Path, replaced: Callable[[str, str], None], make_context: Callable[..., Context]
) -> None:
    replaced("git", "echo 'fatal: write error: No space left on device' >&2; exit 128")
    context = make_context({})
    git = Git(context)
    with tempfile.TemporaryDirectory() as name, pytest.raises(RunnerError) as caught:
        git.run(Remote("publish", "http://127.0.0.1:9/x.git"), Path(name), "init")
    assert (caught.value.exit.name, "ephemeral storage" in caught.value.fix) == ("prepare-no-space", True)
    with pytest.raises(RunnerError) as caught:
        git.run(Remote("publish", "http://127.0.0.1:9/x.git"), context.workspace.root, "init")
    assert (caught.value.exit.name, caught.value.fix) == ("prepare-no-space", "raise workspace.size")

    run = Run(context.home)
    run.context = context
    temporary = unexpected_error(run, OSError(errno.ENOSPC, "No space left on device", "/tmp/torch/lock"))
    workspace = unexpected_error(
        run, OSError(errno.ENOSPC, "No space left on device", str(context.workspace.root / "x"))
    )
    assert ("ephemeral storage" in temporary.fix, "ephemeral storage" in workspace.fix) == (True, False)


def test_a_source_that_the_run_may_not_read_is_named(make_context: Callable[..., Context]) -> None:
    run = Run(Path())
    run.context, run.stage = make_context({}), "prepare"
    failed = unexpected_error(run, PermissionError(errno.EACCES, "Permission denied", "/sources/dataset/1.jpg"))
    assert failed.exit.name == "prepare-failed"
    assert failed.reason == f"user {os.getuid()} may not read /sources/dataset/1.jpg"


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.EROFS])
def test_a_disk_that_fails_the_runner_itself_is_a_lost_workspace_and_not_a_defect(
    number: int, make_context: Callable[..., Context]
) -> None:
    context = make_context({})
    run = Run(context.home)
    run.context = context
    failed = unexpected_error(run, OSError(number, os.strerror(number), str(context.workspace.root / "state/run.json")))
    assert (failed.exit.name, failed.exit.retried) == ("workspace-lost", True)


EPOCHS = "import pathlib, sys\nrows = pathlib.Path(sys.argv[1], 'rows')\nrows.write_text({rows!r})\n{then}"
METRICS = (
    "return [{'epoch': n, 'loss': float(x)} for n, x in enumerate((context.output / 'rows').read_text().split(), 1)]"
)


@pytest.mark.parametrize(
    ("train", "code", "words"),
    [
        (
            "import no_such_module",
            40,
            ["before it reported an epoch", "ModuleNotFoundError", "use an image that has it"],
        ),
        (EPOCHS.format(rows="1 0.5", then="raise ValueError('no')"), 40, ["after epoch 2 of 3", "ValueError: no"]),
        (
            EPOCHS.format(rows="1", then="def evaluate(): raise ValueError\nevaluate()"),
            40,
            ["in its evaluation after epoch 1"],
        ),
        (EPOCHS.format(rows="1 2 nan", then=""), 44, ["its last epoch, 3, loss is nan", "lower the learning rate"]),
        (EPOCHS.format(rows="1 nan 2", then="rows.with_name('best.pt').touch()"), 0, []),
    ],
)
def test_a_trainer_that_fails_is_told_with_its_epoch_and_a_diverged_model_is_not_exported(
    train: str, code: int, words: list[str], tmp_path: Path, make_home: Callable[..., Path], run: Callable[..., Ended]
) -> None:
    home = outside(tmp_path, make_home, train)
    hooks = (tmp_path / "family" / "hooks.py").read_text()
    guarded = f"if not (context.output / 'rows').exists():\n        return []\n    {METRICS}"
    (tmp_path / "family" / "hooks.py").write_text(hooks.replace("return []", guarded))
    ended = run(home)
    assert ended.code == code, ended.log
    failure = ended.message.get("failure", {"reason": "", "fix": ""})
    for word in words:
        assert word in failure["reason"] + failure["fix"]
    assert ("a training that ends so is not published" in ended.log) == ("nan" in train)
    assert ("stage=export" in ended.log) == (code == 0)
