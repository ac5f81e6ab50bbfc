"""The result as one commit on a branch."""

from __future__ import annotations

import hashlib
import re
import tempfile
import time
from pathlib import Path
from typing import Dict, List, Optional

from runner import artifacts, log
from runner.context import Context
from runner.errors import RunnerError
from runner.family import Family
from runner.git import Git, trailers
from runner.publish import LFS_PATTERNS, Published
from runner.remote import Remote, classify
from runner.retry import Retry

from .commit import Builder

GENERATED_PREFIX = "sft-"
# git-lfs's messages when the server would accept an object that this machine does not have.
_ACCEPTED = re.compile(r"missing or corrupt local objects|Unable to find source for object|\(missing\)")


class BranchPublisher:
    """Pushes the artifacts as one commit on an orphan branch."""

    def __init__(self, context: Context) -> None:
        self._context = context
        publish = context.settings.publish
        self._branch = publish.branch  # "" for a generated one
        self._retry = Retry(context)
        self._git = Git(context, self._retry.tick)
        self._remote = Remote("publish", publish.repository)
        self._refusal = "an earlier attempt was refused"

    def find_published(self) -> Optional[Published]:
        """Return what an earlier attempt has published. Every rank checks it before it does anything slow."""
        found = self._found()
        if found or self._context.attempt == 0:
            return found
        # The workspace may have been lost with its pod, and the branch's name with it.
        tips = self._tips(f"refs/heads/{GENERATED_PREFIX}*")
        return next((tip for tip, run in tips.items() if run == self._context.uid), None)

    def wrong_branch_error(self, published: Published) -> Optional[RunnerError]:
        """Return the failure of a run whose result is not on the requested branch; None if it is."""
        if not self._branch or published.branch == self._branch:
            return None
        return RunnerError(
            "published-elsewhere",
            f"the result is on branch {published.branch} of {self._remote.url}, commit {published.commit}: the server did "
            f"not accept it on publish.branch {self._branch}: {self._refusal}",
            f"take it from {published.branch}; for the next run choose another publish.branch, or allow the user of the "
            "credentials to push to this one",
        )

    def publish(self, family: Family) -> Published:
        """Push the artifacts, to another branch if the server refuses the requested one, with retries for
        publish.patience.

        Raises:
            RunnerError: they cannot be pushed.
        """
        repository = self._context.workspace.root / "publish"
        commit = self._commit(repository, family)
        return self._retry.call(lambda: self._deliver(repository, commit))

    def check_push_access(self) -> None:
        """Check, before hours of training, that the server would accept a push to this branch and LFS objects from this
        user.

        Nothing is sent. Protected branches, hooks and quotas are not covered: servers check them when the commit
        arrives.

        Raises:
            RunnerError: the server would refuse.
        """
        branch = self._branch or f"trainchart-{self._context.uid}"
        if self._branch:
            self._check_branch(branch)
        log.event("check", repository=self._remote.url, what="the rights to push and to upload to LFS")
        with tempfile.TemporaryDirectory(prefix="trainchart-") as name:
            scratch = Path(name)
            self._git.run(self._remote, scratch, "init", "--quiet", "--bare", "--template=")
            self._git.run(self._remote, scratch, "config", "remote.origin.url", self._remote.url)
            unknown = hashlib.sha256(self._context.uid.encode()).hexdigest()
            pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{unknown}\nsize 1\n".encode()
            blob = self._output(scratch, "hash-object", "-w", "--stdin", stdin=pointer)
            tree = self._output(scratch, "mktree", stdin=f"100644 blob {blob}\tx.pt\n".encode())
            commit = self._output(scratch, "commit-tree", tree, "-m", "may this user push?")
            self._git.run(self._remote, scratch, "update-ref", f"refs/heads/{branch}", commit)
            self._git.run(
                self._remote, scratch, "push", "--quiet", "--dry-run", "origin", f"{commit}:refs/heads/{branch}"
            )
            self._git.run(self._remote, scratch, "lfs", "push", "origin", branch, accept=_ACCEPTED)

    def _output(self, repository: Path, *arguments: str, stdin: bytes = b"") -> str:
        return self._git.run(self._remote, repository, *arguments, capture=True, stdin=stdin).strip()

    def _check_branch(self, branch: str) -> None:
        """Raise RunnerError if the branch is another run's, or conflicts with one: beside a branch `a`, git cannot have
        a branch `a/b`.
        """
        with tempfile.TemporaryDirectory(prefix="trainchart-") as name:
            refs, _ = self._git.refs(self._remote, Path(name), "refs/heads/*")
        for ref in refs:
            existing = ref[len("refs/heads/") :]
            if existing.startswith(branch + "/") or branch.startswith(existing + "/"):
                raise RunnerError(
                    "publish-refused",
                    f"publish.branch {branch}: git cannot create it beside branch {existing} of {self._remote.url}, because one "
                    "name is a folder of the other",
                    "choose another publish.branch",
                )
        self._own_commit(branch)

    def _deliver(self, repository: Path, commit: str) -> Optional[Published]:
        """Push, unless an earlier attempt has succeeded after all. Returns None if it has to be repeated
        immediately.
        """
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
        """Push to a branch. Returns None if another run has pushed a branch of the same generated name first."""
        remote, ref = Remote("publish", self._remote.url, branch), f"refs/heads/{branch}"
        self._git.run(remote, repository, "update-ref", ref, commit)
        self._git.run(remote, repository, "lfs", "push", "origin", branch)
        code, _, text = self._git.attempt(remote, repository, "push", "--progress", "origin", f"{commit}:{ref}")
        if code != 0:
            found = self._found() if self._is_generated(branch) else self._own_commit(branch)
            if found:
                return found
            if self._is_generated(branch) and not self._context.workspace.read(self._record):
                return None
            error = remote.failure(text, self._context.settings)
            raise _BranchRefusedError(error) if classify(text).name == "rejected" else error
        refs, _ = self._git.refs(remote, repository, ref)
        if refs.get(ref) != commit:
            raise RunnerError(
                "publish-unreachable",
                f"the push succeeded, but {branch} of {self._remote.url} is not at {commit}",
                "see the log of the git server",
            )
        return Published(branch, commit)

    def _found(self) -> Optional[Published]:
        """Return this run's commit on the requested branch, or on the one that was generated instead."""
        workspace = self._context.workspace
        generated = workspace.read(self._record)
        if generated:
            for tip, run in self._tips(f"refs/heads/{generated}").items():
                if run == self._context.uid:
                    return tip
                workspace.remove(self._record)  # another run chose the name in the same second, and pushed first
        return self._own_commit(self._branch) if self._branch else None

    def _is_generated(self, branch: str) -> bool:
        return branch != self._branch

    @property
    def _record(self) -> str:
        """The state file with the generated branch, one per run: several runs may use a workspace, one after
        another.
        """
        return f"branch-{self._context.uid}"

    def _choose_branch(self) -> str:
        """Return the branch that was generated before, the requested one, or a newly generated one."""
        return self._context.workspace.read(self._record) or self._branch or self._generate_branch()

    def _generate_branch(self) -> str:
        """Generate a branch name for the run, and record it before anything is pushed."""
        while True:
            name = time.strftime(GENERATED_PREFIX + "%Y%m%d-%H%M%S", time.gmtime())
            if not self._tips(f"refs/heads/{name}"):
                self._context.workspace.write(self._record, name)
                return name
            time.sleep(1)  # another run finished in this very second

    def _own_commit(self, branch: str) -> Optional[Published]:
        """Return this run's commit on the branch; None if the branch does not exist. Raises RunnerError if it is
        another run's.
        """
        for tip, run in self._tips(f"refs/heads/{branch}").items():
            if run != self._context.uid:
                raise RunnerError(
                    "branch-taken",
                    f"publish.branch {branch} of {self._remote.url} exists, and belongs to another run ({'run ' + run if run else 'no run created it'})",
                    "choose another publish.branch, or leave it empty for a new one",
                )
            return tip
        return None

    def _tips(self, pattern: str) -> Dict[Published, str]:
        """Return the run (or "") named by the newest commit of each matching branch. Fetches commits only, if the
        server can.
        """
        with tempfile.TemporaryDirectory(prefix="trainchart-") as name:
            scratch = Path(name)
            log.event("check", repository=self._remote.url, refs=pattern)
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
        subject = f"{context.settings.model_name}: trained by {context.settings.run.name}"
        lines: List[str] = [f"Run: {context.uid}", f"Release: {context.settings.run.name}"]
        lines += [
            f"{re.sub('[^A-Za-z]', '', name).capitalize()}-Commit: {pinned.commit}"
            for name, pinned in context.sources.items()
        ]
        return "\n".join([subject, "", *lines]) + "\n"


class _BranchRefusedError(Exception):
    """The server accepts pushes, but not this one: a protected branch, a hook, a rule for names."""

    def __init__(self, error: RunnerError) -> None:
        super().__init__(error.reason)
        self.error = error
