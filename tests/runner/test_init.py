"""The first process of the container: signals from the first line on, no zombies, and nothing that outlives the run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import rows

from .conftest import UID, Ended

HOOKS = """
from pathlib import Path

def train_arguments(context):
    return ["train.py"]

def train_environment(context):
    return {}

def metrics(context):
    return []

def layout(context, shapes):
    for pid in filter(None, (context.output / "left").read_text().split()):
        stat = Path("/proc", pid, "stat")
        assert not stat.exists() or stat.read_text().rpartition(") ")[2][0] == "Z", "the trainer's daemon is still there"
    (context.artifacts / "model.pt").write_text("model")
"""
# 50 orphans that end at once, then one daemon in a session of its own that never would; its number stands in output/left.
ORPHANS = """
import os, subprocess, sys, time
from pathlib import Path
for _ in range(50):
    subprocess.run(["sh", "-c", "(setsid true &)"], check=True)
daemon = "sh -c 'echo $$ > output/left; exec setsid sleep 600' > /dev/null 2>&1 &"
subprocess.run(["sh", "-c", daemon], cwd=os.environ["RUN_FOLDER"], check=True)
def state_and_parent(number):
    try:
        state, parent = Path("/proc", str(number), "stat").read_text().rpartition(") ")[2].split()[:2]
    except OSError:  # it has just ended
        return "", 0
    return state, int(parent)
_, init = state_and_parent(os.getppid())
until = time.monotonic() + 10
while time.monotonic() < until:
    seen = [state_and_parent(path.name) for path in Path("/proc").glob("[0-9]*")]
    zombies = sum(each == ("Z", init) for each in seen)
    if zombies < 10 and Path(os.environ["RUN_FOLDER"], "output", "left").exists():
        break
    time.sleep(0.05)
