"""Can YOLOv5 resume from this checkpoint? Argument: {"path", "train"}.

Its checkpoints are whole pickled models, which `weights_only` refuses: it is read without being unpickled.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Dict


def probe(path: str, train: Dict[str, Any]) -> Dict[str, Any]:
    from features import weights

    try:
        epoch = int(weights.read_torch(Path(path))["epoch"])
    except weights.WeightsError as error:
        return no(f"it cannot be loaded: {error}")
    except (KeyError, TypeError, ValueError):
        return no("it is no checkpoint of YOLOv5: it has no number of an epoch")
    # train.py counts from 0, and writes -1 into a training that is over; from its last epoch it cannot resume.
    finished = epoch < 0 or epoch + 1 >= int(train["epochs"])
    return {"ok": True, "epoch": int(train["epochs"]) if epoch < 0 else epoch + 1, "finished": finished}


def no(reason: str) -> Dict[str, Any]:
    return {"ok": False, "reason": reason, "fix": "none is needed"}


if __name__ == "__main__":
    sys.path.insert(1, str(Path(__file__).resolve().parents[1]))  # for features
    print(json.dumps(probe(**json.loads(sys.argv[1]))))
