"""Checkpoints and resume, by the whole runner and a tiny trainer that dies when it is told to."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runner import train
from runner.context import Context

from .conftest import Ended, Server, push

HOOKS = """
from pathlib import Path

def train_arguments(context):
    resumed = [str(context.resume_from)] if context.resume_from else []
    return ["train.py", str(context.output), str(context.train["epochs"]), *resumed]

def train_environment(context):
    return {}

def metrics(context):
    path = context.output / "results.csv"
    rows = path.read_text().splitlines() if path.exists() else []
    return [{"epoch": int(row), "loss": 1 / int(row)} for row in rows]

def checkpoints(context):
    return sorted(context.output.glob("*.ckpt"), reverse=True)

def stale(context):
    return checkpoints(context)[2:]

def layout(context, shapes):
    (context.artifacts / "model.pt").write_text("model")
"""
PROBE = """
import json, sys
from pathlib import Path
path = Path(json.loads(sys.argv[1])["path"])
try:
    content = json.loads(path.read_text())
    print(json.dumps({"ok": True, "epoch": content["epoch"], "finished": content["epoch"] >= content["of"]}))
except ValueError as error:
    print(json.dumps({"ok": False, "reason": str(error), "fix": "none"}))
"""
# Dies after the epoch that the file `die` in the model repository names, if it has not resumed.
TRAIN = """
import json, os, signal, sys, time
from pathlib import Path
output, epochs = Path(sys.argv[1]), int(sys.argv[2])
start = json.loads(Path(sys.argv[3]).read_text())["epoch"] if sys.argv[3:] else 0
for epoch in range(start + 1, epochs + 1):
    print("training epoch", epoch)
    with open(output / "results.csv", "a") as results:
        results.write(f"{epoch}\\n")
    (output / f"{epoch}.ckpt").write_text(json.dumps({"epoch": epoch, "of": epochs}))
    time.sleep(2.5 if epoch == 1 and not start else 0)
    if not start and epoch == int(Path("die").read_text()):
        (output / f"{epoch + 1}.ckpt").write_text('{"epoch": ')
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def home(server: Server, tmp_path: Path, make_home: Callable[..., Path]) -> Callable[..., Path]:
    family = tmp_path / "family"
    family.mkdir()
    (family / "hooks.py").write_text(HOOKS)
    (family / "probe_checkpoint.py").write_text(PROBE)
    model = f"{tmp_path.name}-model.git"
    server.repository(model)
    push(server, model, {"train.py": TRAIN, "die": "2"})
    source = {"type": "git", "repository": f"{server.url}/{model}", "revision": "main", "path": "model"}

    def make(**changes: Any) -> Path:
        publish = {"type": "none", "modelName": "m", "maxBatchSize": 1}
        fixed = {"sources": {"model": source}, "publish": publish, "workspace.type": "newClaim", "train": {"epochs": 4}}
        return make_home({**fixed, **changes}, family)

    return make


def trained(log: str) -> list[int]:
    return [int(epoch) for epoch in re.findall(r"^training epoch (\d+)$", log, re.MULTILINE)]


def logged(ended: Ended) -> list[int]:
    return [int(line.split(" epoch=")[1].split()[0]) for line in ended.events("metrics")]


@pytest.mark.lab
def test_a_killed_training_resumes_from_its_last_whole_checkpoint(
    home: Callable[..., Path], run: Callable[..., Ended]
) -> None:
    first = run(home())
    assert (first.code, trained(first.log)) == (41, [1, 2])
    assert "path=1.ckpt" in first.events("checkpoint")[0]
    second = run(home(), JOB_ATTEMPT="1")
    assert second.code == 0, second.log
    assert "checkpoint=3.ckpt" in second.events("unusable")[0], "it was half written when the trainer died"
    assert trained(second.log) == [3, 4]
    assert logged(second) == [3, 4], "no epoch is told twice"
    assert second.message["resumed"] == {"checkpoint": "2.ckpt", "epoch": 2}
    assert second.message["metrics"] == {"epochs": 4, "loss": 0.25}


def forget_last(tmp_path: Path) -> None:
    """As if the runner had been killed between the trainer's last row and its own look at it."""
    reported = tmp_path / "workspace/run-42/output/.reported"
    reported.write_text("".join(reported.read_text().splitlines(keepends=True)[:-1]))


@pytest.mark.lab
def test_an_epoch_that_a_killed_attempt_had_not_told_yet_is_told_by_the_next(
    home: Callable[..., Path], run: Callable[..., Ended], tmp_path: Path
) -> None:
    assert logged(run(home())) == [1, 2]
    forget_last(tmp_path)
    second = run(home(), JOB_ATTEMPT="1")
    assert (trained(second.log), logged(second)) == ([3, 4], [2, 3, 4])


@pytest.mark.lab
def test_the_last_epoch_is_told_though_nothing_is_left_to_train(
    home: Callable[..., Path], run: Callable[..., Ended], tmp_path: Path
) -> None:
    assert run(home()).code == 41
    forget_last(tmp_path)
    (tmp_path / "workspace/run-42/output/4.ckpt").write_text('{"epoch": 4, "of": 4}')
    second = run(home(), JOB_ATTEMPT="1")
    assert (trained(second.log), logged(second)) == ([], [2])


