"""Will PaddleDetection find its configuration and data, and know the options? Argument: {"model", "dataset", "train"}. Downloads nothing."""

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

Answer = Optional[Dict[str, Any]]  # nothing where all is well


def probe(model: Path, dataset: Path, train: Dict[str, Any]) -> Dict[str, Any]:
    problem = tools(model) or configuration(model, train["config"]) or pretrained(model, train["pretrainWeights"])
    for part in ("train", "eval"):
        annotations = train[f"{part}Annotations"]
        if not annotations and part == "eval" and not train["evaluate"]:
            continue  # the labels are those of the training
        needed = part == "train" or train["evaluate"]
        problem = problem or coco(dataset, part, str(annotations or ""), train[f"{part}Images"], needed)
    problem = problem or same_categories(dataset, train) or options(model, train)
    return problem or {"ok": True}


def tools(model: Path) -> Answer:
    for name in ("tools/train.py", "tools/export_model.py"):
        if not (model / name).is_file():
            return no(
                f"the model repository has no {name}", "use a repository with PaddleDetection's tools/ and configs/"
            )
    return None


def configuration(model: Path, name: str, named_by: str = "") -> Answer:
    path = (model / name).resolve()
    by = f", which {named_by} names in _BASE_" if named_by else ""
    if not inside.Sources(model).have(path):
        return no(f"train.config: {inside.OutsideError(name + by, path)}", inside.FIX)
    if path.suffix not in (".yml", ".yaml"):
        return no(f"train.config: {name} is no .yml file{by}", "name a configuration of the model repository")
    if not path.is_file():
        fix = (
            "push the file to the model repository"
            if named_by
            else "correct train.config, or push the file to the model repository"
        )
        return no(f"train.config: the model repository has no file {name}{by}", fix)
    try:
        import yaml

        described = yaml.load(path.read_text(encoding="utf-8"), Loader=tagless())  # noqa: S506 - a safe loader
        bases = [str(base) for base in described.get("_BASE_") or []]
    except (OSError, ValueError, AttributeError, yaml.YAMLError) as error:
        return no(f"train.config: {name} cannot be read: {inside.fault(error)}", "correct the file")
    for base in bases:
        target = os.path.relpath(str(path.parent / base), str(model.resolve()))
        if problem := configuration(model, target, named_by=name):
            return problem
    return None


def tagless() -> Any:
    """Reads PaddleDetection's !Tags as what they stand before."""
    import yaml

    class Loader(yaml.SafeLoader):  # type: ignore[misc]
        pass

    def construct(loader: Any, _: str, node: Any) -> Any:
        return loader.construct_mapping(node, deep=True) if isinstance(node, yaml.MappingNode) else None

    Loader.add_multi_constructor("!", construct)
    return Loader


def pretrained(model: Path, name: str) -> Answer:
    if not name:
        return None
    if "://" in name:
        return no(
            f"train.pretrainWeights: {name} is a URL, and a run downloads no weights",
            "put the file into the model repository (LFS)",
        )
    if not (model / name).with_suffix(".pdparams").is_file():
        return no(
            f"train.pretrainWeights: the model repository has no file {Path(name).with_suffix('.pdparams')}",
            "correct train.pretrainWeights, or push the file to the model repository",
        )
    return None


