"""What the trainer is given: its model, its data and its options, found and checked where they lie. Nothing is downloaded.

Used by run.py and the probes, which stand beside it.
"""

from __future__ import annotations

import ast
import difflib
import importlib.util
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, Optional, Tuple

sys.path.insert(1, str(Path(__file__).resolve().parents[1]))  # for runner
from runner import inside

IMAGE_WEIGHTS = Path("/opt/weights")
"""Where a training image may bring weights along."""

IMAGES = {".avif", ".bmp", ".dng", ".heic", ".jp2", ".jpeg", ".jpg", ".mpo", ".png", ".tif", ".tiff", ".webp"}
MOST = 5
"""So many broken records are named."""

OWNED = {
    "model": "train.model", "data": "train.data", "epochs": "train.epochs", "batch": "train.batchSize", "imgsz": "train.imageSize",
    "workers": "train.workers", "device": "train.device", "optimizer": "train.optimizer", "format": "train.exportFormats",
    **dict.fromkeys(("mode", "task", "cfg", "project", "name", "exist_ok", "resume", "save", "save_period", "save_dir"), ""),
}  # fmt: skip
"""Options that train.arguments may not have, and the value that sets each; "" where it is the run's own affair."""

# What an export needs beside the trainer; the trainer would install it from outside.
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
    """Something is missing or wrong, with what to do about it."""

    def __init__(self, reason: str, fix: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.fix = fix

    def answer(self) -> Dict[str, Any]:
        """As a probe prints it."""
        return {"ok": False, "reason": self.reason, "fix": self.fix}


def find_model(name: str, repository: Path) -> str:
    """A file of the model repository or of the image; a description that the trainer brings along stays a name."""
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
        f"train.model: there is no {' and no '.join(map(str, places))}, and a run downloads no weights",
        "push the file to the model repository, take an image that has it, or start from a description such as yolov8n.yaml",
    )


def find_data(name: str, dataset: Path, model: Path) -> Path:
    """The description of the data: in the dataset, else in the model repository."""
    for path in (dataset / name, model / name, model / "data" / name):
        if path.is_file():
            return path
    raise InputError(
        f"train.data: there is no file {name} in the dataset, nor in the model repository",
        "correct train.data, or push the file to the dataset repository",
    )


def describe(file: Path, dataset: Path, model: Path) -> Dict[str, Any]:
    """The description with absolute paths that exist, and without the places it would be downloaded from."""
    import yaml

    sources = inside.Sources(dataset, model)
    check_inside(sources, file, f"train.data: {file.name}")
    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(
            f"train.data: {file.name} cannot be read: {inside.fault(error)}", "correct the file"
        ) from error
    if not isinstance(found, dict):
        raise InputError(f"train.data: {file.name} is no map", "write the keys path, train, val and names")
    described: Dict[str, Any] = {key: value for key, value in found.items() if key != "download"}
    if "val" not in described and "validation" in described:
        described["val"] = described.pop("validation")
    missing = [key for key in ("train", "val") if not described.get(key)]
    missing += [] if described.get("names") or described.get("nc") else ["names"]
    if missing:
        raise InputError(
            f"train.data: {file.name} has no key '{missing[0]}'", "it needs train, val and names, and mostly path"
        )
    named, known = described.get("names"), described.get("nc")
    if named and known and len(named) != known:
        raise InputError(
            f"train.data: {file.name} has {len(named)} names and nc: {known}", "correct one of them, or leave nc out"
        )
    roots = list(_roots(str(described.get("path") or ""), file, dataset, model))
    for root in roots:
        if all(_at(root, path) for key in ("train", "val") for path in _list(described[key])):
            break
    else:
        root = next((root for root in roots if root.is_dir()), dataset)
        key, path = next(
            (key, path) for key in ("train", "val") for path in _list(described[key]) if not _at(root, path)
        )
        raise InputError(
            f"train.data: {file.name} names {key}: {path}, and there is no {root / path}; the dataset is at {dataset}",
            "correct path, train and val in that file, or push the missing folder to the dataset repository",
        )
    for key in ("train", "val", "test"):
        if described.get(key):
            described[key] = [str(_at(root, path) or root / path) for path in _list(described[key])]
            for path in described[key]:
                check_inside(sources, Path(path), f"train.data: {file.name} names {key}, which")
                for number, image in enumerate(_images(Path(path)) if Path(path).is_file() else [], start=1):
                    check_inside(sources, image, f"train.data: {key}: {Path(path).name}, of which entry {number}")
    return {**described, "path": str(root)}


def check_inside(sources: inside.Sources, path: Path, named: str) -> None:
    try:
        sources.check(path, named)
    except inside.OutsideError as error:
        raise InputError(str(error), inside.FIX) from error


def _roots(path: str, file: Path, dataset: Path, model: Path) -> Iterator[Path]:
    """Where `path` may lead: descriptions are written for a folder datasets/ beside the trainer, or for their own folder."""
    if path:
        for start in (file.parent, dataset, dataset.parent, model):
            yield (start / path).resolve()
    yield from (file.parent.resolve(), dataset.resolve())


def _at(root: Path, path: str) -> Optional[Path]:
    """As the trainer looks, which also tries a path without its leading ../"""
    options = [path, path[3:]] if path.startswith("../") else [path]
    return next(((root / option).resolve() for option in options if (root / option).exists()), None)


