"""The YOLOv5 family's hooks and the probes that need no PyTorch."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from runner.context import Context
from runner.errors import FamilyError

from .conftest import FILES

FOLDER = FILES / "families" / "yolov5"


@pytest.fixture(scope="module")
def hooks() -> ModuleType:
    spec = importlib.util.spec_from_file_location("yolov5_hooks", FOLDER / "hooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_trainer_s_arguments_are_the_values(hooks: ModuleType, make_context: Callable[..., Context]) -> None:
    context = make_context({"train.arguments": ["--cos-lr"]})
    (context.model / "models").mkdir(parents=True)
    (context.model / "models" / "yolov5n.pt").touch()
    argv = hooks.train_arguments(context)
    assert argv[0] == "train.py"
    options = dict(zip(argv[1:-2:2], argv[2:-2:2], strict=False))
    assert options["--weights"] == str(context.model / "models" / "yolov5n.pt")
    assert (options["--img"], options["--device"], options["--project"]) == ("640", "cpu", str(context.output))
    assert argv[-2:] == ["--exist-ok", "--cos-lr"]
    context.described = {"train": "/data/images", "names": ["a"]}
    hooks.configure(context)
    assert Path(options["--data"]).name == "coco128.yaml"
    assert yaml.safe_load(Path(options["--data"]).read_text()) == context.described
    assert options["--save-period"] == "1"


def test_a_resumed_training_takes_its_arguments_from_the_checkpoint_s_folder(
    hooks: ModuleType, make_context: Callable[..., Context]
) -> None:
    context = make_context({})
    weights = context.output / "train" / "weights"
    weights.mkdir(parents=True)
    for second, name in enumerate(("epoch0.pt", "epoch2.pt", "last.pt", "best.pt", "epoch10.pt")):  # as it writes them
        (weights / name).touch()
        os.utime(weights / name, (second, second))
    assert [path.name for path in hooks.checkpoints(context)] == ["epoch10.pt", "last.pt", "epoch2.pt", "epoch0.pt"]
    assert [path.name for path in hooks.stale(context)] == ["epoch0.pt"]
    context.resume_from = weights / "epoch10.pt"
    assert hooks.train_arguments(context) == ["train.py", "--resume", str(weights / "epoch10.pt")]


def test_a_trial_s_hyper_parameters_come_after_those_of_the_file(
    hooks: ModuleType, make_context: Callable[..., Context]
) -> None:
    context = make_context({"train.arguments": ["--hyp", "data/hyps/mine.yaml", "--cos-lr"]})
    (context.model / "data/hyps").mkdir(parents=True)
    (context.model / "data/hyps/mine.yaml").write_text("lr0: 0.01\nmomentum: 0.9")
    context.output.mkdir(parents=True)
    assert "data/hyps/mine.yaml" in hooks.train_arguments(context)
    context.hyperparameters = {"lr0": 0.5}
    hooks.configure(context)
    file = context.output / "hyperparameters.yaml"
    assert yaml.safe_load(file.read_text()) == {"lr0": 0.5, "momentum": 0.9}
    context.hyperparameters = {"lr0": 1e-05}
    hooks.configure(context)
    assert yaml.safe_load(file.read_text())["lr0"] == 1e-05
    argv = hooks.train_arguments(context)
    assert argv.count("--hyp") == 1
    assert argv[argv.index("--hyp") + 1] == str(file)
    assert argv[-1] == "--cos-lr"


def test_a_torn_best_pt_is_not_exported(hooks: ModuleType, make_context: Callable[..., Context]) -> None:
    context = make_context({})
    weights = context.output / "train" / "weights"
    weights.mkdir(parents=True)
    (weights / "best.pt").write_bytes(b"PK torn")
    (weights / "last.pt").touch()
    assert hooks.trained(context).name == "last.pt"
    with zipfile.ZipFile(weights / "best.pt", "w") as whole:
        whole.writestr("data.pkl", "x")
    assert hooks.trained(context).name == "best.pt"


@pytest.mark.parametrize(
    ("backend", "count", "device", "wanted"),
    [("cpu", 0, "", "cpu"), ("cuda", 1, "", "0"), ("cuda", 2, "", "0,1"), ("cuda", 2, "1", "1")],
)
def test_the_device_follows_the_accelerator(
    backend: str, count: int, device: str, wanted: str, hooks: ModuleType, make_context: Callable[..., Context]
) -> None:
    assert (
        hooks.device(make_context({"run.backend": backend, "accelerator.count": count, "train.device": device}))
        == wanted
    )


def test_metrics_are_the_whole_lines_of_results_csv(hooks: ModuleType, make_context: Callable[..., Context]) -> None:
    context = make_context({})
    assert hooks.metrics(context) == []
    results = context.output / "train" / "results.csv"
    results.parent.mkdir(parents=True)
    results.write_text(
        "               epoch,      train/box_loss,     metrics/mAP_0.5\n                   0,             0.10977,                0.02\n                   1,   0.0"
    )
    assert hooks.metrics(context) == [{"epoch": 1, "train/box_loss": 0.10977, "metrics/mAP_0.5": 0.02}]


def test_the_artifacts_are_a_triton_model_repository(hooks: ModuleType, make_context: Callable[..., Context]) -> None:
    context = make_context({})
    trained = context.output / "train"
    (trained / "weights").mkdir(parents=True)
    context.artifacts.mkdir()
    with pytest.raises(FamilyError, match=r"best\.pt"):
        hooks.export_arguments(context)
    for name in ("weights/best.pt", "weights/best.torchscript", "hyp.yaml", "opt.yaml"):
        (trained / name).write_text(name)
    with pytest.raises(FamilyError, match=r"results\.csv"):
        hooks.layout(context, {"input": [3, 64, 64], "output": [252, 7]})
    (trained / "results.csv").write_text("")
    (context.artifacts / "1").rmdir() if (context.artifacts / "1").exists() else None
    hooks.layout(context, {"input": [3, 64, 64], "output": [252, 7]})
    assert (context.artifacts / "1" / "model.pt").read_text() == "weights/best.torchscript"
    assert (context.artifacts / "config.pbtxt").read_text() == (
        'name: "yolov5-out"\nplatform: "pytorch_libtorch"\nmax_batch_size: 8\n'
        'input [\n  {\n    name: "images"\n    data_type: TYPE_FP32\n    dims: [3, 64, 64]\n  }\n]\n'
        'output [\n  {\n    name: "output0"\n    data_type: TYPE_FP32\n    dims: [252, 7]\n  }\n]\n'
    )


def probe(name: str, argument: dict[str, Any]) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, str(FOLDER / f"probe_{name}.py"), json.dumps(argument)],
        capture_output=True,
        text=True,
        check=True,
    )
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


# The modules of the model repository that the probe asks; an image is one if it says so, and a label is one number.
UTILS = {
    "utils/dataloaders.py": """