print("zombies:", zombies, flush=True)
"""
NAMESPACE = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
PENDING = """
import os, signal, sys
number = int(sys.argv[1])
signal.pthread_sigmask(signal.SIG_BLOCK, [number])
os.kill(os.getpid(), number)
os.execv(sys.executable, [sys.executable, "-m", "runner"])
"""


def can_unshare() -> bool:
    return subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False).returncode == 0


PLACES = [
    pytest.param((), id="below another first process"),
    pytest.param(
        NAMESPACE,
        id="as the first process",
        marks=pytest.mark.skipif(not can_unshare(), reason="needs the right to unshare"),
    ),
]


@pytest.fixture
def home(tmp_path: Path, make_home: Callable[..., Path]) -> Callable[[str], Path]:
    family = tmp_path / "family"
    family.mkdir()
    (family / "hooks.py").write_text(HOOKS)

    def make(train: str) -> Path:
        folder = tmp_path / "workspace" / "run-42"
        (folder / "model").mkdir(parents=True, exist_ok=True)
        (folder / "output").mkdir(exist_ok=True)
        (folder / "output" / "left").write_text("")
        (folder / "model" / "train.py").write_text(train)
        return make_home({"sources": {}, "publish": {"type": "none", "modelName": "m", "maxBatchSize": 1}}, family)

    return make


@pytest.fixture
def started(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """The runner behind other words of a command line, in /trainchart."""

    def start(home: Path, *before: str, command: tuple[str, ...] = ("-m", "runner")) -> subprocess.Popen[str]:
        environment = {
            "PATH": os.environ["PATH"], "HOME": str(tmp_path / "home-folder"), "TERMINATION_LOG": str(tmp_path / "termination-log"),
            "JOB_GROUP": f"run-42-{UID}", "JOB_ATTEMPT": "0", "VC_TASK_INDEX": "0",
            "RUN_FOLDER": str(tmp_path / "workspace" / "run-42"),
        }  # fmt: skip
        return subprocess.Popen(
            [*before, sys.executable, *command],
            cwd=home, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    return start


def ended(process: subprocess.Popen[str], tmp_path: Path) -> Ended:
    output, _ = process.communicate(timeout=60)
    message = tmp_path / "termination-log"
    return Ended(process.returncode, output, json.loads(message.read_text()) if message.exists() else {})


@pytest.mark.lab
@pytest.mark.parametrize("place", PLACES)
def test_orphans_are_reaped_and_daemons_end_with_their_stage(
    place: tuple[str, ...], home: Callable[..., Path], started: Callable[..., Any], tmp_path: Path
) -> None:
    run = ended(started(home(ORPHANS), *place), tmp_path)
    assert run.code == 0, run.log
    zombies = [int(line.split()[1]) for line in run.log.splitlines() if line.startswith("zombies: ")]
    assert zombies
    assert zombies[0] < 10


@pytest.mark.lab
@pytest.mark.parametrize("place", PLACES)
def test_orphans_take_no_exit_code_from_a_trainer_that_fails(
    place: tuple[str, ...], home: Callable[..., Path], started: Callable[..., Any], tmp_path: Path
) -> None:
    run = ended(started(home(ORPHANS + "sys.exit(3)"), *place), tmp_path)
    assert run.code == 40
    assert "code 3" in run.message["failure"]["reason"]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("number", rows([signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT], signal.SIGTERM))
def test_a_stop_signal_that_came_before_the_first_line_is_taken(
    number: signal.Signals,
    place: tuple[str, ...],
    home: Callable[..., Path],
    started: Callable[..., Any],
    tmp_path: Path,
) -> None:
    """Blocked, it stays pending over the exec: so the run begins with it."""
    run = ended(started(home("pass"), *place, command=("-c", PENDING, str(int(number)))), tmp_path)
    assert (run.code, run.message["failure"]["name"]) == (143, "stopped"), run.log
    assert number.name in run.message["failure"]["reason"]
    assert len(run.log.splitlines()) == 1


@pytest.mark.lab
def test_a_stop_signal_at_any_moment_of_the_start_ends_with_a_word_or_before_the_first_line(
    home: Callable[..., Path], started: Callable[..., Any], tmp_path: Path
) -> None:
    ready = home("import time; time.sleep(60)")
    for milliseconds in range(5, 300, 25):
        process = started(ready)
        time.sleep(milliseconds / 1000)
        process.send_signal(signal.SIGTERM)
        run = ended(process, tmp_path)
        if run.code == -signal.SIGTERM:  # Python itself was still starting
            assert run.log == ""
        else:
            assert (run.code, run.message["failure"]["name"]) == (143, "stopped"), run.log
            assert "Traceback" not in run.log


def test_a_stop_signal_ends_helm_test_too(
    home: Callable[..., Path], started: Callable[..., Any], tmp_path: Path
) -> None:
    pending = PENDING.replace('"runner"]', '"runner", "--check"]')
    run = ended(started(home("pass"), command=("-c", pending, str(int(signal.SIGTERM)))), tmp_path)
    assert run.code == 143
    assert "name=stopped" in run.last


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def runner_of(process: subprocess.Popen[str]) -> int:
    assert process.stdout
    assert any(line == "training\n" for line in process.stdout)
    (runner,) = children(process.pid)
    return runner


def is_there(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(") ")[2][0] not in "ZX"


TRAINS = "import time; print('training', flush=True); time.sleep(60)"


def test_a_runner_that_is_killed_ends_with_137_and_leaves_no_trainer(
    home: Callable[..., Path], started: Callable[..., Any]
) -> None:
    process = started(home(TRAINS))
    runner = runner_of(process)
    (trainer,) = children(runner)
    os.kill(runner, signal.SIGKILL)
    process.communicate(timeout=10)
    assert process.returncode == 137
    assert not is_there(trainer)


def test_a_runner_does_not_outlive_its_first_process(home: Callable[..., Path], started: Callable[..., Any]) -> None:
    process = started(home(TRAINS))
    runner = runner_of(process)
    (trainer,) = children(runner)
    process.kill()
    until = time.monotonic() + 5
    while is_there(runner):
        assert time.monotonic() < until
        time.sleep(0.01)
    os.kill(trainer, signal.SIGKILL)  # which the kernel does in a container, whose processes are a namespace
    process.communicate(timeout=10)
