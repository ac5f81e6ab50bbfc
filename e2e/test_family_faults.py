"""A trainer that dies, diverges or cannot export ends the run with the code of its stage, and the reason says where."""

from __future__ import annotations

import pytest

from e2e.runs import Session

TRAIN, DIVERGED, EXPORT = (40, "train-failed"), (44, "train-diverged"), (50, "export-failed")
MISSING = "use an image that has it, or put it into the model repository"

# Case and run -> exit code and name, and words of the failure, in this order
FAULTS = {
    ("yolov5", "import"): (TRAIN, ["before it reported an epoch: ModuleNotFoundError", "yolov5.utils.loss", MISSING]),
    ("yolov5", "evaluation"): (TRAIN, ["in its evaluation", "the fault in ap_per_class", "yolov5/val.py, line 290"]),
    ("yolov5", "nan"): (DIVERGED, ["in its last epoch, 1, train/box_loss is nan", "lower the learning rate"]),
    ("yolov5", "export"): (EXPORT, ["best.torchscript"]),
    ("yolov8", "batch"): (TRAIN, ["before it reported an epoch: RuntimeError: the fault in v8DetectionLoss.loss"]),
    ("yolov8", "last-epoch"): (TRAIN, ["after epoch 1 of 2: RuntimeError: the fault in v8DetectionLoss.loss"]),
    # It goes back to its checkpoint, and gives up.
    ("yolov8", "nan"): (TRAIN, ["NaN persisted", "lower the learning rate"]),
    ("yolov8", "export"): (EXPORT, ["RuntimeError: the fault in trace"]),
    ("ppyoloe", "import"): (TRAIN, ["before it reported an epoch: ModuleNotFoundError", "ppdet.engine.callbacks", MISSING]),
    ("ppyoloe", "evaluation"): (TRAIN, ["in its evaluation after epoch 1 of 1: RuntimeError: the fault in", "accumulate"]),
    ("ppyoloe", "last-epoch"): (TRAIN, ["after epoch 1 of 2: RuntimeError: the fault in PPYOLOEHead.forward"]),
    ("ppyoloe", "nan"): (DIVERGED, ["in its last epoch, 1, loss is nan", "lower the learning rate"]),
    ("llm-sft", "batch"): (TRAIN, ["before it reported an epoch: RuntimeError: the fault in Trainer.training_step"]),
    ("llm-sft", "evaluation"): (TRAIN, ["in its evaluation", "the fault in Trainer.prediction_step"]),
    ("llm-sft", "nan"): (DIVERGED, ["in its last epoch, 1, loss is nan", "lower the learning rate"]),
    ("llm-sft", "export"): (EXPORT, ["RuntimeError: the fault in PreTrainedModel.save_pretrained"]),
    ("custom", "import"): (TRAIN, ["before it reported an epoch: ModuleNotFoundError: No module named 'csv'", MISSING]),
    ("custom", "last-epoch"): (TRAIN, ["after epoch 5: RuntimeError: the fault in dumps", "descend.py, line "]),
    ("custom", "nan"): (DIVERGED, ["in its last epoch, 6, loss is nan", "lower the learning rate"]),
    ("custom", "export"): (EXPORT, ["RuntimeError: the fault in loads", "descend.py, line "]),
}  # fmt: skip


@pytest.mark.parametrize(
    "at",
    [
        pytest.param(
            (family, run),
            marks=[pytest.mark.family(f"family-faults-{family}"), pytest.mark.runs(f"family-faults-{family}-{run}")],
            id=f"{family}-{run}",
        )
        for family, run in FAULTS
    ],
)
def test_a_fault_ends_the_run_with_its_code_and_the_place(session: Session, at: tuple[str, str]) -> None:
    (code, name), words = FAULTS[at]
    run = "family-faults-{}-{}".format(*at)
    release = session.release(run)
    # Side by side: each waits for the cluster for most of its time.
    case = session.catalog[run].case
    session.install_all(
        name for name, one in session.catalog.items() if one.case == case and name not in session.releases
    )
    assert release.end(900) in ("Terminated", "Failed"), release.log()
    assert release.exit_code() == code, release.log()
    result = release.result()
    assert result["failure"]["name"] == name
    assert "publish" not in result["stages"]
    assert release.job()["status"].get("retryCount", 0) == 0
    told = release.log().rstrip().splitlines()[-1]
    for word in words:
        _, found, told = told.partition(word)
        assert found, (word, release.message())
