"""Checks that YOLOv5 finds its weights and data, by train.py's rules. Argument: {"model", "dataset", "train"}.
Downloads nothing.
"""

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
        return failure(
            f"train.weights: the model repository has no file {start}",
            "correct train.weights, or push the file to the model repository",
        )
    data = find(train["data"], model)
    if data is None:
        return failure(
            f"train.data: neither the model repository nor its folder data/ has a file {train['data']}",
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
            check_paths(sources, model, root, described.get(key) or [], f"train.data: {data.name} names {key}:")
    except ImportError as error:
        return failure(f"the image has no PyYAML: {error}", "use an image with YOLOv5's requirements")
    except KeyError as error:
        return failure(f"train.data: {data.name} has no key {error}", "add it: path, train, val and names")
    except inside.OutsideError as error:
        return failure(str(error), inside.FIX)
    except (OSError, ValueError, TypeError, AttributeError, yaml.YAMLError) as error:
        return failure(f"train.data: {data.name} cannot be read: {inside.describe_error(error)}", "correct the file")
    for key, value in wanted.items():
        for path in value if isinstance(value, list) else [value]:
            if not exists(root, str(path)):
                return failure(
                    f"train.data: {data.name} names {key}: {path} below {root}, and {root / path} does not exist; the dataset repository is at {dataset}",
                    "correct path, train and val in that file, or push the missing folder to the dataset repository",
                )
    for cache in sorted(dataset.rglob("*.cache")):  # label caches, which train.py unpickles
        called = weights.find_unknown_call(cache) if cache.is_file() else ""
        if called:
            return failure(
                f"the dataset's {cache.relative_to(dataset)} is not a label cache: loading it would call {called}",
                "remove it from the dataset; the trainer creates its own",
            )
    if hyperparameters:
        arguments = train["arguments"]
        file = model / (
            arguments[arguments.index("--hyp") + 1] if "--hyp" in arguments[:-1] else "data/hyps/hyp.scratch-low.yaml"
        )
        if not file.is_file():
            return failure(
                f"the model repository has no file {file.relative_to(model)}",
                "push it, or name another in train.arguments: --hyp",
            )
        known = yaml.safe_load(file.read_text(encoding="utf-8"))
        for name in hyperparameters:
            if name not in known:
                return failure(
                    f"tune.space.{name}: {file.name} has no such hyperparameter; it has {', '.join(sorted(known))}",
                    "correct the name in tune.space",
                )
    return {"ok": True, "data": str(data)}


def find(name: str, model: Path) -> Optional[Path]:
    """Return the file that YOLOv5's check_file finds: the path relative to the model repository, else a match below
    data/.
    """
    candidates: List[Path] = [
        model / name,
        *sorted((model / "data").rglob(name) if not Path(name).is_absolute() else []),
    ]
    return next((path for path in candidates if path.is_file()), None)


def exists(root: Path, path: str) -> bool:
    return resolve(root, path) is not None


def resolve(root: Path, path: str) -> Optional[Path]:
    """Return the path that YOLOv5's check_dataset finds, which also tries it without a leading ../"""
    options = [path, path[3:]] if path.startswith("../") else [path]
    return next((root / option for option in options if (root / option).exists()), None)


def check_paths(sources: inside.Sources, model: Path, root: Path, named: Any, where: str) -> None:
    """Check folders, and lists of images, whose entries are relative to the list if they begin with ./, else to the
    trainer's folder.

    Raises:
        OutsideError
    """
    for path in named if isinstance(named, list) else [named]:
        found = resolve(root, str(path))
        if found is None:
            continue
        sources.check(found, f"{where} {path}, which")
        if found.is_file():
            for number, line in enumerate(inside.lines(found), start=1):
                image = found.parent / line[2:] if line.startswith("./") else model / line
                sources.check(image, f"{where} {path}, of which entry {number}")


def failure(reason: str, fix: str) -> Dict[str, Any]:
    return {"ok": False, "reason": reason, "fix": fix}


if __name__ == "__main__":
    argument = json.loads(sys.argv[1])
    folders = Path(argument["model"]), Path(argument["dataset"])
    print(json.dumps(probe(*folders, argument["train"], argument.get("hyperparameters", ()))))
