"""The notebook's fine-tuning as it is written, and every stage, each with the demo set that LLaMA-Factory has for it; and a
dataset without a description, as hubs have them.
"""

from __future__ import annotations

from e2e.cases import UNSET_DEVICE, Case
from e2e.fixtures import llm, upstream

RESULTS = "references-llm-trained"
REVISION = "v0.9.5"
STAGES = {
    "pt": "c4_demo",
    "sft": "identity,alpaca_en_demo",
    "rm": "dpo_en_demo",
    "dpo": "dpo_en_demo",
    "kto": "kto_en_demo",
}

_URL = "https://gitea.git.svc:3000/team"
_DOCUMENT = {
    "accelerator": UNSET_DEVICE,
    "workspace": {"type": "emptyDir", "storageClassName": ""},
    "cache": {"claimName": ""},
    "mlflow": {"trackingUri": ""},
    "git": {"secretName": "git-credentials", "userKey": "GIT_USER", "tokenKey": "GIT_TOKEN"},
    "model": {"cached": False},
    "dataset": {"repository": f"{_URL}/llm-demo-data.git"},
    "publish": {"repository": f"{_URL}/{RESULTS}.git"},
}

CASE = Case(
    family="llm-sft",
    reference="llm-sft-notebook",
    image="train-cpu-llm",
    sources={
        **({"llm-demo-data": upstream.demo_data("llm-demo-data", REVISION)} if upstream.has("LLaMA-Factory") else {}),
        "llm-tiny": llm.model_repository,
        "llm-hub": llm.hub_repository,
    },
    results=(RESULTS,),
    runs={
        **{
            stage: {**_DOCUMENT, "train": {"stage": stage, "dataset": dataset, "epochs": 1, "maxSamples": 40}}
            for stage, dataset in STAGES.items()
        },
        "hub": {
            **_DOCUMENT,
            "dataset": {"repository": f"{_URL}/llm-hub.git"},
            "train": {"dataset": "", "epochs": 1, "evalStrategy": "epoch"},
        },
    },
)
