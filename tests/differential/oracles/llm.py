"""The probe of the family llm-sft, and what LLaMA-Factory itself makes of the same records.

A request has `files` (path -> text, records for Parquet or Arrow, or null for a picture), `train`, `maxBroken` and
`model` (changes of the base model). For the reader it has `names` and `info`, an own dataset_info.json in which FOLDER
stands for the dataset, and `media`, its folder of pictures; without `info` that of the files is used. `copy` are more
files for the reader; `encoding` is that of texts.
"""

from __future__ import annotations

from serve import copied, load, serve  # isort: skip

import gzip
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, Dict, List

os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", TRANSFORMERS_OFFLINE="1", LLAMAFACTORY_VERBOSITY="ERROR")
import datasets
import pyarrow
import pyarrow.parquet
from llamafactory.data import get_template_and_fix_tokenizer, loader
from llamafactory.hparams import get_train_args
from llamafactory.model import load_model, load_tokenizer
from PIL import Image
from transformers import AutoTokenizer, CLIPImageProcessor, LlavaProcessor, Trainer

probe_dataset = load("probe_dataset")
datasets.disable_progress_bars()
MODEL = Path("/model")
NAMES = {"dpo": "rm", "rm": "rm"}


def answer(request: Dict[str, Any]) -> Dict[str, Any]:
    copied_files = {**request["files"], **request.get("copy", {})}
    return {
        "probe": probe(made(request), request),
        "reader": read(made({**request, "files": copied_files}), request),
    }


def made(request: Dict[str, Any]) -> Path:
    """Return a run's folder with the model and the dataset, and use a cache of its own."""
    folder = copied(request)
    for path, content in request["files"].items():
        file = folder / "dataset" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            Image.new("RGB", (40, 30)).save(file)
        elif file.suffix == ".gz":
            file.write_bytes(gzip.compress(content.encode()))
        elif isinstance(content, str):
            file.write_text(content, encoding=request.get("encoding", "utf-8"))
        elif file.suffix == ".parquet":
            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(content), str(file))
        else:
            table = pyarrow.Table.from_pylist(content)
            with pyarrow.ipc.new_stream(str(file), table.schema) as stream:
                stream.write_table(table)
    (folder / "dataset").mkdir(exist_ok=True)
    changes = request.get("model", {})
    shutil.copytree(MODEL, folder / "model", ignore=shutil.ignore_patterns(".git*", *changes.get("without", [])))
    if changes.get("images"):
        tokenizer = AutoTokenizer.from_pretrained(str(MODEL))
        tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
        size = {"size": {"shortest_edge": 28}, "crop_size": {"height": 28, "width": 28}}
        seen = {"patch_size": 14, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1}
        LlavaProcessor(CLIPImageProcessor(**size), tokenizer, **seen).save_pretrained(str(folder / "model"))
    if changes.get("config"):
        config = json.loads((folder / "model" / "config.json").read_text(encoding="utf-8"))
        (folder / "model" / "config.json").write_text(json.dumps({**config, **changes["config"]}), encoding="utf-8")
    for name, size in changes.get("cut", {}).items():
        os.truncate(folder / "model" / name, (folder / "model" / name).stat().st_size - size)
    home = Path(tempfile.mkdtemp())
    os.environ["HF_HOME"] = str(home)
    datasets.config.HF_DATASETS_CACHE = home / "datasets"
    return folder


def probe(folder: Path, request: Dict[str, Any]) -> Dict[str, Any]:
    """Return the answer of the probe, and what would be trained on."""
    read: List[Any] = []
    kept = {name: getattr(loader, name) for name in ("get_dataset", "load_dataset", "align_dataset")}

    def noted(*arguments: Any, **named: Any) -> Any:
        read.append(kept["get_dataset"](*arguments, **named))
        return read[-1]

    loader.get_dataset = noted
    scratch = tempfile.mkdtemp()
    places = {"model": str(folder / "model"), "dataset": str(folder / "dataset"), "scratch": scratch}
    argument = {**places, "train": request["train"], "maxBroken": request.get("maxBroken", 0), "run": request["run"]}
    try:
        found: Dict[str, Any] = probe_dataset.probe(argument)
    finally:
        for name, function in kept.items():
            setattr(loader, name, function)
    return {**found, "texts": texts(read[-1], folder) if read else None}


def read(folder: Path, request: Dict[str, Any]) -> Dict[str, Any]:
    """Return what the trainer would train on, or why it would not start."""
    train, dataset = request["train"], folder / "dataset"
    if request.get("info"):
        described = Path(tempfile.mkdtemp())
        info = json.dumps(request["info"]).replace("FOLDER", str(dataset))
        (described / "dataset_info.json").write_text(info, encoding="utf-8")
    else:
        described = next(iter(dataset.rglob("dataset_info.json")), dataset / "dataset_info.json").parent
    configured: Dict[str, Any] = {
        "stage": train["stage"], "finetuning_type": train["finetuningType"], "do_train": True, "use_cpu": True,
        "model_name_or_path": str(folder / "model"), "output_dir": tempfile.mkdtemp(), "report_to": "none",
        "template": train["template"], "cutoff_len": train["cutoffLength"], "dataset_dir": str(described),
        "dataset": ",".join(request["names"]), "media_dir": str(dataset / request.get("media", "") if request.get("info") else described),
        "lora_target": train["loraTarget"], "val_size": train["validationSize"], "fp16": train["fp16"], "bf16": train["bf16"], **train["arguments"],
    }  # fmt: skip
    if request.get("evaluated"):
        configured.update(eval_dataset=",".join(request["evaluated"]), val_size=0.0)
    if train["maxSamples"]:
        configured["max_samples"] = train["maxSamples"]
    os.chdir(folder / "model")
    try:
        model, data, training, tuning, _ = get_train_args(configured)
        tokenizer = load_tokenizer(model)
        template = get_template_and_fix_tokenizer(tokenizer["tokenizer"], data)
        if request.get("model"):
            Trainer(load_model(tokenizer["tokenizer"], model, tuning, is_trainable=True), training)
        stage = NAMES.get(train["stage"], train["stage"])
        module = loader.get_dataset(template, model, data, training, stage, **tokenizer)
        return {"ok": True, "texts": texts(module, folder)}
    except Exception as error:
        return {"ok": False, "reason": f"{type(error).__name__}: {error}"}


def texts(module: Dict[str, Any], folder: Path) -> List[str]:
    """Return the tokens of every record, of training and evaluation together."""
    found = [one for each in module.values() for one in (each.values() if isinstance(each, dict) else [each])]
    columns = ("input_ids", "labels", "chosen_input_ids", "rejected_input_ids", "kto_tags")
    if any(not hasattr(each, "__len__") for each in found):  # a stream
        return []
    rows = [row for each in found for row in each.select_columns([one for one in each.column_names if one in columns])]
    return sorted(json.dumps(row, sort_keys=True) for row in rows)


if __name__ == "__main__":
    serve(answer)
