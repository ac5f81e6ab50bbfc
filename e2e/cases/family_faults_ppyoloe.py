"""Faults of PaddleDetection's trainer."""

from __future__ import annotations

from e2e.fixtures import ppyoloe
from e2e.fixtures.faults import case, fault

_HEAD = "ppdet.modeling.heads.ppyoloe_head:PPYOLOEHead"

CASE = case(
    "ppyoloe",
    "train-cpu-paddle",
    {
        "import": fault("run.py", "ppdet.engine.callbacks"),
        "evaluation": fault("run.py", "ppdet.metrics.metrics:COCOMetric.accumulate", epochs=1),
        # In the last of its eight steps.
        "last-epoch": fault("run.py", f"{_HEAD}.forward", after=7, evaluate=False),
        "nan": fault("run.py", f"{_HEAD}.get_loss", after=3, factor="nan", epochs=1, evaluate=False),
    },
    dataset=ppyoloe.dataset_repository,
    model={"ppyoloe": ppyoloe.model_repository},
)
