"""What a run takes from the git server and from the disk, beside what the reference's `git clone` and `git lfs pull` take.

The repository has a history and large files; both are measured in the same test, at the same server.
`make bench` prints the figures.
"""

from __future__ import annotations

import random
import stat
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from runner import prepare
from runner.context import Context

from .conftest import Server, fake_family, git, push

pytestmark = pytest.mark.lab

COMMITS = 24
DATA_BYTES = 2_000_000
"""Of LFS data in the newest commit; each of the four commits before it that touched data had as much."""

FAMILY = fake_family()


@dataclass
class Taken:
    """Bytes that the server sent, and the most that the folder held meanwhile."""

    git: int
    lfs: int
    peak: int


def noise(seed: int, size: int) -> str:
    return random.Random(seed).randbytes(size // 2).hex()


@pytest.fixture(scope="module")
def repository(lfs_server: Server) -> str:
    """Sources of 40 kB, rewritten in every commit; data that was replaced four times."""
    name = "history.git"
    lfs_server.repository(name)
    for commit in range(COMMITS):
        files = {"train.py": noise(commit, 40_000)}
        if commit % 6 == 5:
            files.update({f"data/{part}.bin": noise(1000 * commit + part, DATA_BYTES // 4) for part in range(4)})
        push(lfs_server, name, files, lfs="*.bin")
    return name


def watched(server: Server, folder: Path, work: Callable[[], Any]) -> Taken:
    """Runs `work`, and looks at the folder's size all the while."""
    before, peak, over = dict(server.sent), [0], threading.Event()

    def look() -> None:
        while not over.wait(0.005):
            peak[0] = max(peak[0], size(folder))

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        work()
    finally:
        over.set()
        watcher.join()
    return Taken(server.sent["git"] - before["git"], server.sent["lfs"] - before["lfs"], max(peak[0], size(folder)))


def size(folder: Path) -> int:
    """Bytes of the files; one that is renamed while they are listed counts once."""
    found = {}
    for path in folder.rglob("*"):
        with suppress(OSError):  # it went away meanwhile
            about = path.lstat()
            if stat.S_ISREG(about.st_mode):
                found[about.st_ino] = about.st_size
    return sum(found.values())


def clone(server: Server, repository: str, folder: Path) -> Taken:
    """As the reference does it: everything that git has, then the data of the checkout."""
    url = f"{server.url}/{repository}"
    return watched(server, folder, lambda: git("clone", "--quiet", url, str(folder / "clone")))


def sources(server: Server, repository: str) -> dict[str, Any]:
    return {"model": {"type": "git", "repository": f"{server.url}/{repository}", "revision": "main", "path": "model"}}


def test_a_run_takes_a_tenth_of_what_a_clone_takes(
    server: Server, repository: str, make_context: Callable[..., Context], tmp_path: Path
) -> None:
    cloned = clone(server, repository, tmp_path / "reference")
    context = make_context({"sources": sources(server, repository)})
    taken = watched(server, context.folder, lambda: prepare.prepare(context, FAMILY, lambda: None))
    print(
        f"git bytes {cloned.git} and {taken.git}, lfs bytes {cloned.lfs} and {taken.lfs}, peak disk {cloned.peak} and {taken.peak}"
    )
    assert taken.git <= cloned.git / 10
    assert taken.lfs <= 1.02 * DATA_BYTES
    small = size(context.folder / "model" / ".git") + 40_000 + 10_000
    assert taken.peak - small <= 1.05 * DATA_BYTES, "the data is on disk once, at any time"
    assert cloned.peak > 2 * DATA_BYTES, "the reference has it twice"


def test_a_second_run_on_the_workspace_fetches_no_data(
    server: Server, repository: str, make_context: Callable[..., Context]
) -> None:
    context = make_context({"sources": sources(server, repository)})
    prepare.prepare(context, FAMILY, lambda: None)
    again = watched(
        server,
        context.folder,
        lambda: prepare.prepare(make_context({"sources": sources(server, repository)}), FAMILY, lambda: None),
    )
    assert (again.lfs, again.git) == (0, 0)
    context.workspace.unmark("prepare")
    context.workspace.remove("sources.json")
    another = watched(
        server,
        context.folder,
        lambda: prepare.prepare(make_context({"sources": sources(server, repository)}), FAMILY, lambda: None),
    )
    assert another.lfs == 0, "not even a run that looks all of it up again"


def test_four_replicas_on_a_shared_workspace_fetch_one_copy(
    server: Server, repository: str, make_context: Callable[..., Context]
) -> None:
    changes = {"sources": sources(server, repository), "replicas": 4, "workspace.type": "newClaim"}
    contexts = [make_context(changes, VC_TASK_INDEX=str(rank)) for rank in range(4)]

    def all_at_once() -> None:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda context: prepare.prepare(context, FAMILY, lambda: None), contexts))

    taken = watched(server, contexts[0].folder, all_at_once)
    print(f"lfs bytes for four replicas {taken.lfs}, one copy {DATA_BYTES}")
    assert taken.lfs <= 1.05 * DATA_BYTES
