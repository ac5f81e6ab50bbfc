"""A workspace of every size from too small to enough: the run says so with its own code, and continues when there is room again."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.lab.git_server import Server, push
from tests.runner.conftest import FILES, Ended

KIBIBYTES = (40, 100, 400, 900, 1500, 2400, 3000, 3900, 5000, 8000)
TRAIN = (
    "set -e; cp $DATASET_DIR/big.bin $CHECKPOINT_DIR/.c; mv $CHECKPOINT_DIR/.c $CHECKPOINT_DIR/c.pt;"
    " cp $CHECKPOINT_DIR/c.pt $ARTIFACTS_DIR/model.pt"
)
CUSTOM = {
    "command": ["bash", "-c", TRAIN], "exportCommand": [], "rendezvous": "none", "metricsFile": "", "checkpoints": "checkpoints/*",
    "artifacts": [], "lfsPatterns": [],
}  # fmt: skip


@pytest.fixture
def disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    place = tmp_path / "workspace"
    place.mkdir()
    mounted = ["mount", "-t", "tmpfs", "-o", f"size={request.param}k", "tmpfs", str(place)]
    if subprocess.run(mounted, check=False, capture_output=True).returncode:
        pytest.skip("needs the right to mount")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.lab
@pytest.mark.parametrize("disk", KIBIBYTES, indirect=True)
def test_a_full_disk_is_told_and_a_larger_one_is_gone_on_with(
    disk: Path, server: Server, make_home: Callable[..., Path], run: Callable[..., Ended], tmp_path: Path
) -> None:
    name = f"{tmp_path.name}.git"
    server.repository(name)
    noise = random.Random(1).randbytes(450_000).hex()
    push(server, name, {"big.bin": noise, "small.txt": "x"}, lfs="*.bin")
    dataset = {"type": "git", "repository": f"{server.url}/{name}", "revision": "main", "path": "dataset"}
    none = {"type": "none", "modelName": "m", "maxBatchSize": 1}
    changes = {"sources": {"dataset": dataset}, "publish": none, "workspace.type": "newClaim", "train": CUSTOM}
    home = make_home({**changes, "family": "custom"}, FILES / "families" / "custom")
    ended = run(home)
    assert ended.code in (0, 20, 32, 40, 50), ended.log
    assert "Traceback" not in ended.log
    subprocess.run(["mount", "-o", "remount,size=60m", str(disk)], check=True)
    again = run(home, JOB_ATTEMPT="1")
    assert again.code == 0, again.log
    assert (disk / "run-42" / "artifacts" / "model.pt").read_text() == noise
