"""A dataset in an object store, and tracking by MLflow; `python3 -m e2e.cluster servers` starts both."""

from __future__ import annotations

from e2e.cases import SHARED, Case, Values
from e2e.fixtures import yolov5

RESULTS = "servers-trained"
EXPERIMENT = "e2e"
BUCKET, PREFIX, SECRET = "datasets", "shapes", "s3-credentials"
SESSION_SECRET = "s3-session"

_TRACKED: Values = {"mlflow": {"trackingUri": "http://mlflow.servers.svc:5000", "experiment": EXPERIMENT}}
_STORED: Values = {
    "dataset": {
        "type": "s3",
        "repository": "",
        "endpoint": "http://minio.servers.svc:9000",
        "bucket": BUCKET,
        "prefix": PREFIX,
        "secretName": SECRET,
    }
}
_IN_THE_HOST: Values = {
    **_STORED["dataset"],
    "endpoint": "http://buckets.servers.svc:9000",
    "addressing": "virtual",
    "secretName": SESSION_SECRET,
}
_BOTH: Values = {**SHARED, **_TRACKED, **_STORED}
_UNPUBLISHED: Values = {"publish": {"type": "none", "repository": ""}}

CASE = Case(
    image="train-cpu-yolo",
    family="yolov5",
    sources={"yolov5": yolov5.model_repository, "shapes": yolov5.dataset_repository},
    results=(RESULTS,),
    runs={
        "happy": {**_BOTH, "publish": {"repository": f"https://gitea.git.svc:3000/team/{RESULTS}.git"}},
        "session": {**_BOTH, **_UNPUBLISHED, "dataset": _IN_THE_HOST},
        "no-session": {
            **_BOTH,
            **_UNPUBLISHED,
            "dataset": {**_IN_THE_HOST, "sessionTokenKey": "ANOTHER_TOKEN"},
        },
        "no-identity": {
            **_BOTH,
            **_UNPUBLISHED,
            "dataset": {**_STORED["dataset"], "secretName": "", "workloadIdentity": True},
            "serviceAccount": {"name": "default"},
        },
        "killed": {**_BOTH, **_UNPUBLISHED, "retries": 1},
        "killed-for-good": {**_BOTH, **_UNPUBLISHED},
        "stopped": {**_BOTH, **_UNPUBLISHED, "train": {"epochs": 50}},
        "failing-trainer": {**_BOTH, **_UNPUBLISHED, "train": {"weights": "data/shapes.yaml"}},
        "no-tracking": {**_BOTH, **_UNPUBLISHED, "mlflow": {"trackingUri": "http://mlflow.servers.svc:5999"}},
        "wrong-key": {**_BOTH, **_UNPUBLISHED, "dataset": {**_STORED["dataset"], "secretName": "s3-wrong"}},
        "no-bucket": {**_BOTH, **_UNPUBLISHED, "dataset": {**_STORED["dataset"], "bucket": "datsets"}},
        "no-prefix": {**_BOTH, **_UNPUBLISHED, "dataset": {**_STORED["dataset"], "prefix": "shape"}},
    },
)
