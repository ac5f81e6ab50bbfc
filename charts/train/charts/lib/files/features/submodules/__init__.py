"""Submodules of a source: each is a repository of its own at the commit that its parent records, on the parent's server.

`git submodule` is not used. What .gitmodules says is a URL for each path, and nothing else of it has an effect.
"""

from __future__ import annotations

import json
import posixpath
import re
from pathlib import Path
from typing import Dict, Mapping

from runner import checkout, log
from runner.context import Pinned
from runner.credential import origin
from runner.errors import RunnerError
from runner.git import Git
from runner.remote import Remote
from runner.settings import is_ssh
from runner.workspace import Room

DEEPEST = 10  # submodules in submodules

# The server of a URL, and the path of the repository there.
_URL = re.compile(r"(?P<server>[a-z+]+://[^/]*|[^/:]+@(?:\[[^]]*\]|[^/:]*):)(?P<path>.*)", re.DOTALL)
_USABLE = re.compile(r"[^\s\x00-\x20?#]*[^\s\x00-\x20?#/][^\s\x00-\x20?#]*")


def fetch(
    git: Git, parent: Remote, tree: Path, linked: Mapping[str, str], room: Room, depth: int = 1
) -> Dict[str, str]:
    """Check out the submodules of the repository at `tree`, and theirs. `linked` are their commits by path.

    Returns the digests of their files by path.

    Raises:
        RunnerError: one has no URL, or one that leads to another server, or cannot be fetched.
    """
    found: Dict[str, str] = {}
    urls = _urls(git, parent, tree)
    for path, commit in linked.items():
        what = f"submodule {path} of {parent.submodule or f'{parent.key}.repository'}"
        if depth > DEEPEST:
            raise RunnerError("prepare-failed", f"{what} is the {depth}th below another", "nest fewer submodules")
        if path not in urls:
            raise RunnerError(
                "prepare-failed",
                f"{what} has no URL: .gitmodules does not name it",
                f"add it by `git submodule add URL {path}`, or remove it by `git rm --cached {path}`, and push",
            )
        remote = Remote(parent.key, _address(parent.url, urls[path], what), submodule=what)
        log.event("fetch", source=parent.key, submodule=path, repository=remote.url, commit=commit)
        # `tree` is what git has just checked out: a link in the way of a submodule would be replaced, not followed.
        digests, inner = checkout.place(git, remote, Pinned(remote.url, commit, commit), tree / path, tree, room)
        digests.update(fetch(git, remote, tree / path, inner, room, depth + 1))
        found.update((f"{path}/{name}", digest) for name, digest in digests.items())
    return found


def _urls(git: Git, parent: Remote, tree: Path) -> Dict[str, str]:
    """Return the URL that .gitmodules of the commit has for each path; a path that is named twice has the last one.

    Raises:
        RunnerError: git cannot read it.
    """
    code, content, _ = git.attempt(parent, tree, "cat-file", "blob", "HEAD:.gitmodules", capture=True, quiet=True)
    if code != 0:
        return {}
    # Of a file, git itself passes over the mark that editors of Windows put before it.
    config = content[content.startswith("\ufeff") :].encode()
    code, listed, text = git.attempt(parent, tree, "config", "--file", "-", "-z", "--list", capture=True, stdin=config)
    if code != 0:
        reason = f".gitmodules of {parent.submodule or f'{parent.key}.repository'} {parent.url} cannot be read: "
        fix = "correct it until `git config --file .gitmodules --list` prints it, and push"
        raise RunnerError("prepare-failed", reason + text.strip().partition("\n")[0], fix)
    keys = dict(row.partition("\n")[::2] for row in listed.split("\0") if row)
    names = {key[len("submodule.") : -len(".path")] for key in keys if re.fullmatch(r"(?s)submodule\..*\.path", key)}
    return {
        posixpath.normpath(keys[f"submodule.{name}.path"]): keys[f"submodule.{name}.url"]
        for name in names
        if f"submodule.{name}.url" in keys
    }


def _address(parent: str, url: str, what: str) -> str:
    """Return where a submodule is: the parent's server, and a path there. A URL of that host is reached as the parent is,
    with its scheme, user and port.

    Raises:
        RunnerError: it is on another server, or nowhere.
    """
    base, own = _URL.fullmatch(parent), _URL.fullmatch(url)
    assert base  # noqa: S101 (checked with the settings)
    shown = json.dumps(re.sub(r"//[^/@]*@", "//***@", url))
    if url.startswith(("./", "../")):
        path = posixpath.normpath(posixpath.join(base["path"].rstrip("/"), url))
        inside = not path.startswith("..") and path not in (".", "/")
    else:
        path = own["path"] if own else ""
        theirs, ours = origin(re.sub(r"^git(\+ssh)?://", "ssh://", url)), origin(parent)
        inside = bool(theirs and ours and theirs[1] == ours[1] and (theirs[0] != ours[0] or theirs[2] == ours[2]))
    if base["server"].endswith(":"):  # git@host:path
        path = path.lstrip("/") if "://" in url else path
    elif not path.startswith("/"):
        path = f"/{path}"
    address = base["server"] + path
    if not inside or not _USABLE.fullmatch(path) or is_ssh(address) != is_ssh(parent):
        raise RunnerError(
            "prepare-failed",
            f"{what} is {shown}, which is not on the server of its parent, {parent}",
            "copy it to that server, name it in .gitmodules by a relative URL such as ../name.git, and push",
        )
    return address
