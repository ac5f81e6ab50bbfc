"""Repositories that somebody made to hurt the run that fetches them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from runner import checkout
from runner.context import Context, Pinned
from runner.errors import RunnerError
from runner.git import Git

from .git_server import Server, push


@dataclass(frozen=True)
class Repository:
    """A row: the files of the repository, and how the checkout ends: `code`, with `words` in its message."""

    name: str
    files: dict[str, str]
    code: int = 0
    words: str = ""
    lfs: str = ""


POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'1' * 64}\nsize 12345\n"
HOSTILE = [
    Repository("a filter of its own", {".gitattributes": "*.txt filter=evil\n", "a.txt": "a"}),
    Repository("an object that nobody has pushed", {"lost.pt": POINTER}, 30, "git lfs push"),
    Repository("an .lfsconfig that leaves out", {".lfsconfig": "[lfs]\n\tfetchexclude = *\n", "a.pt": "a" * 900}, lfs="*.pt"),
    Repository("a submodule on another host", {".gitmodules": '[submodule "x"]\n\tpath = x\n\turl = http://127.0.0.1:9/x\n', "a": "a"}),
]  # fmt: skip


@pytest.mark.lab
@pytest.mark.parametrize("hostile", HOSTILE, ids=lambda row: row.name)
def test_a_hostile_repository(
    hostile: Repository, server: Server, tmp_path: Path, make_context: Callable[..., Context]
) -> None:
    url = f"{server.url}/{tmp_path.name}.git"
    server.repository(f"{tmp_path.name}.git")
    commit = push(server, f"{tmp_path.name}.git", hostile.files, lfs=hostile.lfs)
    source = {"type": "git", "repository": url, "revision": "main", "path": "model"}
    context = make_context(
        {"sources": {"model": source}, "publish": {"type": "none", "modelName": "m", "maxBatchSize": 1}}
    )
    tree, code, said = context.source_path("model"), 0, ""
    try:
        checkout.fetch(Git(context), "model", Pinned(url, "main", commit), tree, context.workspace.room)
    except RunnerError as error:
        code, said = error.exit.code, f"{error.reason}; {error.fix}"
    assert code == hostile.code, said
    assert hostile.words in said
    if not code:
        for path, content in hostile.files.items():
            assert (tree / path).read_text() == content
        status = ["git", "-C", str(tree), "config", "--list", "--local"]
        assert "evil" not in subprocess.run(status, capture_output=True, text=True, check=True).stdout
