"""What a training left behind. Standard library only."""

from __future__ import annotations

from pathlib import Path
from typing import List, Optional


def checkpoints(trained: Path) -> List[Path]:
    """The trainer's checkpoint-N, newest first, whole or not."""
    found = [path for path in trained.glob("checkpoint-*") if path.name[len("checkpoint-") :].isdigit()]
    return sorted(found, key=lambda path: int(path.name[len("checkpoint-") :]), reverse=True)


def weights(trained: Path) -> Optional[Path]:
    """The folder with the final weights. The trainer writes train_results.json after them; a run that was killed between its last
    checkpoint and that has the same weights in the checkpoint, for it has no steps left to make."""
    if (trained / "train_results.json").is_file():
        return trained
    return next(iter(checkpoints(trained)), None)
