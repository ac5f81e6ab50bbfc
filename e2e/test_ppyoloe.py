"""PP-YOLOE: what arrives on the branch, what a killed training of two nodes repeats, and how errors in the input are
reported.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from e2e import branches
from e2e.cases.ppyoloe import EPOCHS, HAPPY_EPOCHS, RESULTS
from e2e.fixtures.ppyoloe import BROKEN
from e2e.resume import epochs, killed_and_resumed
from e2e.runs import Session

pytestmark = pytest.mark.family("ppyoloe")


@pytest.mark.runs("ppyoloe-happy")
def test_the_branch_holds_the_model_its_weights_and_its_configuration(session: Session, tmp_path: Path) -> None:
    release = session.release("ppyoloe-happy")
    assert release.end() == "Completed", release.log()
    result = release.result()
    clone = branches.clone(session.world, RESULTS, result["branch"], tmp_path / "clone")
    files = {str(path.relative_to(clone)) for path in clone.rglob("*") if path.is_file() and ".git" not in path.parts}
    assert files >= {
        "inference/model.pdmodel",
        "inference/model.pdiparams",
        "inference/infer_cfg.yml",
        "config.yml",
        "metrics.jsonl",
        "README.md",
    }
    assert "best_model.pdparams" in files
    assert epochs(release.log())[-1] == result["metrics"]["epochs"] == HAPPY_EPOCHS
    assert yaml.safe_load((clone / "inference/infer_cfg.yml").read_text())["label_list"] == ["circle", "square"]
    rows = [json.loads(line) for line in (clone / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows if "loss" in row] == list(range(1, HAPPY_EPOCHS + 1))
    evaluated = {row["epoch"]: row["bbox/mAP"] for row in rows if "bbox/mAP" in row}
    assert evaluated  # a model that finds nothing at all tells no mAP; how much this one finds is luck
    card = yaml.safe_load((clone / "README.md").read_text().split("---\n")[1])
    assert card["trainchart"]["weights"] == "best_model.pdparams"


@pytest.mark.runs("ppyoloe-killed")
def test_two_nodes_resume_from_the_same_snapshot_after_a_kill(session: Session) -> None:
    killed_and_resumed(session, session.release("ppyoloe-killed"), EPOCHS)


@pytest.mark.parametrize(
    ("run", "reason"),
    [
        pytest.param(run, reason, marks=pytest.mark.runs(f"ppyoloe-{run}"), id=run)
        for run, reason in {
            "no-config": "train.config: the model repository has no file configs/ppyoloe/ppyoloe_crn_z.yml",
            "unknown-option": "train.options: the trainer has no 'TrainRaeder' of option",
            "broken-record": f"annotations/train.json: annotation {BROKEN}: category_id 9 is not a category of the file",
        }.items()
    ],
)
def test_wrong_input_is_named_before_the_training(run: str, reason: str, session: Session) -> None:
    release = session.release(f"ppyoloe-{run}")
    assert release.end() in ("Terminated", "Failed")
    assert release.exit_code() == 30
    assert reason in release.result()["failure"]["reason"]
    assert "stage=train" not in release.log()
