"""Model and dataset on this machine: folders of the user, or what the user's git fetches."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from trainchart.errors import FileError, UsageError
from trainchart.terminal import printable


def check_folder(option: str, path: str) -> Path:
    """The folder that an option names, as an absolute path.

    Raises:
        FileError: it is none, it is empty, or a link in it leads out of it, where a run would find nothing.
    """
    folder = Path(path).expanduser()
    if not folder.is_dir():
        problem = "is not a folder" if folder.exists() else "does not exist"
        raise FileError(f"{option}: {path} {problem}; name the folder that is, or will be, the repository")
    folder = folder.resolve()
    try:
        if not any(entry.name != ".git" for entry in folder.iterdir()):
            raise FileError(f"{option}: {path} is empty; name the folder with the files")
    except PermissionError:
        raise FileError(f"{option}: {path} cannot be read: permission denied") from None
    for link in _links(folder):
        to = link.resolve()
        if to.exists() and folder not in (to, *to.parents):
            raise FileError(
                f"{option}: {link.relative_to(folder)} is a link to {to}, outside of {path}, which a run would not have; "
                "put the files themselves in its place"
            )
    return folder


def _links(folder: Path) -> Iterator[Path]:
    for top, folders, names in os.walk(folder):
        if ".git" in folders:
            folders.remove(".git")
        yield from (path for name in (*folders, *names) if (path := Path(top, name)).is_symlink())


def fetch(section: str, source: Mapping[str, Any], folder: Path) -> Path:
    """Check out what the values name as a source, with the user's own git, its credentials and LFS, and return the folder.

    Raises:
        UsageError: the source is not in git.
        FileError: git fails; with its last line.
    """
    option = f"--{'data' if section == 'dataset' else section} DIR"
    kind = source.get("type") or "git"
    if kind != "git":
        raise UsageError(f"{section}.type is {kind}, which only the cluster reaches; name a local folder by {option}")
    if not shutil.which("git"):
        raise UsageError(f"git is not on PATH to fetch {section}.repository; install it, or use {option}")
    url, revision = source["repository"], source.get("revision") or "HEAD"
    folder.mkdir()
    for command in (
        ["init", "--quiet"],
        ["remote", "add", "--", "origin", url],
        ["fetch", "--quiet", "--depth=1", "--no-tags", "--", "origin", revision],  # a value is never an option
        ["checkout", "--quiet", "FETCH_HEAD"],
    ):
        _git(section, option, folder, *command)
    if any("filter=lfs" in path.read_text(errors="replace") for path in folder.rglob(".gitattributes")):
        # The user may not have called `git lfs install`, or may have told git to skip the data.
        _git(section, option, folder, "lfs", "install", "--local", "--skip-repo")
        _git(section, option, folder, "lfs", "pull", "origin")
    if source.get("submodules"):
        _git(section, option, folder, "submodule", "--quiet", "update", "--init", "--recursive", "--depth=1")
    return folder


def _git(section: str, option: str, folder: Path, *arguments: str) -> None:
    environment = dict(os.environ)
    if not sys.stdin or not sys.stdin.isatty():
        environment["GIT_TERMINAL_PROMPT"] = "0"
    done = subprocess.run(
        ["git", *arguments], cwd=folder, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, check=False
    )
    if done.returncode:
        lines = [line.strip() for line in done.stderr.decode("utf-8", "replace").splitlines() if line.strip()]
        said = printable(lines[-1] if lines else f"exit code {done.returncode}")
        raise FileError(
            f"{section}.repository: git {arguments[0]} failed: {said}; correct {section} and what your git "
            f"logs in with, or name a local folder by {option}"
        )
