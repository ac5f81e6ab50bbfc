"""Finds and checks the trainer's model, data and options. Nothing is downloaded. Used by run.py and the probes."""

from __future__ import annotations

import ast
import difflib
import importlib.util
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Dict, Iterable, List, Optional, Tuple

sys.path.insert(1, str(Path(__file__).resolve().parents[1]))  # for runner
from runner import inside

IMAGE_WEIGHTS = Path("/opt/weights")
"""The folder in which a training image may have weights."""

IMAGES = {".avif", ".bmp", ".dng", ".heic", ".jp2", ".jpeg", ".jpg", ".mpo", ".png", ".tif", ".tiff", ".webp"}
MAX_NAMED = 5
"""How many invalid records a message names."""

OWNED = {
    "model": "train.model", "data": "train.data", "epochs": "train.epochs", "batch": "train.batchSize", "imgsz": "train.imageSize",
    "workers": "train.workers", "device": "train.device", "optimizer": "train.optimizer", "format": "train.exportFormats",
    **dict.fromkeys(("mode", "task", "cfg", "project", "name", "exist_ok", "resume", "save", "save_period", "save_dir"), ""),
}  # fmt: skip
"""Options that train.arguments must not have, and the values key that sets each; "" if the run sets it."""

# Libraries that an export needs; the trainer would try to install them.
LIBRARIES = {
    "onnx": ("onnx", "onnxruntime", "onnxslim"),
    "openvino": ("openvino",),
    "engine": ("tensorrt", "onnx", "onnxslim"),
    "coreml": ("coremltools",),
    "saved_model": ("tensorflow",),
    "pb": ("tensorflow",),
    "litert": ("litert_torch",),
    "paddle": ("paddle", "x2paddle"),
    "mnn": ("MNN", "onnx", "onnxslim"),
    "ncnn": ("ncnn", "pnnx"),
}


class InputError(Exception):
    """An input is missing or wrong. The fix says what to do."""

    def __init__(self, reason: str, fix: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.fix = fix

    def answer(self) -> Dict[str, Any]:
        """Return the answer of a probe."""
        return {"ok": False, "reason": self.reason, "fix": self.fix}


def find_model(name: str, repository: Path) -> str:
    """Return a file of the model repository or the image, or the name of a description that the trainer has. Raises
    InputError.
    """
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
    for path in (dataset / name, model / name, model / "data" / name, _cfg() / "datasets" / name):
        if path.is_file():
            return path
    raise InputError(
        f"train.data: neither the dataset nor the model repository nor ultralytics has a file {name}",
        "correct train.data, or push the file to the dataset repository",
    )


def describe(file: Path, dataset: Path, model: Path) -> Dict[str, Any]:
    """Return the description with absolute, existing paths, and without URLs for downloads. Raises InputError."""
    import yaml

    sources = inside.Sources(dataset, model)
    own = file.parent == _cfg() / "datasets"
    if not own:
        check_inside(sources, file, f"train.data: {file.name}")
    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(
            f"train.data: {file.name} cannot be read: {inside.describe_error(error)}", "correct the file"
        ) from error
    if not isinstance(found, dict):
        raise InputError(f"train.data: {file.name} is not a map", "write the keys path, train, val and names")
    described: Dict[str, Any] = {key: value for key, value in found.items() if key != "download"}
    if "val" not in described and "validation" in described:
        described["val"] = described.pop("validation")
    missing = [key for key in ("train", "val") if not described.get(key)]
    missing += [] if described.get("names") or described.get("nc") else ["names"]
    if missing:
        raise InputError(
            f"train.data: {file.name} has no key '{missing[0]}'", "it needs train, val and names, and usually path"
        )
    named, known = described.get("names"), described.get("nc")
    if named and known and len(named) != known:
        raise InputError(
            f"train.data: {file.name} has {len(named)} names and nc: {known}", "correct one of them, or leave nc out"
        )
    # `path` may mean a folder datasets/ beside the trainer, or one beside the description.
    path, folder = str(described.get("path") or ""), dataset if own else file.parent
    roots = [(start / path).resolve() for start in (folder, dataset, dataset.parent, model) if path]
    roots += [folder.resolve(), dataset.resolve()]
    for root in roots:
        if all(_at(root, path) for key in ("train", "val") for path in _list(described[key])):
            break
    else:
        root = next((root for root in roots if root.is_dir()), dataset)
        key, path = next(
            (key, path) for key in ("train", "val") for path in _list(described[key]) if not _at(root, path)
        )
        raise InputError(
            f"train.data: {file.name} names {key}: {path}, and {root / path} does not exist; the dataset is at {dataset}",
            "push the missing folder to the dataset repository, or correct path, train and val in a description of your own",
        )
    for key in ("train", "val", "test"):
        if described.get(key):
            described[key] = [str(_at(root, path) or root / path) for path in _list(described[key])]
            for path in described[key]:
                check_inside(sources, Path(path), f"train.data: {file.name} names {key}, which")
                for number, image in enumerate(_images(Path(path)) if Path(path).is_file() else [], start=1):
                    check_inside(sources, image, f"train.data: {key}: {Path(path).name}, of which entry {number}")
    return {**described, "path": str(root)}


def check_inside(sources: inside.Sources, path: Path, described_as: str) -> None:
    try:
        sources.check(path, described_as)
    except inside.OutsideError as error:
        raise InputError(str(error), inside.FIX) from error


def _at(root: Path, path: str) -> Optional[Path]:
    """Return the path that the trainer finds, which also tries it without a leading ../"""
    options = [path, path[3:]] if path.startswith("../") else [path]
    return next(((root / option).resolve() for option in options if (root / option).exists()), None)


def _list(value: Any) -> List[str]:
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]


