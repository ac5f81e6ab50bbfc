"""The happy path: what a YOLOv5 training in the cluster publishes."""

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
from tritonclient.grpc.model_config_pb2 import TYPE_FP32, ModelConfig

from e2e import branches
from e2e.cases import yolov5
from e2e.cluster import kind
from e2e.fixtures import yolov5 as fixtures
from e2e.fixtures.repositories import git
from e2e.kube import Object
from e2e.runs import Moved, Release, Session
from e2e.scenario import TEAM

pytestmark = pytest.mark.runs("happy")

PROBES = Path(__file__).resolve().parent / "probes"
EPOCHS = 2
REPOSITORY, IMAGE = yolov5.RESULTS, yolov5.CASE.image_name


@dataclass
class Happy:
    """The run that succeeded, and its outcome."""

    release: Release
    phase: str
    result: Object
    moved: Moved
    clone: Path  # of the branch with the result

    def file(self, name: str) -> str:
        return (self.clone / name).read_text()


@pytest.fixture(scope="session")
def happy(session: Session, tmp_path_factory: pytest.TempPathFactory) -> Happy:
    release, folder = session.release("happy"), tmp_path_factory.mktemp("happy")
    phase = release.end()
    result = release.result()
    assert result["status"] == "completed", result
    clone = branches.clone(session.world, REPOSITORY, result["branch"], folder / "clone")
    assert session.moved
    return Happy(release, phase, result, session.moved, clone)


