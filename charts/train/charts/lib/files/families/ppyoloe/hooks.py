"""PP-YOLOE: how to call PaddleDetection's tools/train.py and tools/export_model.py, and what their files mean."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any, Dict, List, Optional

from runner.context import Context
from runner.errors import FamilyError

CONFIG = "train.yml"  # generated; PaddleDetection up to 2.7 puts snapshots into a folder of its name
EFFECTIVE = "config.yml"
METRICS = "metrics.jsonl"
FLAGS = {"cuda": "use_gpu", "npu": "use_npu", "mlu": "use_mlu"}  # backend -> the switch of the configuration
PARTS = (".pdparams", ".pdopt")
INFERENCE = ("infer_cfg.yml", "model.pdiparams", "model.pdmodel", "model.json")  # the last with PaddlePaddle 3


def configure(context: Context) -> None:
    """A configuration upon the repository's. JSON is YAML.

    Settings of three levels are here: among the pairs of -o each would reset its siblings. So are the datasets, as objects: they
    replace the configuration's own whatever form those have, and nothing is left that PaddleDetection would download.
    """
    train, data = context.train, str(context.dataset)
    evaluated = train["evalAnnotations"] or train["trainAnnotations"]
    images = train["evalImages"] if train["evalAnnotations"] else train["trainImages"]
    fields = ["image", "gt_bbox", "gt_class", "is_crowd"]
    taught = {
        "dataset_dir": data,
        "image_dir": train["trainImages"],
        "anno_path": train["trainAnnotations"],
        "data_fields": fields,
    }
    judged = {"dataset_dir": data, "image_dir": images, "anno_path": evaluated, "allow_empty": True}
    lines = {
        "_BASE_": json.dumps([str(context.model / train["config"])]),
        "metric": "COCO",
        "num_classes": str(classes(context.dataset / evaluated)),
        "TrainDataset": f"!COCODataSet {json.dumps(taught)}",
        "EvalDataset": f"!COCODataSet {json.dumps(judged)}",
        "TestDataset": f"!ImageFolder {json.dumps({'dataset_dir': data, 'anno_path': evaluated})}",
        **{key: json.dumps(value) for key, value in deep(train["options"]).items()},
    }
    path = config(context)
    scratch = path.with_name(f".{path.name}.{context.rank}.{os.getpid()}")
    scratch.write_text("".join(f"{key}: {value}\n" for key, value in lines.items()), encoding="utf-8")
    scratch.replace(path)


def classes(annotations: Path) -> int:
    """As many as the dataset has categories: the configuration's are those of COCO."""
    try:
        return len(json.loads(annotations.read_text(encoding="utf-8"))["categories"])
    except (OSError, ValueError, KeyError) as error:
        raise FamilyError(
            f"{annotations} cannot be read: {error!r}", "push the dataset's annotations in COCO format"
        ) from error


def deep(options: Dict[str, Any]) -> Dict[str, Any]:
    """Options whose keys have three levels or more, nested."""
    nested: Dict[str, Any] = {}
    for key, value in options.items():
        *path, last = key.split(".")
        if len(path) < 2:
            continue
        at = nested
        for part in path:
            at = at.setdefault(part, {})
        at[last] = value
    return nested


def options(context: Context) -> List[str]:
    """The pairs of the one -o. A user's own come last, and win."""
    train, backend = context.train, context.settings.accelerator.backend
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
        **{key: value for key, value in train["options"].items() if key.count(".") < 2},
    }
    return [f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in pairs.items()]


def pretrained(context: Context) -> str:
    """Empty: without it, the configuration's own would be downloaded."""
    return str(context.model / context.train["pretrainWeights"]) if context.train["pretrainWeights"] else ""


def train_arguments(context: Context) -> List[str]:
    words = [
        str(Path(__file__).resolve().parent / "run.py"),
        str(context.output / METRICS),
        str(context.output / EFFECTIVE),
    ]
    words += ["-c", str(config(context)), "-o", *options(context)]
    if context.resume_from:
        words += ["-r", str(context.resume_from.with_suffix(""))]
    words += ["--eval"] if context.train["evaluate"] else []
    words += ["--amp"] if context.train["amp"] else []
    return [*launch(context), *words]


def launch(context: Context) -> List[str]:
    """The master is rank 0's address and not its name: PaddlePaddle starts it only where that is the pod's own address, word for word."""
    topology, accelerator = context.settings.topology, context.settings.accelerator
    if context.world_size == 1:
        return []
    words = [
        "-m",
        "paddle.distributed.launch",
        "--nnodes",
        str(topology.replicas),
        "--log_dir",
        str(context.output / "log" / str(context.rank)),
    ]
    words += ["--job_id", context.settings.run.name, "--max_restart", "0"]
    if topology.replicas > 1:
        words += ["--master", f"{context.master_ip}:{topology.port}", "--rank", str(context.rank)]
    if accelerator.backend == "cpu":
        return [*words, "--nproc_per_node", str(topology.processes)]
    return [*words, "--devices", ",".join(str(index) for index in range(topology.processes))]


def train_environment(context: Context) -> Dict[str, str]:
    python_path = [str(context.model), context.environment.get("PYTHONPATH", "")]
    return {
        "PYTHONPATH": os.pathsep.join(filter(None, python_path)),  # the repository's ppdet comes before the image's
        "ENABLE_FALL_BACK": "False",  # PaddlePaddle 2.6 exports no whole graph otherwise; others do not read it
        # Rank 0's master compares it with its address; the hostname, its other source, may resolve to something else.
        **({"POD_IP": context.own_ip} if context.own_ip else {}),
        **(
            {"PADDLE_DISTRI_BACKEND": "gloo"}
            if context.settings.accelerator.backend == "cpu" and context.world_size > 1
            else {}
        ),
    }


def metrics(context: Context) -> List[Dict[str, Any]]:
    """What run.py wrote. A row of the evaluation completes the epoch's own; a last line without its end is still being written."""
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
    """PaddleDetection writes .pdopt last: without it, a snapshot is not whole."""
    folder = snapshots(context)
    found = [folder / "model_final.pdopt", *_numbered(folder)]
    return [path for path in found if all(path.with_suffix(part).is_file() for part in PARTS)]


def stale(context: Context) -> List[Path]:
    """All but the last two whole snapshots; best_model and model_final stay."""
    folder = snapshots(context)
    whole = [path for path in _numbered(folder) if path.with_suffix(".pdparams").is_file()]
    return [file for path in whole[2:] for file in sorted(folder.glob(f"{path.stem}.pd*"))]


def _numbered(folder: Path) -> List[Path]:
    return sorted(
        (path for path in folder.glob("*.pdopt") if path.stem.isdigit()), key=lambda path: int(path.stem), reverse=True
    )


def snapshots(context: Context) -> Path:
    """Up to 2.7 a folder named after the configuration, later save_dir itself."""
    own = context.output / Path(CONFIG).stem
    return own if own.is_dir() else context.output


def config(context: Context) -> Path:
    return context.output / CONFIG


def weights(context: Context) -> Path:
    folder = snapshots(context)
    found = [folder / f"{name}.pdparams" for name in ("best_model", "model_final")]
    chosen: Optional[Path] = next((path for path in found if path.is_file()), None)
    if chosen is None:
        raise FamilyError(f"the training left no model_final.pdparams in {folder}", "see the trainer's output above")
    return chosen


def export_arguments(context: Context) -> List[str]:
    """On the processor, as the exporter does. An evaluated training is exported as it was at its best."""
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
