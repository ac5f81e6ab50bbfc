"""Checks the trainer's model, data and options, and every record of the dataset.

Argument: {"model", "dataset", "train", "hyperparameters", "maxBroken", "scratch"}.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any, Dict, List, Sequence

import inputs

from features import yolo
from features.yolo import InputError
from runner import inside

# In the name of a model's class: a task other than detection.
TASKS = re.compile("Semantic|Segment|Pose|OBB|Classif|Depth")


def probe(
    model: Path, dataset: Path, train: Dict[str, Any], hyperparameters: Sequence[str], most: int, scratch: Path
) -> Dict[str, Any]:
    try:
        weights = inputs.find_model(train["model"], model)
        chosen = {"optimizer": train["optimizer"], **inputs.options(train["arguments"])}
        inputs.check_names(hyperparameters)
        if model.is_dir():
            os.chdir(model)  # as the trainer: paths in lists of images may be relative to it
        file = inputs.find_data(train["data"], dataset, model)
        described = inputs.describe(file, dataset, model)
        yolo.check_caches(dataset, model)
        inputs.check_formats(train["exportFormats"])
        inputs.check_options(chosen)
        load(weights, train["model"])
        answer = records(described, chosen, inside.Sources(dataset, model), most, scratch)
        answer["notes"] += yolo.encoding(file)
        return answer
    except InputError as error:
        return error.answer()
    except ImportError as error:
        return InputError(f"the image lacks a library: {error}", "use an image with ultralytics 8.4").answer()


def records(
    described: Dict[str, Any], chosen: Dict[str, Any], sources: inside.Sources, most: int, scratch: Path
) -> Dict[str, Any]:
    """Return which images the trainer uses. Raises InputError."""
    import cv2
    import run
    import yaml
    from ultralytics.data import utils
    from ultralytics.utils import patches

    run.prepare()
    file = scratch / "dataset.yaml"
    file.write_text(yaml.safe_dump(described, allow_unicode=True), encoding="utf-8")
    try:
        data = utils.check_det_dataset(str(file), autodownload=False)
        keypoints, dimensions = data.get("kpt_shape", (0, 0))
    except Exception as error:  # whatever ultralytics raises for an invalid description
        text = " ".join(str(error).replace(f"{file} ", "").split())[:300]
        raise InputError(f"train.data: {text}", "correct the description of the data") from error
    single = bool(chosen.get("single_cls"))
    classes = 1 if single else len(data["names"])

    def verify(image: str, label: str) -> Any:
        return utils.verify_image_label((image, label, "", False, classes, keypoints, dimensions, single))

    wanted = chosen.get("classes")
    wanted = {wanted} if isinstance(wanted, int) else wanted
    reader = yolo.Reader(
        utils.IMG_FORMATS,
        utils.img2label_paths,
        verify,
        lambda image: patches.imread(image, cv2.IMREAD_REDUCED_COLOR_8),
        is_wanted=lambda number: wanted is None or number in wanted,
    )
    notes: List[str] = []
    listed = {part: yolo.listed(reader, part, data[part], sources, notes) for part in ("train", "val")}
    used = {part: files[: limit(chosen.get("fraction", 1.0), part, len(files))] for part, files in listed.items()}
    answer = yolo.check(reader, used, described["path"], most, scratch)
    answer["notes"] += notes
    for part in answer["parts"]:
        part["total"] = len(listed[part["part"]])
    return answer


def limit(fraction: Any, part: str, images: int) -> int:
    """Return how many images of a part the trainer's option leaves."""
    from ultralytics.data import utils

    split = getattr(utils, "get_split_fraction", lambda share, part: share if part == "train" else 1.0)
    share = split(fraction, part)
    return share if isinstance(share, int) else max(1, round(images * share))


def load(model: str, name: str) -> None:
    """Build the model of a description, or read weights without unpickling them. Raises InputError."""
    from ultralytics import YOLO

    from features import torchfiles

    try:
        task = task_of(torchfiles.read_torch(Path(model))) if model.endswith(".pt") else YOLO(model).task
    except ImportError:
        raise
    except Exception as error:  # whatever ultralytics raises for an invalid description
        raise InputError(
            f"train.model: {name} cannot be loaded: {' '.join(str(error).split())[:300]}",
            "name a file that ultralytics wrote, or a description that it knows, such as yolov8n.yaml",
        ) from error
    if task != "detect":
        raise InputError(f"train.model: {name} is for the task {task}", "name a detection model such as yolov8n.yaml")


def task_of(state: Any) -> str:
    """Return the task of a checkpoint's model: the recorded one, or that of its class. Raises ValueError."""
    model = (state.get("ema") or state.get("model")) if isinstance(state, dict) else None
    if not isinstance(model, dict):
        raise ValueError("it has no model")
    name = str(getattr(model, "name", ""))
    if not name.startswith("ultralytics."):
        raise ValueError(f"it has a {name or 'mapping'}, not a model of ultralytics")
    options = model.get("args")
    recorded = model.get("task") or (options.get("task") if isinstance(options, dict) else None)
    other = TASKS.search(name)
    return str(recorded or (other.group().lower() if other else "detect"))


if __name__ == "__main__":
    argument = json.loads(sys.argv[1])
    model, dataset, scratch = (Path(argument[name]) for name in ("model", "dataset", "scratch"))
    settings = argument["train"], argument["hyperparameters"], argument["maxBroken"]
    print(json.dumps(probe(model, dataset, *settings, scratch)))
