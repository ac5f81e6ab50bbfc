"""Branches that the tests need on the git server, and the content of those that the runs have pushed."""

from __future__ import annotations

from pathlib import Path

from e2e.fixtures.repositories import git
from e2e.scenario import TEAM, World

WITHOUT_IMAGES = "without-images"


def branch_off(world: World, repository: str, branch: str, start: str = "main") -> str:
    """A branch at the tip of another; returns the commit."""
    commit = world.server.branch_commit(TEAM, repository, start)
    assert commit, f"{repository} has no branch {start}"
    world.server.create_branch(TEAM, repository, branch, commit)
    return commit


def commit_onto(world: World, repository: str, branch: str, folder: Path, *, remove: str = "") -> str:
    """One more commit on a branch, as a colleague would push it; with `remove`, one that removes a folder."""
    tree, configuration = folder / f"{repository}-{branch}", world.configuration()
    git(
        folder,
        "clone",
        "--quiet",
        "--depth=1",
        "--branch",
        branch,
        "--no-checkout",
        world.clone_url(repository),
        tree.name,
        configuration=configuration,
    )
    git(tree, "reset", "--quiet")  # the index of HEAD, without files: nothing is downloaded
    if remove:
        git(tree, "rm", "-r", "--quiet", "--cached", remove)
    git(tree, "commit", "--quiet", "--allow-empty", "--message", "a later commit")
    git(
        tree,
        "push",
        "--quiet",
        "--no-verify",
        world.clone_url(repository),
        f"HEAD:refs/heads/{branch}",
        configuration=configuration,
    )
    return git(tree, "rev-parse", "HEAD")


def ensure_without_images(world: World, folder: Path) -> None:
    """A revision of the dataset whose folder of images is missing."""
    world.server.delete_branch(TEAM, "shapes", WITHOUT_IMAGES)
    branch_off(world, "shapes", WITHOUT_IMAGES)
    commit_onto(world, "shapes", WITHOUT_IMAGES, folder, remove="images")


def sweep(world: World, repository: str, part: str) -> None:
    """Removes the branches with `part` in their names."""
    for branch in world.server.branches(TEAM, repository):
        if part in branch:
            world.server.delete_branch(TEAM, repository, branch)


def clone(world: World, repository: str, branch: str, target: Path) -> Path:
    """Clones the branch as a user would, LFS objects included."""
    configuration = world.configuration()
    git(
        target.parent,
        "clone",
        "--quiet",
        "--branch",
        branch,
        world.clone_url(repository),
        target.name,
        configuration=configuration,
    )
    return target


def trailers(message: str) -> dict[str, str]:
    """`Key: value` lines at the end of a commit's message."""
    lines = message.rstrip().rpartition("\n\n")[2].splitlines()
    return dict(line.split(": ", 1) for line in lines if ": " in line)
