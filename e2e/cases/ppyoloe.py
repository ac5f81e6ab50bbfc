"""PP-YOLOE: one process and two nodes, a training that is killed, and wrong input."""

from __future__ import annotations

from e2e.cases import SHARED, Case
from e2e.fixtures import ppyoloe

RESULTS = "ppyoloe-trained"
HAPPY_EPOCHS = 20
EPOCHS = 24  # of the run that is killed: an epoch takes a second or two, and the kill has to come before the last

_URL = "https://gitea.git.svc:3000/team"

CASE = Case(
    image="train-cpu-paddle",
    sources={
        "ppyoloe": ppyoloe.model_repository,
        "shapes-coco": ppyoloe.dataset_repository,
        "shapes-coco-broken": ppyoloe.broken_repository,
    },
    results=(RESULTS,),
    runs={
        # As many steps as it takes to find anything at all, in the images that it learns from: only then there is a
        # best model.
        "happy": {
            "train": {
                "epochs": HAPPY_EPOCHS,
                "snapshotInterval": 5,
                "batchSize": 2,
                "learningRate": 0.01,
                "options": {"OptimizerBuilder.optimizer.momentum": 0.9},
                "evalImages": "images/train",
                "evalAnnotations": "annotations/train.json",
            }
        },
        "killed": {
            **SHARED,
            "replicas": 2,
            "retries": 1,
            "train": {"epochs": EPOCHS, "batchSize": 1, "evaluate": False},
        },
        "no-config": {"train": {"config": "configs/ppyoloe/ppyoloe_crn_z.yml"}},
        "unknown-option": {"train": {"options": {"TrainRaeder.batch_size": 2}}},
        "broken-record": {"dataset": {"repository": f"{_URL}/shapes-coco-broken.git"}},
    },
)
