"""Checks PaddleDetection's configuration, data and options. Argument: {"model", "dataset", "train"}. Downloads
nothing.
"""

from __future__ import annotations

import difflib
import json
import math
import os
import re
import sys
from pathlib import Path
from typing import Any, Dict, List, Optional, Set

sys.path.insert(1, str(Path(__file__).resolve().parents[1]))  # for runner
from runner import inside

Answer = Optional[Dict[str, Any]]  # None if there is no problem


def probe(model: Path, dataset: Path, train: Dict[str, Any]) -> Dict[str, Any]:
    problem = tools(model) or configuration(model, train["config"]) or pretrained(model, train["pretrainWeights"])
    for part in ("train", "eval"):
        annotations = train[f"{part}Annotations"]
        if not annotations and part == "eval" and not train["evaluate"]:
            continue  # the training's categories are used
        needed = part == "train" or train["evaluate"]
        problem = problem or coco(dataset, part, str(annotations or ""), train[f"{part}Images"], needed)
    problem = problem or same_categories(dataset, train) or options(model, train)
    return problem or {"ok": True}


def tools(model: Path) -> Answer:
    for name in ("tools/train.py", "tools/export_model.py"):
        if not (model / name).is_file():
            return failure(
                f"the model repository has no {name}", "use a repository with PaddleDetection's tools/ and configs/"
            )
    return None


def configuration(model: Path, name: str, named_by: str = "") -> Answer:
    path = (model / name).resolve()
    by = f", which {named_by} names in _BASE_" if named_by else ""
    if not inside.Sources(model).contains(path):
        return failure(f"train.config: {inside.OutsideError(name + by, path)}", inside.FIX)
    if path.suffix not in (".yml", ".yaml"):
        return failure(f"train.config: {name} is not a .yml file{by}", "name a configuration of the model repository")
    if not path.is_file():
        fix = (
            "push the file to the model repository"
            if named_by
            else "correct train.config, or push the file to the model repository"
        )
        return failure(f"train.config: the model repository has no file {name}{by}", fix)
    try:
        import yaml

        described = yaml.load(path.read_text(encoding="utf-8"), Loader=tagless())  # noqa: S506 - a safe loader
        bases = [str(base) for base in described.get("_BASE_") or []]
    except (OSError, ValueError, AttributeError, yaml.YAMLError) as error:
        return failure(f"train.config: {name} cannot be read: {inside.describe_error(error)}", "correct the file")
    for base in bases:
        target = os.path.relpath(str(path.parent / base), str(model.resolve()))
        if problem := configuration(model, target, named_by=name):
            return problem
    return None


def tagless() -> Any:
    """Return a YAML loader that reads PaddleDetection's !Tags as plain values."""
    import yaml

    class Loader(yaml.SafeLoader):
        pass

    def construct(loader: Any, _: str, node: Any) -> Any:
        return loader.construct_mapping(node, deep=True) if isinstance(node, yaml.MappingNode) else None

    Loader.add_multi_constructor("!", construct)
    return Loader


def pretrained(model: Path, name: str) -> Answer:
    if not name:
        return None
    if "://" in name:
        return failure(
            f"train.pretrainWeights: {name} is a URL, but runs download no weights",
            "put the file into the model repository (LFS)",
        )
    if not (model / name).with_suffix(".pdparams").is_file():
        return failure(
            f"train.pretrainWeights: the model repository has no file {Path(name).with_suffix('.pdparams')}",
            "correct train.pretrainWeights, or push the file to the model repository",
        )
    return None


def coco(dataset: Path, part: str, name: str, images: str, needed: bool) -> Answer:
    path, key = dataset / name, f"train.{part}Annotations"
    if not name or not path.is_file():
        return failure(
            f"{key}: the dataset has no file '{name}'", f"correct {key}, or push the file to the dataset repository"
        )
    sources = inside.Sources(dataset)
    if not sources.contains(path):
        return failure(f"{key}: {inside.OutsideError(name, path.resolve())}", inside.FIX)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        described = {image["id"]: image for image in data["images"]}
        categories = {category["id"] for category in data["categories"]}
        annotations = data["annotations"]
    except (ValueError, KeyError, TypeError) as error:
        return failure(f"{key}: {name} is not in COCO format: {error!r}", "it needs images, annotations and categories")
    if not categories or not described:
        return failure(
            f"{key}: {name} has {len(described)} images and {len(categories)} categories", "add at least one of each"
        )
    if not needed:
        return None
    folder = dataset / images
    if not folder.is_dir():
        return failure(
            f"train.{part}Images: the dataset has no folder {images}", f"correct train.{part}Images, or push the folder"
        )
    here = {entry.name for entry in os.scandir(str(folder))}
    problems: List[str] = []
    for number, image in described.items():
        file = str(image.get("file_name", ""))
        if not file or not (file in here or (folder / file).is_file()):
            problems.append(f"image {number}: {images}/{file} does not exist")
        elif file not in here and not sources.contains(folder / file):
            problems.append(f"image {number}: {inside.OutsideError(file, (folder / file).resolve())}")
    problems += [
        f"annotation {problem}"
        for problem in (check_annotation(one, described, categories) for one in annotations)
        if problem
    ]
    if problems:
        more = f" ({len(problems) - 1} more like it)" if len(problems) > 1 else ""
        return failure(f"{key}: {name}: {problems[0]}{more}", "correct the record in that file, or remove it")
    if part == "train" and not annotations:
        return failure(f"{key}: {name} has no annotations", "add annotations: training needs at least one")
    return None


