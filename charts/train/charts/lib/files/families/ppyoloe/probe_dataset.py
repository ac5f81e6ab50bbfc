"""Checks PaddleDetection's configuration, data and options; downloads nothing.

Argument: {"model", "dataset", "train", "run", "maxBroken", "scratch"}.
"""

from __future__ import annotations

import difflib
import inspect
import json
import os
import re
import sys
from itertools import zip_longest
from pathlib import Path
from typing import Any, Dict, List, Optional

sys.path.insert(1, str(Path(__file__).resolve().parents[1]))  # for runner
import coco
import hooks

from runner import inside

Answer = Optional[Dict[str, Any]]  # None if there is no problem


def probe(model: Path, dataset: Path, train: Dict[str, Any], ranks: int, most: int, scratch: Path) -> Dict[str, Any]:
    problem = configuration(model, train["config"]) or pretrained(model, train["pretrainWeights"])
    return problem or options(model, train) or data(model, dataset, train, ranks, most, scratch)


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


def sampler(model: Path, train: Dict[str, Any], ranks: int) -> Dict[str, Any]:
    """Return the arguments with which the trainer makes batches of a training with so many processes."""
    from ppdet.core.workspace import load_config

    section = {"drop_last": True, **load_config(str(model / train["config"])).get("TrainReader", {})}
    section["batch_size"] = train["batchSize"]
    for key, value in train["options"].items():
        first, _, name = key.partition(".")
        if first == "TrainReader":
            section.update({name: value} if name else value)
    return {"num_replicas": ranks, **{key: section[key] for key in ("batch_size", "drop_last")}}


def data(model: Path, dataset: Path, train: Dict[str, Any], ranks: int, most: int, scratch: Path) -> Dict[str, Any]:
    """Return the answer for the dataset, of whose images at most `most` may be broken."""
    sections = hooks.datasets(dataset, train)
    parts: List[Dict[str, Any]] = []
    notes: List[str] = []
    categories: Dict[str, List[Any]] = {}
    for name in ("train", "eval"):
        part = name if train[f"{name}Annotations"] else "train"
        key, file = f"train.{part}Annotations", train[f"{part}Annotations"]
        arguments = sections[f"{name.capitalize()}Dataset"]
        if problem := not_there(dataset, key, file):
            return problem
        try:
            if name == "eval" and not train["evaluate"]:
                categories[file] = categories.get(file) or coco.categories(arguments)
                continue
            if not (dataset / arguments["image_dir"]).is_dir():
                reason = f"train.{part}Images: the dataset has no folder {arguments['image_dir']}"
                return failure(reason, f"correct train.{part}Images, or push the folder")
            found = coco.read(arguments)
            categories[file] = found.categories
            refuse_unusable(found, name, most, dataset)
            if name == "train":
                coco.refuse_no_batch(found.samples, sampler(model, train, ranks))
            if name == "eval":
                coco.evaluate(arguments, found, scratch)
        except coco.UnusableError as error:
            return failure(f"{key}: {file}: {error.reason}", error.fix)
        parts += used(found, name)
        lost = {why: ids for why, ids in found.left.items() if why != coco.CROWDS}
        if lost:
            notes.append(f"{file}: annotations that the trainer leaves out: {summary(lost)}")
    return different(categories) or {"ok": True, "parts": parts, "notes": notes}


def not_there(dataset: Path, key: str, file: str) -> Answer:
    path = dataset / file
    if not file or not path.is_file():
        return failure(
            f"{key}: the dataset has no file '{file}'", f"correct {key}, or push the file to the dataset repository"
        )
    if not inside.Sources(dataset).contains(path):
        return failure(f"{key}: {inside.OutsideError(file, path.resolve())}", inside.FIX)
    return None


