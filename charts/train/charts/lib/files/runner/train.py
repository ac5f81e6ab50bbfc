"""Stage train: runs the family's trainer, alone or under torchrun, and interprets its exit."""

from __future__ import annotations

import contextlib
import math
import re
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

from . import checkpoint, log, process, tracebacks
from .context import Context
from .errors import RunnerError
from .family import Family

Track = Callable[[int, Dict[str, Any]], None]  # called with every finished epoch and its metrics

_LOSS = re.compile(r"(?:.*/)?(?:train[-_]?)?loss", re.IGNORECASE)
_EVALUATED = re.compile(r"(?:^|[^a-z])(?:val|eval|test)", re.IGNORECASE)
_PEER_LOST = re.compile(
    r"Connection (reset|closed) by peer|Broken pipe|DistNetworkError|DistStoreError|Rendezvous\w*Error|client socket has (failed|timed out)"
    r"|[Tt]imed out waiting|[Ss]ocket [Tt]imeout|remote process exited|NCCL.*(remote|network) error|ncclRemoteError|Gloo connectFullMesh|gloo/transport/"
)


class Progress:
    """Logs every finished epoch and every complete checkpoint once, while the trainer runs.

    A killed attempt may have left rows that it had not reported yet, so the reported ones are recorded. Rows up to the
    checkpoint are reported at once; later ones belong to epochs that are trained again, and are reported after that.
    """

    def __init__(self, context: Context, family: Family, track: Track) -> None:
        self._context = context
        self._family = family
        self._track = track
        self.problem = ""
        self._reported = context.output / ".reported"
        self._logged: Dict[int, str] = {}  # rows as text, in which NaN equals itself
        self._stale: Dict[int, str] = {}
        if context.resume_from:
            self._resume(context.resumed.get("epoch", sys.maxsize))
        self._checkpoint = context.resume_from
        self._sizes: Dict[Path, int] = {}  # of the candidates, at the last poll
        self._diverged = ""

    def _resume(self, trained: int) -> None:
        with contextlib.suppress(OSError, ValueError):
            lines = self._reported.read_text(encoding="utf-8").split("\n")[:-1]
            self._logged = {int(epoch): row for epoch, _, row in (line.partition(" ") for line in lines)}
        for epoch, row in rows_by_epoch(self._family).items():
            if epoch > trained:
                self._stale[epoch] = repr(row)
            elif self._logged.get(epoch) == repr(row):
                self._track(epoch, row)  # the server may have missed it

    @property
    def reached(self) -> str:
        """The last finished epoch, in words."""
        if not self._logged:
            return " before it reported an epoch"
        epochs = self._context.train.get("epochs")
        return f" after epoch {max(self._logged)}" + (f" of {epochs}" if epochs else "")

    def poll(self, finished: bool = False) -> None:
        """Log what is new. `finished`: the trainer has exited, so rows that a checkpoint does not cover count too."""
        rows: Dict[int, Dict[str, Any]] = {}
        try:
            rows = rows_by_epoch(self._family)
            self._checkpoints()
        except Exception as error:  # metrics never fail a training; the file may be half written right now
            self.problem = repr(error)
        else:
            self.problem = ""
        for epoch, row in rows.items():
            text = repr(row)
            if text == self._logged.get(epoch) or (text == self._stale.get(epoch) and not finished):
                continue
            self._logged[epoch] = text
            before, self._diverged = self._diverged, not_finite(row)
            if self._diverged and not before:
                reason = f"epoch {epoch}: {self._diverged}; a training that ends so is not published"
                log.event("warning", reason=reason)
            log.event("metrics", **{"epoch": epoch, "epochs": self._context.train.get("epochs"), **row})
            self._track(epoch, row)
            with contextlib.suppress(OSError), self._reported.open("a", encoding="utf-8") as reported:
                reported.write(f"{epoch} {text}\n")

    def _checkpoints(self) -> None:
        """Log a checkpoint that has not grown since the last poll, and remove those that it makes stale."""
        sizes = {path: checkpoint.size(path) for path in checkpoint.candidates(self._family)}
        complete = next((path for path, size in sizes.items() if self._sizes.get(path) == size), None)
        self._sizes = sizes
        if complete is None or complete == self._checkpoint:
            return
        self._checkpoint = complete
        log.event("checkpoint", path=complete.relative_to(self._context.output), bytes=sizes[complete])
        checkpoint.remove_stale(self._context, self._family)


def rows_by_epoch(family: Family) -> Dict[int, Dict[str, Any]]:
    """Return the metrics so far. Of an epoch that was repeated after a resume, the last row counts."""
    rows = family.call("metrics", "train-failed")
    return {int(row["epoch"]): dict(row) for row in rows}


def train(context: Context, family: Family, track: Track) -> bool:
    """Train. Returns False if an earlier attempt has finished it. Rank 0 marks the stage for all: no rank finishes
    without the others.
    """
    if context.workspace.is_marked("train", depends_on(context)):
        return False
    if context.settings.replicas > 1:
        from features import gang

        context.master_ip = gang.wait_for_service(context)
    finished = checkpoint.choose(context, family, depends_on(context))
    if not finished:
        run_trainer(context, family, track)
    elif context.rank == 0:
        Progress(context, family, track).poll(finished=True)
        refuse_diverged(family)
    if context.rank == 0:
        context.lease.check()
        context.workspace.mark("train", depends_on(context))
    return True


