"""Logs and records of made-up runs, written by the runner's own log."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runner import log
from trainchart.run.events import Progress
from trainchart.run.record import Record, load_files, moment, status_of

DATA = Path(__file__).parent.parent / "data"
Tell = Callable[..., None]


def written(write: Callable[[Tell], None]) -> list[str]:
    """The lines of what a function tells."""
    lines: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log, "line", lines.append)
        write(log.event)
    return lines


def made(write: Callable[[Tell], None], **known: Any) -> Record:
    """The record of a run that told this."""
    progress = Progress()
    for line in written(write):
        progress.feed(line)
    result = known.get("result")
    return Record(
        name=known.get("name", "run-42"),
        namespace=known.get("namespace", "training"),
        settings=known.get("settings", {}),
        result=result,
        progress=progress,
        status=status_of(progress, result),
        started=moment(progress.began),
        ended=moment(progress.latest),
    )


def real() -> Record:
    """A run of the end-to-end tests: two epochs of a small detector."""
    folder = DATA / "run-42"
    return load_files(
        "run-42",
        "training",
        log=folder / "run.log",
        result=folder / "result.json",
        settings=folder / "settings.json",
    )


def resumed(tell: Tell) -> None:
    tell("run", run="run-42", uid="u", attempt=1, rank=0, replicas=2)
    tell("start", stage="prepare")
    tell("skip", stage="prepare", seconds=0.1)
    tell("start", stage="train")
    tell("resume", checkpoint="last.pt", epoch=12, finished=False)
    for epoch in range(1, 31):
        rest = math.exp(-epoch / 8)
        tell(
            "metrics",
            epoch=epoch,
            epochs=30,
            **{"train/loss": 2 * rest, "val/loss": 2.2 * rest, "accuracy": 1 - rest, "lr0": 0.01 * (1 - epoch / 31)},
        )
    tell("end", stage="train", seconds=3600.0)
    tell("completed", repository="https://git.example.com/a.git", branch="sft-1", commit="c" * 40)


def failed(tell: Tell) -> None:
    tell("run", run="run-42", uid="u", attempt=0, rank=0, replicas=1)
    tell("start", stage="verify")
    tell("end", stage="verify", seconds=2.1)
    tell("start", stage="prepare")
    tell(
        "failed",
        stage="prepare",
        code=30,
        name="prepare-failed",
        reason='no branch "v7" <b>',
        fix="name one that is there",
    )


def empty(tell: Tell) -> None:
    tell("run", run="run-42", uid="u", attempt=0, rank=0, replicas=1)
    tell("start", stage="train")
    tell("end", stage="train", seconds=5.0)
    tell("completed")


def huge(tell: Tell) -> None:
    chance = random.Random(1)
    tell("start", stage="train")
    for epoch in range(1, 2001):
        rest = (2000 - epoch) / 2000
        names = ("box_loss", "cls_loss", "dfl_loss", "obj_loss", "l1_loss", "accuracy", "recall", "lr0", "x", "y")
        row = {f"{split}/{name}": rest + chance.random() / 10 for split in ("train", "val") for name in names}
        tell("metrics", epoch=epoch, epochs=2000, **row)


def strange(tell: Tell) -> None:
    """Numbers that are none, and names that want to be code."""
    tell("start", stage="train")
    for epoch in range(1, 41):
        loss = math.nan if 10 < epoch < 15 else math.inf if epoch == 25 else math.exp(-epoch / 9)
        names = {"<script>alert(1)</script>": 1e308 * epoch, "\"><img src=x onerror=alert(1)> 'accuracy": math.nan}
        tell("metrics", epoch=epoch, epochs=40, loss=loss, **names)
    tell("warning", reason="</style><script>alert(2)</script>\x1b[31m")


def search(tell: Tell) -> None:
    tell("start", stage="train")
    for number in range(6):
        tell("trial", number=number, state="begins", parameters=json.dumps({"lr0": 0.01 * (number + 1)}))
        if number == 3:
            tell("trial", number=number, state="failed", reason="out of memory")
            continue
        for epoch in (1, 2, 3):
            tell("metrics", epoch=epoch, epochs=3, score=number / 10 + epoch / 100)
        tell("trial", number=number, state="complete", value=number / 10 + 0.03)
    tell("best", trial=5, value=0.53, parameters=json.dumps({"lr0": 0.06}))


RUNS = {"resumed": resumed, "failed": failed, "empty": empty, "huge": huge, "strange": strange, "search": search}
