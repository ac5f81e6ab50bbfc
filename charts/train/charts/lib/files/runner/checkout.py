"""A git source on disk: one commit, with its LFS data."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from . import lfs, log
from .context import Pinned
from .errors import RunnerError
from .git import Git
from .remote import Remote
from .workspace import Room


def fetch(git: Git, name: str, pinned: Pinned, tree: Path, room: Room) -> int:
    """Check out one commit at `tree`, and nothing but it, then its LFS objects. Goes on where a killed attempt stopped."""
    remote = Remote(name, pinned.repository)
    log.event("fetch", source=name, repository=pinned.repository, revision=pinned.revision, commit=pinned.commit)
    if not _is_checked_out(git, remote, tree, pinned.commit):
        shutil.rmtree(tree, ignore_errors=True)
        tree.mkdir(parents=True)
        git.run(remote, tree, "init", "--quiet")
        git.run(remote, tree, "config", "remote.origin.url", pinned.repository)
        _fetch_commit(git, remote, tree, pinned)
        git.run(remote, tree, "checkout", "--quiet", "--force", "--detach", pinned.commit)
    if all(path.name == ".gitattributes" for path in lfs.files(tree)):
        raise RunnerError(
            "prepare-failed",
            f"{name}.repository {pinned.repository} has no files at {pinned.revision} ({pinned.commit})",
            f"correct {name}.revision, or push the files",
        )
    if (tree / ".gitmodules").exists():
        log.event("warning", source=name, reason="the repository has submodules; they are not fetched")
    lfs.download(git, remote, tree, pinned.commit, room)
    return sum(path.stat().st_size for path in lfs.files(tree))


def _is_checked_out(git: Git, remote: Remote, tree: Path, commit: str) -> bool:
    """Git moves HEAD last and holds index.lock meanwhile, so a checkout that was killed is never taken for a whole one."""
    if not (tree / ".git").is_dir() or (tree / ".git" / "index.lock").exists():
        return False
    code, output, _ = git.attempt(remote, tree, "rev-parse", "--verify", "--quiet", "HEAD", capture=True)
    return code == 0 and output.strip() == commit


def _fetch_commit(git: Git, remote: Remote, tree: Path, pinned: Pinned) -> None:
    try:
        git.run(remote, tree, "fetch", "--progress", "--depth=1", "--no-tags", "origin", pinned.commit)
    except RunnerError as error:
        # A server may refuse to give a commit by its hash, in git's words or JGit's: look whether a branch or tag leads to it.
        if not re.search(r"not our ref|unadvertised object|want \S+ not valid", error.reason):
            raise
        git.run(
            remote,
            tree,
            "fetch",
            "--progress",
            "origin",
            "+refs/heads/*:refs/remotes/origin/*",
            "+refs/tags/*:refs/tags/*",
        )
    code, kind, _ = git.attempt(remote, tree, "cat-file", "-t", pinned.commit, capture=True)
    if code != 0 or kind.strip() != "commit":
        raise RunnerError(
            "prepare-failed",
            f"{remote.key}.revision {pinned.revision}: {remote.url} has no commit {pinned.commit}",
            f"correct {remote.key}.revision, or push the commit",
        )
