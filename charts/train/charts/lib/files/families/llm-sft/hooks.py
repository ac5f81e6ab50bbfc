"""Language models: LLaMA-Factory's configuration, and how its output becomes a model that can be served."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any, Dict, List

from runner import process
from runner.context import Context
from runner.errors import FamilyError

from . import options, outcome

# The files of a trained adapter or model that its users need.
PUBLISHED = re.compile(
    r"adapter_(model|config)\.\w+|.*\.safetensors(\.index\.json)?|config\.json|generation_config\.json|tokenizer.*|special_tokens_map\.json"
    r"|added_tokens\.json|vocab\.\w+|merges\.txt|.*\.tiktoken|spiece\.model|chat_template\.\w+|(pre)?processor_config\.json"
)
# The configuration and the course of the training.
RECORDS = ("train.yaml", "train/trainer_log.jsonl", "train/training_loss.png", "train/training_eval_loss.png")


def configure(context: Context) -> None:
    """Write train.yaml, and dataset_info.json if the dataset repository has none."""
    datasets = _datasets(context)
    settings = settings_of(context, [found["name"] for found in datasets])
    if any(found["files"] for found in datasets):
        folder = context.output / "dataset"
        info = {found["name"]: _entry(folder, found) for found in datasets}
        _write(folder / "dataset_info.json", info)
        settings["dataset_dir"] = str(folder)
    _write(context.output / "train.yaml", settings)


def train_arguments(context: Context) -> List[str]:
    return [str(Path(__file__).with_name("start.py")), str(context.output / "train.yaml")]


def train_environment(context: Context) -> Dict[str, str]:  # noqa: ARG001 - the hook's signature
    return {
        # Everything is local; a library that tries to download something must fail immediately.
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        # One per pod: the locks of the caches do not work on every shared file system.
        "HF_HOME": str(Path(os.environ.get("HOME", "/tmp")) / "huggingface"),  # noqa: S108
        "WANDB_DISABLED": "true",
        # As LLaMA-Factory's own launcher sets them.
        "PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True",
        "TORCH_NCCL_AVOID_RECORD_STREAMS": "1",
    }


def settings_of(context: Context, datasets: List[str]) -> Dict[str, Any]:
    """Return LLaMA-Factory's configuration for this training."""
    train, backend = context.train, context.settings.run.backend
    found: Dict[str, Any] = {
        "model_name_or_path": str(context.model),
        "do_train": True,
        "dataset": ",".join(datasets),
        "dataset_dir": str(context.dataset),
        "media_dir": str(context.dataset),
        "output_dir": str(context.output / "train"),
        # The trainer removes an older checkpoint once the newer one is complete, which the runner could only guess;
        # therefore this family has no hook `stale`.
        "save_total_limit": 2,
        "save_only_model": False,
        "report_to": "none",  # the runner does the tracking
        **options.values(train),
    }
    if backend == "cpu":
        found["use_cpu"] = True
        if context.world_size > 1:
            found["ddp_backend"] = "gloo"
    elif context.settings.replicas > 1:
        found["deepspeed"] = str(context.home / "family" / "deepspeed_zero3.json")
    if context.resume_from:
        found["resume_from_checkpoint"] = str(context.resume_from)
        if train["stage"] == "rm":
            found["adapter_name_or_path"] = str(context.resume_from)  # for the value head
    return {**found, **train["arguments"]}


def metrics(context: Context) -> List[Dict[str, Any]]:
    """Return a row for every finished epoch, from the trainer's log. Of epochs that were trained twice, the last row
    counts.

    A logged loss is the mean since the previous one; an epoch's loss is the mean of those logged in it.
    """
    path = context.output / "train" / "trainer_log.jsonl"
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8", errors="replace")
    entries = [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines() if line.strip()]
    entries = [entry for entry in entries if "epoch" in entry]
    epochs: Dict[int, List[Dict[str, Any]]] = {}
    reached, step, trained, finished = 0.0, -1, -1, False
    for entry in entries:
        repeated = "loss" in entry and entry["current_steps"] <= trained
        if repeated or entry["current_steps"] < step:  # a resumed training repeats steps
            reached = float(entry["epoch"])
            epochs = {
                number: [old for old in rows if old["current_steps"] < entry["current_steps"]]
                for number, rows in epochs.items()
            }
        step = entry["current_steps"]
        trained = step if "loss" in entry else min(trained, step)
        reached = max(reached, float(entry["epoch"]))
        finished = 0 < entry.get("total_steps", 0) <= step
        epochs.setdefault(max(math.ceil(float(entry["epoch"]) - 1e-6), 1), []).append(entry)
    complete, last = math.floor(reached + 1e-6), max(epochs, default=0)
    # The last epoch of a training that is limited by steps may be partial.
    rows = [
        _row(number, epochs.get(number, []))
        for number in range(1, last + 1)
        if number <= complete or (finished and number == last)
    ]
    written = (context.output / "train" / "train_results.json").is_file()
    validates = context.train["validationSize"] and context.train["evalStrategy"] == "epoch" and not written
    if validates and rows and rows[-1]["epoch"] == last and "eval_loss" not in rows[-1]:
        rows.pop()  # its validation is not finished yet
    return rows


def checkpoints(context: Context) -> List[Path]:
    """Return the checkpoints. The trainer cannot resume a reward model unless only an adapter is trained."""
    if context.train["stage"] == "rm" and context.train["finetuningType"] != "lora":
        return []
    return outcome.checkpoints(context.output / "train")


