"""Can YOLOv5 resume from this checkpoint? Argument: {"path", "train"}. A half-written file cannot be loaded."""

from __future__ import annotations

import json
import sys
from typing import Any, Dict


def probe(path: str, train: Dict[str, Any]) -> Dict[str, Any]:
    import torch

    try:
        epoch = int(torch.load(path, map_location="cpu")["epoch"])
    except Exception as error:  # whatever the pickle of a torn file makes of itself
        return {"ok": False, "reason": f"it cannot be loaded: {type(error).__name__}: {error}", "fix": "none is needed"}
    # train.py counts from 0, and writes -1 into a training that is over; from its last epoch it cannot resume.
    finished = epoch < 0 or epoch + 1 >= int(train["epochs"])
    return {"ok": True, "epoch": int(train["epochs"]) if epoch < 0 else epoch + 1, "finished": finished}


if __name__ == "__main__":
    print(json.dumps(probe(**json.loads(sys.argv[1]))))