def resumed_after(context: Context, epoch: int, rows: list[dict[str, Any]]) -> tuple[train.Progress, list[int]]:
    """The progress of an attempt that resumes after this epoch, over what the trainer wrote before; and which epochs it tracks."""
    context.resume_from, context.resumed = context.output / f"{epoch}.ckpt", {"epoch": epoch}
    context.output.mkdir(parents=True, exist_ok=True)
    family: Any = SimpleNamespace(has=lambda hook: hook == "metrics", call=lambda hook, failure: list(rows))
    tracked: list[int] = []
    return train.Progress(context, family, lambda number, row: tracked.append(number)), tracked


def test_an_epoch_after_the_checkpoint_is_told_when_it_has_been_trained_again(
    make_context: Callable[..., Context], capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"epoch": 1, "loss": 1.0}, {"epoch": 2, "loss": 0.5}]
    progress, _ = resumed_after(make_context({}), 1, rows)
    progress.poll()
    assert re.findall(r" epoch=(\d)", capsys.readouterr().out) == ["1"]
    rows[1] = {"epoch": 2, "loss": 0.25}
    progress.poll()
    assert re.findall(r" epoch=(\d) .*loss=(\S+)", capsys.readouterr().out) == [("2", "0.25")]


def test_an_epoch_that_went_the_same_way_again_is_told_at_the_end(
    make_context: Callable[..., Context], capsys: pytest.CaptureFixture[str]
) -> None:
    progress, _ = resumed_after(make_context({}), 0, [{"epoch": 1, "loss": 1.0}])
    progress.poll()
    assert capsys.readouterr().out == ""
    progress.poll(finished=True)
    progress.poll(finished=True)
    assert re.findall(r" epoch=(\d)", capsys.readouterr().out) == ["1"]


def test_what_was_told_is_tracked_again_as_it_may_have_been_lost_on_its_way(
    make_context: Callable[..., Context], capsys: pytest.CaptureFixture[str]
) -> None:
    context, rows = make_context({}), [{"epoch": 1, "loss": 1.0}]
    resumed_after(context, 1, rows)[0].poll()
    capsys.readouterr()
    progress, tracked = resumed_after(context, 1, rows)
    progress.poll()
    assert (tracked, capsys.readouterr().out) == ([1], "")


def test_a_loss_that_is_no_number_is_told_once(
    make_context: Callable[..., Context], capsys: pytest.CaptureFixture[str]
) -> None:
    context = make_context({})
    context.output.mkdir(parents=True)
    family: Any = SimpleNamespace(has=lambda _: False, call=lambda *_: [{"epoch": 1, "loss": float("nan")}])
    progress = train.Progress(context, family, lambda epoch, row: None)
    progress.poll()
    progress.poll()
    assert capsys.readouterr().out.count("event=metrics") == 1


@pytest.mark.lab
def test_a_training_that_had_ended_is_not_trained_again(
    home: Callable[..., Path], run: Callable[..., Ended], tmp_path: Path
) -> None:
    assert run(home()).code == 41
    (tmp_path / "workspace/run-42/output/4.ckpt").write_text('{"epoch": 4, "of": 4}')
    second = run(home(), JOB_ATTEMPT="1")
    assert (second.code, trained(second.log)) == (0, [])
    assert second.message["resumed"] == {"checkpoint": "4.ckpt", "epoch": 4}


@pytest.mark.lab
def test_other_settings_begin_a_new_training(home: Callable[..., Path], run: Callable[..., Ended]) -> None:
    assert run(home()).code == 41
    second = run(home(train={"epochs": 1}), JOB_ATTEMPT="1")
    assert (second.code, trained(second.log)) == (0, [1])
    assert second.events("from-scratch")
    assert "resumed" not in second.message


@pytest.mark.lab
def test_a_workspace_that_goes_with_its_pod_is_not_resumed_from(
    home: Callable[..., Path], run: Callable[..., Ended]
) -> None:
    assert run(home(**{"workspace.type": "emptyDir"})).code == 41
    second = run(home(**{"workspace.type": "emptyDir"}), JOB_ATTEMPT="1")
    assert trained(second.log)[:2] == [1, 2]


def test_a_whole_checkpoint_is_told_once_and_lets_the_stale_ones_go(
    make_context: Callable[..., Context], capsys: pytest.CaptureFixture[str]
) -> None:
    context = make_context({})
    context.output.mkdir(parents=True)
    for epoch in (1, 2, 3):
        (context.output / f"{epoch}.ckpt").write_text("whole")

    def checkpoints() -> list[Path]:
        return sorted(context.output.glob("*.ckpt"), reverse=True)

    answers: dict[str, Any] = {"metrics": list, "checkpoints": checkpoints, "stale": lambda: checkpoints()[2:]}
    family: Any = SimpleNamespace(has=lambda hook: hook in answers, call=lambda hook, failure: answers[hook]())
    progress = train.Progress(context, family, lambda epoch, row: None)
    progress.poll()
    assert len(checkpoints()) == 3, "the newest may still grow"
    progress.poll()
    progress.poll()
    assert [path.name for path in checkpoints()] == ["3.ckpt", "2.ckpt"]
    assert capsys.readouterr().out.count("event=checkpoint path=3.ckpt") == 1


@pytest.mark.lab
def test_a_program_that_cannot_be_started_is_a_user_s_error(
    home: Callable[..., Path], run: Callable[..., Ended], tmp_path: Path
) -> None:
    hooks = tmp_path / "family" / "hooks.py"
    hooks.write_text(hooks.read_text() + '\n\ndef train_command(context):\n    return ["no-such-program"]\n')
    ended = run(home())
    assert ended.code == 40
    assert "no-such-program cannot be started" in ended.last
