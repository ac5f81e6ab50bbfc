"""Stage prepare: every source at one commit on disk, with its LFS data, and a dataset the trainer can read."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any, Callable, Dict, Optional

from . import lfs, log, rendezvous
from .context import Context, Pinned
from .errors import RunnerError
from .family import Family
from .git import Git
from .remote import Remote


def prepare(context: Context, family: Family, may_push: Callable[[], None]) -> Optional[int]:
    """The bytes checked out, or None where an earlier attempt or another pod has done it all.

    `may_push` is asked by rank 0 before anything that takes long: it raises where the result could not be pushed.
    """
    settings = context.settings
    git = Git(context)
    apart = settings.topology.replicas > 1 and not settings.workspace.shared and bool(settings.sources)
    if apart and context.rank > 0:
        context.sources = rendezvous.ask_pins(context)
    with context.workspace.lock():
        if not apart or context.rank == 0:
            context.sources = pin(context, git)
        if apart and context.rank == 0:
            rendezvous.serve_pins(context)
        if context.rank == 0:
            may_push()
        if context.workspace.is_marked("prepare", depends_on(context)):
            return None
        total = sum(fetch(context, git, name, pinned) for name, pinned in context.sources.items())
        argument = {"model": str(context.model), "dataset": str(context.dataset), "train": context.train}
        family.probe("dataset", argument, "prepare-failed")
        context.workspace.mark("prepare", depends_on(context))
        return total


def depends_on(context: Context) -> Any:
    return {
        "settings": asdict(context.settings)["sources"],
        "pinned": {name: asdict(pinned) for name, pinned in context.sources.items()},
    }


def pin(context: Context, git: Git) -> Dict[str, Pinned]:
    """A commit for each source. Once recorded they stay, whatever happens to the branch, until the settings name other sources."""
    asked = asdict(context.settings)["sources"]
    try:
        recorded = json.loads(context.workspace.read("sources.json") or "{}")
        if recorded.get("asked") == asked:
            return {name: Pinned(**recorded["pinned"][name]) for name in asked}
    except (ValueError, KeyError, TypeError):
        log.event("warning", reason="state/sources.json is not whole; the revisions are looked up again")
    pins = {
        name: git.resolve(Remote(name, source.repository), source.revision, context.workspace.root)
        for name, source in context.settings.sources.items()
    }
    context.workspace.write(
        "sources.json",
        json.dumps({"asked": asked, "pinned": {name: asdict(pinned) for name, pinned in pins.items()}}, indent=1)
        + "\n",
    )
    return pins


def fetch(context: Context, git: Git, name: str, pinned: Pinned) -> int:
    """Check out one commit, and nothing but it, then its LFS objects. Goes on where a killed attempt stopped."""
    remote, tree = Remote(name, pinned.repository), context.source_path(name)
    log.event("fetch", source=name, repository=pinned.repository, revision=pinned.revision, commit=pinned.commit)
    if not _is_checked_out(git, tree, pinned.commit):
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
    lfs.download(git, remote, tree, pinned.commit, context.workspace)
    return sum(path.stat().st_size for path in lfs.files(tree))


def _is_checked_out(git: Git, tree: Path, commit: str) -> bool:
    """Git moves HEAD last and holds index.lock meanwhile, so a checkout that was killed is never taken for a whole one."""
    if not (tree / ".git").is_dir() or (tree / ".git" / "index.lock").exists():
        return False
    code, output, _ = git.attempt(tree, "rev-parse", "--verify", "--quiet", "HEAD", capture=True)
    return code == 0 and output.strip() == commit


def _fetch_commit(git: Git, remote: Remote, tree: Path, pinned: Pinned) -> None:
    try:
        git.run(remote, tree, "fetch", "--progress", "--depth=1", "--no-tags", "origin", pinned.commit)
    except RunnerError as error:
        if "not our ref" not in error.reason and "unadvertised object" not in error.reason:
            raise
        # A server may refuse to give a commit by its hash: look whether a branch or tag leads to it.
        git.run(
            remote,
            tree,
            "fetch",
            "--progress",
            "origin",
            "+refs/heads/*:refs/remotes/origin/*",
            "+refs/tags/*:refs/tags/*",
        )
    code, kind, _ = git.attempt(tree, "cat-file", "-t", pinned.commit, capture=True)
    if code != 0 or kind.strip() != "commit":
        raise RunnerError(
            "prepare-failed",
            f"{remote.key}.revision {pinned.revision}: {remote.url} has no commit {pinned.commit}",
            f"correct {remote.key}.revision, or push the commit",
        )
