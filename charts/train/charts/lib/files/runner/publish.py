"""Stage publish: the artifacts as one commit on an orphan branch, once, however often the run is restarted."""

from __future__ import annotations

import re
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional

from . import lfs, log
from .context import Context
from .errors import RunnerError
from .family import Family
from .git import Git, trailers
from .remote import Remote, classify

GENERATED = "sft-"
LFS_PATTERNS = ("*.pt", "*.pth", "*.onnx", "*.safetensors", "*.bin", "*.pdparams", "*.pdiparams", "*.engine")


@dataclass(frozen=True)
class Published:
    branch: str
    commit: str


class Publisher:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._git = Git(context)
        self._remote = Remote("publish", context.settings.publish.repository)

    def earlier(self) -> Optional[Published]:
        """What an attempt before this one has published; every rank looks, before it does anything that takes long."""
        branch = self._context.settings.publish.branch or self._context.workspace.read(self._record)
        if branch:
            return self._look_at(branch)
        if self._context.attempt == 0:
            return None
        tips = self._tips(
            f"refs/heads/{GENERATED}*"
        )  # the workspace was lost with its pod, and the branch's name with it
        return next((tip for tip, run in tips.items() if run == self._context.uid), None)

    def publish(self, family: Family) -> Published:
        branch = self._choose_branch()
        remote = Remote("publish", self._remote.url, branch)
        found = self._look_at(branch)
        if found:
            log.event("already-published", branch=found.branch, commit=found.commit)
            return found
        repository = self._context.workspace.root / "publish"
        mine = Published(branch, self._commit(repository, branch, family))
        self._git.run(remote, repository, "lfs", "push", "origin", branch)
        code, _, text = self._git.attempt(remote, repository, *self._push(branch))
        if code != 0 and classify(text).name == "moved":
            found = self._look_at(branch)  # raises when the branch is another's
            if found:
                return found
        if code != 0:
            self._git.run(remote, repository, *self._push(branch))
        refs, _ = self._git.refs(remote, repository, f"refs/heads/{branch}")
        if refs.get(f"refs/heads/{branch}") != mine.commit:
            raise RunnerError(
                "publish-unreachable",
                f"the push ended well, but {branch} of {self._remote.url} is not at {mine.commit}",
                "see the log of the git server",
            )
        return mine

    def may_push(self) -> None:
        """Asks the server before hours of training whether it takes a push from this user at all; nothing is sent.

        A protected branch is not seen by this: servers decide about branches when the commit arrives.
        """
        with tempfile.TemporaryDirectory(prefix="trainchart-") as name:
            scratch = Path(name)
            self._git.run(self._remote, scratch, "init", "--quiet", "--bare")
            tree = self._git.run(self._remote, scratch, "mktree", capture=True).strip()
            commit = self._git.run(
                self._remote, scratch, "commit-tree", tree, "-m", "may this user push?", capture=True
            )
            refspec = f"{commit.strip()}:refs/heads/trainchart-{self._context.uid}"
            self._git.run(self._remote, scratch, "push", "--quiet", "--dry-run", self._remote.url, refspec)

    @property
    def _record(self) -> str:
        """The file that keeps the chosen branch. A workspace may be used by one run after another: each has its own."""
        return f"branch-{self._context.uid}"

    def _choose_branch(self) -> str:
        """Given, or chosen once for the run and written down before anything is pushed."""
        workspace = self._context.workspace
        branch = self._context.settings.publish.branch or workspace.read(self._record)
        while not branch:
            name = time.strftime(GENERATED + "%Y%m%d-%H%M%S", time.gmtime())
            if self._tips(f"refs/heads/{name}"):
                time.sleep(1)  # another run ended in this very second
                continue
            workspace.write(self._record, name)
            branch = name
        return branch

    def _look_at(self, branch: str) -> Optional[Published]:
        """This run's commit on the branch, None where there is no such branch; another's commit is an error."""
        for tip, run in self._tips(f"refs/heads/{branch}").items():
            if run != self._context.uid:
                raise RunnerError(
                    "branch-taken",
                    f"publish.branch {branch} of {self._remote.url} exists and is not this run's ({'run ' + run if run else 'no run wrote it'})",
                    "choose another publish.branch, or leave it empty for a new one",
                )
            return tip
        return None

    def _tips(self, pattern: str) -> Dict[Published, str]:
        """The run that each matching branch's newest commit names (or ""); commits only, where the server can leave out the rest."""
        with tempfile.TemporaryDirectory(prefix="trainchart-") as name:
            scratch = Path(name)
            log.event("look", repository=self._remote.url, refs=pattern)
            refs, _ = self._git.refs(self._remote, scratch, pattern)
            if not refs:
                return {}
            self._git.run(self._remote, scratch, "init", "--quiet", "--bare")
            self._git.run(self._remote, scratch, "config", "remote.origin.url", self._remote.url)
            self._git.run(
                self._remote,
                scratch,
                "fetch",
                "--quiet",
                "--depth=1",
                "--no-tags",
                "--filter=tree:0",
                "origin",
                *refs.values(),
            )
            return {
                Published(ref[len("refs/heads/") :], commit): trailers(
                    self._git.run(self._remote, scratch, "cat-file", "commit", commit, capture=True)
                ).get("Run", "")
                for ref, commit in refs.items()
            }

    def _commit(self, repository: Path, branch: str, family: Family) -> str:
        """A fresh repository beside the artifacts, which are its work tree: nothing is copied but what LFS stores."""
        context, artifacts = self._context, self._context.artifacts
        shutil.rmtree(repository, ignore_errors=True)
        repository.mkdir(parents=True)
        patterns = family.call("lfs_patterns", "publish-refused") if family.has("lfs_patterns") else LFS_PATTERNS
        (artifacts / ".gitattributes").write_text(
            "".join(f"{pattern} filter=lfs diff=lfs merge=lfs -text\n" for pattern in patterns), encoding="utf-8"
        )
        for arguments in (
            ["init", "--quiet"],
            ["config", "core.worktree", str(artifacts)],
            ["config", "remote.origin.url", self._remote.url],
            ["config", "filter.lfs.clean", "git-lfs clean -- %f"],
            ["config", "filter.lfs.required", "true"],
            ["symbolic-ref", "HEAD", f"refs/heads/{branch}"],
            ["add", "--all"],
            ["commit", "--quiet", "--no-verify", "--message", self._message()],
        ):
            self._git.run(self._remote, repository, *arguments)
        log.event("commit", branch=branch, files=len(list(lfs.files(artifacts))), attempt=context.attempt)
        return self._git.run(self._remote, repository, "rev-parse", "HEAD", capture=True).strip()

    def _message(self) -> str:
        context = self._context
        subject = f"{context.settings.publish.model_name or context.settings.run.name}: trained by {context.settings.run.name}"
        lines: List[str] = [f"Run: {context.uid}", f"Release: {context.settings.run.name}"]
        lines += [
            f"{re.sub('[^A-Za-z]', '', name).capitalize()}-Commit: {pinned.commit}"
            for name, pinned in context.sources.items()
        ]
        return "\n".join([subject, "", *lines]) + "\n"

    def _push(self, branch: str) -> List[str]:
        return ["push", "--progress", "origin", f"refs/heads/{branch}:refs/heads/{branch}"]