def refuse_diverged(family: Family) -> None:
    """Raise RunnerError if the last epoch has no finite loss: the model is worthless."""
    rows = rows_by_epoch(family)
    found = not_finite(rows[max(rows)]) if rows else ""
    if found:
        reason = f"the training has diverged: in its last epoch, {max(rows)}, {found}; nothing is published"
        fix = "lower the learning rate, look for invalid numbers in the data, or train in full precision"
        raise RunnerError("train-diverged", reason, fix)


def not_finite(row: Dict[str, Any]) -> str:
    """Return which losses of the training are not finite, or "". If one is called just `loss`, the others may be."""
    losses = {key: value for key, value in row.items() if isinstance(value, float) and "loss" in key.lower()}
    names = [name for name in losses if not _EVALUATED.search(name)]
    own = [name for name in names if _LOSS.fullmatch(name)] or names
    return ", ".join(f"{name} is {losses[name]}" for name in own if not math.isfinite(losses[name]))


def run_trainer(context: Context, family: Family, track: Track) -> None:
    """Run the trainer. Raises RunnerError if it fails."""
    if family.has("configure"):
        family.call("configure", "train-failed")
    argv = command(context, family)
    progress = Progress(context, family, track) if context.rank == 0 else None
    cwd = context.model if context.model.is_dir() else context.folder
    try:
        done = process.run(argv, cwd, family.program_environment(), tick=progress.poll if progress else None)
    except OSError as error:
        raise cannot_start("train-failed", argv, error) from error
    if progress:
        progress.poll(finished=True)
        if progress.problem:
            log.event("warning", reason=f"the metrics cannot be read: {progress.problem}")
    failure = find_failure(context, done, progress.reached if progress else "")
    if failure and failure.exit.name == "peer-lost":
        # The rank with the cause must exit first: its exit code decides what happens to the Job.
        seconds = context.settings.pod.peer_grace_seconds
        log.event(
            "waiting", reason=f"the trainer lost a peer; waiting {seconds} seconds for that rank to report the cause"
        )
        time.sleep(seconds)
    if failure:
        raise failure
    if progress:
        refuse_diverged(family)


def last_metrics(family: Family) -> Dict[str, Any]:
    """Return the last epoch's row, with the number of trained epochs."""
    rows = rows_by_epoch(family)
    if not rows:
        return {}
    last = {
        key: value for key, value in rows[max(rows)].items() if not isinstance(value, float) or math.isfinite(value)
    }
    return {"epochs": len(rows), **{key: value for key, value in last.items() if key != "epoch"}}


def depends_on(context: Context) -> Any:
    settings = context.settings
    return {
        "train": context.train,
        "family": [settings.family, asdict(settings.run.family)],
        "topology": [settings.replicas, settings.run.processes],
        "commits": {name: pinned.commit for name, pinned in context.sources.items()},
        **({"env": settings.env} if settings.env else {}),  # a program may read all its settings from there
        # Without a model source, the trainer is the image's.
        **({} if "model" in context.sources else {"image": settings.image}),
    }


def command(context: Context, family: Family) -> List[str]:
    """Return the trainer's whole argument list: a program of the image, or its Python, alone or under torchrun."""
    if family.has("train_command"):
        return [str(argument) for argument in family.call("train_command", "train-failed")]
    arguments = [str(argument) for argument in family.call("train_arguments", "train-failed")]
    settings = context.settings
    if settings.run.family.launcher != "torchrun" or context.world_size == 1:
        return [sys.executable, *arguments]
    launcher = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nnodes",
        str(settings.replicas),
        "--nproc_per_node",
        str(settings.run.processes),
    ]
    return [
        *launcher,
        "--node_rank",
        str(context.rank),
        "--master_addr",
        context.master,
        "--master_port",
        str(settings.pod.port),
        *arguments,
    ]


def cannot_start(code: str, argv: List[str], error: OSError) -> RunnerError:
    return RunnerError(
        code, f"{argv[0]} cannot be started: {error}", "correct the command, or use an image that has it"
    )


def find_failure(context: Context, done: process.Finished, reached: str = "") -> Optional[RunnerError]:
    """Return why the trainer failed, or None if it succeeded. `reached` says which epoch it had finished."""
    if done.code == 0:
        return None
    if done.out_of_memory:
        return RunnerError(
            "train-out-of-memory",
            "the kernel killed the trainer: it needed more memory than the pod's limit",
            "raise resources.limits.memory, or lower the batch size or workers",
        )
    killed = done.killed("the trainer")
    if killed:
        return RunnerError("train-killed", killed.reason, killed.fix)
    cause = tracebacks.cause(done.tail, _PEER_LOST)
    where = " in its evaluation" if cause.in_evaluation else ""
    reason = f"the trainer exited with code {done.code}{where}{reached}: {cause}"
    if context.settings.replicas > 1 and _PEER_LOST.search(cause.message):
        return RunnerError("peer-lost", reason, "see the log of the rank that failed first")
    return RunnerError("train-failed", reason, cause.fix("see the trainer's output above"))
