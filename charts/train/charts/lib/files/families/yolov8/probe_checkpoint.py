"""Checks that the training can resume from a checkpoint, and returns its epoch. Argument: {"path", "train"}."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Dict


def probe(path: str) -> Dict[str, Any]:
    from features import torchfiles

    try:
        state = torchfiles.read_torch(Path(path))
    except torchfiles.WeightsError as error:
        return failure(
            f"{path} cannot be loaded: {error}", "nothing: it is incomplete, and the previous checkpoint is tried"
        )
    if not isinstance(state, dict) or not {"epoch", "optimizer", "train_args"} <= set(state):
        return failure(f"{path} is not a checkpoint of ultralytics", "let only the trainer write to the output folder")
    options, epoch = state["train_args"], int(state["epoch"])
    if epoch < 0:  # the trainer strips it at the end
        rows = (state.get("train_results") or {}).get("epoch") or [options["epochs"]]
        return {"ok": True, "epoch": int(max(rows)), "finished": True}
    if state["optimizer"] is None:
        return failure(
            f"{path} has no optimizer state", "nothing: it has weights only, and the previous checkpoint is tried"
        )
    # A training that is limited by time may continue beyond the epochs.
    return {"ok": True, "epoch": epoch + 1, "finished": not options.get("time") and epoch + 1 >= int(options["epochs"])}


def failure(reason: str, fix: str) -> Dict[str, Any]:
    return {"ok": False, "reason": reason, "fix": fix}


if __name__ == "__main__":
    sys.path.insert(1, str(Path(__file__).resolve().parents[1]))  # for features
    print(json.dumps(probe(json.loads(sys.argv[1])["path"])))
