"""The references' own examples, trained: their values files (tests/references/), with the trainers' own sources and example data
where TRAINCHART_UPSTREAM names them, and datasets as others publish them.
"""

from __future__ import annotations

import json

import pytest

from e2e.cases import references_llm_sft, references_ppyoloe, references_yolov5
from e2e.fixtures import upstream
from e2e.kube import Object
from e2e.runs import Session
from e2e.scenario import TEAM


def needs(name: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not upstream.has(name), reason=upstream.missing(name))


def trained(session: Session, run: str, capsys: pytest.CaptureFixture[str]) -> Object:
    """The result of a run that completed; its commit and figures are shown."""
    release = session.release(run)
    assert release.end(900) == "Completed", release.log()
    result = release.result()
    assert result["status"] == "completed", result
    with capsys.disabled():
        figures = {key: value for key, value in result["metrics"].items() if isinstance(value, int | float)}
        print(f"\n{run}: {result['commit'][:12]} on {result['branch']}, {json.dumps(figures)}, {result['stages']}")
    return result


def files_of(session: Session, repository: str, result: Object) -> set[str]:
    return set(session.world.server.list_files(TEAM, repository, result["branch"]))


@needs("yolov5")
@pytest.mark.family("references-yolov5")
@pytest.mark.parametrize(
    ("name", "revision"),
    [
        pytest.param(name, revision, marks=pytest.mark.runs(f"references-yolov5-{name}"))
        for name, revision in references_yolov5.REVISIONS.items()
    ],
)
def test_the_reference_pipeline_trains_yolov5_itself(
    session: Session, name: str, revision: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with capsys.disabled():
        print(f"\nyolov5 {revision} is {upstream.commit('yolov5', revision)}")
    result = trained(session, f"references-yolov5-{name}", capsys)
    assert result["metrics"]["epochs"] == 3
    assert {"metrics/mAP_0.5", "train/box_loss"} <= result["metrics"].keys()
    files = files_of(session, references_yolov5.RESULTS, result)
    assert {"1/model.pt", "config.pbtxt", "results.csv", "opt.yaml", "hyp.yaml"} <= files


@pytest.mark.family("references-yolov5")
@pytest.mark.runs("references-yolov5-roboflow")
def test_yolov5_trains_on_a_dataset_as_roboflow_exports_it(
    session: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    result = trained(session, "references-yolov5-roboflow", capsys)
    assert [(part["part"], part["used"]) for part in result["dataset"]["parts"]] == [("train", 8), ("val", 4)]


@pytest.mark.family("references-yolov8")
@pytest.mark.parametrize(
    ("run", "epochs"),
    [
        pytest.param("document", 2, marks=pytest.mark.runs("references-yolov8-document")),
        pytest.param("roboflow", 1, marks=pytest.mark.runs("references-yolov8-roboflow")),
    ],
)
def test_the_reference_pipeline_of_yolov8_finds_weights_and_data_by_their_names(
    session: Session, run: str, epochs: int, capsys: pytest.CaptureFixture[str]
) -> None:
    result = trained(session, f"references-yolov8-{run}", capsys)
    assert result["metrics"]["epochs"] == epochs
    assert result["dataset"]["parts"][0]["used"] == 8


@needs("PaddleDetection")
@pytest.mark.family("references-ppyoloe")
@pytest.mark.runs("references-ppyoloe-document")
def test_paddledetection_itself_trains_on_annotations_like_coco_s(
    session: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    result = trained(session, "references-ppyoloe-document", capsys)
    part = result["dataset"]["parts"][0]
    assert (part["part"], part["used"], part["total"]) == ("train", 8, 8)
    assert "without" in session.release("references-ppyoloe-document").log()  # the boxes that the trainer leaves out
    assert any(name.endswith(".pdiparams") for name in files_of(session, references_ppyoloe.RESULTS, result))


@needs("LLaMA-Factory")
@pytest.mark.family("references-llm-sft")
@pytest.mark.parametrize(
    "stage",
    [pytest.param(stage, marks=pytest.mark.runs(f"references-llm-sft-{stage}")) for stage in references_llm_sft.STAGES],
)
def test_every_stage_trains_on_its_demo_set(session: Session, stage: str, capsys: pytest.CaptureFixture[str]) -> None:
    result = trained(session, f"references-llm-sft-{stage}", capsys)
    assert result["metrics"]["loss"] > 0
    assert {part["used"] for part in result["dataset"]["parts"]} == {40}


@pytest.mark.family("references-llm-sft")
@pytest.mark.runs("references-llm-sft-hub")
def test_the_parts_of_a_hub_s_repository_are_found_and_its_validation_is_used(
    session: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    result = trained(session, "references-llm-sft-hub", capsys)
    assert [(part["part"], part["total"]) for part in result["dataset"]["parts"]] == [
        ("train", 100),
        ("validation", 20),
    ]
    assert result["metrics"]["eval_loss"] > 0
