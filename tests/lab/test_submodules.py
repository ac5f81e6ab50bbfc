"""Repositories in repositories: fetched, told, refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from features import submodules
from runner import checkout, manifest
from runner.context import Context, Pinned
from runner.errors import RunnerError
from runner.git import Git
from runner.prepare import prepare
from tests.runner.conftest import fake_family

from .git_server import Server, git, push
from .test_repositories import POINTER


@dataclass
class Repositories:
    """Makes repositories on the server, and checks one out as a run does."""

    server: Server
    prefix: str
    make_context: Callable[..., Context]

    def url(self, name: str) -> str:
        return f"{self.server.url}/{self.prefix}-{name}.git"

    def make(
        self, name: str, files: dict[str, str], links: dict[str, tuple[str, str]] | None = None, lfs: str = ""
    ) -> str:
        """A repository with files, and submodules: their URL and commit by path. Returns its commit."""
        folder = f"{self.prefix}-{name}.git"
        self.server.repository(folder)
        modules = "".join(
            f'[submodule "{path}"]\n\tpath = {path}\n\turl = {url}\n' for path, (url, _) in (links or {}).items()
        )
        commit = push(self.server, folder, {**files, **({".gitmodules": modules} if links else {})}, lfs=lfs)
        if not links:
            return commit
        work = self.server.folder.parent / "work" / f"{folder}-main"
        for path, (_, recorded) in links.items():
            git("update-index", "--add", "--cacheinfo", f"160000,{recorded},{path}", cwd=work)
        git("commit", "--quiet", "-m", "submodules", cwd=work)
        return (self.server.folder / folder / "refs/heads/main").read_text().strip()

    def fetch(self, commit: str, submodules: bool = True) -> tuple[Path, int, dict[str, str]]:
        context = self.make_context(
            {"sources": {"model": {"repository": self.url("top")}}, "publish": {"type": "none"}}
        )
        tree, pinned = context.source_path("model"), Pinned(self.url("top"), "main", commit)
        size, digests = checkout.fetch(Git(context), "model", pinned, tree, context.workspace.room, submodules)
        return tree, size, dict(digests)


@pytest.fixture
def repositories(server: Server, tmp_path: Path, make_context: Callable[..., Context]) -> Repositories:
    return Repositories(server, tmp_path.name, make_context)


def test_submodules_are_fetched_with_theirs_and_their_lfs_data_at_the_commits_that_are_recorded(
    repositories: Repositories,
) -> None:
    inner = repositories.make("inner", {"inner.bin": "inner " * 900}, lfs="*.bin")
    middle = repositories.make("middle", {"a.py": "a"}, {"deep/inner": (f"../{repositories.prefix}-inner.git", inner)})
    top = repositories.make(
        "top",
        {"train.py": "pass", "top.bin": "top " * 900},
        {"libs/middle": (repositories.url("middle"), middle)},
        "*.bin",
    )
    push(repositories.server, f"{repositories.prefix}-middle.git", {"a.py": "newer"})
    tree, size, digests = repositories.fetch(top)
    assert (tree / "libs/middle/a.py").read_text() == "a"
    assert (tree / "libs/middle/deep/inner/inner.bin").read_text() == "inner " * 900
    assert (tree / "top.bin").read_text() == "top " * 900
    assert size > 900 * 10
    for path, digest in digests.items():
        kind, _, value = digest.partition(":")
        assert manifest.file_digest(tree / path, kind) == value
    assert set(digests) == {entry.path for entry in manifest.walk(tree)}
    # A later attempt, for which a file of each is missing, fetches no data again.
    before = dict(repositories.server.sent)
    for path in ("train.py", "libs/middle/a.py"):
        (tree / path).unlink()
    assert repositories.fetch(top)[2] == digests
    assert repositories.server.sent == before


def test_submodules_that_nobody_asked_for_are_told_with_their_folders(
    repositories: Repositories, capsys: pytest.CaptureFixture[str]
) -> None:
    link = {"libs/x": ("https://elsewhere.example/x", "1" * 40)}
    tree, _, _ = repositories.fetch(repositories.make("top", {"a": "a"}, link), submodules=False)
    assert not any((tree / "libs/x").iterdir())
    said = capsys.readouterr().out
    assert "these folders are submodules, and stay empty: libs/x" in said
    assert "set model.submodules: true" in said


REFUSED = {
    "another host": "https://elsewhere.example/x.git",
    "another port": "http://127.0.0.1:9/x.git",
    "a path of the machine": "/etc",
    "a file URL": "file:///etc",
    "an option": "-u./payload",
    "an option after a scheme": "ssh://-oProxyCommand=payload/x",
    "a program": "ext::sh -c payload",
    "a host that begins alike": "http://127.0.0.1.evil.example/x.git",
    "a user that looks like the host": "http://127.0.0.1@evil.example/x.git",
    "above the server": "..",
    "a line break": "../x.git\\n../y.git",
}


@pytest.mark.lab
@pytest.mark.parametrize("case", REFUSED)
def test_a_submodule_that_is_not_on_the_server_of_its_parent_is_refused(case: str, repositories: Repositories) -> None:
    commit = repositories.make("top", {"a": "a"}, {"x": (f'"{REFUSED[case]}"', "1" * 40)})
    before = len(repositories.server.requests)
    with pytest.raises(
        RunnerError, match=r"submodule x of model.repository is .*not on the server of its parent"
    ) as caught:
        repositories.fetch(commit)
    assert "relative URL" in caught.value.fix
    asked = repositories.server.requests[before:]
    assert all(f"{repositories.prefix}-top.git" in line for line in asked)


def test_hostile_entries_of_gitmodules_have_no_effect(repositories: Repositories, tmp_path: Path) -> None:
    sub = repositories.make("sub", {"b": "b"})
    hostile = (
        f'[submodule "../../{tmp_path.name}"]\n\tpath = x\n\turl = ../{repositories.prefix}-sub.git\n'
        f"\tupdate = !touch {tmp_path}/payload\n\tfetchRecurseSubmodules = true\n\tbranch = -u\n"
        f"[include]\n\tpath = /etc/hostname\n[core]\n\tsshCommand = touch {tmp_path}/payload\n"
        f'[submodule "y"]\n\tpath = ../../outside\n\turl = ../{repositories.prefix}-sub.git\n'
    )
    commit = repositories.make("top", {"link": "a"}, {"x": ("./unused", sub)})
    work = repositories.server.folder.parent / "work" / f"{repositories.prefix}-top.git-main"
    (work / ".gitmodules").write_text(hostile)
    git("add", ".gitmodules", cwd=work)
    git("commit", "--quiet", "-m", "hostile", cwd=work)
    commit = (repositories.server.folder / f"{repositories.prefix}-top.git/refs/heads/main").read_text().strip()
    tree, _, _ = repositories.fetch(commit)
    assert (tree / "x" / "b").read_text() == "b"
    assert not (tmp_path / "payload").exists()
    assert not list(tmp_path.rglob("outside"))


@pytest.mark.lab
def test_a_submodule_that_cannot_be_fetched_is_named(repositories: Repositories) -> None:
    sub = repositories.make("sub", {"b": "b"})
    lost = repositories.make("top", {"a": "a"}, {"x": (repositories.url("sub"), "1" * 40)})
    with pytest.raises(RunnerError, match=r"submodule x of model.repository: .*-sub.git has no commit 1111"):
        repositories.fetch(lost)
    (repositories.server.folder / f"{repositories.prefix}-sub.git").rename(repositories.server.folder / "moved-away")
    repositories2 = Repositories(repositories.server, f"{repositories.prefix}-b", repositories.make_context)
    absent = repositories2.make("top", {"a": "a"}, {"x": (repositories.url("sub"), sub)})
    with pytest.raises(RunnerError, match=r"submodule x of model.repository .*the repository does not exist") as caught:
        repositories2.fetch(absent)
    assert caught.value.fix.startswith("check its URL in .gitmodules and the rights of git.secretName")
    nameless = Repositories(repositories.server, f"{repositories.prefix}-c", repositories.make_context)
    nameless.make("top", {"a": "a"}, {"x": (repositories.url("sub"), sub)})
    work = repositories.server.folder.parent / "work" / f"{nameless.prefix}-top.git-main"
    git("rm", "--quiet", "--cached", ".gitmodules", cwd=work)
    git("commit", "--quiet", "-m", "no .gitmodules", cwd=work)
    commit = (repositories.server.folder / f"{nameless.prefix}-top.git/refs/heads/main").read_text().strip()
    with pytest.raises(RunnerError, match=r"submodule x of model.repository has no URL"):
        nameless.fetch(commit)


@pytest.mark.lab
def test_gitmodules_is_read_as_git_reads_the_file_and_told_where_it_cannot(repositories: Repositories) -> None:
    sub = repositories.make("sub", {"b": "b"})
    repositories.make("top", {"a": "a"}, {"x": (repositories.url("sub"), sub)})
    head = repositories.server.folder / f"{repositories.prefix}-top.git/refs/heads/main"
    work = repositories.server.folder.parent / "work" / f"{repositories.prefix}-top.git-main"
    text = (work / ".gitmodules").read_text()

    def fetch(content: bytes) -> Path:
        (work / ".gitmodules").write_bytes(content)
        git("commit", "--quiet", "-m", "other", ".gitmodules", cwd=work)
        return repositories.fetch(head.read_text().strip())[0]

    assert (fetch(text.encode("utf-8-sig").replace(b"\n", b"\r\n")) / "x" / "b").read_text() == "b"
    with pytest.raises(
        RunnerError, match=r"\.gitmodules of model\.repository http\S+ cannot be read: .*bad config line 1"
    ):
        fetch(b"<<<<<<< HEAD\n" + text.encode())


@pytest.mark.lab
def test_a_pointer_that_a_submodule_brings_is_not_looked_for_at_its_parent(repositories: Repositories) -> None:
    sub = repositories.make("sub", {"lost.pt": POINTER})
    top = repositories.make("top", {"a": "a"}, {"x": (repositories.url("sub"), sub)})
    with pytest.raises(RunnerError, match=r"the server lacks LFS objects of .*|LFS pointers without data"):
        repositories.fetch(top)


@pytest.mark.lab
def test_a_run_has_its_submodules_and_another_run_of_that_folder_does_not_keep_them(
    repositories: Repositories, make_context: Callable[..., Context]
) -> None:
    sub = repositories.make("sub", {"b": "b"})
    repositories.make("top", {"train.py": "pass"}, {"x": (repositories.url("sub"), sub)})
    for wanted in (True, False, True):
        source: dict[str, Any] = {"repository": repositories.url("top"), "revision": "main", "submodules": wanted}
        context = make_context({"sources": {"model": source}, "publish": {"type": "none"}})
        prepare(context, fake_family(), lambda: None)
        assert (context.model / "x" / "b").exists() is wanted


SERVER = "https://git.example.com:8443/team/top.git"
SAME = {
    (SERVER, "../sub.git"): "https://git.example.com:8443/team/sub.git",
    (SERVER, "./sub"): "https://git.example.com:8443/team/top.git/sub",
    (SERVER, "../../../../../other/sub.git"): "https://git.example.com:8443/other/sub.git",
    (SERVER, "https://git.example.com:8443/o/sub"): "https://git.example.com:8443/o/sub",
    (SERVER, "https://me:sesame@git.example.com:8443/o/sub"): "https://git.example.com:8443/o/sub",
    (SERVER, "git@git.example.com:o/sub.git"): "https://git.example.com:8443/o/sub.git",
    (SERVER, "ssh://git@git.example.com:2222/o/sub.git"): "https://git.example.com:8443/o/sub.git",
    (SERVER, "git://git.example.com/o/sub.git"): "https://git.example.com:8443/o/sub.git",
    ("git@h:team/top.git", "../sub.git"): "git@h:team/sub.git",
    ("git@h:team/top.git", "https://h/o/sub.git"): "git@h:o/sub.git",
    ("git@h:team/top.git", "git@h:o/sub.git"): "git@h:o/sub.git",
    ("ssh://git@h:22/team/top.git/", "../sub.git"): "ssh://git@h:22/team/sub.git",
    ("ssh://git@h/team/top.git", "git@h:o/sub.git"): "ssh://git@h/o/sub.git",
    ("ssh://git@h/team/top.git", "https://other/o/sub.git"): "",
    ("git@h:team/top.git", "../../../sub.git"): "",
    ("git@h:team/top.git", "git@h:o/$(payload)"): "",
    ("git@h:team/top.git", "git@other:o/x"): "",
    (SERVER, "https://git.example.com/o/sub"): "",
    (SERVER, "https://me:sesame@evil.example/o/sub"): "",
    (SERVER, "https://git.example.com:8443/o/sub?token=x"): "",
}  # fmt: skip


@pytest.mark.parametrize(("parent", "url"), SAME)
def test_a_url_of_the_parent_s_host_is_reached_as_the_parent_is(parent: str, url: str) -> None:
    if SAME[parent, url]:
        assert submodules._address(parent, url, "submodule x") == SAME[parent, url]
        return
    with pytest.raises(RunnerError, match="is not on the server of its parent") as caught:
        submodules._address(parent, url, "submodule x")
    assert "sesame" not in caught.value.reason
