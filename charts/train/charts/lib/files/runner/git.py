"""Runs git against the run's servers: credentials through the helper, retries, and resolved revisions."""

from __future__ import annotations

import contextlib
import difflib
import os
import re
import shlex
import sys
import tempfile
import time
from pathlib import Path
from typing import Callable, ContextManager, Dict, List, Optional, Pattern, Tuple

from . import kills, log, network, process
from .context import COMMIT, Context, Pinned
from .errors import RunnerError
from .remote import Remote, cause, classify
from .settings import Settings, is_ssh
from .workspace import is_temporary

RETRY_SECONDS = (2.0, 4.0, 8.0)
LFS_RETRIES = 8  # by git-lfs itself, per object


class Git:
    """Runs git commands; `tick` is called about once a second meanwhile."""

    def __init__(self, context: Context, tick: Optional[Callable[[], None]] = None) -> None:
        self._tick = tick
        self._settings = context.settings
        self._home = context.home

    def run(
        self,
        remote: Remote,
        cwd: Path,
        *arguments: str,
        capture: bool = False,
        stdin: bytes = b"",
        accept: Optional[Pattern[str]] = None,
    ) -> str:
        """Run git in `cwd`, and retry temporary failures. Returns its stdout, if captured.

        A failure whose output matches `accept` counts as success, and its output is kept out of the log.

        Raises:
            RunnerError: the failure, with the values key to correct.
        """
        for delay in (*RETRY_SECONDS, None):
            code, output, text = self.attempt(
                remote, cwd, *arguments, capture=capture, stdin=stdin, quiet=accept is not None
            )
            if code == 0 or (accept and accept.search(text)):
                return output
            if accept:
                log.line(text)
            if delay is None or not classify(text).temporary:
                break
            log.event("retry", what=f"git {arguments[0]}", repository=remote.url, seconds=delay, reason=cause(text))
            time.sleep(delay)
        raise remote.failure(text, self._settings)

    def attempt(
        self,
        remote: Remote,
        cwd: Path,
        *arguments: str,
        capture: bool = False,
        stdin: bytes = b"",
        quiet: bool = False,
    ) -> Tuple[int, str, str]:
        """Run git once. Returns its exit code, its stdout (if captured), and the text that explains a failure."""
        with self._ssh(remote) as variables:
            done = process.run(
                ["git", *arguments],
                cwd,
                {**self._environment(remote), **variables},
                capture=capture,
                tick=self._tick,
                stdin=stdin,
                quiet=quiet,
                stall_seconds=self._settings.git.stall_seconds,
            )
        explained = _explain(f"git {arguments[0]}", done, cwd, self._settings)
        return done.code, done.output, "\n".join([*done.tail, *explained])

    def resolve(self, remote: Remote, revision: str, cwd: Path) -> Pinned:
        """Return the current commit of a branch, a tag, the remote's HEAD (revision "") or a full hash. Raises
        RunnerError.
        """
        if COMMIT.fullmatch(revision):
            return Pinned(remote.url, revision, revision)
        log.event("resolve", source=remote.key, repository=remote.url, revision=revision or "HEAD")
        refs, head = self.refs(remote, cwd)
        key = f"{remote.key}.revision"
        if not refs:
            self._check_is_repository(remote)
            raise RunnerError("prepare-failed", f"{remote.key}.repository {remote.url} is empty", "push to it first")
        if revision in ("", "HEAD"):
            if "HEAD" not in refs:
                raise RunnerError(
                    "prepare-failed", f"the HEAD of {remote.url} names a branch that does not exist", f"set {key}"
                )
            return Pinned(remote.url, head, refs["HEAD"])
        candidates = [revision] if revision.startswith("refs/") else [f"refs/heads/{revision}", f"refs/tags/{revision}"]
        found = [name for name in candidates if name in refs]
        if len(found) == 2:
            raise RunnerError(
                "prepare-failed",
                f"{key} {revision} is both a branch and a tag in {remote.url}",
                f"set {key} to {found[0]} or {found[1]}",
            )
        if not found:
            raise self._missing_revision(remote, revision, refs)
        return Pinned(remote.url, revision, refs.get(found[0] + "^{}", refs[found[0]]))

    def refs(self, remote: Remote, cwd: Path, *patterns: str) -> Tuple[Dict[str, str], str]:
        """Return hashes by ref name (with `^{}` after a tag's name: what the tag points at), and the branch of HEAD."""
        refs, head = {}, "HEAD"
        for line in self.run(remote, cwd, "ls-remote", "--symref", remote.url, *patterns, capture=True).splitlines():
            value, _, name = line.partition("\t")
            if value.startswith("ref: "):
                head = value[len("ref: refs/heads/") :] if name == "HEAD" else head
            else:
                refs[name] = value
        return refs, head

    def _check_is_repository(self, remote: Remote) -> None:
        """Git takes a web page for an empty repository that is served as plain files. Only a shallow fetch needs a git
        server.

        Raises:
            RunnerError: if it is a web page.
        """
        with tempfile.TemporaryDirectory(prefix="trainchart-") as name:
            self.run(remote, Path(name), "init", "--quiet", "--bare")
            code, _, text = self.attempt(remote, Path(name), "fetch", "--depth=1", remote.url, "1" * 40)
            if code != 0 and classify(text).name == "page":
                raise remote.failure(text, self._settings)

    def _missing_revision(self, remote: Remote, revision: str, refs: Dict[str, str]) -> RunnerError:
        names = sorted(
            {
                re.sub(r"^refs/(heads|tags)/", "", name)
                for name in refs
                if re.match(r"refs/(heads|tags)/", name) and not name.endswith("^{}")
            }
        )
        close = difflib.get_close_matches(revision, names, 5, 0.5)
        hint = (
            f"it has {', '.join(close)}"
            if close
            else f"it has {', '.join(names[:5])}" + (", ..." if len(names) > 5 else "")
        )
        if re.fullmatch(r"[0-9a-f]{7,39}", revision):
            hint = "a commit must have all its 40 digits"
        return RunnerError(
            "prepare-failed",
            f"{remote.key}.revision {revision} is neither a branch nor a tag of {remote.url}; {hint}",
            f"correct {remote.key}.revision",
        )

    def _ssh(self, remote: Remote) -> ContextManager[Dict[str, str]]:
        """Return the variables by which git starts ssh, if the remote is one over SSH."""
        if not is_ssh(remote.url):
            return contextlib.nullcontext({})
        from features import ssh

        return ssh.environment(self._settings, remote)

    def _environment(self, remote: Remote) -> Dict[str, str]:
        """Return git's environment, which holds its whole configuration: the image's and the repository's are not read.

        The credential helper answers for one section's repository: another section's Secret is not for this one's
        server.
        """
        settings, section = self._settings, remote.key
        helper = [
            sys.executable,
            "-I",
            "-S",
            str(Path(__file__).parent / "credential.py"),
            str(self._home / "settings.json"),
            section,
            settings.git_credentials(section).folder,
            settings.lfs_credentials(section).folder,
        ]
        config = [
            ("credential.helper", ""),
            # Git asks it to store each answer, too, for which Python need not be started.
            ("credential.helper", f'!ask() {{ [ "$1" != get ] || {shlex.join(helper)} get; }}; ask'),
            ("credential.useHttpPath", "false"),
            ("core.attributesFile", os.devnull),
            ("core.excludesFile", os.devnull),
            ("safe.directory", "*"),
            ("protocol.version", "2"),
            ("protocol.allow", "never"),
            *((f"protocol.{scheme}.allow", "always") for scheme in ("http", "https", "ssh")),
            ("http.lowSpeedLimit", "1000"),
            ("http.lowSpeedTime", "60"),
            ("gc.auto", "0"),
            ("maintenance.auto", "false"),
            ("advice.detachedHead", "false"),
            ("lfs.locksverify", "false"),
            ("lfs.activitytimeout", "60"),
            ("lfs.dialtimeout", "30"),
            ("lfs.transfer.maxretries", str(LFS_RETRIES)),
            ("user.name", "trainchart"),
            ("user.email", "trainchart@users.noreply.invalid"),
        ]
        lfs_url = settings.lfs(section).url
        if lfs_url and not remote.submodule:  # over that of an .lfsconfig
            config += [("lfs.url", lfs_url), ("lfs.pushurl", lfs_url)]
        if settings.ca_file:
            config.append(("http.sslCAInfo", network.joined_bundle(settings.ca_file)))
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("GIT_", "SSH_ASKPASS"))}
        environment.update(
            HOME="/nonexistent",  # no .netrc, which may be the trainer's
            LC_ALL="C",
            GIT_CONFIG_NOSYSTEM="1",
            GIT_CONFIG_GLOBAL=os.devnull,
            GIT_ATTR_NOSYSTEM="1",
            GIT_TERMINAL_PROMPT="0",
            GIT_LFS_SKIP_SMUDGE="1",
            GIT_LFS_FORCE_PROGRESS="1",
            GIT_CONFIG_COUNT=str(len(config)),
        )
        for index, (key, value) in enumerate(config):
            environment[f"GIT_CONFIG_KEY_{index}"] = key
            environment[f"GIT_CONFIG_VALUE_{index}"] = value
        return environment


def _explain(what: str, done: process.Finished, cwd: Path, settings: Settings) -> List[str]:
    """Return a line for a failure that git cannot report itself, as `remote.KINDS` expects it."""
    if done.stalled:
        return [f"error: {what} made no progress for git.stallSeconds ({settings.git.stall_seconds}), and was stopped"]
    if done.code and done.out_of_memory:
        return [f"error: {what} was killed for memory"]
    number = kills.signal_of(done.code)
    if number:
        return [f"error: {what} was killed by {number}"]
    if (
        done.code
        and any("No space left" in line for line in done.tail)
        and is_temporary(cwd, Path(settings.pod.mounts["workspace"]))
    ):
        return [f"error: the folder for temporary files is full ({cwd})"]
    return []


def trailers(commit_object: str) -> Dict[str, str]:
    """Return the trailers (`Key: value`) of a commit message, as `git cat-file commit` prints it."""
    last: List[str] = commit_object.rstrip().rpartition("\n\n")[2].splitlines()
    return dict(line.split(": ", 1) for line in last if re.match(r"[A-Za-z-]+: ", line))
