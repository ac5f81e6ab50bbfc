"""The cache while processes are killed at random moments: whoever comes next fills it, uses it, and never sees half of an entry.

The moments come from the seed in the test's name; LAB_SEED=1000 begins elsewhere, LAB_RUNS=50 makes more of them.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from features.cache_commands import entries
from tests.runner.conftest import FILES, Ended

from .git_server import Server, push
from .s3_server import ACCESS, SECRET, Bucket
from .test_kills import kill_all

pytestmark = pytest.mark.lab

SEED, RUNS = int(os.environ.get("LAB_SEED", "0")), int(os.environ.get("LAB_RUNS", "5"))
SECONDS = 2.5  # the last moment at which a fill is killed, a little before it would end
DATA = hashlib.sha256(b"data").hexdigest() * 4000
FILL = ("-m", "features.cache_commands", "fill")
USE = """
import hashlib, os, sys, tempfile, time
from pathlib import Path
from runner import prepare, settings
from runner.context import Context
from runner.git import Git

home = Path(sys.argv[1])
context = Context.create(settings.load(home), home, os.environ)
git = Git(context)
source = context.settings.sources["dataset"]
context.sources["dataset"] = prepare.look_up(context, git, "dataset", source, Path(tempfile.gettempdir()))
content = prepare.keep(context, git, "dataset", source)
for _ in range(20):  # a training
    for name in ("big.bin", "copy.bin"):
        assert hashlib.sha256((content / name).read_bytes()).hexdigest() == sys.argv[2], name
    time.sleep(0.02)
print("used", flush=True)
"""


@pytest.fixture
def home(server: Server, tmp_path: Path, make_home: Callable[..., Path]) -> Path:
    name = f"{tmp_path.name}.git"
    server.repository(name)
    push(server, name, {"big.bin": DATA, "copy.bin": DATA, "small.txt": "x"}, lfs="*.bin")
    (tmp_path / "cache").mkdir()
    source = {"type": "git", "repository": f"{server.url}/{name}", "revision": "main", "cached": True, "path": "data"}
    return make_home({"sources": {"dataset": source}, "cache": {"claimName": "cache"}})


def uses(home: Path, tmp_path: Path) -> subprocess.Popen[str]:
    """A run that uses the cache, as a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(FILES), "HOME": str(tmp_path), "JOB_GROUP": "run-42"}
    return subprocess.Popen(
        [sys.executable, "-c", USE, str(home), hashlib.sha256(DATA.encode()).hexdigest()],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(SEED, SEED + RUNS))
def test_a_fill_that_is_killed_at_any_moment_is_finished_by_the_next(
    seed: int, home: Path, tmp_path: Path, start: Callable[..., subprocess.Popen[str]], run: Callable[..., Ended]
) -> None:
    moments = random.Random(f"fill {seed}")
    for attempt in range(2):
        marker = f"LAB_POD={tmp_path}-{attempt}"
        pod = start(home, program=FILL, **dict([marker.split("=")]))
        time.sleep(moments.uniform(0, SECONDS))
        kill_all(marker)
        pod.communicate()
        assert {found["state"] for found in entries.listed(tmp_path / "cache") if "entry" in found} <= {
            "incomplete",
            "complete",
        }
    ended = run(home, program=FILL)
    assert ended.code == 0, ended.log
    (found,) = [one for one in entries.verified(tmp_path / "cache") if "problem" in one]
    assert (found["state"], found["problem"]) == ("complete", "")
    process = uses(home, tmp_path)
    assert process.communicate(timeout=60)[0].endswith("used\n")


@pytest.mark.parametrize("seed", range(SEED, SEED + RUNS))
def test_runs_beside_prunes_that_are_killed_at_any_moment_find_whole_entries_or_fill_them_again(
    seed: int, home: Path, tmp_path: Path
) -> None:
    moments = random.Random(f"prune {seed}")
    options = json.dumps({"root": str(tmp_path / "cache")})
    environment = {**os.environ, "PYTHONPATH": str(FILES), "TERMINATION_LOG": str(tmp_path / "termination-log")}
    running = [uses(home, tmp_path) for _ in range(2)]
    pruned, ended = 0, []
    until = time.monotonic() + 8
    while time.monotonic() < until:
        prune = subprocess.Popen(
            [sys.executable, "-m", "features.cache_commands", "prune", options],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        if moments.random() < 0.6:
            time.sleep(moments.uniform(0.1, 0.4))
            prune.kill()
        pruned += '"removed": true' in prune.communicate(timeout=60)[0]
        for place, process in enumerate(running):
            if process.poll() is not None:
                ended.append((process.returncode, process.communicate()[0]))
                running[place] = uses(home, tmp_path)
    ended += [(process.wait(60), process.communicate()[0]) for process in running]
    assert [output for code, output in ended if code] == []
    assert len(ended) > 2
    assert pruned, "nothing was ever free to be pruned"
    list(entries.pruned(tmp_path / "cache"))
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []


def test_a_bucket_is_filled_once_and_verified_by_its_etags(
    bucket: Bucket, tmp_path: Path, make_home: Callable[..., Path], run: Callable[..., Ended]
) -> None:
    secret = tmp_path / "secrets" / "dataset"
    secret.mkdir(parents=True)
    (secret / "ACCESS").write_text(ACCESS)
    (secret / "SECRET").write_text(SECRET)
    (tmp_path / "cache").mkdir()
    source = {
        "type": "s3", "path": "data", "endpoint": bucket.url, "bucket": "datasets", "prefix": "shapes", "cached": True,
        "accessKeyKey": "ACCESS", "secretKeyKey": "SECRET", "secretName": "robot",
    }  # fmt: skip
    home = make_home({"sources": {"dataset": source}, "cache": {"claimName": "cache"}})
    for hit in ("false", "true"):
        bucket.requests.clear()
        ended = run(home, program=FILL)
        assert ended.code == 0, ended.log
        assert f"event=cache source=dataset hit={hit}" in ended.log
        assert any("a.txt" in request for request in bucket.requests) is (hit == "false")
        assert SECRET not in ended.log
    (found,) = [one for one in entries.verified(tmp_path / "cache") if "problem" in one]
    assert (found["type"], found["state"], found["problem"], found["unread"]) == ("s3", "complete", "", 0)
    file = tmp_path / "cache" / found["entry"] / "content" / "deep" / "b.bin"
    file.chmod(0o644)
    with file.open("r+b") as stream:
        stream.write(b"x")
    (found,) = [one for one in entries.verified(tmp_path / "cache") if "problem" in one]
    assert found["problem"] == "1 changed (such as deep/b.bin)"
