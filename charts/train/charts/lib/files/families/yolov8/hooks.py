"""YOLOv8 and newer: how to call run.py, and how to turn its output into a Triton model repository."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any, Dict, List

from runner import view
from runner.context import Context
from runner.errors import FamilyError

COPIED = ("args.yaml", "results.csv")
SERVED = {"torchscript": ("pytorch_libtorch", "model.pt"), "onnx": ("onnxruntime_onnx", "model.onnx")}
"""Exported formats that Triton serves: its platform, and the file name that it expects."""
AUTOMATIC = frozenset(("lr0", "momentum"))
"""Options that the optimizer `auto` overrides."""
_EPOCH = re.compile(r"epoch(\d+)\.pt")
SAFE_LOAD = "ULTRALYTICS_SAFE_LOAD"


def train_arguments(context: Context) -> List[str]:
    train = context.train
    ignored = sorted(AUTOMATIC.intersection(context.hyperparameters))
    if ignored and train["optimizer"] == "auto":
        raise FamilyError(
            f"tune.space.{ignored[0]}: has no effect, because train.optimizer auto sets {' and '.join(sorted(AUTOMATIC))} itself",
            "set an optimizer, such as train.optimizer: AdamW, or tune it too with tune.space.optimizer",
        )
    job = {
        "model": train["model"],
        "data": train["data"],
        "arguments": train["arguments"],
        "hyperparameters": context.hyperparameters,
        "repository": str(context.model),
        "dataset": str(context.dataset),
        "output": str(context.output),
        "resume": str(context.resume_from or ""),
        "options": {
            "epochs": train["epochs"],
            "batch": train["batchSize"],  # total over all devices
            "imgsz": train["imageSize"],
            "workers": train["workers"],
            "device": device(context),
            "optimizer": train["optimizer"],
        },
    }
    return [script(context), "train", json.dumps(job)]


def rewrites(_: Context, path: Path) -> bool:
    """Whether the trainer rewrites a file of the dataset."""
    return path.suffix.lower() not in (".txt", ".cache") and view.is_cut_jpeg(path)


def train_environment(context: Context) -> Dict[str, str]:
    """Return the environment, without RANK and WORLD_SIZE: the trainer would take itself for one of its workers, and
    save nothing.
    """
    return {
        # For its settings and the scripts of its workers; the image's folder may be read-only.
        "YOLO_CONFIG_DIR": str(Path(os.environ["HOME"]) / ".yolo"),
        # It unpickles only its own and PyTorch's classes, and evaluates nothing in a description. The values' env may
        # set "0".
        SAFE_LOAD: context.environment.get(SAFE_LOAD, "1"),
        "YOLO_OFFLINE": "true",
        "YOLO_AUTOINSTALL": "false",
        "HF_HUB_OFFLINE": "1",
        "WANDB_MODE": "disabled",
        "COMET_MODE": "disabled",
    }


def metrics(context: Context) -> List[Dict[str, Any]]:
    """Return the rows of results.csv. A last line without a newline is still being written; the last row of an epoch
    counts.
    """
    path = trained(context) / "results.csv"
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8")
    complete = text[: text.rfind("\n") + 1].splitlines()
    rows: Dict[int, Dict[str, Any]] = {}
    for row in csv.DictReader(complete):
        numbers = {plain(key): float(value) for key, value in row.items() if key and value}
        rows[int(numbers["epoch"])] = {**numbers, "epoch": int(numbers["epoch"])}
    return [rows[epoch] for epoch in sorted(rows)]


def plain(name: str) -> str:
    """Return metrics/mAP50 for metrics/mAP50(B) (B means boxes; there are no others), and seconds for time, a key of
    log lines.
    """
    name = name.strip().replace("(B)", "")
    return "seconds" if name == "time" else name


def checkpoints(context: Context) -> List[Path]:
    """Return the checkpoints, last written first. Each epoch writes last.pt, then epochN.pt (from 0); the end writes
    last.pt again.

    last.pt is overwritten, so after a kill only an earlier epochN.pt may be complete.
    """
    found = [*_epochs(context), trained(context) / "weights" / "last.pt"]
    return sorted(filter(Path.is_file, found), key=lambda path: -path.stat().st_mtime_ns)


def stale(context: Context) -> List[Path]:
    return _epochs(context)[2:]


def _epochs(context: Context) -> List[Path]:
    found = [path for path in (trained(context) / "weights").glob("epoch*.pt") if _EPOCH.fullmatch(path.name)]
    return sorted(found, key=lambda path: -int(path.stem[len("epoch") :]))


def export_arguments(context: Context) -> List[str]:
    weights = trained(context) / "weights"
    if not any((weights / name).is_file() for name in ("best.pt", "last.pt")):
        raise FamilyError(
            f"the training wrote no {(weights / 'best.pt').relative_to(context.workspace.root)}",
            "train.epochs must be at least 1; see the trainer's output above",
        )
    job = {
        "output": str(context.output),
        "formats": context.train["exportFormats"],
        "device": device(context),
        "batch": context.train["batchSize"],
        "imgsz": context.train["imageSize"],
        "maxBatchSize": context.settings.publish.max_batch_size,
    }
    return [script(context), "export", json.dumps(job)]


def layout(context: Context, shapes: Dict[str, Any]) -> None:
    missing = [name for name in COPIED if not (trained(context) / name).is_file()]
    if missing:
        raise FamilyError(f"the trainer did not write {', '.join(missing)}", "use ultralytics 8.4")
    for name in COPIED:
        shutil.copyfile(str(trained(context) / name), str(context.artifacts / name))
    exported = context.output / "export"
    for name in ("best.pt", "metrics.json"):
        shutil.copyfile(str(exported / name), str(context.artifacts / name))
    files = json.loads((exported / "exported.json").read_text(encoding="utf-8"))
    served = next((name for name in files if name in SERVED), "")
    for name, file in files.items():
        if name == served:
            platform, target = SERVED[name]
            (context.artifacts / "1").mkdir()
            shutil.copyfile(str(exported / file), str(context.artifacts / "1" / target))
            configuration = triton_config(context, platform, shapes["input"], shapes["output"])
            (context.artifacts / "config.pbtxt").write_text(configuration, encoding="utf-8")
            continue
        (context.artifacts / "exports").mkdir(exist_ok=True)
        copy = shutil.copytree if (exported / file).is_dir() else shutil.copyfile
        copy(str(exported / file), str(context.artifacts / "exports" / file))


def model_card(context: Context) -> Dict[str, Any]:
    card: Dict[str, Any] = {"base_model": Path(context.train["model"]).stem}
    validation = context.artifacts / "metrics.json"
    if validation.is_file():
        card["validation"] = json.loads(validation.read_text(encoding="utf-8"))
    return card


def script(context: Context) -> str:
    return str(context.home / "family" / "run.py")


def trained(context: Context) -> Path:
    return context.output / "train"


def device(context: Context) -> str:
    if context.train["device"] not in ("", None):  # 0 is one
        return str(context.train["device"])
    if context.settings.run.backend == "cpu":
        return "cpu"
    return ",".join(str(index) for index in range(max(context.settings.accelerator.count, 1)))


def triton_config(context: Context, platform: str, images: List[int], output: List[int]) -> str:
    """Return config.pbtxt. The shapes lack the batch dimension, which Triton adds; the names are those in the trainer's
    exports.
    """
    settings = context.settings
    return (
        f'name: "{settings.model_name}"\n'
        f'platform: "{platform}"\n'
        f"max_batch_size: {settings.publish.max_batch_size}\n"
        f'input [\n  {{\n    name: "images"\n    data_type: TYPE_FP32\n    dims: {images}\n  }}\n]\n'
        f'output [\n  {{\n    name: "output0"\n    data_type: TYPE_FP32\n    dims: {output}\n  }}\n]\n'
    )
