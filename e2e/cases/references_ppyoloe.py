"""PaddleCloud's PP-YOLOE training as it is written, with PaddleDetection 2.7 itself, on annotations like COCO's."""

from __future__ import annotations

from e2e.cases import Case
from e2e.fixtures import ppyoloe, upstream

RESULTS = "references-ppyoloe-trained"
REVISION = "v2.7.0"

_URL = "https://gitea.git.svc:3000/team"

CASE = Case(
    family="ppyoloe",
    reference="ppyoloe-paddlecloud",
    image="train-cpu-paddle",
    sources={
        **(
            {"paddledetection": upstream.paddle_detection("paddledetection", REVISION)}
            if upstream.has("PaddleDetection")
            else {}
        ),
        "coco": ppyoloe.coco_repository,
    },
    results=(RESULTS,),
    runs={
        "document": {
            "workspace": {"type": "emptyDir", "keep": None},
            "ttlAfterFinished": None,  # the test looks at the pod
            "cache": {"claimName": ""},
            "model": {"repository": f"{_URL}/paddledetection.git"},
            "dataset": {
                **dict.fromkeys(("endpoint", "region", "bucket", "prefix", "cached")),
                "type": "git",
                "repository": f"{_URL}/coco.git",
            },
            "publish": {"repository": f"{_URL}/{RESULTS}.git"},
            "resources": {"limits": {"memory": "10Gi"}},
            # The document's configuration, and COCO's own names of folders, over those of e2e's small training.
            "train": {
                "config": "configs/ppyoloe/ppyoloe_crn_l_300e_coco.yml",
                "epochs": 1,
                "batchSize": 2,
                "trainImages": "train2017",
                "trainAnnotations": "annotations/instances_train2017.json",
                "evalImages": "val2017",
                "evalAnnotations": "annotations/instances_val2017.json",
                "evaluate": False,
                "options": {"OptimizerBuilder.optimizer.momentum": 0.9},  # as it is in the configuration
            },
        }
    },
)
