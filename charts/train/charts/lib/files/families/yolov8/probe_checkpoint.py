"""Can the training go on from this checkpoint, and how far had it come? Argument: {"path", "train"}."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Dict


def probe(path: str) -> Dict[str, Any]:
    from features import weights

    try:
        state = weights.read_torch(Path(path))
    except weights.WeightsError as error:
        return no(f"{path} cannot be loaded: {error}", "it was cut off while it was written")
    if not isinstance(state, dict) or not {"epoch", "optimizer", "train_args"} <= set(state):
        return no(f"{path} is no checkpoint of ultralytics", "leave the output folder to the trainer")
    options, epoch = state["train_args"], int(state["epoch"])
    if epoch < 0:  # what the trainer strips at the end
        rows = (state.get("train_results") or {}).get("epoch") or [options["epochs"]]
        return {"ok": True, "epoch": int(max(rows)), "finished": True}
    if state["optimizer"] is None:
        return no(f"{path} has no state of the optimizer", "it holds weights only, and cannot be resumed")
    # A training that is limited by time goes on for as many epochs as fit in.
    return {"ok": True, "epoch": epoch + 1, "finished": not options.get("time") and epoch + 1 >= int(options["epochs"])}


def no(reason: str, fix: str) -> Dict[str, Any]:
    return {"ok": False, "reason": reason, "fix": fix}


if __name__ == "__main__":
    sys.path.insert(1, str(Path(__file__).resolve().parents[1]))  # for features
    print(json.dumps(probe(json.loads(sys.argv[1])["path"])))