def coco(dataset: Path, part: str, name: str, images: str, needed: bool) -> Answer:
    path, key = dataset / name, f"train.{part}Annotations"
    if not name or not path.is_file():
        return no(
            f"{key}: the dataset has no file '{name}'", f"correct {key}, or push the file to the dataset repository"
        )
    sources = inside.Sources(dataset)
    if not sources.have(path):
        return no(f"{key}: {inside.OutsideError(name, path.resolve())}", inside.FIX)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        described = {image["id"]: image for image in data["images"]}
        categories = {category["id"] for category in data["categories"]}
        annotations = data["annotations"]
    except (ValueError, KeyError, TypeError) as error:
        return no(f"{key}: {name} is not in COCO format: {error!r}", "it needs images, annotations and categories")
    if not categories or not described:
        return no(f"{key}: {name} has {len(described)} images and {len(categories)} categories", "neither may be empty")
    if not needed:
        return None
    folder = dataset / images
    if not folder.is_dir():
        return no(
            f"train.{part}Images: the dataset has no folder {images}", f"correct train.{part}Images, or push the folder"
        )
    here = {entry.name for entry in os.scandir(str(folder))}
    broken: List[str] = []
    for number, image in described.items():
        file = str(image.get("file_name", ""))
        if not file or not (file in here or (folder / file).is_file()):
            broken.append(f"image {number}: {images}/{file} does not exist")
        elif file not in here and not sources.have(folder / file):
            broken.append(f"image {number}: {inside.OutsideError(file, (folder / file).resolve())}")
    broken += [f"annotation {wrong}" for wrong in (judge(one, described, categories) for one in annotations) if wrong]
    if broken:
        more = f" ({len(broken) - 1} more like it)" if len(broken) > 1 else ""
        return no(f"{key}: {name}: {broken[0]}{more}", "correct the record in that file, or remove it")
    if part == "train" and not annotations:
        return no(f"{key}: {name} has no annotations", "there is nothing to learn without")
    return None


def judge(one: Any, images: Dict[Any, Any], categories: Set[Any]) -> str:
    """What is wrong with an annotation, by its id; nothing where it is well."""
    if not isinstance(one, dict):
        return f"{one!r} is not an object"
    number, box = one.get("id"), one.get("bbox")
    if one.get("image_id") not in images:
        return f"{number}: image_id {one.get('image_id')!r} is no image of the file"
    if one.get("category_id") not in categories:
        return f"{number}: category_id {one.get('category_id')!r} is no category of the file"
    if (
        not isinstance(box, list)
        or len(box) != 4
        or not all(isinstance(x, (int, float)) and math.isfinite(x) for x in box)
    ):
        return f"{number}: bbox {box!r} is not four numbers"
    if box[2] <= 0 or box[3] <= 0:
        return f"{number}: bbox {box!r} has no area"
    if not isinstance(one.get("area"), (int, float)) or "iscrowd" not in one:
        return f"{number}: has no area or no iscrowd, which the trainer reads"
    return ""


def same_categories(dataset: Path, train: Dict[str, Any]) -> Answer:
    if not train["evalAnnotations"]:
        return None
    files = [dataset / train[f"{part}Annotations"] for part in ("train", "eval")]
    ids = [sorted(one["id"] for one in json.loads(file.read_text(encoding="utf-8"))["categories"]) for file in files]
    if ids[0] != ids[1]:
        return no(
            f"train.evalAnnotations: {train['evalAnnotations']} has the categories {ids[1][:20]}, {train['trainAnnotations']} has {ids[0][:20]}",
            "both must have the same",
        )
    return None


def options(model: Path, train: Dict[str, Any]) -> Answer:
    """PaddleDetection merges whatever it is given, and never says that nothing reads it."""
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
    """Whether the trainer's sources ask the configuration for this key, which no configuration needs to have."""
    import ppdet

    word = re.escape(name)
    asks = re.compile(rf"""cfg(\.get\(|\[)\s*['"]{word}['"]|cfg\.{word}\b|['"]{word}['"] (not )?in (self\.)?cfg""")
    folders = [Path(ppdet.__file__).parent / "engine", Path(ppdet.__file__).parent / "utils", model / "tools"]
    return any(
        asks.search(path.read_text(encoding="utf-8", errors="replace"))
        for folder in folders
        for path in folder.rglob("*.py")
    )


def unknown(key: str, part: str, known: List[str]) -> Dict[str, Any]:
    near = difflib.get_close_matches(part, known, n=1)
    like = f" (is {near[0]} meant?)" if near else ""
    return no(f"train.options: the trainer knows no '{part}' of the option {key}{like}", "correct or remove it")


def no(reason: str, fix: str) -> Dict[str, Any]:
    return {"ok": False, "reason": reason, "fix": fix}


if __name__ == "__main__":
    argument = json.loads(sys.argv[1])
    print(json.dumps(probe(Path(argument["model"]), Path(argument["dataset"]), argument["train"])))
