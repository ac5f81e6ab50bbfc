"""YOLOv5: how to call train.py and export.py, and how their files become a Triton model repository."""

from __future__ import annotations

import csv
import json
import os
import shutil
import zipfile
from pathlib import Path
from typing import Any, Dict, List

from runner import view
from runner.context import Context
from runner.errors import FamilyError

DEFAULT_HYPERPARAMETERS = "data/hyps/hyp.scratch-low.yaml"
HYPERPARAMETERS = "hyperparameters.yaml"
COPIED = ("hyp.yaml", "opt.yaml", "results.csv")


def train_arguments(context: Context) -> List[str]:
    if context.resume_from:
        return ["train.py", "--resume", str(context.resume_from)]  # it reads the rest from the opt.yaml beside it
    train = context.train
    values = {
        "--img": train["imageSize"],
        "--batch-size": train["batchSize"],  # of all processes together
        "--epochs": train["epochs"],
        "--data": train["data"],
        "--weights": weights(context),
        "--workers": train["workers"],
        "--device": device(context),
        "--project": context.output,
        "--name": "train",
        **({"--hyp": context.output / HYPERPARAMETERS} if context.hyperparameters else {}),
        "--save-period": 1,  # last.pt may be half written when a pod dies: the one before it must be there too
    }
    words = [str(word) for pair in values.items() for word in pair]
    return ["train.py", *words, "--exist-ok", *arguments(context)]


def arguments(context: Context) -> List[str]:
    """The user's own; a trial's file of hyper-parameters has taken in the one that they name."""
    given = [str(argument) for argument in context.train["arguments"]]
    if context.hyperparameters and "--hyp" in given:
        at = given.index("--hyp")
        del given[at : at + 2]
    return given


def configure(context: Context) -> None:
    """A trial's hyper-parameters: those of the file that train.py would read, and after them the trial's own, which YAML's readers take."""
    if not context.hyperparameters:
        return
    base = (context.model / base_hyperparameters(context)).read_text(encoding="utf-8")
    own = "".join(f"{name}: {number(value)}\n" for name, value in sorted(context.hyperparameters.items()))
    (context.output / HYPERPARAMETERS).write_text(f"{base.rstrip()}\n{own}", encoding="utf-8")


def number(value: Any) -> str:
    """JSON, but for 1e-05: YAML's readers take it for a text, and 1.0e-05 for a number."""
    text = json.dumps(value)
    return text.replace("e", ".0e") if isinstance(value, float) and "." not in text else text


def base_hyperparameters(context: Context) -> str:
    arguments = list(context.train["arguments"])
    return str(arguments[arguments.index("--hyp") + 1]) if "--hyp" in arguments[:-1] else DEFAULT_HYPERPARAMETERS


def rewrites(_: Context, path: Path) -> bool:
    """Files of the dataset that the trainer writes to."""
    return path.suffix.lower() not in (".txt", ".cache") and view.is_cut_jpeg(path)


def train_environment(context: Context) -> Dict[str, str]:
    python_path = [str(context.model.parent), context.environment.get("PYTHONPATH", "")]
    return {
        # The packaged YOLOv5 imports itself as `yolov5`: it shall find the model repository (checked out as `yolov5`), not the image's copy.
        "PYTHONPATH": os.pathsep.join(filter(None, python_path)),
        "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1",  # v7.0's checkpoints are whole pickled models; torch 2.6 refuses them otherwise
        "YOLOv5_AUTOINSTALL": "false",
        "YOLO_OFFLINE": "1",
        "HF_HUB_OFFLINE": "1",
        "WANDB_DISABLED": "true",
        "WANDB_MODE": "disabled",
        "COMET_MODE": "disabled",
    }


def metrics(context: Context) -> List[Dict[str, Any]]:
    """results.csv, which YOLOv5 counts from epoch 0. A last line without its end is still being written."""
    path = context.output / "train" / "results.csv"
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1].splitlines()
    rows = [{key.strip(): float(value) for key, value in row.items()} for row in csv.DictReader(whole)]
    return [{**row, "epoch": int(row["epoch"]) + 1} for row in rows]


def checkpoints(context: Context) -> List[Path]:
    """As they were written, newest first: every epoch last.pt and then epochN.pt, which counts from 0; at the end last.pt again."""
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
            f"the training left no {best.relative_to(context.workspace.root)}",
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
    """best.pt; or last.pt where a pod died while it wrote best.pt (a whole one is a zip file with its directory at the end)."""
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
    """Absolute where the model repository has the file: a relative name looks like one of a model hub to the packaged YOLOv5."""
    path = context.model / context.train["weights"]
    return str(path) if path.is_file() else str(context.train["weights"])


def device(context: Context) -> str:
    accelerator = context.settings.accelerator
    if context.train["device"]:
        return str(context.train["device"])
    if accelerator.backend == "cpu":
        return "cpu"
    return ",".join(str(index) for index in range(max(accelerator.count, 1)))


def triton_config(context: Context, images: List[int], output: List[int]) -> str:
    """Shapes without the batch dimension, which Triton adds itself. The names are those that clients of the reference pipeline use."""
    publish = context.settings.publish
    name = publish.model_name or context.settings.run.name
    return (
        f'name: "{name}"\n'
        'platform: "pytorch_libtorch"\n'
        f"max_batch_size: {publish.max_batch_size}\n"
        f'input [\n  {{\n    name: "images"\n    data_type: TYPE_FP32\n    dims: {images}\n  }}\n]\n'
        f'output [\n  {{\n    name: "output0"\n    data_type: TYPE_FP32\n    dims: {output}\n  }}\n]\n'
    )