def check_annotation(one: Any, images: Dict[Any, Any], categories: Set[Any]) -> str:
    """Return what is wrong with an annotation, with its ID, or ""."""
    if not isinstance(one, dict):
        return f"{one!r} is not an object"
    number, box = one.get("id"), one.get("bbox")
    if one.get("image_id") not in images:
        return f"{number}: image_id {one.get('image_id')!r} is not an image of the file"
    if one.get("category_id") not in categories:
        return f"{number}: category_id {one.get('category_id')!r} is not a category of the file"
    if (
        not isinstance(box, list)
        or len(box) != 4
        or not all(isinstance(x, (int, float)) and math.isfinite(x) for x in box)
    ):
        return f"{number}: bbox {box!r} is not four numbers"
    if box[2] <= 0 or box[3] <= 0:
        return f"{number}: bbox {box!r} has no area"
    if not isinstance(one.get("area"), (int, float)) or "iscrowd" not in one:
        return f"{number}: has no area or no iscrowd, which the trainer requires"
    return ""


def same_categories(dataset: Path, train: Dict[str, Any]) -> Answer:
    if not train["evalAnnotations"]:
        return None
    files = [dataset / train[f"{part}Annotations"] for part in ("train", "eval")]
    ids = [sorted(one["id"] for one in json.loads(file.read_text(encoding="utf-8"))["categories"]) for file in files]
    if ids[0] != ids[1]:
        return failure(
            f"train.evalAnnotations: {train['evalAnnotations']} has the categories {ids[1][:20]}, {train['trainAnnotations']} has {ids[0][:20]}",
            "both must have the same",
        )
    return None


def options(model: Path, train: Dict[str, Any]) -> Answer:
    """Return a problem for options that nothing reads: PaddleDetection accepts any."""
    wanted = train["options"]
    if not wanted:
        return None
    from ppdet.core.workspace import get_registered_modules, load_config

    configured = load_config(str(model / train["config"]))
    modules = get_registered_modules()
    for key in wanted:
        first, *rest = str(key).split(".")
        if first not in configured and first not in modules and not is_read(model, first):
            return unknown(key, first, [*configured, *modules])
        module = modules.get(first)
        if rest and module is not None and module.strict and rest[0] not in module.schema and rest[0] not in module:
            return unknown(key, rest[0], [str(name) for name in module.schema])
    return None


def is_read(model: Path, name: str) -> bool:
    """Whether the trainer's sources read this key, which need not be in any configuration."""
    import ppdet

    escaped = re.escape(name)
    reads = re.compile(
        rf"""cfg(\.get\(|\[)\s*['"]{escaped}['"]|cfg\.{escaped}\b|['"]{escaped}['"] (not )?in (self\.)?cfg"""
    )
    folders = [Path(ppdet.__file__).parent / "engine", Path(ppdet.__file__).parent / "utils", model / "tools"]
    return any(
        reads.search(path.read_text(encoding="utf-8", errors="replace"))
        for folder in folders
        for path in folder.rglob("*.py")
    )


def unknown(key: str, part: str, known: List[str]) -> Dict[str, Any]:
    near = difflib.get_close_matches(part, known, n=1)
    like = f" (did you mean {near[0]}?)" if near else ""
    return failure(f"train.options: the trainer has no '{part}' of option {key}{like}", "correct or remove it")


def failure(reason: str, fix: str) -> Dict[str, Any]:
    return {"ok": False, "reason": reason, "fix": fix}


if __name__ == "__main__":
    argument = json.loads(sys.argv[1])
    print(json.dumps(probe(Path(argument["model"]), Path(argument["dataset"]), argument["train"])))
