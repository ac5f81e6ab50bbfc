"""Family llm-sft: what LLaMA-Factory is told, the memory that it needs, and its ready-to-run example."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import log
from typing import Annotated, Any, Literal

from pydantic import Field

from trainchart.values.memory import Estimate, EstimateError, Layout
from trainchart.values.models.base import Count, Open, Section, Text
from trainchart.values.models.family import Family
from trainchart.values.words import also

Positive = Annotated[float, Field(gt=0)] | Literal[""] | None
Number = Annotated[int, Field(ge=0)] | Literal[""] | None


class LlmSft(Section):
    stage: Literal["pt", "sft", "rm", "dpo", "kto"] | None = Field(
        None, description="pt: plain text. sft: instructions. rm, dpo: pairs of answers. kto: rated answers."
    )
    finetuningType: Literal["lora", "full", "freeze"] | None = Field(
        None,
        description="lora: an adapter. full: all parameters. freeze: the last layers.",
        json_schema_extra=also("finetuning_type"),
    )
    loraTarget: Text = Field(
        None,
        description="Modules with an adapter, with commas.",
        examples=["q_proj,v_proj"],
        json_schema_extra=also("lora_target"),
    )
    loraRank: Count = Field(None, description="Rank of the adapter.", examples=[8], json_schema_extra=also("lora_rank"))
    loraAlpha: Count = Field(
        None, description="Scale of the adapter.", examples=[16], json_schema_extra=also("lora_alpha")
    )
    loraDropout: float | None = Field(
        None, ge=0, lt=1, description="Dropout of the adapter.", examples=[0.1], json_schema_extra=also("lora_dropout")
    )
    dataset: Text = Field(
        None,
        description="Datasets, splits, folders or files of the repository, with commas; empty: the only one.",
        examples=["identity_alauda", "en,zh"],
    )
    datasetFormat: Literal["", "alpaca", "sharegpt", "openai"] | None = Field(
        None, description="Format of records that no dataset_info.json describes; empty: found out."
    )
    template: Text = Field(
        None, description="Prompt template of LLaMA-Factory for this model.", examples=["qwen3", "qwen3_nothink"]
    )
    cutoffLength: Count = Field(
        None,
        description="Longest record, in tokens.",
        examples=[1024],
        json_schema_extra=also("cutoff_len", "maxLength", "maxSeqLen", "modelMaxLength"),
    )
    maxSamples: Number = Field(
        None,
        description="The first records of each dataset, which alone are used; 0: all.",
        examples=[1000],
        json_schema_extra=also("max_samples"),
    )
    preprocessingWorkers: Number = Field(
        None,
        description="Processes that tokenize; 0: none.",
        examples=[8],
        json_schema_extra=also("preprocessing_num_workers"),
    )
    batchSize: Count = Field(
        None,
        description="Records per step and device.",
        examples=[2],
        json_schema_extra=also("per_device_train_batch_size", "batch", "microBatchSize"),
    )
    gradientAccumulation: Count = Field(
        None,
        description="Steps per update of the parameters.",
        examples=[2],
        json_schema_extra=also("gradient_accumulation_steps", "gradAccum"),
    )
    learningRate: Positive = Field(
        None, description="Highest learning rate.", examples=[0.0002], json_schema_extra=also("learning_rate", "lr")
    )
    epochs: Count = Field(
        None, description="Passes over the dataset.", examples=[4], json_schema_extra=also("num_train_epochs", "epoch")
    )
    fp16: bool | None = Field(None, description="Half precision, on accelerators that have no bfloat16.")
    bf16: bool | None = Field(None, description="bfloat16, on accelerators.")
    validationSize: float | None = Field(
        None,
        ge=0,
        description="Records held back, where no split validation is: a share, or a number; 0: none.",
        examples=[0.1],
        json_schema_extra=also("val_size"),
    )
    evalBatchSize: Count = Field(
        None,
        description="Records per step and device in the validation.",
        examples=[1],
        json_schema_extra=also("per_device_eval_batch_size"),
    )
    evalStrategy: Literal["no", "epoch", "steps"] | None = Field(
        None, description="When to validate.", json_schema_extra=also("eval_strategy")
    )
    evalSteps: Count = Field(
        None,
        description="Updates between validations, with steps.",
        examples=[500],
        json_schema_extra=also("eval_steps"),
    )
    loggingSteps: Count = Field(
        None,
        description="Updates between two lines of metrics.",
        examples=[10],
        json_schema_extra=also("logging_steps"),
    )
    plotLoss: bool | None = Field(
        None, description="Draw the loss, as training_loss.png.", json_schema_extra=also("plot_loss")
    )
    saveStrategy: Literal["epoch", "steps"] | None = Field(
        None, description="When to write a checkpoint.", json_schema_extra=also("save_strategy")
    )
    saveSteps: Count = Field(
        None,
        description="Updates between checkpoints, with steps.",
        examples=[500],
        json_schema_extra=also("save_steps"),
    )
    seed: int | None = Field(None, ge=0, description="Seed of all random numbers.", examples=[42])
    ddpTimeoutSeconds: Count = Field(
        None,
        description="How long ranks wait for each other, tokenizing included.",
        examples=[7200],
        json_schema_extra=also("ddp_timeout"),
    )
    merge: bool | None = Field(None, description="Merge the adapter into the model; false: publish it alone.")
    exportSize: Count = Field(
        None, description="Largest file of weights, in GB.", examples=[4], json_schema_extra=also("export_size")
    )
    exportDevice: Literal["cpu", "auto"] | None = Field(
        None, description="Where the adapter is merged.", json_schema_extra=also("export_device")
    )
    modelSize: Text = Field(
        None, description="Parameters of the base model, for the memory estimate alone.", examples=["0.6B", "7B"]
    )
    arguments: Open | None = Field(
        None,
        description="More of LLaMA-Factory's arguments.",
        examples=[{"lr_scheduler_type": "cosine"}],
        json_schema_extra=also("args", "extraArgs", "options"),
    )


@dataclass(frozen=True)
class Geometry:
    """A decoder with grouped attention and gated feed-forward layers, as Qwen3's config.json describes it."""

    hidden: int
    layers: int
    heads: int
    groups: int
    head: int
    inner: int
    vocabulary: int
    tied: bool

    @property
    def layer(self) -> int:
        """Parameters of a layer: four projections, the feed-forward part's three, and the norms."""
        attention = 2 * self.hidden * self.head * (self.heads + self.groups)
        return attention + 3 * self.hidden * self.inner + 2 * self.hidden + 2 * self.head

    @property
    def parameters(self) -> int:
        embeddings = self.vocabulary * self.hidden * (1 if self.tied else 2)
        return embeddings + self.layers * self.layer + self.hidden

    def adapter(self, rank: int, targets: set[str]) -> int:
        """Parameters of an adapter: two matrices of this rank for every module."""
        query, key = self.heads * self.head, self.groups * self.head
        modules = {
            "q_proj": self.hidden + query,
            "k_proj": self.hidden + key,
            "v_proj": self.hidden + key,
            "o_proj": self.hidden + query,
            "gate_proj": self.hidden + self.inner,
            "up_proj": self.hidden + self.inner,
            "down_proj": self.hidden + self.inner,
        }
        chosen = modules.values() if "all" in targets else [modules.get(name, 0) for name in targets]
        return self.layers * rank * sum(chosen)


