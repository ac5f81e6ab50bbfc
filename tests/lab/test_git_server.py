"""What a git or LFS server may answer, from the first look at a source to the pushed result."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runner import prepare
from runner.context import Context
from runner.publish import Publisher

from .answers import Answer, Fault, half, slow
from .conftest import Case, table
from .git_server import Server, push

CASES = [
    Case("an honest server", Fault("nothing", Answer(500)), 0),
    Case("503 once", Fault("data.git/info/refs", Answer(503), times=1), 0, retried=True),
    Case("500 always", Fault("data.git/info/refs", Answer(500)), 31, "error: 500", retried=True),
    Case("a pack that is cut, once", Fault("data.git/git-upload-pack", half, 1, authorized=True), 0, retried=True),
    Case("an LFS object that is cut, once", Fault("GET /storage/", half, times=1), 0),
    Case("an LFS server that is slow", Fault("GET /storage/", slow(0.2)), 0, slow=True),
]  # fmt: skip


@table(CASES)
def test_a_server_that_misbehaves(
    case: Case,
    server: Server,
    tmp_path: Path,
    make_context: Callable[..., Context],
    capsys: pytest.CaptureFixture[str],
) -> None:
    context = whole_run(server, tmp_path, make_context)
    server.faults += copy.deepcopy(case.faults)
    case.check(lambda: attempt(context), capsys)


def whole_run(server: Server, tmp_path: Path, make_context: Callable[..., Context]) -> Context:
    """Repositories of a model, of data in LFS, and of the result, and a run that uses them."""
    urls = {name: f"{server.url}/{tmp_path.name}-{name}.git" for name in ("model", "data", "out")}
    for url in urls.values():
        server.repository(url.rpartition("/")[2])
    push(server, f"{tmp_path.name}-model.git", {"train.py": "pass"})
    push(server, f"{tmp_path.name}-data.git", {"big.bin": "data " * 4000}, lfs="*.bin")
    sources = {
        name: {"type": "git", "repository": url, "revision": "main", "path": name}
        for name, url in (("model", urls["model"]), ("dataset", urls["data"]))
    }
    return make_context({"sources": sources, "publish.repository": urls["out"], "publish.branch": "result"})


def attempt(context: Context) -> None:
    """All of a run that speaks to the servers."""
    family: Any = SimpleNamespace(probe=lambda *_: {}, has=lambda hook: False)
    publisher = Publisher(context)
    publisher.earlier()
    prepare.prepare(context, family, publisher.may_push)
    assert (context.dataset / "big.bin").read_text() == "data " * 4000
    context.artifacts.mkdir(exist_ok=True)
    (context.artifacts / "model.pt").write_text("weights " * 1000)
    publisher.publish(family)
