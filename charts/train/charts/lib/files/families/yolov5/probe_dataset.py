"""Will YOLOv5 find its weights and data? Argument: {"model", "dataset", "train"}. Looks where train.py would, and downloads nothing."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

sys.path.insert(1, str(Path(__file__).resolve().parents[1]))  # for features and runner
from features import weights
from runner import inside


def probe(model: Path, dataset: Path, train: Dict[str, Any], hyperparameters: Sequence[str] = ()) -> Dict[str, Any]:
    start = train["weights"]
    if "/" in start and not (model / start).is_file():
        return no(
            f"train.weights: the model repository has no file {start}",
            "correct train.weights, or push the file to the model repository",
        )
    data = find(train["data"], model)
    if data is None:
        return no(
            f"train.data: the model repository has no file {train['data']}, nor has its folder data/",
            "correct train.data, or push the file to the model repository",
        )
    sources = inside.Sources(model, dataset)
    try:
        import yaml

        sources.check(data, f"train.data: {train['data']}")
        described = yaml.safe_load(data.read_text(encoding="utf-8"))
        root = (model / (described.get("path") or "")).resolve()
        wanted = {key: described[key] for key in ("train", "val")}
        described["names"]
        for key in ("train", "val", "test"):
            check_places(sources, model, root, described.get(key) or [], f"train.data: {data.name} names {key}:")
    except ImportError as error:
        return no(f"the image has no PyYAML: {error}", "use an image with YOLOv5's requirements")
    except KeyError as error:
        return no(f"train.data: {data.name} has no key {error}", "add it: path, train, val and names")
    except inside.OutsideError as error:
        return no(str(error), inside.FIX)
    except (OSError, ValueError, TypeError, AttributeError, yaml.YAMLError) as error:
        return no(f"train.data: {data.name} cannot be read: {inside.fault(error)}", "correct the file")
    for key, value in wanted.items():
        for path in value if isinstance(value, list) else [value]:
            if not exists(root, str(path)):
                return no(
                    f"train.data: {data.name} names {key}: {path} below {root}, and {root / path} does not exist; the dataset repository is at {dataset}",
                    "correct path, train and val in that file, or push the missing folder to the dataset repository",
                )
    for cache in sorted(dataset.rglob("*.cache")):  # of labels: train.py unpickles it
        called = weights.foreign(cache) if cache.is_file() else ""
        if called:
            return no(
                f"the dataset's {cache.relative_to(dataset)} is no cache of labels: it would run {called}",
                "remove it from the dataset; the trainer makes its own",
            )
    if hyperparameters:
        given = train["arguments"]
        file = model / (given[given.index("--hyp") + 1] if "--hyp" in given[:-1] else "data/hyps/hyp.scratch-low.yaml")
        if not file.is_file():
            return no(
                f"the model repository has no file {file.relative_to(model)}",
                "push it, or name another in train.arguments: --hyp",
            )
        known = yaml.safe_load(file.read_text(encoding="utf-8"))
        for name in hyperparameters:
            if name not in known:
                return no(
                    f"tune.space.{name}: {file.name} has no such hyper-parameter; it has {', '.join(sorted(known))}",
                    "correct the name in tune.space",
                )
    return {"ok": True, "data": str(data)}


def find(name: str, model: Path) -> Optional[Path]:
    """As YOLOv5's check_file: the path itself, seen from the model repository, else one found below data/."""
    candidates: List[Path] = [
        model / name,
        *sorted((model / "data").rglob(name) if not Path(name).is_absolute() else []),
    ]
    return next((path for path in candidates if path.is_file()), None)


def exists(root: Path, path: str) -> bool:
    return place(root, path) is not None


def place(root: Path, path: str) -> Optional[Path]:
    """As YOLOv5's check_dataset, which also tries a path without its leading ../"""
    options = [path, path[3:]] if path.startswith("../") else [path]
    return next((root / option for option in options if (root / option).exists()), None)


def check_places(sources: inside.Sources, model: Path, root: Path, named: Any, where: str) -> None:
    """Folders, and lists of images, whose entries are seen from the list where they begin with ./, else from the trainer's folder.

    Raises:
        OutsideError
    """
    for path in named if isinstance(named, list) else [named]:
        found = place(root, str(path))
        if found is None:
            continue
        sources.check(found, f"{where} {path}, which")
        if found.is_file():
            for number, line in enumerate(inside.lines(found), start=1):
                image = found.parent / line[2:] if line.startswith("./") else model / line
                sources.check(image, f"{where} {path}, of which entry {number}")


def no(reason: str, fix: str) -> Dict[str, Any]:
    return {"ok": False, "reason": reason, "fix": fix}


if __name__ == "__main__":
    argument = json.loads(sys.argv[1])
    folders = Path(argument["model"]), Path(argument["dataset"])
    print(json.dumps(probe(*folders, argument["train"], argument.get("hyperparameters", ()))))