@pytest.fixture(scope="session")
def inspection(happy: Happy, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What PyTorch, in the training image and without network, says of the exported model and the checkpoints."""
    folder = tmp_path_factory.mktemp("inspection")
    best = f"{kind.NODE}:{kind.SHARED}/{happy.release.name}/output/train/weights/best.pt"
    subprocess.run(["docker", "cp", best, str(folder / "best.pt")], check=True, capture_output=True, timeout=60)
    start = fixtures.model_repository(IMAGE) / "models" / "yolov5n.pt"
    mounts = {PROBES: "/probes", folder: "/trained", start.parent: "/start", happy.clone: "/clone"}
    volumes = [word for source, target in mounts.items() for word in ("--volume", f"{source}:{target}:ro")]
    command = [
        "docker",
        "run",
        "--rm",
        "--network",
        "none",
        "--user",
        "0",
        "--env",
        "HOME=/tmp",
        "--workdir",
        "/tmp",
        *volumes,
        IMAGE,
    ]
    command += ["python3", "/probes/inspect_model.py", "/clone/1/model.pt", "/trained/best.pt", "/start/yolov5n.pt"]
    command += [str(_config(happy).max_batch_size)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=180)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def _config(happy: Happy) -> Any:
    return text_format.Parse(happy.file("config.pbtxt"), ModelConfig())


def test_the_job_is_completed_and_its_pod_succeeded(happy: Happy) -> None:
    assert happy.phase == "Completed"
    assert happy.release.exit_code() == 0


def test_the_notes_say_how_to_follow_and_where_the_result_goes(happy: Happy) -> None:
    name = happy.release.name
    for words in (f"logs -f {name}-train-0", f"get vcjob {name} -w", f"helm test {name}", "team/yolov5-trained.git"):
        assert words in happy.release.notes


def test_the_branch_holds_one_commit_with_the_identity_of_the_run(happy: Happy, session: Session) -> None:
    server, result = session.world.server, happy.result
    assert server.branch_commit(TEAM, REPOSITORY, result["branch"]) == result["commit"]
    assert git(happy.clone, "rev-list", "--count", "HEAD") == "1"
    message = server.commit_message(TEAM, REPOSITORY, result["commit"])
    assert branches.trailers(message)["Run"] == happy.release.job()["metadata"]["uid"]


def test_the_branch_holds_all_artifacts(happy: Happy, session: Session) -> None:
    files = set(session.world.server.list_files(TEAM, REPOSITORY, happy.result["branch"]))
    assert files >= {"1/model.pt", "config.pbtxt", "hyp.yaml", "opt.yaml", "results.csv", "README.md", ".gitattributes"}
    assert not any(name.endswith(("best.pt", ".torchscript")) for name in files)


def test_the_model_is_an_lfs_object_on_the_server(happy: Happy, session: Session) -> None:
    server, branch = session.world.server, happy.result["branch"]
    pointer = server.read_file(TEAM, REPOSITORY, "1/model.pt", branch).decode()
    assert pointer.startswith("version https://git-lfs.github.com/spec/v1\n")
    fields = dict(line.split(" ", 1) for line in pointer.splitlines())
    size = int(fields["size"])
    assert server.has_lfs_object(TEAM, REPOSITORY, fields["oid"].removeprefix("sha256:"), size)
    assert (happy.clone / "1" / "model.pt").stat().st_size == size > 1_000_000


def test_the_model_has_the_weights_of_best_and_not_those_of_the_start(inspection: dict[str, Any]) -> None:
    assert inspection["tensors"] > 100
    assert inspection["missing"] == []
    assert inspection["unlike_best"] == []
    assert inspection["convolutions"] > 50
    assert inspection["like_start"] == []


def test_triton_reads_the_configuration_and_the_model_matches_it(happy: Happy, inspection: dict[str, Any]) -> None:
    config = _config(happy)
    assert (config.name, config.platform) == (REPOSITORY, "pytorch_libtorch")
    assert config.max_batch_size == 8
    (image,), (output,) = config.input, config.output
    assert (image.name, image.data_type, list(image.dims)) == ("images", TYPE_FP32, inspection["input"])
    assert (output.name, output.data_type) == ("output0", TYPE_FP32)
    assert inspection["shapes"] == {"1": [1, *output.dims], "8": [8, *output.dims]}


def test_the_results_have_the_requested_epochs(happy: Happy) -> None:
    assert len(list(csv.DictReader(happy.file("results.csv").splitlines()))) == EPOCHS
    assert yaml.safe_load(happy.file("opt.yaml"))["epochs"] == EPOCHS
    assert happy.result["metrics"]["epochs"] == EPOCHS
    assert "lr0" in yaml.safe_load(happy.file("hyp.yaml"))


def test_the_commit_trained_on_is_the_one_before_the_branch_moved(happy: Happy, session: Session) -> None:
    moved = happy.moved
    assert moved.before != moved.after
    assert moved.phase == "Running"
    assert session.world.server.branch_commit(TEAM, "yolov5", session.named(yolov5.MOVING)) == moved.after
    assert happy.result["sources"]["model"]["commit"] == moved.before
    assert _front_matter(happy)["trainchart"]["sources"]["model"]["commit"] == moved.before


def test_the_readme_names_base_model_dataset_and_commits(happy: Happy, session: Session) -> None:
    front = _front_matter(happy)
    assert (front["pipeline_tag"], front["library_name"]) == ("object-detection", "pytorch")
    assert front["base_model"] == "yolov5n"
    assert front["trainchart"]["sources"]["dataset"]["commit"] == session.world.server.branch_commit(
        TEAM, "shapes", "main"
    )
    assert front["trainchart"]["metrics"]["epochs"] == EPOCHS


def _front_matter(happy: Happy) -> dict[str, Any]:
    _, front, _ = happy.file("README.md").split("---\n", 2)
    answer: dict[str, Any] = yaml.safe_load(front)
    return answer


def test_the_termination_message_agrees_with_the_branch(happy: Happy) -> None:
    message = happy.release.message()
    assert len(message.encode()) <= 4096
    result = json.loads(message)
    assert result["version"] == 1
    assert result["repository"] == "https://gitea.git.svc:3000/team/yolov5-trained.git"
    assert result["uid"] == happy.release.job()["metadata"]["uid"]
    assert set(result["stages"]) == {"verify", "prepare", "train", "export", "publish"}
    for file in result["files"]:
        assert (happy.clone / file["path"]).stat().st_size == file["bytes"], file
    assert {file["path"] for file in result["files"]} >= {"1/model.pt", "config.pbtxt", "README.md"}
    rows = list(csv.DictReader(happy.file("results.csv").splitlines()))
    last = {name.strip(): float(value) for name, value in rows[-1].items()}
    assert result["metrics"]["train/box_loss"] == pytest.approx(last["train/box_loss"])


def test_the_log_has_the_stages_in_their_order_and_a_line_per_epoch(happy: Happy) -> None:
    lines = [line for line in happy.release.log().splitlines() if line.startswith("trainchart ")]
    ended = [line.split("stage=")[1].split()[0] for line in lines if "event=end" in line]
    assert ended == ["verify", "prepare", "train", "export", "publish"]
    assert sum("event=metrics" in line for line in lines) == EPOCHS
    assert "event=completed" in lines[-1]
