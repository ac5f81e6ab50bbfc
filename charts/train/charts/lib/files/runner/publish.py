"""Stage publish: the artifacts as one commit on an orphan branch, once, however often the run is restarted."""

from __future__ import annotations

import hashlib
import re
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional

from . import artifacts, log
from .commit import Builder
from .context import Context
from .errors import RunnerError
from .family import Family
from .git import Git, trailers
from .patience import Patience
from .remote import Remote, classify

GENERATED = "sft-"
LFS_PATTERNS = ("*.pt", "*.pth", "*.onnx", "*.safetensors", "*.bin", "*.pdparams", "*.pdiparams", "*.engine")
# What git-lfs says when the server would take an object that is not on this machine.
_WOULD_TAKE = re.compile(r"missing or corrupt local objects|Unable to find source for object|\(missing\)")


@dataclass(frozen=True)
class Published:
    branch: str
    commit: str


class Publisher:
    def __init__(self, context: Context) -> None:
        self._context = context
        publish = context.settings.publish
        self._asked = publish.branch  # "" for a generated one
        self._patience = Patience(publish.patience_seconds, _where(context))
        self._git = Git(context, self._patience.tick)
        self._remote = Remote("publish", publish.repository)
        self._refusal = "an attempt before this one was refused"

    def earlier(self) -> Optional[Published]:
        """What an attempt before this one has published; every rank looks, before it does anything that takes long."""
        found = self._found()
        if found or self._context.attempt == 0:
            return found
        # The workspace may have been lost with its pod, and the branch's name with it.
        tips = self._tips(f"refs/heads/{GENERATED}*")
        return next((tip for tip, run in tips.items() if run == self._context.uid), None)

    def elsewhere(self, published: Published) -> Optional[RunnerError]:
        """The failure of a run whose result is on another branch than it was asked for; None where all is well."""
        if not self._asked or published.branch == self._asked:
            return None
        return RunnerError(
            "published-elsewhere",
            f"the result is on branch {published.branch} of {self._remote.url}, commit {published.commit}: the server did "
            f"not take it on publish.branch {self._asked}: {self._refusal}",
            f"take it from {published.branch}; for the next run choose another publish.branch, or let the user of the "
            "credentials push to this one",
        )

    def publish(self, family: Family) -> Published:
        """Push the artifacts, to another branch where the server refuses the one that was asked for (`elsewhere`). What is
        waited for is tried again for publish.patience.
        """
        repository = self._context.workspace.root / "publish"
        commit = self._commit(repository, family)
        published = None
        while published is None:
            published = self._try(repository, commit)
        return published

    def _try(self, repository: Path, commit: str) -> Optional[Published]:
        """None after a pause, where it is worth another try."""
        self._context.lease.check()
        try:
            return self._deliver(repository, commit)
        except RunnerError as error:
            if not self._is_waited_for(error):
                raise
            self._patience.wait(error)
            return None

    def _is_waited_for(self, error: RunnerError) -> bool:
        """What passes by itself; and where the model would be lost with the pod, also what somebody can mend meanwhile: a token
        that has expired (a Secret is read anew at each try), a quota that is used up, a rule for branches.
        """
        if error.exit.name == "publish-refused":
            return not self._context.settings.workspace.shared
        return error.exit.name in ("publish-unreachable", "process-killed")

    def may_push(self) -> None:
        """Asks the server before hours of training whether it would take a push from this user, to a branch of this name, and
        objects for LFS; nothing is sent, and nothing stays.

        A protected branch, a hook and a quota of the repository are not seen by this: servers decide when the commit arrives.
        """
        branch = self._asked or f"trainchart-{self._context.uid}"
        if self._asked:
            self._refuse_conflict(branch)
        log.event("look", repository=self._remote.url, what="the rights to push and to upload to LFS")
        with tempfile.TemporaryDirectory(prefix="trainchart-") as name:
            scratch = Path(name)
            self._git.run(self._remote, scratch, "init", "--quiet", "--bare", "--template=")
            self._git.run(self._remote, scratch, "config", "remote.origin.url", self._remote.url)
            nobody_has = hashlib.sha256(self._context.uid.encode()).hexdigest()
            pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{nobody_has}\nsize 1\n".encode()
            blob = self._made(scratch, "hash-object", "-w", "--stdin", given=pointer)
            tree = self._made(scratch, "mktree", given=f"100644 blob {blob}\tx.pt\n".encode())
            commit = self._made(scratch, "commit-tree", tree, "-m", "may this user push?")
            self._git.run(self._remote, scratch, "update-ref", f"refs/heads/{branch}", commit)
            self._git.run(
                self._remote, scratch, "push", "--quiet", "--dry-run", "origin", f"{commit}:refs/heads/{branch}"
            )
            self._git.run(self._remote, scratch, "lfs", "push", "origin", branch, unless=_WOULD_TAKE)

    def _made(self, repository: Path, *arguments: str, given: bytes = b"") -> str:
        return self._git.run(self._remote, repository, *arguments, capture=True, given=given).strip()

    def _refuse_conflict(self, branch: str) -> None:
        """Git keeps branches as files: where there is a branch `a`, there cannot be a branch `a/b`."""
        with tempfile.TemporaryDirectory(prefix="trainchart-") as name:
            refs, _ = self._git.refs(self._remote, Path(name), "refs/heads/*")
        for ref in refs:
            there = ref[len("refs/heads/") :]
            if there.startswith(branch + "/") or branch.startswith(there + "/"):
                raise RunnerError(
                    "publish-refused",
                    f"publish.branch {branch}: git cannot make it beside branch {there} of {self._remote.url}, for one name "
                    "is a folder of the other",
                    "choose another publish.branch",
                )
        self._look_at(branch)

    def _deliver(self, repository: Path, commit: str) -> Optional[Published]:
        """One try, from the look whether the try before has succeeded after all. None where it is to be made again at once."""
        found = self._found()
        if found:
            log.event("already-published", branch=found.branch, commit=found.commit)
            return found
        branch = self._choose_branch()
        try:
            return self._push(repository, commit, branch)
        except _BranchRefusedError as refused:
            if self._is_generated(branch):
                raise refused.error from None
            self._refusal = refused.error.reason
            branch = self._generate_branch()
            log.event("warning", reason=f"{self._refusal}; the result goes to branch {branch}")
            try:
                return self._push(repository, commit, branch)
            except _BranchRefusedError as again:
                raise again.error from None

    def _push(self, repository: Path, commit: str, branch: str) -> Optional[Published]:
        """None where another run was faster to push a branch of the generated name."""
        remote, ref = Remote("publish", self._remote.url, branch), f"refs/heads/{branch}"
        self._git.run(remote, repository, "update-ref", ref, commit)
        self._git.run(remote, repository, "lfs", "push", "origin", branch)
        code, _, text = self._git.attempt(remote, repository, "push", "--progress", "origin", f"{commit}:{ref}")
        if code != 0:
            found = self._found() if self._is_generated(branch) else self._look_at(branch)
            if found:
                return found
            if self._is_generated(branch) and not self._context.workspace.read(self._record):
                return None
            error = remote.failure(text, self._context.settings.git.credentials["publish"])
            raise _BranchRefusedError(error) if classify(text).name == "rejected" else error
        refs, _ = self._git.refs(remote, repository, ref)
        if refs.get(ref) != commit:
            raise RunnerError(
                "publish-unreachable",
                f"the push ended well, but {branch} of {self._remote.url} is not at {commit}",
                "see the log of the git server",
            )
        return Published(branch, commit)

    def _found(self) -> Optional[Published]:
        """This run's commit on the branch that it was to go to, or on the one that it went to instead."""
        workspace = self._context.workspace
        generated = workspace.read(self._record)
        if generated:
            for tip, run in self._tips(f"refs/heads/{generated}").items():
                if run == self._context.uid:
                    return tip
                workspace.remove(self._record)  # another run chose the name in the same second, and pushed first
        return self._look_at(self._asked) if self._asked else None

    def _is_generated(self, branch: str) -> bool:
        return branch != self._asked

    @property
    def _record(self) -> str:
        """The file that keeps the chosen branch. A workspace may be used by one run after another: each has its own."""
        return f"branch-{self._context.uid}"

    def _choose_branch(self) -> str:
        """The one that was chosen before (the one asked for was refused, or none was), the one asked for, or a new one."""
        return self._context.workspace.read(self._record) or self._asked or self._generate_branch()

    def _generate_branch(self) -> str:
        """Chosen once for the run, and written down before anything is pushed."""
        while True:
            name = time.strftime(GENERATED + "%Y%m%d-%H%M%S", time.gmtime())
            if not self._tips(f"refs/heads/{name}"):
                self._context.workspace.write(self._record, name)
                return name
            time.sleep(1)  # another run ended in this very second

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
            self._git.run(self._remote, scratch, "init", "--quiet", "--bare", "--template=")
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

    def _commit(self, repository: Path, family: Family) -> str:
        patterns = family.call("lfs_patterns", "publish-refused") if family.has("lfs_patterns") else LFS_PATTERNS
        entries = artifacts.entries(self._context.artifacts)
        commit = Builder(self._git, self._remote, repository).commit(entries, patterns, self._message())
        log.event("commit", commit=commit, files=len(entries), attempt=self._context.attempt)
        return commit

    def _message(self) -> str:
        context = self._context
        subject = f"{context.settings.publish.model_name or context.settings.run.name}: trained by {context.settings.run.name}"
        lines: List[str] = [f"Run: {context.uid}", f"Release: {context.settings.run.name}"]
        lines += [
            f"{re.sub('[^A-Za-z]', '', name).capitalize()}-Commit: {pinned.commit}"
            for name, pinned in context.sources.items()
        ]
        return "\n".join([subject, "", *lines]) + "\n"


class _BranchRefusedError(Exception):
    """The server takes pushes, and not this one: a protected branch, a hook, a rule for names."""

    def __init__(self, error: RunnerError) -> None:
        super().__init__(error.reason)
        self.error = error


def _where(context: Context) -> str:
    """Where the artifacts of a run are that could not push them."""
    if context.settings.workspace.shared:
        return f"the artifacts stay in {context.settings.workspace.directory}/artifacts of the workspace's claim"
    return "the artifacts are lost with this pod, whose workspace is an emptyDir"
