"""Will the trainer find its model, its data and its options, and is every record one?

Argument: {"model", "dataset", "train"}, and "hyperparameters", the names that a search tries.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Dict, Sequence

import inputs


def probe(
    repository: Path, dataset: Path, train: Dict[str, Any], hyperparameters: Sequence[str] = ()
) -> Dict[str, Any]:
    try:
        model = inputs.find_model(train["model"], repository)
        chosen = {"optimizer": train["optimizer"], **inputs.options(train["arguments"])}
        inputs.check_names(hyperparameters)
        file = inputs.find_data(train["data"], dataset, repository)
        described = inputs.describe(file, dataset, repository)
        inputs.check_formats(train["exportFormats"])
        inputs.check_options(chosen)
        load(model, train["model"])
        return {"ok": True, "data": str(file), "images": inputs.check_records(described)}
    except inputs.InputError as error:
        return error.answer()
    except ImportError as error:
        return {
            "ok": False,
            "reason": f"the image lacks a library: {error}",
            "fix": "use an image with ultralytics 8.4",
        }


def load(model: str, name: str) -> None:
    """Builds it, as the trainer will."""
    from ultralytics import YOLO

    try:
        task = YOLO(model).task
    except ImportError:
        raise
    except Exception as error:  # whatever a file that is none makes of the unpickler
        raise inputs.InputError(
            f"train.model: {name} cannot be loaded: {' '.join(str(error).split())[:300]}",
            "name a file that ultralytics wrote, or a description that it knows, such as yolov8n.yaml",
        ) from error
    if task != "detect":
        raise inputs.InputError(
            f"train.model: {name} is for the task {task}", "name a detection model such as yolov8n.yaml"
        )


if __name__ == "__main__":
    argument = json.loads(sys.argv[1])
    folders = Path(argument["model"]), Path(argument["dataset"])
    print(json.dumps(probe(*folders, argument["train"], argument.get("hyperparameters", ()))))