from pathlib import Path
from types import SimpleNamespace
IMG_FORMATS = ("jpg",)
cv2 = SimpleNamespace(IMREAD_REDUCED_COLOR_8=65, imread=lambda path, flags: Path(path).read_text())

def img2label_paths(files):
    return [file.replace("/images/", "/labels/")[:-3] + "txt" for file in files]

def verify_image_label(arguments):
    image, label, prefix = arguments
    content = Path(image).read_text()
    if content != "image":
        return [None, None, None, None, 0, 0, 0, 1, f"{prefix}{image}: ignoring corrupt image/label: {content}"]
    rows = [[float(row)] for row in Path(label).read_text().split()] if Path(label).is_file() else []
    return image, rows, (9, 9), [], 0, 1, 0, 0, ""
""",
    "utils/general.py": """
def check_dataset(data, autodownload):
    assert not autodownload and "names" in data, "data.yaml 'names:' field missing \u274c"
    return {**data, "names": dict(enumerate(data["names"]))}
""",
}


class Pod:
    """A model repository that is YOLOv5's, and a dataset of two parts."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.model, self.dataset = folder, folder / "yolov5", folder / "datasets" / "coco128"
        self.write(self.model, {**UTILS, "models/n.pt": ""})
        for part in ("train", "val"):
            self.write(self.dataset, {f"images/{part}/0.jpg": "image", f"labels/{part}/0.txt": "1"})
        (folder / "scratch").mkdir()

    def write(self, folder: Path, files: dict[str, str]) -> None:
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")

    def check(self, most: int = 0, **train: Any) -> dict[str, Any]:
        folders = {"model": self.model, "dataset": self.dataset, "scratch": self.folder / "scratch"}
        settings = {"data": "coco128.yaml", "weights": "models/n.pt", "arguments": [], **train}
        argument = {**{name: str(path) for name, path in folders.items()}, "train": settings, "maxBroken": most}
        return probe("dataset", {**argument, "hyperparameters": []})