def used(found: coco.Part, name: str) -> List[Dict[str, Any]]:
    """Return what the reader uses of a file, for the log."""
    images = [*found.broken, *found.unneeded]
    boxes = [f"annotation {one}: {why}" for why, ids in found.left.items() for one in ids]
    totals = (("images", found.total, images), ("boxes", found.annotations, boxes))
    return [
        {
            "part": name,
            "unit": unit,
            "used": total - len(left),
            "total": total,
            "leftOut": left[:5],
            "leftOutTotal": len(left),
        }
        for unit, total, left in totals
    ]


def count(left: Dict[str, List[Any]]) -> int:
    return sum(map(len, left.values()))


def summary(left: Dict[str, List[Any]]) -> str:
    """Return for which reasons annotations are left out: how many, and the first ones."""
    shown = {why: ", ".join(map(str, ids[:3])) + ", ..." * (len(ids) > 3) for why, ids in left.items()}
    return "; ".join(f"{why}: {len(ids)} ({shown[why]})" for why, ids in left.items())


def refuse_unusable(found: coco.Part, name: str, most: int, dataset: Path) -> None:
    """Raise coco.UnusableError for images that cannot be used, or none that can."""
    if len(found.broken) > most:
        more = f" and {len(found.broken) - 5} more" if len(found.broken) > 5 else ""
        reason = f"{len(found.broken)} of {found.total} images are broken: {', '.join(found.broken[:5])}{more}"
        fix = "correct the file, or push the images, or raise dataset.maxBroken to train without them"
        raise coco.UnusableError(reason, fix)
    if not found.images or (name == "train" and count(found.left) == found.annotations):
        lost = ", ".join(found.broken[:5]) or summary(found.left) or "no annotations"
        raise coco.UnusableError(f"none of its {found.total} images has a box to train on: {lost}")
    sources = inside.Sources(dataset)
    for path in map(Path, found.images):
        if (".." in path.parts or dataset not in path.parents) and not sources.contains(path):
            raise coco.UnusableError(str(inside.OutsideError(str(path), path.resolve())), inside.FIX)
    unreadable = coco.undecodable(found.images)
    if unreadable:
        reason = f"the trainer cannot decode {os.path.relpath(unreadable, dataset)}, and would end at it"
        raise coco.UnusableError(reason, "replace the image, or remove it from that file")


def different(categories: Dict[str, List[Any]]) -> Answer:
    """Return a failure if the files' categories differ: the model's classes are counted in the order of each file."""
    (first, trained), *others = categories.items()
    for second, evaluated in others:
        for one, other in zip_longest(trained, evaluated):
            if one != other:
                told = [f"{of[1]!r} with the id {of[0]!r}" if of else "missing" for of in (one, other)]
                place = (trained if one else evaluated).index(one or other) + 1
                reason = f"category {place} of {second} is {told[1]}, and that of {first} is {told[0]}"
                fix = "give both files the same categories, in the same order"
                return failure(f"train.evalAnnotations: {reason}", fix)
    return None


def options(model: Path, train: Dict[str, Any]) -> Answer:
    """Return a problem for options that nothing reads: PaddleDetection accepts any."""
    wanted = train["options"]
    if not wanted:
        return None
    from ppdet.core.workspace import get_registered_modules, load_config
    from ppdet.data import source

    configured = load_config(str(model / train["config"]))
    modules = get_registered_modules()
    for key in wanted:
        first, *rest = str(key).split(".")
        if first in hooks.READERS:
            own = list(wanted[key]) if isinstance(wanted[key], dict) else [str(wanted[key])]
            given = [".".join(rest)] if rest else own
            known = list(inspect.signature(getattr(source, hooks.READERS[first])).parameters)
            wrong = next((name for name in given if name not in known), None)
            if wrong is not None:
                return unknown(key, wrong, known)
            continue
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
    model, dataset, scratch = (Path(argument[name]) for name in ("model", "dataset", "scratch"))
    ranks = argument["run"]["replicas"] * argument["run"]["processes"]
    print(json.dumps(probe(model, dataset, argument["train"], ranks, argument["maxBroken"], scratch)))
