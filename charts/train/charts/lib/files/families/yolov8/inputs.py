"""Finds and checks the trainer's model, data and options. Nothing is downloaded. Used by run.py and the probes."""

from __future__ import annotations

import ast
import difflib
import importlib.util
import sys
from pathlib import Path
from typing import Any, Dict, Iterable, List

sys.path.insert(1, str(Path(__file__).resolve().parents[1]))  # for features and runner
from features import yolo
from features.yolo import InputError
from runner import inside

IMAGE_WEIGHTS = Path("/opt/weights")
"""The folder in which a training image may have weights."""

OWNED = {
    *("model", "data", "epochs", "batch", "imgsz", "workers", "device", "optimizer", "format", "mode", "task", "cfg"),
    *("project", "name", "exist_ok", "resume", "save", "save_period", "save_dir"),
}
"""Options that the run sets, by a setting of `train` or always."""

# Libraries that an export needs; the trainer would try to install them.
LIBRARIES = {
    "onnx": "onnx onnxruntime onnxslim",
    "openvino": "openvino",
    "engine": "tensorrt onnx onnxslim",
    "ncnn": "ncnn pnnx",
    "coreml": "coremltools",
    "saved_model": "tensorflow",
    "pb": "tensorflow",
    "litert": "litert_torch",
    "paddle": "paddle x2paddle",
    "mnn": "MNN onnx onnxslim",
}


def find_model(name: str, repository: Path) -> str:
    """Return a file of the model repository or the image, or a name that the trainer may know. Raises InputError."""
    if not name.endswith((".pt", ".yaml", ".yml")):
        raise InputError(
            f"train.model: '{name}' names neither weights (.pt) nor a description of a model (.yaml)",
            "set a file name such as yolov8n.pt or yolov8n.yaml",
        )
    places = [Path(name)] if Path(name).is_absolute() else [repository / name, IMAGE_WEIGHTS / name]
    for path in places:
        if path.is_file():
            return str(path)
    if not name.endswith(".pt") and "/" not in name:
        return name
    raise InputError(
        f"train.model: no file {' or '.join(map(str, places))}, and runs download no weights",
        "push the file to the model repository, use an image that has it, or start from a description such as yolov8n.yaml",
    )


def find_data(name: str, dataset: Path, model: Path) -> Path:
    """Return the description of the data, from the dataset, the model repository or the trainer. Raises InputError."""
    places = (dataset / name, model / name, model / "data" / name, _cfg() / "datasets" / name)
    found = next(filter(Path.is_file, places), None) or yolo.search(name, dataset)
    if found:
        return found
    raise InputError(
        f"train.data: neither the dataset nor the model repository nor ultralytics has a file {name}",
        yolo.other(dataset, name) or "correct train.data, or push the file to the dataset repository",
    )


def describe(file: Path, dataset: Path, model: Path) -> Dict[str, Any]:
    """Return the description with absolute, existing paths, and without URLs for downloads. Raises InputError."""
    import yaml

    sources, own = inside.Sources(dataset, model), _cfg() / "datasets"
    folder = dataset if file.parent == own else file.parent
    described = yolo.read(file, inside.Sources(own) if file.parent == own else sources, yaml)
    return yolo.resolve(described, file, folder, dataset, model, sources)


def options(arguments: List[str]) -> Dict[str, Any]:
    """Return train.arguments as the trainer's options; later ones override earlier ones. Raises InputError."""
    known = _known()
    result: Dict[str, Any] = {}
    for argument in arguments:
        key, equals, text = argument.partition("=")
        if not equals:
            raise InputError(
                f"train.arguments: '{argument}' is not of the form option=value", "write it like lr0=0.005"
            )
        _check_name("train.arguments", key, known)
        result[key] = _value(text)
    return result


def check_names(names: Iterable[str]) -> None:
    """Raise InputError for a parameter of a search that is not an option of the trainer."""
    known = _known()
    for name in names:
        _check_name("tune.space", name, known)


def _check_name(place: str, name: str, known: Dict[str, Any]) -> None:
    if name in OWNED:
        raise InputError(f"{place}: {name} is set by the run itself", "use the setting of train, or remove it")
    if name not in known:
        close = difflib.get_close_matches(name, [key for key in known if key not in OWNED], n=1)
        raise InputError(
            f"{place}: the trainer has no option '{name}'",
            f"did you mean {close[0]}?" if close else "see https://docs.ultralytics.com/usage/cfg for its options",
        )


def check_options(chosen: Dict[str, Any]) -> None:
    """Check values as the trainer does. Raises InputError."""
    try:
        from ultralytics.cfg import get_cfg

        get_cfg(overrides=dict(chosen))
    except (TypeError, ValueError, SyntaxError) as error:
        raise InputError(f"train.arguments: {' '.join(str(error).split())}", "correct the value") from error


def _cfg() -> Path:
    """Return the folder of the trainer's settings and descriptions. Raises InputError."""
    spec = importlib.util.find_spec("ultralytics")
    if spec is None or spec.origin is None:
        raise InputError("the image has no ultralytics", "use an image with ultralytics 8.4")
    return Path(spec.origin).parent / "cfg"


def _known() -> Dict[str, Any]:
    import yaml

    known: Dict[str, Any] = yaml.safe_load((_cfg() / "default.yaml").read_text(encoding="utf-8"))
    return known


def _value(text: str) -> Any:
    """Return a value as the trainer's command line parses it."""
    simple = {"none": None, "null": None, "": None, "true": True, "false": False}
    if text.lower() in simple:
        return simple[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def check_formats(formats: List[str]) -> None:
    """Raise InputError for an export that cannot work, before the training."""
    for name in formats:
        lacking = [library for library in LIBRARIES.get(name, "").split() if importlib.util.find_spec(library) is None]
        if lacking:
            raise InputError(
                f"train.exportFormats: {name} needs {', '.join(lacking)}, which the image does not have",
                f"remove {name}, or use an image that has it",
            )
    if "engine" in formats:
        import torch

        if not torch.cuda.is_available():
            raise InputError(
                "train.exportFormats: engine must be built on its target device, and this pod has none",
                "remove engine, or choose an accelerator",
            )
