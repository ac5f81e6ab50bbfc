"""PP-YOLOE: how to call PaddleDetection's tools/train.py and tools/export_model.py, and how to read their output."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any, Dict, List, Optional

from runner.context import Context
from runner.errors import FamilyError

CONFIG = "train.yml"  # generated; PaddleDetection up to 2.7 writes snapshots to a folder with this name
EFFECTIVE = "config.yml"
METRICS = "metrics.jsonl"
FLAGS = {"cuda": "use_gpu", "npu": "use_npu", "mlu": "use_mlu"}  # by backend, the switch in the configuration
PARTS = (".pdparams", ".pdopt")
READERS = {"TrainDataset": "COCODataSet", "EvalDataset": "COCODataSet", "TestDataset": "ImageFolder"}
INFERENCE = ("infer_cfg.yml", "model.pdiparams", "model.pdmodel", "model.json")  # the last one with PaddlePaddle 3


def configure(context: Context) -> None:
    """Write a configuration that extends the repository's. JSON is YAML.

    It has the settings of three levels, each of which would reset its siblings as a pair of -o. It also has the
    datasets, as objects: they replace the configuration's own in any form, and leave nothing for PaddleDetection to
    download.
    """
    train = context.train
    data = datasets(context.dataset, train)
    lines = {
        "_BASE_": json.dumps([str(context.model / train["config"])]),
        "metric": "COCO",
        "num_classes": str(classes(context.dataset / data["EvalDataset"]["anno_path"])),
        **{name: f"!{READERS[name]} {as_yaml(arguments)}" for name, arguments in data.items()},
        **{key: as_yaml(value) for key, value in deep(train["options"]).items()},
    }
    path = config(context)
    scratch = path.with_name(f".{path.name}.{context.rank}.{os.getpid()}")
    scratch.write_text("".join(f"{key}: {value}\n" for key, value in lines.items()), encoding="utf-8")
    scratch.replace(path)


def datasets(folder: Path, train: Dict[str, Any]) -> Dict[str, Dict[str, Any]]:
    """Return the arguments of PaddleDetection's readers, by section of the configuration, with the user's options."""
    own = "eval" if train["evalAnnotations"] else "train"
    files = {"dataset_dir": str(folder), "anno_path": train[f"{own}Annotations"]}
    trained = {"image_dir": train["trainImages"], "anno_path": train["trainAnnotations"]}
    found: Dict[str, Dict[str, Any]] = {
        "TrainDataset": {**files, **trained, "data_fields": ["image", "gt_bbox", "gt_class", "is_crowd"]},
        "EvalDataset": {**files, "image_dir": train[f"{own}Images"], "allow_empty": True},
        "TestDataset": files,
    }
    for key, value in train["options"].items():
        section, _, name = key.partition(".")
        if section in found:
            found[section].update({name: value} if name else value)
    return found


def classes(annotations: Path) -> int:
    """Return the number of categories in the dataset; the configuration has those of COCO. Raises FamilyError."""
    try:
        return len(json.loads(annotations.read_text(encoding="utf-8"))["categories"])
    except (OSError, ValueError, KeyError) as error:
        raise FamilyError(
            f"{annotations} cannot be read: {error!r}", "push the dataset's annotations in COCO format"
        ) from error


def deep(options: Dict[str, Any]) -> Dict[str, Any]:
    """Return the options whose keys have three levels or more, nested."""
    nested: Dict[str, Any] = {}
    for key, value in options.items():
        *path, last = key.split(".")
        if len(path) < 2 or path[0] in READERS:
            continue
        at = nested
        for part in path:
            at = at.setdefault(part, {})
        at[last] = value
    return nested


def options(context: Context) -> List[str]:
    """Return the pairs of the one -o. The user's come last, and override the others."""
    train, backend = context.train, context.settings.run.backend
    pairs: Dict[str, Any] = {
        "use_gpu": False,
        **({FLAGS[backend]: True} if backend in FLAGS else {}),
        "epoch": train["epochs"],
        "worker_num": train["workers"],
        "TrainReader.batch_size": train["batchSize"],
        "log_iter": train["logInterval"],
        "snapshot_epoch": train["snapshotInterval"],
        "save_dir": str(context.output),
        "output_eval": str(context.output),  # not the repository's folder, which may be read-only
        "pretrain_weights": pretrained(context),
        **({"LearningRate.base_lr": train["learningRate"]} if train["learningRate"] else {}),
        **{
            key: value
            for key, value in train["options"].items()
            if key.count(".") < 2 and key.partition(".")[0] not in READERS
        },
    }
    return [f"{key}={value if isinstance(value, str) else as_yaml(value)}" for key, value in pairs.items()]


def as_yaml(value: Any) -> str:
    """Return a value as PaddleDetection reads it: JSON, but YAML takes 1e-05, without a point, for a text."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{json.dumps(str(key))}: {as_yaml(one)}' for key, one in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(as_yaml, value))}]"
    text = json.dumps(value)
    return text.replace("e", ".0e") if isinstance(value, float) and "." not in text else text


def pretrained(context: Context) -> str:
    """Return the path of the weights; "" prevents that the configuration's are downloaded."""
    return str(context.model / context.train["pretrainWeights"]) if context.train["pretrainWeights"] else ""


