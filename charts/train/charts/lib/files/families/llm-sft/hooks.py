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
    """Write train.yaml, after describing the dataset for the trainer."""
    _write(context.output / "train.yaml", settings_of(context, _describe(context)))


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


def settings_of(context: Context, described: Dict[str, Any]) -> Dict[str, Any]:
    """Return LLaMA-Factory's configuration for this training."""
    settings = context.settings
    run = {"backend": settings.run.backend, "replicas": settings.replicas, "processes": settings.run.processes}
    output = str(context.output / "train")
    found = options.configuration(context.train, described, str(context.model), output, run)
    if context.resume_from:
        found["resume_from_checkpoint"] = str(context.resume_from)
        if context.train["stage"] == "rm":
            found["adapter_name_or_path"] = str(context.resume_from)  # for the value head
    return found


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


def _describe(context: Context) -> Dict[str, Any]:
    """Return what describe.py says of the dataset, with the image's libraries. Raises FamilyError."""
    script = Path(__file__).with_name("describe.py")
    argv = [sys.executable, str(script), str(context.dataset), json.dumps(context.train)]
    done = process.run(argv, context.folder, {**context.environment, **train_environment(context)}, capture=True)
    killed = done.killed("the description of the dataset")
    if killed:
        raise killed
    try:
        answer: Dict[str, Any] = json.loads(done.output.splitlines()[-1])
    except (IndexError, ValueError):
        raise FamilyError("the dataset cannot be described", "see the output above") from None
    if not answer["ok"]:
        raise FamilyError(answer["reason"], answer["fix"])
    return answer


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
    """Return the name of the base model: the last part of its location, or where that is a hub, the model's whole ID."""
    location = context.sources["model"].repository if "model" in context.sources else context.model.name
    location = re.sub(r"\.git$", "", location.rstrip("/"))
    on_hub = re.match(r"https://(huggingface\.co|hf\.co|www\.modelscope\.cn)/", location)
    return "/".join(location.split("/")[-2 if on_hub else -1 :])


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
