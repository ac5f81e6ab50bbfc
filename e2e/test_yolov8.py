"""YOLOv8: what arrives on the branch, what a killed training repeats, and how errors in the input are reported."""

from __future__ import annotations

import csv
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import text_format  # type: ignore[import-untyped]
from tritonclient.grpc.model_config_pb2 import ModelConfig

from e2e import branches
from e2e.cases.yolov8 import CASE, EPOCHS, RESULTS
from e2e.cluster import kind
from e2e.kube import Object
from e2e.node import in_node
from e2e.resume import epochs, killed_and_resumed
from e2e.runs import Release, Session
from e2e.scenario import TEAM

pytestmark = pytest.mark.family("yolov8")

PROBES = Path(__file__).resolve().parent / "probes"


@dataclass
class Happy:
    release: Release
    result: Object
    clone: Path  # of the branch with the result


@pytest.fixture(scope="module")
def happy(session: Session, tmp_path_factory: pytest.TempPathFactory) -> Happy:
    release = session.release("yolov8-happy")
    assert release.end() == "Completed", release.log()
    result = release.result()
    folder = tmp_path_factory.mktemp("yolov8")
    return Happy(release, result, branches.clone(session.world, RESULTS, result["branch"], folder / "clone"))


@pytest.mark.runs("yolov8-happy")
def test_the_branch_holds_the_model_its_weights_and_its_metrics(happy: Happy, session: Session) -> None:
    files = set(session.world.server.list_files(TEAM, RESULTS, happy.result["branch"]))
    assert files == {
        "1/model.pt", "exports/best.onnx", "best.pt", "config.pbtxt", "args.yaml", "results.csv", "metrics.json", "README.md",
        ".gitattributes",
    }  # fmt: skip
    for name in ("1/model.pt", "exports/best.onnx", "best.pt"):
        pointer = session.world.server.read_file(TEAM, RESULTS, name, happy.result["commit"])
        assert pointer.startswith(b"version https://git-lfs")


@pytest.mark.runs("yolov8-happy")
def test_the_metrics_are_those_of_the_training_and_of_its_best_weights(happy: Happy) -> None:
    assert epochs(happy.release.log()) == [1, 2]
    assert happy.result["metrics"]["epochs"] == 2
    rows = list(csv.DictReader((happy.clone / "results.csv").read_text().splitlines()))
    assert happy.result["metrics"]["train/box_loss"] == pytest.approx(float(rows[-1]["train/box_loss"]))
    validated = json.loads((happy.clone / "metrics.json").read_text())
    assert validated.keys() == {
        "metrics/precision", "metrics/recall", "metrics/mAP50", "metrics/mAP50-95",
    }  # fmt: skip
    _, front, _ = (happy.clone / "README.md").read_text().split("---\n", 2)
    card = yaml.safe_load(front)
    assert (card["base_model"], card["trainchart"]["validation"]) == ("yolov8n", validated)
    assert yaml.safe_load((happy.clone / "args.yaml").read_text())["warmup_epochs"] == 1


@pytest.mark.runs("yolov8-happy")
def test_what_was_published_loads_in_its_frameworks_and_agrees(happy: Happy) -> None:
    command = ["docker", "run", "--rm", "--network", "none", "--env", "HOME=/tmp", "--env", "YOLO_CONFIG_DIR=/tmp"]
    command += ["--volume", f"{PROBES}:/probes:ro", "--volume", f"{happy.clone}:/clone:ro", CASE.image_name]
    command += [
        "python3",
        "/probes/inspect_yolov8.py",
        "/clone/1/model.pt",
        "/clone/exports/best.onnx",
        "/clone/best.pt",
        "8",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=180)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    config = text_format.Parse((happy.clone / "config.pbtxt").read_text(), ModelConfig())
    assert (config.platform, config.max_batch_size) == ("pytorch_libtorch", 8)
    assert found["input"] == list(config.input[0].dims) == [3, 64, 64]
    assert found["shapes"] == {"1": [1, *config.output[0].dims], "8": [8, *config.output[0].dims]}
    assert found["names"] == {"0": "circle", "1": "square"}
    for apart in found["apart"].values():  # boxes are in pixels, of 64
        assert max(apart) < 0.5, found


@pytest.mark.runs("yolov8-killed")
def test_a_killed_training_resumes_from_its_checkpoint(session: Session) -> None:
    killed_and_resumed(session, session.release("yolov8-killed"), EPOCHS)


@pytest.mark.runs("yolov8-kept")
def test_without_publishing_the_weights_stay_on_the_volume(session: Session) -> None:
    release = session.release("yolov8-kept")
    assert release.end() == "Completed", release.log()
    listed = in_node("ls", f"{kind.SHARED}/{release.name}/artifacts").split()
    assert set(listed) == {"README.md", "args.yaml", "best.pt", "metrics.json", "results.csv"}


@pytest.mark.parametrize(
    ("run", "reason"),
    [
        pytest.param(run, reason, marks=pytest.mark.runs(f"yolov8-{run}"), id=run)
        for run, reason in {
            "unknown-option": "train.arguments: the trainer has no option 'learning_rate'",
            "no-weights": "/yolov8n.pt, and runs download no weights",
            "broken-record": "images/train/05.jpg: Label class 7 exceeds dataset class count 2",
        }.items()
    ],
)
def test_wrong_input_is_named_before_the_training(run: str, reason: str, session: Session) -> None:
    release = session.release(f"yolov8-{run}")
    assert release.end() in ("Terminated", "Failed")
    assert release.exit_code() == 30
    assert reason in release.result()["failure"]["reason"]
    assert "stage=train" not in release.log()