# config.json of the Qwen3 models. Others of the same size differ little in what an estimate needs.
_QWEN3 = 151_936
SIZES = {
    "tiny": Geometry(32, 2, 4, 2, 8, 64, 400, True),  # what the end-to-end tests train
    "0.6B": Geometry(1024, 28, 16, 8, 128, 3072, _QWEN3, True),
    "1.7B": Geometry(2048, 28, 16, 8, 128, 6144, _QWEN3, True),
    "4B": Geometry(2560, 36, 32, 8, 128, 9728, _QWEN3, True),
    "8B": Geometry(4096, 36, 32, 8, 128, 12288, _QWEN3, False),
    "14B": Geometry(5120, 40, 40, 8, 128, 17408, _QWEN3, False),
    "32B": Geometry(5120, 64, 64, 8, 128, 25600, _QWEN3, False),
}
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)([MB])", re.IGNORECASE)
_UNITS = {"M": 10**6, "B": 10**9}

FROZEN = 2
"""Layers that `freeze` trains: LLaMA-Factory's `freeze_trainable_layers`."""


def estimate(train: Mapping[str, Any], layout: Layout) -> Estimate:
    """The memory of rank 0, in bytes, with plain data parallelism. ZeRO-3, for several nodes, needs less: it divides the state.

    With P parameters, T of them trained (all, those of the last layers, or A of the adapter beside P that stay as they are):

    - parameters: what is trained is kept in single precision, 4 T, whatever the precision of the steps (LLaMA-Factory's
      `cast_trainable_params_to_fp32` in model/adapter.py); what is not, in half precision on a device, 2 bytes, and 4 on CPU;
    - gradients 4 T; optimizer: AdamW's two moments, 8 T (torch.optim.AdamW; Rajbhandari et al., ZeRO, 2020, section 3.1);
    - copies: autocast's half copies of what is trained, 2 T, with fp16 or bf16; the buckets in which DDP exchanges gradients,
      4 T, with several processes; and the reference model of dpo and kto, where the model itself is trained;
    - activations, with gradient checkpointing as LLaMA-Factory has it by default (Korthikanti et al., Reducing Activation
      Recomputation, 2022, without attention scores, which are not kept): for B records of S tokens and a hidden size H,
      2 B S H per layer and 34 B S H of the one under way, in half precision, twice as much in single; and the logits, of which
      two copies in single precision live at once: 8 B S V. A pair of answers counts twice. Approximate.

    Raises:
        EstimateError: modelSize does not say how large the model is.
    """
    geometry, total = _model(str(train.get("modelSize") or ""))
    kind, stage = train.get("finetuningType") or "lora", train.get("stage") or "sft"
    adapter = 0
    if kind == "lora":
        targets = {name.strip() for name in str(train.get("loraTarget") or "all").split(",")}
        trained = adapter = geometry.adapter(int(train.get("loraRank") or 8), targets)
    else:
        share = min(FROZEN, geometry.layers) * geometry.layer / geometry.parameters if kind == "freeze" else 1.0
        trained = round(total * share)
    frozen = total + adapter - trained
    device = layout.backend != "cpu"
    mixed = bool(train.get("fp16") or train.get("bf16"))
    half = 2 if device else 4
    reference = half * total if stage in ("dpo", "kto") and kind != "lora" else 0
    records = int(train["batchSize"]) * (2 if stage in ("rm", "dpo") else 1)
    tokens = records * int(train["cutoffLength"])
    per_layer = (2 * geometry.layers + 34) * geometry.hidden * (1 if mixed else 2)
    return Estimate(
        model=f"{train['modelSize']} parameters, {kind}, {records} x {train['cutoffLength']} tokens per process",
        parameters=4 * trained + half * frozen,
        gradients=4 * trained,
        optimizer=8 * trained,
        copies=((2 if mixed else 0) + (4 if layout.processes > 1 else 0)) * trained + reference,
        activations=tokens * (per_layer + 8 * geometry.vocabulary),
    )


