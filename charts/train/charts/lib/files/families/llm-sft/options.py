"""LLaMA-Factory's names for the values of `train`, and the keys that the run sets itself. Standard library only."""

from __future__ import annotations

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

# Keys that the run sets, in addition to those of `train`. overwrite_output_dir would disable resuming.
RESERVED = {
    "model_name_or_path",
    "adapter_name_or_path",
    "dataset",
    "dataset_dir",
    "media_dir",
    "do_train",
    "output_dir",
    "overwrite_output_dir",
    "resume_from_checkpoint",
    "save_only_model",
    "save_total_limit",
    "use_cpu",
    "ddp_backend",
    "export_dir",
}

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