def _list(value: Any) -> List[str]:
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]


def check_caches(dataset: Path) -> None:
    """The trainer unpickles a cache of labels that it finds beside them, whoever has made it."""
    from features import weights

    for cache in sorted(dataset.rglob("*.cache")):
        called = weights.foreign(cache) if cache.is_file() else ""
        if called:
            raise InputError(
                f"the dataset's {cache.relative_to(dataset)} is no cache of labels: it would run {called}",
                "remove it from the dataset; the trainer makes its own",
            )


def check_records(described: Dict[str, Any]) -> Dict[str, int]:
    """The number of images by part, when every image opens and every label is one. The trainer would leave broken ones out."""
    classes = len(described["names"]) if described.get("names") else int(described["nc"])
    counts, labelled = {}, 0
    broken: List[str] = []
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
                    broken.append(f"{_short(image, described['path'])}: {problem}")
    if broken:
        more = f" and {len(broken) - MOST} more" if len(broken) > MOST else ""
        raise InputError(
            f"the dataset has {len(broken)} broken records among {sum(counts.values())}: {'; '.join(broken[:MOST])}{more}",
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
    """What is wrong with an image or its label ("" for nothing), and how many boxes it has."""
    from PIL import Image

    try:
        with Image.open(image) as opened:
            opened.verify()
    except Exception as error:  # whatever the decoder says
        return f"no image: {error}", 0
    label = label_of(image)
    if not label.is_file():
        return "", 0  # an image of background
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
    if len(numbers) != 5 and not (len(numbers) > 6 and len(numbers) % 2):  # or the outline of a segment
        return f"has {len(numbers)} columns instead of 5"
    if numbers[0] != int(numbers[0]) or not 0 <= numbers[0] < classes:
        return f"has class {columns[0]}, and names has {classes}"
    if not all(0 <= number <= 1.01 for number in numbers[1:]):  # the trainer's own tolerance
        return "has coordinates outside 0 to 1"
    return ""


def label_of(image: Path) -> Path:
    """labels/ for the last images/ of the path, as the trainer does."""
    before, found, after = str(image).rpartition("/images/")
    return Path(f"{before}/labels/{after}" if found else str(image)).with_suffix(".txt")


def _short(path: Path, root: str) -> str:
    return str(path.relative_to(root)) if Path(root) in path.parents else str(path)


def options(arguments: List[str]) -> Dict[str, Any]:
    """train.arguments as the trainer's options. What comes later counts."""
    known = _known()
    result: Dict[str, Any] = {}
    for argument in arguments:
        key, equals, text = argument.partition("=")
        if not equals:
            raise InputError(
                f"train.arguments: '{argument}' is not of the form option=value", "write for example lr0=0.005"
            )
        _check_name("train.arguments", key, known)
        result[key] = _value(text)
    return result


def check_names(names: Iterable[str]) -> None:
    """Of what a search tries."""
    known = _known()
    for name in names:
        _check_name("tune.space", name, known)


def _check_name(place: str, name: str, known: Dict[str, Any]) -> None:
    if name in OWNED:
        owner = OWNED[name]
        fix = f"use {owner} instead" if owner else "leave it out"
        raise InputError(f"{place}: {name} is set by {owner or 'the run itself'}", fix)
    if name not in known:
        close = difflib.get_close_matches(name, [key for key in known if key not in OWNED], n=1)
        raise InputError(
            f"{place}: the trainer knows no option '{name}'",
            f"did you mean {close[0]}?" if close else "see https://docs.ultralytics.com/usage/cfg for its options",
        )


def check_options(chosen: Dict[str, Any]) -> None:
    """The trainer's own check of the values."""
    try:
        from ultralytics.cfg import get_cfg

        get_cfg(overrides=dict(chosen))
    except (TypeError, ValueError, SyntaxError) as error:
        raise InputError(f"train.arguments: {' '.join(str(error).split())}", "correct the value") from error


def _known() -> Dict[str, Any]:
    import yaml

    spec = importlib.util.find_spec("ultralytics")
    if spec is None or spec.origin is None:
        raise InputError("the image has no ultralytics", "use an image with ultralytics 8.4")
    text = (Path(spec.origin).parent / "cfg" / "default.yaml").read_text(encoding="utf-8")
    known: Dict[str, Any] = yaml.safe_load(text)
    return known


def _value(text: str) -> Any:
    """As the trainer's command line reads a value."""
    simple = {"none": None, "null": None, "": None, "true": True, "false": False}
    if text.lower() in simple:
        return simple[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def check_formats(formats: List[str]) -> None:
    """Export happens after the training: what it lacks is said before."""
    for name in formats:
        lacking = [library for library in LIBRARIES.get(name, ()) if importlib.util.find_spec(library) is None]
        if lacking:
            raise InputError(
                f"train.exportFormats: {name} needs {', '.join(lacking)}, and the image has no such library",
                f"take {name} out, or use an image with it",
            )
    if "engine" in formats:
        import torch

        if not torch.cuda.is_available():
            raise InputError(
                "train.exportFormats: engine is built on the device that it is for, and this pod has none",
                "take engine out, or choose an accelerator",
            )