def export_command(context: Context) -> List[str]:
    """Return LLaMA-Factory's export, which merges the adapter; if only the adapter is published, `layout` copies it."""
    train, trained = context.train, _trained(context)
    if _adapter_only(context):
        return []
    values: Dict[str, Any] = {
        "stage": train["stage"],
        "template": train["template"],
        "finetuning_type": train["finetuningType"],
        "model_name_or_path": str(trained),
        "export_dir": str(context.artifacts),
        "export_size": train["exportSize"],
        "export_device": train["exportDevice"],
        "export_legacy_format": False,
        **{key: train["arguments"][key] for key in options.EXPORTED if key in train["arguments"]},
    }
    if train["finetuningType"] == "lora":
        values.update(model_name_or_path=str(context.model), adapter_name_or_path=str(trained))
    arguments = [part for key, value in values.items() for part in (f"--{key}", str(value))]
    return [sys.executable, "-m", "llamafactory.cli", "export", *arguments]


def layout(context: Context, shapes: Dict[str, Any]) -> None:  # noqa: ARG001
    if _adapter_only(context):
        trained = _trained(context)
        for path in sorted(trained.iterdir()):
            if path.is_file() and PUBLISHED.fullmatch(path.name):
                shutil.copyfile(path, context.artifacts / path.name)
        _name_base_model(context, context.artifacts / "adapter_config.json")
    for name in RECORDS:
        path = context.output / name
        if path.is_file():
            shutil.copyfile(path, context.artifacts / path.name)


def model_card(context: Context) -> Dict[str, Any]:
    relation = "adapter" if _adapter_only(context) else "finetune"
    return {"base_model": _base_model(context), "base_model_relation": relation}


def lfs_patterns(context: Context) -> List[str]:  # noqa: ARG001
    """Return patterns for the weights, and for the vocabulary, which may exceed 10 MB."""
    return ["*.safetensors", "*.bin", "tokenizer.json"]


def _datasets(context: Context) -> List[Dict[str, Any]]:
    """Return what records.py finds in the dataset. It runs in its own process, with the image's libraries. Raises
    FamilyError.
    """
    script = Path(__file__).with_name("records.py")
    argv = [sys.executable, str(script), str(context.dataset), json.dumps(context.train)]
    done = process.run(argv, context.folder, context.environment, capture=True)
    killed = done.killed("the description of the dataset")
    if killed:
        raise killed
    if done.code:
        last = next((line for line in reversed(done.tail) if line.strip()), "it printed nothing")
        raise FamilyError(
            f"the dataset cannot be described: {last}", "see the dataset repository; the image may lack a library"
        )
    answer = json.loads(done.output.splitlines()[-1])
    if not answer["ok"]:
        raise FamilyError(answer["reason"], answer["fix"])
    return list(answer["datasets"])


def _entry(folder: Path, found: Dict[str, Any]) -> Dict[str, Any]:
    """Link the files of a dataset, and return its entry. Several become one folder whose files sort by name: the
    trainer reads a folder in any order, so that ranks without a common disk would not agree on the order of the
    records.
    """
    files = [Path(file) for file in found["files"]]
    for index, file in enumerate(files):
        _link(folder / found["name"] / f"train-{index:05d}{file.suffix}", file)
    links = folder / found["name"]
    if len(files) == 1:
        return {"file_name": f"{links.name}/train-00000{files[0].suffix}", **found["entry"]}
    return {"hf_hub_url": str(links), **found["entry"]}


def _row(epoch: int, entries: List[Dict[str, Any]]) -> Dict[str, Any]:
    losses = [float(entry["loss"]) for entry in entries if "loss" in entry]
    row: Dict[str, Any] = {"epoch": epoch}
    if losses:
        row["loss"] = round(sum(losses) / len(losses), 6)
    for name, key in (
        ("eval_loss", "eval_loss"),
        ("learning_rate", "lr"),
        ("accuracy", "accuracy"),
        ("reward", "reward"),
    ):
        values = [entry[key] for entry in entries if key in entry]
        if values:
            row[name] = values[-1]
    return row


def _adapter_only(context: Context) -> bool:
    return context.train["finetuningType"] == "lora" and not context.train["merge"]


def _trained(context: Context) -> Path:
    trained = outcome.weights(context.output / "train")
    if trained is None:
        raise FamilyError("the training wrote no weights and no checkpoint", "see the trainer's output above")
    return trained


def _base_model(context: Context) -> str:
    """Return the name of the base model: the last part of its location."""
    location = context.sources["model"].repository if "model" in context.sources else context.model.name
    return re.sub(r"\.git$", "", location.rstrip("/")).rpartition("/")[2]


def _name_base_model(context: Context, path: Path) -> None:
    """Set the base model's name in an adapter's configuration, instead of its path in the pod."""
    config = json.loads(path.read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = _base_model(context)
    path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _write(path: Path, content: Any) -> None:
    """Write JSON, which is YAML, atomically: ranks that share a workspace write at the same time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}.{os.uname().nodename}")
    scratch.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    scratch.replace(path)


def _link(path: Path, target: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}.{os.uname().nodename}")
    scratch.unlink(missing_ok=True)  # left by an attempt that was killed here
    scratch.symlink_to(target)
    scratch.replace(path)