def check_caches(dataset: Path) -> None:
    """Raise InputError for a label cache that is not the trainer's: the trainer unpickles any that it finds."""
    from features import weights

    for cache in sorted(dataset.rglob("*.cache")):
        called = weights.find_unknown_call(cache) if cache.is_file() else ""
        if called:
            raise InputError(
                f"the dataset's {cache.relative_to(dataset)} is not a label cache: loading it would call {called}",
                "remove it from the dataset; the trainer creates its own",
            )


def check_records(described: Dict[str, Any]) -> Dict[str, int]:
    """Return the number of images by part. Raises InputError for invalid images and labels, which the trainer would
    skip.
    """
    classes = len(described["names"]) if described.get("names") else int(described["nc"])
    counts, labelled = {}, 0
    invalid: List[str] = []
    for part in ("train", "val"):
        images = [image for path in described[part] for image in _images(Path(path))]
        counts[part] = len(images)
        if not images:
            raise InputError(
                f"train.data: {part} has no images below {described[part]}", "correct the path, or push the images"
            )
        with ThreadPoolExecutor(8) as pool:
            for image, problem, boxes in pool.map(lambda image: (image, *_check(image, classes)), images):
                labelled += boxes if part == "train" else 0
                if problem:
                    invalid.append(f"{_short(image, described['path'])}: {problem}")
    if invalid:
        more = f" and {len(invalid) - MAX_NAMED} more" if len(invalid) > MAX_NAMED else ""
        raise InputError(
            f"the dataset has {len(invalid)} invalid records among {sum(counts.values())}: {'; '.join(invalid[:MAX_NAMED])}{more}",
            "correct or remove these files in the dataset",
        )
    if not labelled:
        raise InputError(
            "train.data: none of the images of train has a label",
            "put the labels into a folder labels/ beside images/, one .txt of the same name for each image",
        )
    return counts


def _images(path: Path) -> Iterable[Path]:
    if path.is_dir():
        return sorted(file for file in path.rglob("*") if file.suffix.lower() in IMAGES)
    if path.suffix == ".txt":
        return [path.parent / line for line in inside.lines(path)]
    return [path] if path.suffix.lower() in IMAGES else []


def _check(image: Path, classes: int) -> Tuple[str, int]:
    """Return what is wrong with an image or its label, or "", and the number of its boxes."""
    from PIL import Image

    try:
        with Image.open(image) as opened:
            opened.verify()
    except Exception as error:  # whatever the decoder raises
        return f"not an image: {error}", 0
    label = label_of(image)
    if not label.is_file():
        return "", 0  # a background image
    boxes = 0
    try:
        lines = label.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        return f"{label.name} cannot be read: {error}", 0
    for number, line in enumerate(lines, start=1):
        if line.strip():
            boxes += 1
            problem = _check_box(line.split(), classes)
            if problem:
                return f"{label.name} line {number} {problem}", boxes
    return "", boxes


def _check_box(columns: List[str], classes: int) -> str:
    try:
        numbers = [float(column) for column in columns]
    except ValueError:
        return "has something other than numbers"
    if len(numbers) != 5 and not (len(numbers) > 6 and len(numbers) % 2):  # more columns are the outline of a segment
        return f"has {len(numbers)} columns instead of 5"
    if numbers[0] != int(numbers[0]) or not 0 <= numbers[0] < classes:
        return f"has class {columns[0]}, and names has {classes}"
    if not all(0 <= number <= 1.01 for number in numbers[1:]):  # the trainer's own tolerance
        return "has coordinates outside 0 to 1"
    return ""


def label_of(image: Path) -> Path:
    """Return the label of an image, as the trainer does: with labels/ for the last images/ in the path."""
    before, found, after = str(image).rpartition("/images/")
    return Path(f"{before}/labels/{after}" if found else str(image)).with_suffix(".txt")


def _short(path: Path, root: str) -> str:
    return str(path.relative_to(root)) if Path(root) in path.parents else str(path)


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
        owner = OWNED[name]
        fix = f"use {owner} instead" if owner else "remove it"
        raise InputError(f"{place}: {name} is set by {owner or 'the run itself'}", fix)
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
        lacking = [library for library in LIBRARIES.get(name, ()) if importlib.util.find_spec(library) is None]
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
