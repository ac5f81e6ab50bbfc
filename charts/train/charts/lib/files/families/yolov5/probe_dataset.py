"""Checks that YOLOv5 finds its weights and data, and every record of the dataset, by its own rules. Downloads nothing.

Argument: {"model", "dataset", "train", "hyperparameters", "maxBroken", "scratch"}.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, Dict, List, Optional, Sequence

sys.path.insert(1, str(Path(__file__).resolve().parents[1]))  # for features and runner
from features import yolo
from features.yolo import InputError
from runner import inside

DATA = ("data", "models", "utils")  # folders of the model repository that train.py searches for the description


def probe(
    model: Path, dataset: Path, train: Dict[str, Any], hyperparameters: Sequence[str], most: int, scratch: Path
) -> Dict[str, Any]:
    try:
        start = train["weights"]
        if "/" in start and not (model / start).is_file():
            raise InputError(
                f"train.weights: the model repository has no file {start}",
                "correct train.weights, or push the file to the model repository",
            )
        check_hyperparameters(hyperparameters, train["arguments"], model)
        os.chdir(model)  # as train.py: paths may be relative to it
        return records(train, model, dataset, most, scratch)
    except InputError as error:
        return error.answer()
    except ImportError as error:
        reason = f"the image lacks what the model repository's utils/ imports: {error}"
        return InputError(reason, "use an image with YOLOv5's requirements.txt").answer()


def records(train: Dict[str, Any], model: Path, dataset: Path, most: int, scratch: Path) -> Dict[str, Any]:
    """Return which images the trainer uses, and the description of the data for it. Raises InputError."""
    import yaml

    sources, file = inside.Sources(model, dataset), find(train["data"], model, dataset)
    resolved = yolo.resolve(yolo.read(file, sources, yaml), file, model, dataset, model, sources)
    yolo.check_caches(dataset, model)
    module: Any = trainer_module(model, "dataloaders") or trainer_module(model, "datasets")
    answer: Dict[str, Any] = {"ok": True, "notes": []}
    names = resolved.get("names") or []
    if hasattr(module, "verify_image_label"):
        names = class_names(file.name, resolved, trainer_module(model, "general"))
        single = "--single-cls" in train["arguments"]
        reader = yolo.Reader(
            module.IMG_FORMATS,
            module.img2label_paths,
            lambda image, label: module.verify_image_label((image, label, "")),
            lambda image: module.cv2.imread(image, module.cv2.IMREAD_REDUCED_COLOR_8),
            # train.py counts the names, and ends at a class from that number on.
            is_class=lambda number: single or (number in names and number < len(names)),
            escape=str,
            encoding="utf-8",
        )
        notes = yolo.encoding(file)
        parts = {part: yolo.listed(reader, part, resolved[part], sources, notes) for part in ("train", "val")}
        answer = yolo.check(reader, parts, resolved["path"], most, scratch)
        answer["notes"] += notes
    else:
        answer["notes"].append(
            "images and labels are not checked: the model repository has no verify_image_label in utils/dataloaders.py"
        )
    if train["weights"] and not (model / train["weights"]).is_file():
        answer["notes"].append(
            f"train.weights: the model repository has no {train['weights']}, so the trainer tries to download it"
        )
    if model in file.parents and (dataset / file.name).is_file():
        answer["notes"].append(f"the dataset has a file {file.name} too; that of the model repository is used")
    # Classes as a list, because JSON has no integers as keys.
    listed = [names[number] for number in sorted(names)] if isinstance(names, dict) else names
    answer["data"] = {**{key: resolved[key] for key in ("train", "val", "test") if resolved.get(key)}, "names": listed}
    return answer


def find(name: str, model: Path, dataset: Path) -> Path:
    """Return the file that YOLOv5's check_file finds, else one of the dataset. Raises InputError."""
    if (model / name).is_file():
        return model / name
    found = [path for folder in DATA if not Path(name).is_absolute() for path in sorted((model / folder).rglob(name))]
    if len(found) > 1:
        raise InputError(
            f"train.data: the model repository has {len(found)} files {name}",
            f"name one with its path, such as {found[0].relative_to(model)}",
        )
    own = found[0] if found else yolo.search(name, dataset)
    if own is None:
        raise InputError(
            f"train.data: neither the model repository, with its folder data/, nor the dataset has a file {name}",
            yolo.other(dataset, name) or "correct train.data, or push the file to the dataset repository",
        )
    return own


def trainer_module(model: Path, name: str) -> Optional[ModuleType]:
    """Import a module of the model repository's utils/, as train.py does; None if there is none."""
    file = model / "utils" / f"{name}.py"
    if not file.is_file():
        return None
    # The packaged YOLOv5 imports itself by this name.
    packaged = re.search(r"^from yolov5\.", file.read_text(encoding="utf-8"), re.MULTILINE)
    sys.path[1:1] = [str(model), str(model.parent)]
    return importlib.import_module(f"yolov5.utils.{name}" if packaged else f"utils.{name}")


def class_names(file: str, resolved: Dict[str, Any], general: Any) -> Dict[int, str]:
    """Return the names of the classes, as the trainer reads the description. Raises InputError."""
    general.check_font = lambda *_, **__: None  # it would download one
    try:
        names: Dict[int, str] = general.check_dataset(dict(resolved), autodownload=False)["names"]
        return names
    except Exception as error:  # whatever it raises for an invalid description
        text = " ".join(str(error).encode("ascii", "ignore").decode().split())
        raise InputError(f"train.data: {file}: {text}", "correct the file") from error


def check_hyperparameters(names: Sequence[str], arguments: List[str], model: Path) -> None:
    """Raise InputError for a parameter of a search that the trainer's file of hyperparameters does not have."""
    if not names:
        return
    import yaml

    name = arguments[arguments.index("--hyp") + 1] if "--hyp" in arguments[:-1] else "data/hyps/hyp.scratch-low.yaml"
    if not (model / name).is_file():
        raise InputError(
            f"the model repository has no file {name}", "push it, or name another in train.arguments: --hyp"
        )
    known = yaml.safe_load((model / name).read_text(encoding="utf-8"))
    for each in sorted(set(names) - set(known)):
        raise InputError(
            f"tune.space.{each}: {Path(name).name} has no such hyperparameter; it has {', '.join(sorted(known))}",
            "correct the name in tune.space",
        )


if __name__ == "__main__":
    argument = json.loads(sys.argv[1])
    model, dataset, scratch = (Path(argument[name]) for name in ("model", "dataset", "scratch"))
    settings = argument["train"], argument["hyperparameters"], argument["maxBroken"]
    print(json.dumps(probe(model, dataset, *settings, scratch)))
