"""A git source on disk: one commit, with its LFS data."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Dict, List, Mapping, Tuple

from . import lfs, log, trees
from .context import COMMIT, Pinned
from .errors import RunnerError
from .git import Git
from .remote import Remote
from .workspace import Room

_BARELY = ("--progress", "--no-tags")
_NEAR = 100  # commits behind the newest of a branch
_INFINITE = 2147483647  # git's word for the whole history, of a shallow repository too


def fetch(
    git: Git, name: str, pinned: Pinned, tree: Path, room: Room, submodules: bool = False
) -> Tuple[int, Mapping[str, str]]:
    """Check out one commit at `tree`, and only it, then its LFS objects, and its submodules if they are wanted.
    Continues where a killed attempt stopped.

    Returns the total size of the files in bytes, and their digests by path, in the format of a manifest.
    """
    remote = Remote(name, pinned.repository)
    log.event("fetch", source=name, repository=pinned.repository, revision=pinned.revision, commit=pinned.commit)
    found, linked = place(git, remote, pinned, tree, tree.parent, room)
    if all(path.name == ".gitattributes" for path in lfs.files(tree)):
        raise RunnerError(
            "prepare-failed",
            f"{name}.repository {pinned.repository} has no files at {pinned.revision} ({pinned.commit})",
            f"correct {name}.revision, or push the files",
        )
    if linked and submodules:
        from features import submodules as feature

        found.update(feature.fetch(git, remote, tree, linked, room))
    elif linked:
        reason = f"these folders are submodules, and stay empty: {', '.join(linked)}"
        log.event("warning", source=name, reason=reason, fix=f"set {name}.submodules: true if the run needs them")
    return sum(path.stat().st_size for path in lfs.files(tree)), found


def place(
    git: Git, remote: Remote, pinned: Pinned, tree: Path, below: Path, room: Room
) -> Tuple[Dict[str, str], Dict[str, str]]:
    """Check out a commit at `tree` with its LFS objects, without submodules.

    Returns the digests of its files, and the commits of its submodules, by path.
    """
    resumed = _is_checked_out(git, remote, tree, pinned.commit)
    if resumed:
        _restore(git, remote, tree)
    else:
        trees.make(tree.parent, below)
        trees.empty(tree, below)
        git.run(remote, tree, "init", "--quiet")
        git.run(remote, tree, "config", "remote.origin.url", pinned.repository)
        _fetch_commit(git, remote, tree, pinned)
        git.run(remote, tree, "checkout", "--quiet", "--force", "--detach", pinned.commit)
    listed = git.run(remote, tree, "ls-tree", "-r", "-l", "-z", "--full-tree", "HEAD", capture=True).split("\0")
    linked = {path: about.split()[2] for about, _, path in (row.partition("\t") for row in listed) if "commit" in about}
    placed = lfs.download(git, remote, tree, pinned.commit, room, resumed, {tree / path for path in linked})
    found = {str(pointer.path.relative_to(tree)): f"sha256:{pointer.oid}" for pointer in placed}
    return _digests(git, remote, tree, listed, found), linked


def _is_checked_out(git: Git, remote: Remote, tree: Path, commit: str) -> bool:
    """Whether `commit` is completely checked out. Git moves HEAD last and holds index.lock until then, so a checkout
    that was killed is never taken for a complete one.
    """
    if not (tree / ".git").is_dir() or (tree / ".git" / "index.lock").exists():
        return False
    code, output, _ = git.attempt(remote, tree, "rev-parse", "--verify", "--quiet", "HEAD", capture=True)
    return code == 0 and output.strip() == commit


def _restore(git: Git, remote: Remote, tree: Path) -> None:
    """Check out missing files again, and only those: LFS files differ from the index, and must stay."""
    missing = git.run(remote, tree, "ls-files", "--deleted", capture=True)  # quoted as --pathspec-from-file expects
    if missing.strip():
        listed = tree / ".git" / "missing"
        trees.write(listed, missing, tree)
        git.run(remote, tree, "--literal-pathspecs", "checkout", "--quiet", "--force", f"--pathspec-from-file={listed}")


def _digests(git: Git, remote: Remote, tree: Path, listed: List[str], found: Dict[str, str]) -> Dict[str, str]:
    """Return the digest of every file: its blob, or its LFS object. `listed` are the rows of the commit's tree, `found`
    the digests that are already known.
    """
    unknown = False
    for line in listed:
        about, _, path = line.partition("\t")
        mode, _, oid, size = (about.split() + [""] * 4)[:4]
        if path in found or not mode.startswith("100"):
            continue
        try:
            same = (tree / path).lstat().st_size == int(size)
        except (OSError, ValueError):
            continue
        if same:
            found[path] = f"git:{oid}"
        unknown = unknown or not same
    if unknown:  # placed by an earlier attempt, or converted by .gitattributes
        found.update((path, f"sha256:{oid}") for path, oid in lfs.objects(git, remote, tree).items())
    return found


def _fetch_commit(git: Git, remote: Remote, tree: Path, pinned: Pinned) -> None:
    """Fetch the commit by its hash; from a server that refuses that, with the branch or tag that leads to it, else with all
    of them. Servers of JGit (Gerrit, Gitblit) give only what a branch or tag points at, and so does git by its old
    protocol.

    Raises:
        RunnerError: the server cannot be reached, or does not have it.
    """
    try:
        git.run(remote, tree, "fetch", *_BARELY, "--depth=1", "origin", pinned.commit)
    except RunnerError as error:
        if not re.search(r"not our ref|unadvertised object|want \S+ not valid", error.reason):
            raise
        reason = "the server gives no commit by its hash: its branches and tags are fetched"
        log.event("warning", source=remote.key, repository=remote.url, reason=reason)
        if not COMMIT.fullmatch(pinned.revision):  # it was the newest one a moment ago
            git.attempt(remote, tree, "fetch", *_BARELY, f"--depth={_NEAR}", "origin", f"+{pinned.revision}:refs/near")
        if not _has_commit(git, remote, tree, pinned):
            heads, tags = "+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"
            git.run(remote, tree, "fetch", "--progress", f"--depth={_INFINITE}", "origin", heads, tags)
    if not _has_commit(git, remote, tree, pinned):
        what = remote.submodule or f"{remote.key}.revision {pinned.revision}"
        raise RunnerError(
            "prepare-failed",
            f"{what}: {remote.url} has no commit {pinned.commit}",
            f"correct {remote.key}.revision, or push the commit to {remote.url}",
        )


def _has_commit(git: Git, remote: Remote, tree: Path, pinned: Pinned) -> bool:
    code, kind, _ = git.attempt(remote, tree, "cat-file", "-t", pinned.commit, capture=True, quiet=True)
    return code == 0 and kind.strip() == "commit"
