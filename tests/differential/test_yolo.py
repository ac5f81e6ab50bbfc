"""YOLO's datasets: what the probes say, and what the trainers read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .trainer import Trainer, trainer

pytestmark = pytest.mark.differential


@pytest.fixture(scope="module")
def yolov8() -> Iterator[Trainer]:
    with trainer("yolov8", "yolov8", name="yolov8, ultralytics") as found:
        yield found


def valid(folder: Path) -> None:
    for part in ("train", "val"):
        (folder / "dataset" / "labels" / part).mkdir(parents=True)
        (folder / "dataset" / "labels" / part / "a.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    (folder / "dataset" / "data.yaml").write_text("train: images/train\nval: images/val\nnames: [a]\n")
    (folder / "model").mkdir()


def test_a_valid_dataset_is_accepted(yolov8: Trainer) -> None:
    images = {f"dataset/images/{part}/a.jpg": ("JPEG", 32, 32, 0) for part in ("train", "val")}
    verdict = yolov8.ask(valid, images=images)
    assert verdict.probe["ok"], verdict.probe
    assert verdict.reader["parts"]["train"] == {"used": ["images/train/a.jpg"], "labels": 1}
    yolov8.agreed()
