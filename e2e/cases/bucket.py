"""A result in an object store; `python3 -m e2e.cluster servers` starts it. Its runs take seconds."""

from __future__ import annotations

from e2e.cases import SHARED, Case, Values
from e2e.fixtures import custom

BUCKET, PREFIX, SECRET, WRONG_SECRET = "models", "e2e/{session}", "models-writer", "models-wrong"
TAKEN = "taken"

_UPLOADED: Values = {
    "type": "s3",
    "repository": "",
    "endpoint": "http://minio.servers.svc:9000",
    "bucket": BUCKET,
    "prefix": PREFIX,
    "secretName": SECRET,
}

CASE = Case(
    image="custom-minimal",
    family="custom",
    sources={"descend": custom.model_repository, "points": custom.dataset_repository},
    runs={
        "generated": {"publish": _UPLOADED, "replicas": 2},
        "named": {**SHARED, "publish": {**_UPLOADED, "folder": "candidates/first"}},
        "taken": {"publish": {**_UPLOADED, "folder": TAKEN}},
        "wrong-key": {"publish": {**_UPLOADED, "secretName": WRONG_SECRET}},
        "no-bucket": {"publish": {**_UPLOADED, "bucket": "modles"}},
    },
)
