"""YOLOv5: how to call train.py and export.py, and how to turn their output into a Triton model repository."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import shutil
import zipfile
from pathlib import Path
from typing import Any, Dict, List, Optional

from runner import view
from runner.context import Context
from runner.errors import FamilyError

DEFAULT_HYPERPARAMETERS = "data/hyps/hyp.scratch-low.yaml"
HYPERPARAMETERS = "hyperparameters.yaml"
# Fonts that train.py downloads, and those that replace them, best first: with Chinese, Japanese and Korean signs.
FONTS = {
    "Arial.ttf": ["DejaVuSans.ttf"],
    "Arial.Unicode.ttf": ["wqy-*", "*CJK*", "DroidSansFallback*", "DejaVuSans.ttf"],
}
COPIED = ("hyp.yaml", "opt.yaml", "results.csv")


def train_arguments(context: Context) -> List[str]:
    if context.resume_from:
        # It reads the other options from the opt.yaml beside the checkpoint.
        return ["train.py", "--resume", str(context.resume_from)]
    train = context.train
    values = {
        "--img": train["imageSize"],
        "--batch-size": train["batchSize"],  # total over all processes
        "--epochs": train["epochs"],
        "--data": description(context),
        "--weights": weights(context),
        "--workers": train["workers"],
        "--device": device(context),
        "--project": context.output,
        "--name": "train",
        **({"--hyp": context.output / HYPERPARAMETERS} if context.hyperparameters else {}),
        "--save-period": 1,  # last.pt may be incomplete when a pod dies, so an earlier one must exist
    }
    options = [str(part) for pair in values.items() for part in pair]
    return ["train.py", *options, "--exist-ok", *arguments(context)]


def description(context: Context) -> Path:
    """Return where the description of the data is, with the paths that the probe has found."""
    return context.output / "data" / Path(context.train["data"]).name


def arguments(context: Context) -> List[str]:
    """Return the user's arguments, without --hyp in a trial, whose own file includes that one."""
    arguments = [str(argument) for argument in context.train["arguments"]]
    if context.hyperparameters and "--hyp" in arguments:
        at = arguments.index("--hyp")
        del arguments[at : at + 2]
    return arguments


def configure(context: Context) -> None:
    """Write fonts, the description of the data, and a trial's hyperparameters: the file that train.py would read,
    followed by the trial's own, which override it.
    """
    fonts(context).mkdir(exist_ok=True)
    for name in FONTS:
        source, scratch = find_font(context, name), fonts(context) / f"{name}.{context.rank}"
        if source:
            shutil.copyfile(source, scratch)
            scratch.replace(fonts(context) / name)
    description(context).parent.mkdir(parents=True, exist_ok=True)
    described = description(context).with_suffix(f".{context.rank}")
    described.write_text(json.dumps(context.described), encoding="utf-8")
    described.replace(description(context))
    if not context.hyperparameters:
        return
    base = (context.model / base_hyperparameters(context)).read_text(encoding="utf-8")
    own = "".join(f"{name}: {number(value)}\n" for name, value in sorted(context.hyperparameters.items()))
    (context.output / HYPERPARAMETERS).write_text(f"{base.rstrip()}\n{own}", encoding="utf-8")


def fonts(context: Context) -> Path:
    return context.workspace.state / "fonts"


def find_font(context: Context, name: str) -> Optional[Path]:
    """Return the image's font of this name, or else one like it; matplotlib has one."""
    matplotlib = importlib.util.find_spec("matplotlib")
    folders = ["/usr/share/fonts", *((matplotlib and matplotlib.submodule_search_locations) or ())]
    folders.insert(0, context.environment.get("YOLOV5_CONFIG_DIR", folders[0]))
    files = [path for folder in folders for path in sorted(Path(folder).rglob("*.tt[cf]"))]
    return next((path for pattern in (name, *FONTS[name]) for path in files if path.match(pattern)), None)


def number(value: Any) -> str:
    """Return JSON that YAML reads as a number: 1.0e-05 instead of 1e-05, which YAML takes for a string."""
    text = json.dumps(value)
    return text.replace("e", ".0e") if isinstance(value, float) and "." not in text else text


def base_hyperparameters(context: Context) -> str:
    arguments = list(context.train["arguments"])
    return str(arguments[arguments.index("--hyp") + 1]) if "--hyp" in arguments[:-1] else DEFAULT_HYPERPARAMETERS


def rewrites(_: Context, path: Path) -> bool:
    """Whether the trainer rewrites a file of the dataset."""
    return path.suffix.lower() not in (".txt", ".cache") and view.is_cut_jpeg(path)


def programs(_: Context) -> Dict[str, Any]:
    return {"programs": ["train.py", "export.py"]}