def _model(size: str) -> tuple[Geometry, int]:
    """The geometry that comes nearest to a size, and its parameters."""
    for name, geometry in SIZES.items():
        if name.lower() == size.lower():
            return geometry, geometry.parameters
    match = _SIZE.fullmatch(size)
    total = round(float(match[1]) * _UNITS[match[2].upper()]) if match else 0
    if not total:
        raise EstimateError(
            f"train.modelSize: '{size}' does not say how large the model is; write it such as 0.6B or 500M"
        )
    nearest = min(list(SIZES.values())[1:], key=lambda geometry: abs(log(total / geometry.parameters)))
    return nearest, total


FAMILY = Family(
    model=LlmSft,
    estimate=estimate,
    example={
        "image": "registry.example.com/training/llm-sft:0.9.5",
        "git": {"secretName": "git-credentials"},
        "model": {"repository": "https://git.example.com/team/Qwen3-0.6B.git"},
        "dataset": {"repository": "https://git.example.com/team/identity-alauda.git"},
        "publish": {"repository": "https://git.example.com/team/qwen3-tuned.git"},
        # What the reference document asks for: one card shared by HAMi, half of its compute, 8 GiB of its memory.
        "accelerator": {"profile": "hami-alauda", "count": 1, "corePercent": 50, "memory": "8192Mi"},
        "replicas": 1,
        "resources": {"requests": {"cpu": "1", "memory": "8Gi"}, "limits": {"cpu": "8", "memory": "16Gi"}},
        "sharedMemory": "2Gi",
        "workspace": {"type": "emptyDir", "size": "20Gi"},
    },
    # The reference document's parameters; the others of it are the family's defaults.
    train={
        "finetuningType": "lora",
        "dataset": "identity_alauda",
        "template": "qwen3",
        "cutoffLength": 1024,
        "maxSamples": 1000,
        "batchSize": 2,
        "gradientAccumulation": 2,
        "learningRate": 0.0002,
        "epochs": 4,
        "fp16": True,
        "validationSize": 0.1,
        "modelSize": "0.6B",
    },
    notes={
        "model": "A model in Hugging Face's layout: config.json, tokenizer, and weights as .safetensors (in LFS).",
        "dataset": "Records: with LLaMA-Factory's dataset_info.json, or in one of Hugging Face's layouts (train.jsonl).",
    },
)
