"""Checks that YOLOv5 can resume from a checkpoint. Argument: {"path", "train"}.

Its checkpoints are pickled models, which `weights_only` refuses, so they are read without unpickling.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Dict


def probe(path: str, train: Dict[str, Any]) -> Dict[str, Any]:
    from features import torchfiles

    try:
        epoch = int(torchfiles.read_torch(Path(path))["epoch"])
    except torchfiles.WeightsError as error:
        return failure(f"it cannot be loaded: {error}")
    except (KeyError, TypeError, ValueError):
        return failure("it is not a checkpoint of YOLOv5: it has no epoch")
    # train.py counts from 0, and writes -1 when a training has finished; it cannot resume from its last epoch.
    finished = epoch < 0 or epoch + 1 >= int(train["epochs"])
    return {"ok": True, "epoch": int(train["epochs"]) if epoch < 0 else epoch + 1, "finished": finished}


def failure(reason: str) -> Dict[str, Any]:
    return {"ok": False, "reason": reason, "fix": "nothing: the previous checkpoint is tried"}


if __name__ == "__main__":
    sys.path.insert(1, str(Path(__file__).resolve().parents[1]))  # for features
    print(json.dumps(probe(**json.loads(sys.argv[1]))))
