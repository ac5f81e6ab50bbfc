"""Checks the trainer's model, data and options, and every record of the dataset.

Argument: {"model", "dataset", "train"}, and "hyperparameters", the names of the parameters that a search tunes.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Dict, Sequence

import inputs

# By a part of the model's class name, tasks other than detection.
TASKS = {
    "Semantic": "semantic",
    "Seg": "segment",
    "Pose": "pose",
    "OBB": "obb",
    "Classif": "classify",
    "Depth": "depth",
}


def probe(
    repository: Path, dataset: Path, train: Dict[str, Any], hyperparameters: Sequence[str] = ()
) -> Dict[str, Any]:
    try:
        model = inputs.find_model(train["model"], repository)
        chosen = {"optimizer": train["optimizer"], **inputs.options(train["arguments"])}
        inputs.check_names(hyperparameters)
        file = inputs.find_data(train["data"], dataset, repository)
        described = inputs.describe(file, dataset, repository)
        inputs.check_caches(dataset)
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
    """Build the model from a description, as the trainer does, or read weights without unpickling them. Raises
    InputError.
    """
    from ultralytics import YOLO

    from features import weights

    try:
        task = task_of(weights.read_torch(Path(model))) if model.endswith(".pt") else YOLO(model).task
    except ImportError:
        raise
    except Exception as error:  # whatever ultralytics raises for an invalid description
        raise inputs.InputError(
            f"train.model: {name} cannot be loaded: {' '.join(str(error).split())[:300]}",
            "name a file that ultralytics wrote, or a description that it knows, such as yolov8n.yaml",
        ) from error
    if task != "detect":
        raise inputs.InputError(
            f"train.model: {name} is for the task {task}", "name a detection model such as yolov8n.yaml"
        )


def task_of(state: Any) -> str:
    """Return the task of the model in a checkpoint, which the trainer recorded, or which its class is for. Raises
    ValueError.
    """
    model = (state.get("ema") or state.get("model")) if isinstance(state, dict) else None
    if not isinstance(model, dict):
        raise ValueError("it has no model")
    name = str(getattr(model, "name", ""))
    if not name.startswith("ultralytics."):
        raise ValueError(f"it has a {name or 'mapping'}, not a model of ultralytics")
    options = model.get("args")
    recorded = model.get("task") or (options.get("task") if isinstance(options, dict) else None)
    return str(recorded or next((task for part, task in TASKS.items() if part in name), "detect"))


if __name__ == "__main__":
    sys.path.insert(1, str(Path(__file__).resolve().parents[1]))  # for features
    argument = json.loads(sys.argv[1])
    folders = Path(argument["model"]), Path(argument["dataset"])
    print(json.dumps(probe(*folders, argument["train"], argument.get("hyperparameters", ()))))
