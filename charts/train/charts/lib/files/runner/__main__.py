"""`python3 -m runner`: one pod's run. `--check` only checks whether it could run; `--prepare` ends after prepare."""

from __future__ import annotations

from . import init

if __name__ == "__main__":
    init.start()  # before the slow imports: a signal may already arrive

import errno
import os
import sys
import time
import traceback
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional

from . import check, interrupts, lease, lfs, log, result, settings
from .context import Context
from .errors import Interrupted, RunnerError
from .export import export
from .family import Family
from .prepare import prepare
from .publish import Published, Publisher, publisher_of
from .train import last_metrics, train
from .verify import verify
from .workspace import is_temporary


class Run:
    """Runs the stages in order and logs each. `stage` is the one that a failure is attributed to."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.stage = ""
        self.context: Optional[Context] = None
        self.tracker: Optional[Any] = None  # features.mlflow.run.Tracker

    def execute(self) -> Dict[str, Any]:
        """Run all stages and return the result. Raises RunnerError for the first that fails."""
        loaded = settings.load(self.home)
        self.context = context = Context.create(loaded, self.home, os.environ)
        interrupts.limit(loaded.run.time_limit_seconds)
        context.check_folder()
        if context.kept:
            log.keep(context.kept / f"rank-{context.rank}.log", context.folder)
        create_home()
        log.event(
            "run",
            run=loaded.run.name,
            uid=context.uid,
            attempt=context.attempt,
            rank=context.rank,
            replicas=loaded.replicas,
        )
        family = Family(context)
        publisher = publisher_of(context)

        with self._stage("verify"):
            verify(context, family)
        if publisher:
            self.stage = "publish"
            published = publisher.find_published()
            if published:
                log.event("already-published", branch=published.branch, commit=published.commit)
                return self._published(publisher, published, {}, [])
        with self._stage("prepare") as outcome:
            context.lease.acquire()
            outcome["bytes"] = prepare(context, family, partial(self._check_push_access, publisher))
            outcome["skipped"] = outcome["bytes"] is None
        if sys.argv[1:] == ["--prepare"]:
            return result.completed(context, None, {}, [])
        if is_tracked(context):
            from features.mlflow import run

            self.tracker = run.start(context)
        track = self.tracker.epoch if self.tracker else ignore_epoch
        with self._stage("train") as outcome:
            if loaded.tune.trials:
                from features import tune

                self.context = context = tune.search(context, family, track)
                family = family.with_context(context)
            else:
                outcome["skipped"] = not train(context, family, track)
        if context.rank > 0:
            return result.completed(context, None, {}, [])
        metrics = last_metrics(family)
        with self._stage("export") as outcome:
            outcome["skipped"] = not export(context, family, metrics)
        files = [
            {"path": str(path.relative_to(context.artifacts)), "bytes": path.stat().st_size}
            for path in lfs.files(context.artifacts)
        ]
        if not publisher:
            return result.completed(context, None, metrics, files)
        with self._stage("publish") as outcome:
            context.lease.check()
            published = publisher.publish(family)
            outcome.update(asdict(published))
        return self._published(publisher, published, metrics, files)

    def _published(
        self, publisher: Publisher, published: Published, metrics: Dict[str, Any], files: List[Dict[str, Any]]
    ) -> Dict[str, Any]:
        """Return the result. Raises RunnerError, with the result attached, if it is not on the requested branch."""
        assert self.context is not None  # noqa: S101 (execute sets it)
        error = publisher.wrong_branch_error(published)
        if error:
            error.result = {**result.location(self.context, published), "metrics": metrics, "files": files}
            raise error
        return result.completed(self.context, published, metrics, files)

    def _check_push_access(self, publisher: Optional[Publisher]) -> None:
        """Check early, but attribute a failure to stage publish."""
        if publisher:
            before, self.stage = self.stage, "publish"
            publisher.check_push_access()
            self.stage = before

    @contextmanager
    def _stage(self, name: str) -> Iterator[Dict[str, Any]]:
        """Log the start and the end of a stage, with what it adds to the yielded fields. `skipped`: it was done before."""
        self.stage, started = name, time.monotonic()
        log.event("start", stage=name)
        outcome: Dict[str, Any] = {}
        yield outcome
        skipped = outcome.pop("skipped", False)
        seconds = round(time.monotonic() - started, 1)
        log.event("skip" if skipped else "end", stage=name, seconds=seconds, **outcome)
        if self.context and not skipped:
            self.context.stages[name] = seconds


def main(run: Run) -> int:
    log.setup()
    try:
        return execute(run)
    except Interrupted as interruption:
        return fail(run, interruption.error)


def execute(run: Run) -> int:
    """Run or check, and return the exit code. Raises Interrupted, anywhere in here."""
    try:
        interrupts.install()
        if sys.argv[1:] == ["--check"]:
            return check.main(run.home)
        outcome = run.execute()
    except RunnerError as error:
        return fail(run, error)
    except Exception as error:  # whatever it is, the run ends with an exit code and a line in the log
        return fail(run, unexpected_error(run, error))
    interrupts.ignore()
    result.write(run.context, outcome)
    end_tracking(run, "FINISHED")
    release_lease(run, lease.COMPLETED)
    log.event("completed", **{key: outcome.get(key) for key in ("repository", "branch", "commit")})
    return 0


def fail(run: Run, error: RunnerError) -> int:
    """Record the failure, and return its exit code."""
    interrupts.ignore()
    result.write(run.context, result.failed(run.context, run.stage, error))
    end_tracking(run, "KILLED" if error.exit.name == "stopped" else "FAILED")
    hold(run, error)
    release_lease(run, lease.FAILED)
    log.event(
        "failed",
        stage=run.stage or None,
        code=error.exit.code,
        name=error.exit.name,
        reason=error.reason,
        fix=error.fix,
        **{key: error.result[key] for key in ("repository", "branch", "commit") if key in error.result},
    )
    return error.exit.code


def hold(run: Run, error: RunnerError) -> None:
    """Keep the pod for somebody who wants to look at it, as long as `holdAfterFailure` says; not where a retry follows."""
    if run.context is None:
        return
    settings = run.context.settings
    seconds = settings.run.hold_seconds
    if not seconds or (error.exit.retried and run.context.attempt < settings.retries):
        return
    until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))
    log.event(
        "holding",
        stage=run.stage or None,
        code=error.exit.code,
        name=error.exit.name,
        reason=error.reason,
        fix=error.fix,
        until=until,
    )
    ended = interrupts.pause(seconds)
    log.event("held", reason=ended or "holdAfterFailure is over")


def release_lease(run: Run, outcome: str) -> None:
    if run.context:
        run.context.lease.release(outcome)


def end_tracking(run: Run, status: str) -> None:
    if run.tracker:
        run.tracker.end(status)
    elif run.context and is_tracked(run.context):
        from features.mlflow import run as tracked

        tracked.close(run.context, status)


def is_tracked(context: Context) -> bool:
    return bool(context.settings.mlflow.tracking_uri) and context.rank == 0


def ignore_epoch(_epoch: int, _row: Dict[str, Any]) -> None:
    """For runs without a tracking server."""


# Errors of a file system whose device or server fails. A failing FUSE process causes ENOTCONN, as do sockets.
_FAILING_DISK = (errno.EIO, errno.ESTALE, errno.EROFS)


def unexpected_error(run: Run, error: Exception) -> RunnerError:
    """Return the failure for an exception that nothing caught: of a disk, or a bug."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        fix = run.context.workspace.no_space_fix() if run.context else "raise workspace.size"
        workspace = run.context.workspace.root if run.context else Path()
        if error.filename and is_temporary(Path(os.fsdecode(error.filename)), workspace):
            reason = f"the folder for temporary files, on the node's disk, is full: {error}"
            return RunnerError("prepare-no-space", reason, "give the node more ephemeral storage")
        return RunnerError("prepare-no-space", f"no space is left on the workspace: {error}", fix)
    if isinstance(error, OSError) and (
        error.errno in _FAILING_DISK or (error.errno == errno.ENOTCONN and error.filename)
    ):
        fix = "check the file system of the workspace"
        return RunnerError("workspace-lost", f"the disk of the workspace failed: {error}", fix)
    if isinstance(error, PermissionError) and run.stage == "prepare":
        fix = "chmod -R a+rX it, or set securityContext"
        return RunnerError("prepare-failed", f"user {os.getuid()} may not read {error.filename}", fix)
    log.line(traceback.format_exc().rstrip())
    fix = "report this as a bug in trainchart, with the lines above"
    return RunnerError("internal-error", f"{type(error).__name__}: {error}", fix)


def create_home() -> None:
    """Trainers write below HOME, and the image's own may be read-only. Raises RunnerError (verify-failed)."""
    home = Path(os.environ.setdefault("HOME", "/tmp/home"))  # noqa: S108
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunnerError(
            "verify-failed",
            f"HOME ({home}) cannot be created: {error}",
            "use the image with the HOME that the chart sets",
        ) from error


if __name__ == "__main__":
    sys.exit(main(Run(Path(__file__).absolute().parent.parent)))