def train_environment(context: Context) -> Dict[str, str]:
    python_path = [str(context.model.parent), context.environment.get("PYTHONPATH", "")]
    return {
        # The packaged YOLOv5 imports itself as `yolov5`: it must find the model repository (checked out as `yolov5`),
        # not the image's copy.
        "PYTHONPATH": os.pathsep.join(filter(None, python_path)),
        "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1",  # v7.0's checkpoints are pickled models, which torch 2.6 refuses otherwise
        "YOLOV5_CONFIG_DIR": str(fonts(context)),
        "YOLO_CONFIG_DIR": str(fonts(context)),  # of the ultralytics that a newer train.py uses
        "YOLOv5_AUTOINSTALL": "false",
        "YOLO_OFFLINE": "1",
        "HF_HUB_OFFLINE": "1",
        "WANDB_DISABLED": "true",
        "WANDB_MODE": "disabled",
        "COMET_MODE": "disabled",
    }


def metrics(context: Context) -> List[Dict[str, Any]]:
    """Return the rows of results.csv, whose epochs start at 0. A last line without a newline is still being written."""
    path = context.output / "train" / "results.csv"
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8")
    complete = text[: text.rfind("\n") + 1].splitlines()
    rows = [{key.strip(): float(value) for key, value in row.items()} for row in csv.DictReader(complete)]
    return [{**row, "epoch": int(row["epoch"]) + 1} for row in rows]


def checkpoints(context: Context) -> List[Path]:
    """Return the checkpoints, last written first. Each epoch writes last.pt, then epochN.pt (from 0); the end writes
    last.pt again.
    """
    weights = context.output / "train" / "weights"
    found = [*_by_epoch(weights), weights / "last.pt"]
    return sorted(filter(Path.is_file, found), key=lambda path: -path.stat().st_mtime_ns)


def stale(context: Context) -> List[Path]:
    return _by_epoch(context.output / "train" / "weights")[2:]


def _by_epoch(weights: Path) -> List[Path]:
    numbered = [path for path in weights.glob("epoch*.pt") if path.stem[len("epoch") :].isdigit()]
    return sorted(numbered, key=lambda path: int(path.stem[len("epoch") :]), reverse=True)


def export_arguments(context: Context) -> List[str]:
    best = trained(context)
    if not best.is_file():
        raise FamilyError(
            f"the training wrote no {best.relative_to(context.workspace.root)}",
            "train.epochs must be at least 1; see the trainer's output above",
        )
    return [
        "export.py",
        "--weights",
        str(best),
        "--include",
        "torchscript",
        "--img",
        str(context.train["imageSize"]),
        "--device",
        "cpu",
    ]


def trained(context: Context) -> Path:
    """Return best.pt, or last.pt if best.pt is incomplete (a complete one is a zip file, with its directory at the
    end).
    """
    best, last = (context.output / "train" / "weights" / name for name in ("best.pt", "last.pt"))
    return last if best.is_file() and not zipfile.is_zipfile(str(best)) and last.is_file() else best


def layout(context: Context, shapes: Dict[str, Any]) -> None:
    folder = context.output / "train"
    missing = [name for name in COPIED if not (folder / name).is_file()]
    if missing:
        raise FamilyError(f"the trainer did not write {', '.join(missing)}", "use the train.py of YOLOv5 7.0")
    (context.artifacts / "1").mkdir()
    shutil.copyfile(trained(context).with_suffix(".torchscript"), context.artifacts / "1" / "model.pt")
    for name in COPIED:
        shutil.copyfile(folder / name, context.artifacts / name)
    (context.artifacts / "config.pbtxt").write_text(
        triton_config(context, shapes["input"], shapes["output"]), encoding="utf-8"
    )


def model_card(context: Context) -> Dict[str, Any]:
    return {"base_model": Path(context.train["weights"]).stem}


def weights(context: Context) -> str:
    """Return the weights: an absolute path if the model repository has the file, because the packaged YOLOv5 takes a
    relative one for a name of a model hub.
    """
    path = context.model / context.train["weights"]
    return str(path) if path.is_file() else str(context.train["weights"])


def device(context: Context) -> str:
    if context.train["device"] not in ("", None):  # 0 is one
        return str(context.train["device"])
    if context.settings.run.backend == "cpu":
        return "cpu"
    return ",".join(str(index) for index in range(max(context.settings.accelerator.count, 1)))


def triton_config(context: Context, images: List[int], output: List[int]) -> str:
    """Return config.pbtxt. The shapes lack the batch dimension, which Triton adds; clients of the reference pipeline
    use these names.
    """
    settings = context.settings
    return (
        f'name: "{settings.model_name}"\n'
        'platform: "pytorch_libtorch"\n'
        f"max_batch_size: {settings.publish.max_batch_size}\n"
        f'input [\n  {{\n    name: "images"\n    data_type: TYPE_FP32\n    dims: {images}\n  }}\n]\n'
        f'output [\n  {{\n    name: "output0"\n    data_type: TYPE_FP32\n    dims: {output}\n  }}\n]\n'
    )
