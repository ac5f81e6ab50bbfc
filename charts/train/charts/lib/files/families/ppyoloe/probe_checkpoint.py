"""Checks that PaddleDetection can resume from a snapshot, by loading it. Argument: {"path", "train"}."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Dict


def probe(path: str, train: Dict[str, Any]) -> Dict[str, Any]:
    from features import weights

    snapshot, epoch = Path(path), 0
    parts = [snapshot.with_suffix(".pdparams"), snapshot]
    average = snapshot.with_suffix(".pdema")
    try:
        for part in [*parts, *([average] if average.is_file() else [])]:
            state = weights.read_pickle(part)
            if part == snapshot:
                epoch = int(state["last_epoch"])
        if snapshot.stem == "model_final":
            load_best(snapshot.parent)
    except (weights.WeightsError, KeyError, TypeError, ValueError) as error:
        return {
            "ok": False,
            "reason": f"it cannot be loaded: {type(error).__name__}: {error}",
            "fix": "nothing: the previous checkpoint is tried",
        }
    return {"ok": True, "epoch": epoch, "finished": snapshot.stem == "model_final" and epoch >= int(train["epochs"])}


def load_best(folder: Path) -> None:
    """Load best_model, which the evaluation after the last epoch writes: a truncated one must be written again."""
    from features import weights

    if (folder / "best_model.pdparams").is_file():
        for part in (".pdparams", ".pdopt"):
            weights.read_pickle(folder / f"best_model{part}")


if __name__ == "__main__":
    sys.path.insert(1, str(Path(__file__).resolve().parents[1]))  # for features
    print(json.dumps(probe(**json.loads(sys.argv[1]))))
