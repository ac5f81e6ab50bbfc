"""Trains or exports with the image's ultralytics: `run.py train JOB` or `run.py export JOB`, where JOB is JSON from
hooks.py.

The trainer is called from here, not by its command line, because it must not look for anything itself: it would
download weights, data, fonts and libraries, and resume from its newest folder.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List

import inputs

from features.yolo import InputError


def train(job: Dict[str, Any]) -> None:
    import yaml

    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE"):  # with these it would take itself for one of its workers
        os.environ.pop(name, None)
    repository, dataset, output = Path(job["repository"]), Path(job["dataset"]), Path(job["output"])
    described = inputs.describe(inputs.find_data(job["data"], dataset, repository), dataset, repository)
    data = output / "dataset.yaml"
    write(data, yaml.safe_dump(described, sort_keys=False, allow_unicode=True))
    chosen = {**job["options"], **inputs.options(job["arguments"]), **job["hyperparameters"]}
    yolo = prepare()
    if job["resume"]:
        checkpoint = Path(job["resume"])
        restore(output / "train", checkpoint)
        # The checkpoint has all other options, including train.arguments.
        changeable = {key: value for key, value in chosen.items() if key in ("device", "workers", "batch")}
        model = yolo(str(checkpoint))
        chosen = {**changeable, "resume": str(checkpoint), "save_dir": str(output / "train")}
    else:
        model = yolo(inputs.find_model(job["model"], repository))
        chosen.update(project=str(output), name="train", exist_ok=True)
    model.add_callback("on_pretrain_routine_start", refuse_downloads)
    model.add_callback("on_train_end", keep_validation)
    model.train(data=str(data), save=True, save_period=1, **chosen)


def prepare() -> Any:
    """Return ultralytics.YOLO, with downloads and loggers disabled."""
    from ultralytics import YOLO
    from ultralytics.utils import SETTINGS, USER_CONFIG_DIR

    loggers = (
        "sync",
        "clearml",
        "comet",
        "dvc",
        "mlflow",
        "raytune",
        "tensorboard",
        "wandb",
        "vscode_msg",
        "openvino_msg",
    )
    weights = inputs.IMAGE_WEIGHTS if inputs.IMAGE_WEIGHTS.is_dir() else USER_CONFIG_DIR
    SETTINGS.update({**{name: False for name in loggers if name in SETTINGS}, "weights_dir": str(weights)})
    refuse_downloads(None)
    write_fonts(USER_CONFIG_DIR)
    return YOLO


def refuse_downloads(_trainer: Any) -> None:
    """Disable downloads in this process. As a callback, which is pickled, it does so in the workers too."""
    from ultralytics.utils import downloads

    def refuse(url: str, *_: Any, **__: Any) -> None:
        raise ConnectionError(f"runs download nothing: {url}")

    downloads.safe_download = refuse


def write_fonts(folder: Path) -> None:
    """Write the fonts that it would download for its plots."""
    from matplotlib import font_manager

    for name, fonts in (("Arial.ttf", ""), ("Arial.Unicode.ttf", "WenQuanYi Micro Hei,Noto Sans CJK JP,")):
        if not (folder / name).exists():
            shutil.copyfile(font_manager.findfont(f"{fonts}DejaVu Sans"), str(folder / name))


def keep_validation(trainer: Any) -> None:
    """Write the metrics of the last validation, which is that of the best weights."""
    write(trainer.save_dir / "metrics.json", json.dumps(plain(trainer.metrics), indent=1) + "\n")


def plain(numbers: Dict[str, Any]) -> Dict[str, float]:
    """Return metrics/mAP50 for metrics/mAP50(B), as in the metrics of the epochs."""
    return {name.replace("(B)", ""): float(value) for name, value in numbers.items() if name != "fitness"}


def restore(trained: Path, checkpoint: Path) -> None:
    """Restore the folder to the state of the checkpoint: a kill may leave rows of later epochs, and a truncated
    file.
    """
    state = load(checkpoint)
    results = trained / "results.csv"
    if results.is_file():
        text = results.read_text(encoding="utf-8")
        lines = text[: text.rfind("\n") + 1].splitlines()
        reader = csv.DictReader(lines)
        epochs = [int(float(row["epoch"])) for row in reader]
        kept = [line for number, line in enumerate(lines[1:]) if epochs[number] <= state["epoch"] + 1]
        write(results, "\n".join([*lines[:1], *kept, ""]) if lines else "")
        if not lines:
            results.unlink()
    best = trained / "weights" / "best.pt"
    if best.is_file() and not is_complete(best):
        print(f"{best} is incomplete", flush=True)
        best.unlink()
        if state.get("best_fitness") == (state.get("train_metrics") or {}).get("fitness"):
            shutil.copyfile(str(checkpoint), str(best))


def export(job: Dict[str, Any]) -> None:
    output = Path(job["output"])
    folder = output / "export"
    if folder.is_dir():
        shutil.rmtree(str(folder))
    folder.mkdir()
    weights = folder / "best.pt"
    trained = [output / "train" / "weights" / name for name in ("best.pt", "last.pt")]
    source = next((path for path in trained if path.is_file() and is_complete(path)), None)
    if source is None:
        raise InputError("the training wrote no weights that can be loaded", "see the trainer's output above")
    if source.name != "best.pt":
        print(f"{trained[0]} is incomplete: exporting {source}", flush=True)
    shutil.copyfile(str(source), str(weights))
    yolo = prepare()
    if load(weights).get("optimizer") is not None:  # the training was killed after its last epoch
        from ultralytics.utils.torch_utils import strip_optimizer

        strip_optimizer(weights)
    device = job["device"].split(",")[0]
    validation = output / "train" / "metrics.json"
    if validation.is_file():
        shutil.copyfile(str(validation), str(folder / "metrics.json"))
    else:
        where = {"data": str(output / "dataset.yaml"), "project": str(folder), "name": "val"}
        options = {"batch": job["batch"], "imgsz": job["imgsz"], "device": device, "plots": False}
        found = yolo(str(weights)).val(**where, **options).results_dict
        write(folder / "metrics.json", json.dumps(plain(found), indent=1) + "\n")
    files = {}
    for name in dict.fromkeys(job["formats"]):
        made = yolo(str(weights)).export(
            format=name, imgsz=job["imgsz"], **export_options(name, device, job["maxBatchSize"])
        )
        path = Path(str(made))
        if not path.exists():
            raise InputError(f"the export to {name} wrote no {path.name}", "see the trainer's output above")
        files[name] = path.name
    write(folder / "exported.json", json.dumps(files) + "\n")


def export_options(name: str, device: str, largest: int) -> Dict[str, Any]:
    """Return options with which the model accepts any batch up to the largest."""
    if name == "engine":
        return {"device": device, "dynamic": True, "batch": max(largest, 1)}
    return {"device": "cpu", **({"dynamic": True} if name == "onnx" else {})}


def load(path: Path) -> Dict[str, Any]:
    """Return the content of a checkpoint, without unpickling it. Raises WeightsError."""
    from features.torchfiles import WeightsError, read_torch

    state: Any = read_torch(path)
    if not isinstance(state, dict):
        raise WeightsError("it is not a checkpoint of ultralytics")
    return state


def is_complete(path: Path) -> bool:
    from features.weights import WeightsError

    try:
        return bool(load(path))
    except WeightsError:
        return False


def write(path: Path, text: str) -> None:
    scratch = path.with_name(path.name + ".new")
    scratch.write_text(text, encoding="utf-8")
    scratch.replace(path)


def main(arguments: List[str]) -> int:
    try:
        {"train": train, "export": export}[arguments[0]](json.loads(arguments[1]))
    except InputError as error:
        print(f"ValueError: {error.reason}: {error.fix}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:  # of the trainer's workers, which have printed the cause
        return error.returncode  # negative for a signal, which the runner recognizes
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
