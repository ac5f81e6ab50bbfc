"""Faults of LLaMA-Factory's trainer and exporter."""

from __future__ import annotations

from e2e.fixtures import llm
from e2e.fixtures.faults import case, fault

_TRAINER = "transformers.trainer:Trainer"

CASE = case(
    "llm-sft",
    "train-cpu-llm",
    {
        "batch": fault("start.py", f"{_TRAINER}.training_step", epochs=1),
        "evaluation": fault("start.py", f"{_TRAINER}.prediction_step", epochs=1, maxSamples=40, evalStrategy="epoch"),
        "nan": fault("start.py", f"{_TRAINER}.compute_loss", factor="nan", epochs=1, maxSamples=40),
        "export": fault(
            "export", "transformers.modeling_utils:PreTrainedModel.save_pretrained", epochs=1, maxSamples=40
        ),
    },
    dataset=llm.dataset_repository,
    model={"llm-tiny": llm.model_repository},
)
