"""YOLOv5: what a training repeats after its pod was killed."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from e2e import branches
from e2e.cases.yolov5_resume import EPOCHS, RESULTS
from e2e.cluster import kind
from e2e.node import in_node
from e2e.resume import killed_and_resumed
from e2e.runs import Session

pytestmark = pytest.mark.family("yolov5-resume")


@pytest.mark.runs("yolov5-resume-killed")
def test_a_killed_training_resumes_from_its_checkpoint(session: Session, tmp_path: Path) -> None:
    release = session.release("yolov5-resume-killed")
    killed_and_resumed(session, release, EPOCHS)
    result = release.result()
    clone = branches.clone(session.world, RESULTS, result["branch"], tmp_path / "clone")
    rows = list(csv.DictReader((clone / "results.csv").read_text().splitlines(), skipinitialspace=True))
    assert len(rows) in (EPOCHS, EPOCHS + 1)
    left = in_node("ls", f"{kind.SHARED}/{release.name}/output/train/weights").split()
    assert len([name for name in left if name.startswith("epoch")]) == 2, "older checkpoints are removed"
