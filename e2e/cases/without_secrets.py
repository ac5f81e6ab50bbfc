"""Runs of an account that may not read Secrets, which no release of Helm keeps. The tests create them themselves."""

from __future__ import annotations

from e2e.cases import Case, Values
from e2e.fixtures import custom

COMPLETES: Values = {"replicas": 2, "publish": {"branch": "without-secrets{session}"}}
KEEPS_RUNNING: Values = {
    "workspace": {"type": "newClaim", "accessMode": "ReadWriteOnce", "size": "64Mi", "keep": True},
    "publish": {"type": "none"},
    "train": {
        "command": ["python3", "-c", "import time; print('still running', flush=True); time.sleep(600)"],
        "exportCommand": [],
    },
}

CASE = Case(
    image="custom-minimal",
    sources={"descend": custom.model_repository, "points": custom.dataset_repository},
    results=("custom-trained",),
    family="custom",
    runs={"completes": COMPLETES, "long": KEEPS_RUNNING},
)
