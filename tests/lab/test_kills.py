"""Whole runs that are killed at random moments, and then left alone: each ends completed, with one branch of the right content.

The moments come from the seed in the test's name; LAB_SEED=1000 begins elsewhere, LAB_RUNS=50 makes more of them.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.runner.conftest import Ended

from .git_server import Server, git, push

pytestmark = pytest.mark.lab

SEED, RUNS = int(os.environ.get("LAB_SEED", "0")), int(os.environ.get("LAB_RUNS", "5"))
KILLS, SECONDS = 2, 7.0  # of each run; the last moment at which it is killed, a little before an unhurt run would end
DATA = hashlib.sha256(b"data").hexdigest() * 4000

HOOKS = """
import json, shutil
def train_arguments(context):
    return ["train.py", str(context.dataset), str(context.output)]
def train_environment(context):
    return {}
def metrics(context):
    return []
def checkpoints(context):
    return sorted(context.output.glob("*.ckpt"), reverse=True)
def layout(context, shapes):
    for name in ("model.pt", "sum.txt"):
        shutil.copyfile(context.output / name, context.artifacts / name)
"""
TRAIN = """
import hashlib, os, pathlib, sys, time
data, output = map(pathlib.Path, sys.argv[1:])
for epoch in range(3):
    if not (output / f"{epoch}.ckpt").exists():
        time.sleep(0.3)
        (output / "next").write_text(str(epoch))
        os.replace(output / "next", output / f"{epoch}.ckpt")
(output / "sum.txt").write_text(hashlib.sha256((data / "big.bin").read_bytes()).hexdigest())
(output / "model.pt").write_text("weights " * 20000)
"""


@pytest.fixture
def home(server: Server, tmp_path: Path, make_home: Callable[..., Path]) -> Path:
    family = tmp_path / "family"
    family.mkdir()
    (family / "hooks.py").write_text(HOOKS)
    urls = {name: f"{server.url}/{tmp_path.name}-{name}.git" for name in ("model", "data", "out")}
    for url in urls.values():
        server.repository(url.rpartition("/")[2])
    push(server, f"{tmp_path.name}-model.git", {"train.py": TRAIN})
    push(server, f"{tmp_path.name}-data.git", {"big.bin": DATA, "copy.bin": DATA, "small.txt": "x"}, lfs="*.bin")
    changes = {
        f"{source}.{key}": value
        for source, url in (("model", urls["model"]), ("dataset", urls["data"]))
        for key, value in (("repository", url), ("revision", "main"))
    }
    return make_home({**changes, "publish.repository": urls["out"], "publish.branch": ""}, family)


def kill_all(marker: str) -> None:
    """SIGKILL to everything of the pod, as its end would: whatever has the marker in its environment."""
    alive = True
    while alive:
        alive = False
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if marker.encode() in (folder / "environ").read_bytes():
                    os.kill(int(folder.name), signal.SIGKILL)
                    alive = True


def last_stage(log: str) -> str:
    """The last stage that began, for whoever wants to see where the moments fell (pytest -rP)."""
    return next(
        (line.partition("stage=")[2] for line in reversed(log.splitlines()) if "event=start stage=" in line), "none"
    )


def check(ended: Ended, server: Server, name: str) -> None:
    assert ended.code == 0, ended.log
    repository = str(server.folder / f"{name}-out.git")
    (branch,) = git("-C", repository, "for-each-ref", "--format=%(refname:short)").splitlines()
    assert branch == ended.message["branch"]
    assert git("-C", repository, "show", f"{branch}:sum.txt") == hashlib.sha256(DATA.encode()).hexdigest()
    git("clone", "--quiet", "--branch", branch, f"{server.url}/{name}-out.git", "clone", cwd=server.folder.parent)
    clone = server.folder.parent / "clone"
    content = (clone / "model.pt").read_text()
    shutil.rmtree(clone)
    assert content == "weights " * 20000


def kill_attempts(
    moments: random.Random, workspace: str, home: Path, tmp_path: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    """Kill the first attempts of a run, each at some moment."""
    for attempt in range(KILLS):
        marker = f"LAB_POD={tmp_path}-{attempt}"
        pod = start(home, JOB_ATTEMPT=str(attempt), **dict([marker.split("=")]))
        time.sleep(moments.uniform(0, SECONDS))
        kill_all(marker)
        log, _ = pod.communicate()
        print(f"attempt {attempt} killed in: {last_stage(log)}")
        if workspace == "lost":
            shutil.rmtree(tmp_path / "workspace", ignore_errors=True)


@pytest.mark.parametrize("seed", range(SEED, SEED + RUNS))
@pytest.mark.parametrize("workspace", ["kept", "lost"])
def test_a_run_that_is_killed_at_any_moment_ends_with_one_branch(
    workspace: str,
    seed: int,
    home: Path,
    server: Server,
    tmp_path: Path,
    start: Callable[..., subprocess.Popen[str]],
    run: Callable[..., Ended],
) -> None:
    kill_attempts(random.Random(f"{workspace} {seed}"), workspace, home, tmp_path, start)
    check(run(home, JOB_ATTEMPT=str(KILLS)), server, tmp_path.name)


@pytest.mark.parametrize("seed", range(SEED, SEED + RUNS))
def test_a_run_that_is_stopped_at_any_moment_says_so_and_resumes(
    seed: int,
    home: Path,
    server: Server,
    tmp_path: Path,
    start: Callable[..., subprocess.Popen[str]],
    run: Callable[..., Ended],
) -> None:
    moments = random.Random(f"stopped {seed}")
    for attempt in range(KILLS):
        pod = start(home, JOB_ATTEMPT=str(attempt))
        time.sleep(moments.uniform(0, SECONDS))
        pod.send_signal(signal.SIGTERM)
        log, _ = pod.communicate(timeout=60)
        # With no message, Python itself was still starting; the first process of a container would have kept the signal for later.
        assert pod.returncode in (0, 143) or (pod.returncode == -signal.SIGTERM and not log), log
        assert "Traceback" not in log
        print(f"attempt {attempt} stopped in: {last_stage(log)}")
    check(run(home, JOB_ATTEMPT=str(KILLS)), server, tmp_path.name)
