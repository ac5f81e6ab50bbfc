"""Finds the output of a training. Standard library only."""

from __future__ import annotations

from pathlib import Path
from typing import List, Optional


def checkpoints(trained: Path) -> List[Path]:
    """Return the trainer's folders checkpoint-N, newest first, complete or not."""
    found = [path for path in trained.glob("checkpoint-*") if path.name[len("checkpoint-") :].isdigit()]
    return sorted(found, key=lambda path: int(path.name[len("checkpoint-") :]), reverse=True)


def weights(trained: Path) -> Optional[Path]:
    """Return the folder with the final weights, or None. The trainer writes train_results.json after them; a run that
    was killed between its last checkpoint and that file has the same weights in the checkpoint.
    """
    if (trained / "train_results.json").is_file():
        return trained
    return next(iter(checkpoints(trained)), None)