@pytest.fixture
def pod(tmp_path: Path) -> Pod:
    pytest.importorskip("yaml")
    return Pod(tmp_path)


OF_THE_MODEL = "path: ../datasets/coco128\ntrain: images/train\nval: images/val\nnames: [a, b]\n"


def test_the_dataset_probe_names_what_is_missing(pod: Pod) -> None:
    assert "train.weights" in pod.check(weights="models/x.pt")["reason"]
    assert "nor the dataset has a file coco128.yaml" in pod.check()["reason"]
    for text, words in (
        (OF_THE_MODEL.replace("val: images/val\n", ""), "coco128.yaml has no key 'val'"),
        (
            OF_THE_MODEL.replace("images/val", "images/test"),
            f"names val: images/test, and {pod.dataset}/images/test does not exist",
        ),
        (OF_THE_MODEL.replace("names: [a, b]\n", ""), "coco128.yaml: data.yaml 'names:' field missing"),
        ("train: [", "coco128.yaml cannot be read"),
        (OF_THE_MODEL.replace("[a, b]", "[a]"), "misread the labels of 2 images, or stop: images/train/0.jpg: class 1"),
    ):
        pod.write(pod.model, {"data/coco128.yaml": text})
        answer = pod.check()
        assert words in answer["reason"], answer
        assert answer["fix"]


def test_a_dataset_s_own_description_is_used_with_the_paths_that_there_are(pod: Pod) -> None:
    pod.write(pod.dataset, {"data.yaml": "train: ../images/train\nval: ../images/val\nnames: [a, b]\n"})
    answer = pod.check(data="data.yaml")
    assert answer["parts"][0]["used"] == 1
    folder = f"{pod.dataset}/images"
    assert answer["data"] == {"train": f"{folder}/train", "val": f"{folder}/val", "names": ["a", "b"]}
    pod.write(pod.model, {"data/data.yaml": OF_THE_MODEL.replace("[a, b]", "[c, d]")})
    other = pod.check(data="data.yaml")
    assert other["data"]["names"] == ["c", "d"]
    assert other["notes"] == ["the dataset has a file data.yaml too; that of the model repository is used"]
    pod.write(pod.model, {"models/data.yaml": OF_THE_MODEL})
    assert pod.check(data="data.yaml")["fix"] == "name one with its path, such as data/data.yaml"


def test_a_broken_record_is_left_out_if_the_values_allow_it(pod: Pod) -> None:
    pod.write(pod.model, {"data/coco128.yaml": OF_THE_MODEL})
    pod.write(pod.dataset, {"images/train/1.jpg": "truncated"})
    assert "1 damaged or invalid records among 3, and dataset.maxBroken is 0" in pod.check()["reason"]
    assert pod.check(most=1)["parts"][0]["leftOut"] == ["images/train/1.jpg: truncated"]


def test_a_model_repository_without_the_trainer_s_reader_gets_a_warning(pod: Pod) -> None:
    pod.write(pod.model, {"data/coco128.yaml": OF_THE_MODEL, "utils/dataloaders.py": ""})
    answer = pod.check()
    assert answer["ok"]
    assert answer["notes"] == [
        "images and labels are not checked: the model repository has no verify_image_label in utils/dataloaders.py"
    ]
    pod.write(pod.model, {"utils/dataloaders.py": "import nothing_of_this_name\n"})
    assert "the image lacks what the model repository's utils/ imports: No module named" in pod.check()["reason"]


def test_the_trainer_downloads_no_font(
    hooks: ModuleType, make_context: Callable[..., Context], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own names for them are looked for in the image's configuration folder, then for others with their signs."""
    image = tmp_path / "image"
    for name in ("a/DejaVuSans.ttf", "b/wqy-microhei.ttc", "Arial.ttf"):
        (image / name).parent.mkdir(parents=True, exist_ok=True)
        (image / name).write_text(name)
    context = make_context({})
    monkeypatch.setenv("YOLOV5_CONFIG_DIR", str(image))
    hooks.configure(context)
    folder = Path(hooks.train_environment(context)["YOLOV5_CONFIG_DIR"])
    assert (folder / "Arial.ttf").read_text() == "Arial.ttf"
    assert (folder / "Arial.Unicode.ttf").read_text() == "b/wqy-microhei.ttc"
    assert sorted(path.name for path in folder.iterdir()) == ["Arial.Unicode.ttf", "Arial.ttf"]
