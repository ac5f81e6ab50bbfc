"""Language models: a training in one pod, one in two pods that is killed, and wrong input."""

from __future__ import annotations

from e2e.cases import SHARED, Case
from e2e.fixtures import llm

RESULTS = "llm-trained"
EPOCHS = 5  # of the run that is killed

_URL = "https://gitea.git.svc:3000/team"
_PAIR = {**SHARED, "replicas": 2}

CASE = Case(
    image="train-cpu-llm",
    sources={
        "llm-tiny": llm.model_repository,
        "llm-without-tokenizer": llm.without_tokenizer,
        "identity": llm.dataset_repository,
        "identity-broken": llm.broken_repository,
    },
    results=(RESULTS,),
    runs={
        "happy": {},
        "pair": {
            "replicas": 2,
            "workspace": {**SHARED["workspace"], "directory": "llm-pair{session}"},
            "env": {
                "PYTHONPATH": "/workspace/llm-pair{session}/dataset/proof",
                "PROOF": "/workspace/llm-pair{session}/proof",
            },
        },
        # Small steps, so that an epoch takes longer than it takes to kill it.
        "killed": {**_PAIR, "retries": 1, "train": {"epochs": EPOCHS, "batchSize": 1}},
        "broken-record": {"dataset": {"repository": f"{_URL}/identity-broken.git"}},
        "no-tokenizer": {"model": {"repository": f"{_URL}/llm-without-tokenizer.git"}},
        "unknown-option": {"train": {"arguments": {"learning_rat": 1}}},
    },
)