def train_arguments(context: Context) -> List[str]:
    command = [
        str(Path(__file__).resolve().parent / "run.py"),
        str(context.output / METRICS),
        str(context.output / EFFECTIVE),
    ]
    command += ["-c", str(config(context)), "-o", *options(context)]
    if context.resume_from:
        command += ["-r", str(context.resume_from.with_suffix(""))]
    command += ["--eval"] if context.train["evaluate"] else []
    command += ["--amp"] if context.train["amp"] else []
    return [*launch(context), *command]


def launch(context: Context) -> List[str]:
    """Return the launcher's arguments. The master is rank 0's address, not its name: PaddlePaddle compares it with the
    pod's address as text.
    """
    settings = context.settings
    if context.world_size == 1:
        return []
    command = [
        "-m",
        "paddle.distributed.launch",
        "--nnodes",
        str(settings.replicas),
        "--log_dir",
        str(context.output / "log" / str(context.rank)),
    ]
    command += ["--job_id", settings.run.name, "--max_restart", "0"]
    if settings.replicas > 1:
        command += ["--master", f"{context.master_ip}:{settings.pod.port}", "--rank", str(context.rank)]
    if settings.run.backend == "cpu":
        return [*command, "--nproc_per_node", str(settings.run.processes)]
    return [*command, "--devices", ",".join(str(index) for index in range(settings.run.processes))]


def programs(_: Context) -> Dict[str, Any]:
    return {"programs": ["tools/train.py", "tools/export_model.py"]}


def train_environment(context: Context) -> Dict[str, str]:
    python_path = [str(context.model), context.environment.get("PYTHONPATH", "")]
    return {
        "PYTHONPATH": os.pathsep.join(filter(None, python_path)),  # the repository's ppdet comes before the image's
        "ENABLE_FALL_BACK": "False",  # PaddlePaddle 2.6 exports an incomplete graph otherwise; other versions ignore it
        # Rank 0 compares the master with it; the host name, which it uses otherwise, may resolve to another address.
        **({"POD_IP": context.own_ip} if context.own_ip else {}),
        **(
            {"PADDLE_DISTRI_BACKEND": "gloo"}
            if context.settings.run.backend == "cpu" and context.world_size > 1
            else {}
        ),
    }


def metrics(context: Context) -> List[Dict[str, Any]]:
    """Return the rows that run.py wrote. An evaluation adds to its epoch's row; a last line without a newline is still
    being written.
    """
    path = context.output / METRICS
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8")
    rows: Dict[int, Dict[str, Any]] = {}
    for line in text[: text.rfind("\n") + 1].splitlines():
        row = json.loads(line)
        rows[int(row["epoch"])] = {**(rows.get(int(row["epoch"]), {}) if "loss" not in row else {}), **row}
    return [rows[epoch] for epoch in sorted(rows)]


def checkpoints(context: Context) -> List[Path]:
    """Return the complete snapshots, newest first: PaddleDetection writes .pdopt last."""
    folder = snapshots(context)
    found = [folder / "model_final.pdopt", *_numbered(folder)]
    return [path for path in found if all(path.with_suffix(part).is_file() for part in PARTS)]


def stale(context: Context) -> List[Path]:
    """Return all but the last two complete snapshots; best_model and model_final stay."""
    folder = snapshots(context)
    complete = [path for path in _numbered(folder) if path.with_suffix(".pdparams").is_file()]
    return [file for path in complete[2:] for file in sorted(folder.glob(f"{path.stem}.pd*"))]


def _numbered(folder: Path) -> List[Path]:
    return sorted(
        (path for path in folder.glob("*.pdopt") if path.stem.isdigit()), key=lambda path: int(path.stem), reverse=True
    )


def snapshots(context: Context) -> Path:
    """Return the folder with snapshots: up to 2.7 one named after the configuration, later save_dir itself."""
    own = context.output / Path(CONFIG).stem
    return own if own.is_dir() else context.output


def config(context: Context) -> Path:
    return context.output / CONFIG


def weights(context: Context) -> Path:
    folder = snapshots(context)
    found = [folder / f"{name}.pdparams" for name in ("best_model", "model_final")]
    chosen: Optional[Path] = next((path for path in found if path.is_file()), None)
    if chosen is None:
        raise FamilyError(f"the training wrote no model_final.pdparams in {folder}", "see the trainer's output above")
    return chosen


def export_arguments(context: Context) -> List[str]:
    """Return the exporter's arguments, on the CPU. If the training was evaluated, the best snapshot is exported."""
    pairs = [pair for pair in options(context) if not pair.startswith(("pretrain_weights=", "use_"))]
    pairs = ["use_gpu=false", *pairs, f"weights={weights(context).with_suffix('')}"]
    return [
        "tools/export_model.py",
        "-c",
        str(config(context)),
        "--output_dir",
        str(context.output / "export"),
        "-o",
        *pairs,
    ]


def layout(context: Context, shapes: Dict[str, Any]) -> None:
    exported = Path(shapes["folder"])
    target = context.artifacts / "inference"
    target.mkdir(exist_ok=True)
    for name in INFERENCE:
        if (exported / name).is_file():
            shutil.copyfile(exported / name, target / name)
    shutil.copyfile(weights(context), context.artifacts / weights(context).name)
    for name in (EFFECTIVE, METRICS):
        if (context.output / name).is_file():
            shutil.copyfile(context.output / name, context.artifacts / name)


def model_card(context: Context) -> Dict[str, Any]:
    return {"base_model": Path(context.train["config"]).stem, "weights": weights(context).name}


def lfs_patterns(_: Context) -> List[str]:
    return ["*.pdparams", "*.pdiparams", "*.pdmodel"]
