"""YOLOv8: a model by its name and by its file, a training that is killed, a result that stays on its volume, and wrong
input.
"""

from __future__ import annotations

from e2e.cases import SHARED, Case
from e2e.fixtures import yolov8

RESULTS = "yolov8-trained"
EPOCHS = 5  # of the run that is killed

_URL = "https://gitea.git.svc:3000/team"

CASE = Case(
    image="train-cpu-yolo",
    sources={"shapes-yolov8": yolov8.dataset_repository, "shapes-broken": yolov8.broken_repository},
    results=(RESULTS,),
    runs={
        "happy": {},
        # Small steps, so that an epoch takes longer than it takes to kill it.
        "killed": {**SHARED, "retries": 1, "train": {"epochs": EPOCHS, "batchSize": 1, "imageSize": 128}},
        "kept": {**SHARED, "publish": {"type": "none"}, "train": {"epochs": 1, "exportFormats": []}},
        "unknown-option": {"train": {"arguments": ["learning_rate=0.1"]}},
        "no-weights": {"train": {"model": "yolov8n.pt"}},
        "broken-record": {"dataset": {"repository": f"{_URL}/shapes-broken.git"}},
    },
)
