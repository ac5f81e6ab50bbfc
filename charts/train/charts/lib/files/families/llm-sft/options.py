"""LLaMA-Factory's names for the values of `train`, and its configuration. Standard library only."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict

NAMES = {
    "stage": "stage",
    "finetuningType": "finetuning_type",
    "template": "template",
    "cutoffLength": "cutoff_len",
    "maxSamples": "max_samples",
    "preprocessingWorkers": "preprocessing_num_workers",
    "batchSize": "per_device_train_batch_size",
    "gradientAccumulation": "gradient_accumulation_steps",
    "learningRate": "learning_rate",
    "epochs": "num_train_epochs",
    "fp16": "fp16",
    "bf16": "bf16",
    "validationSize": "val_size",
    "evalBatchSize": "per_device_eval_batch_size",
    "loggingSteps": "logging_steps",
    "plotLoss": "plot_loss",
    "saveStrategy": "save_strategy",
    "saveSteps": "save_steps",
    "seed": "seed",
    "ddpTimeoutSeconds": "ddp_timeout",
}
LORA = {
    "loraTarget": "lora_target",
    "loraRank": "lora_rank",
    "loraAlpha": "lora_alpha",
    "loraDropout": "lora_dropout",
}
EVALUATION = {"evalStrategy": "eval_strategy", "evalSteps": "eval_steps"}
VALUES = {**NAMES, **LORA, **EVALUATION, "exportSize": "export_size", "exportDevice": "export_device"}

# Keys of `train.arguments` that the export needs to load the model too.
EXPORTED = ("trust_remote_code", "use_fast_tokenizer", "resize_vocab", "add_tokens", "add_special_tokens")


def values(train: Dict[str, Any]) -> Dict[str, Any]:
    """Return the trainer's configuration for the values that are set; 0 samples means no limit, 0 workers means
    none.
    """
    names = dict(NAMES)
    if train["finetuningType"] == "lora":
        names.update(LORA)
    if train["validationSize"]:
        names.update(EVALUATION)
    found = {name: train[key] for key, name in names.items() if train[key] not in ("", None)}
    for name in ("max_samples", "preprocessing_num_workers"):
        if not found.get(name):
            found.pop(name, None)
    return found


def configuration(
    train: Dict[str, Any], described: Dict[str, Any], model: str, output: str, run: Dict[str, Any]
) -> Dict[str, Any]:
    """Return LLaMA-Factory's configuration of a training. `described` is what describe.py returns, `run` has backend,
    replicas and processes.
    """
    found: Dict[str, Any] = {
        "model_name_or_path": model,
        "do_train": True,
        "dataset": ",".join(described["datasets"]),
        "dataset_dir": described["folder"],
        "media_dir": described["media"],
        "output_dir": output,
        # The trainer removes an older checkpoint once the newer one is complete, which the runner could only guess;
        # therefore this family has no hook `stale`.
        "save_total_limit": 2,
        "save_only_model": False,
        "report_to": "none",  # the runner does the tracking
        **values(train),
    }
    if described["evaluated"] and "eval_dataset" not in train["arguments"]:
        found["eval_dataset"] = ",".join(described["evaluated"])
        del found["val_size"]
    if run["backend"] == "cpu":
        found["use_cpu"] = True
        if run["replicas"] * run["processes"] > 1:
            found["ddp_backend"] = "gloo"
    elif run["replicas"] > 1:
        found["deepspeed"] = str(Path(__file__).with_name("deepspeed_zero3.json"))
    return {**found, **train["arguments"]}
