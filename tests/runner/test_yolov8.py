"""The YOLOv8 family's hooks, its runner script and its probes, with stand-ins for the libraries of the image."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from features.torchfiles import read_torch
from runner.context import Context
from runner.errors import FamilyError

from . import torchfile
from .conftest import FILES
from .torchfile import Call, Name

FOLDER = FILES / "families" / "yolov8"
TRAIN: dict[str, Any] = {
    "model": "yolov8n.yaml", "data": "data.yaml", "epochs": 3, "batchSize": 4, "imageSize": 64, "workers": 0, "device": "",
    "optimizer": "auto", "exportFormats": ["torchscript"], "arguments": [],
}  # fmt: skip
LIBRARIES = {
    # Loads any file that says which task it is for; trains by writing down what it was told.
    "ultralytics/__init__.py": """
import json, os
from pathlib import Path
from types import SimpleNamespace

class YOLO:
    def __init__(self, model):
        path = Path(model)
        if path.suffix == ".yaml" and not path.is_file() and not path.name.startswith("yolov8"):
            raise FileNotFoundError(f"'{model}' does not exist")
        self.model, self.task, self.callbacks = model, "detect", {}

    def add_callback(self, event, function):
        self.callbacks[event] = function

    def train(self, **options):
        record = {"model": self.model, "options": options, "rank": os.environ.get("RANK")}
        Path("told.json").write_text(json.dumps(record))
        output = Path(options.get("save_dir") or Path(options["project"]) / options["name"])
        (output / "weights").mkdir(parents=True, exist_ok=True)
        metrics = {"metrics/mAP50(B)": 0.5, "fitness": 0.4}
        self.callbacks["on_train_end"](SimpleNamespace(save_dir=output, metrics=metrics))

    def val(self, **options):
        return SimpleNamespace(results_dict={"metrics/mAP50(B)": 0.25, "fitness": 0.2})

    def export(self, format, **options):
        made = Path(self.model).with_suffix(f".{format}")
        if format != "lost":
            made.write_text(json.dumps(options))
        return str(made)
""",
    "ultralytics/cfg/__init__.py": """
def get_cfg(overrides):
    if not isinstance(overrides.get("lr0", 0.1), float):
        raise TypeError(f"'lr0={overrides['lr0']}' is of invalid type")
""",
    "ultralytics/cfg/default.yaml": "model:\nepochs: 100\nlr0: 0.01\ncos_lr: False\nname:\nresume: False\nsingle_cls: False\nfraction: 1.0\nclasses:\n",
    "ultralytics/cfg/datasets/coco128.yaml": (
        "path: coco128\ntrain: images/train2017\nval: images/train2017\ntest:\nnames: [person]\n"
        "download: https://example.com/coco128.zip\n"
    ),
    "ultralytics/utils/__init__.py": """
from pathlib import Path
USER_CONFIG_DIR = Path(__file__).parent
SETTINGS = {"mlflow": True, "sync": True}
""",
    "ultralytics/utils/downloads.py": "def safe_download(url): raise SystemExit('it downloads')\n",
    "ultralytics/utils/torch_utils.py": """
import pickle, zipfile
def strip_optimizer(path):
    with zipfile.ZipFile(path) as archive:
        state = pickle.loads(archive.read("archive/data.pkl"))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({**state, "optimizer": None}, 2))
""",
    "matplotlib/__init__.py": "",
    "matplotlib/font_manager.py": "def findfont(name): return __file__\n",
    "polars.py": "",
    "cv2.py": "IMREAD_REDUCED_COLOR_8 = 65\n",
    "ultralytics/utils/patches.py": "def imread(path, flags):\n    return [0]\n",
    "torch.py": """
__version__ = "2.6.0"
def load(path, **_):
    raise SystemExit("it unpickles")
class cuda:
    is_available = staticmethod(lambda: False)
    device_count = staticmethod(lambda: 0)
""",
    # A file is an image if it says so, and a label is one number: the class.
    "ultralytics/data/__init__.py": "",
    "ultralytics/data/utils.py": """
from pathlib import Path
import yaml
IMG_FORMATS = {"jpg"}

def check_det_dataset(file, autodownload):
    assert not autodownload
    data = yaml.safe_load(Path(file).read_text())
    if not data.get("names"):
        raise SyntaxError(f"{file} key missing: names")
    return {**data, "names": dict(enumerate(data["names"]))}

def get_split_fraction(fraction, part):
    return fraction if part == "train" else 1.0

def img2label_paths(files):
    return [file.replace("/images/", "/labels/")[:-3] + "txt" for file in files]

def verify_image_label(arguments):
    image, label, prefix, keypoint, classes, _, _, single = arguments
    assert not keypoint
    rows = [[float(row)] for row in Path(label).read_text().split()] if Path(label).is_file() else []
    content = Path(image).read_text()
    problem = "" if content == "image" else f"{prefix}{image}: ignoring corrupt image/label: {content}"
    if not single and any(row[0] >= classes for row in rows):
        problem = f"{image}: ignoring corrupt image/label: class too large"
    return [None if problem else image, None if problem else rows, None, [], None, 0, 0, 0, int(bool(problem)), problem]
""",
}


@pytest.fixture(scope="module")
def hooks() -> ModuleType:
    spec = importlib.util.spec_from_file_location("yolov8_hooks", FOLDER / "hooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def context(make_context: Callable[..., Context]) -> Context:
    return made(make_context)


def made(make_context: Callable[..., Context], **train: Any) -> Context:
    return make_context({"train": {**TRAIN, **train}})


def job(argv: list[str], command: str) -> dict[str, Any]:
    assert (Path(argv[0]).name, argv[1], len(argv)) == ("run.py", command, 3)
    answer: dict[str, Any] = json.loads(argv[2])
    return answer


def test_the_trainer_is_told_the_values(hooks: ModuleType, make_context: Callable[..., Context]) -> None:
    context = made(make_context, arguments=["lr0=0.1"])
    told = job(hooks.train_arguments(context), "train")
    assert told["options"] == {
        "epochs": 3, "batch": 4, "imgsz": 64, "workers": 0, "device": "cpu", "optimizer": "auto",
    }  # fmt: skip
    assert (told["model"], told["arguments"], told["resume"]) == ("yolov8n.yaml", ["lr0=0.1"], "")
    assert told["output"] == str(context.output)


def test_a_resumed_training_names_its_checkpoint(hooks: ModuleType, context: Context) -> None:
    context.resume_from = context.output / "train" / "weights" / "epoch1.pt"
    assert job(hooks.train_arguments(context), "train")["resume"] == str(context.resume_from)


def test_a_trial_s_hyper_parameters_are_options(hooks: ModuleType, make_context: Callable[..., Context]) -> None:
    context = made(make_context, optimizer="SGD")
    context.hyperparameters = {"lr0": 0.02}
    assert job(hooks.train_arguments(context), "train")["hyperparameters"] == {"lr0": 0.02}


def test_a_learning_rate_is_not_searched_where_the_trainer_sets_it_itself(hooks: ModuleType, context: Context) -> None:
    context.hyperparameters = {"box": 5.0}
    assert hooks.train_arguments(context)
    context.hyperparameters = {"box": 5.0, "lr0": 0.02}
    with pytest.raises(FamilyError, match=r"tune\.space\.lr0: has no effect, because train\.optimizer auto sets lr0"):
        hooks.train_arguments(context)


def test_nothing_tells_the_trainer_that_it_is_a_worker(hooks: ModuleType, context: Context) -> None:
    environment = hooks.train_environment(context)
    assert not {"RANK", "LOCAL_RANK", "WORLD_SIZE"} & environment.keys()
    assert environment["YOLO_OFFLINE"] == "true"
    assert environment["YOLO_AUTOINSTALL"] == "false"


def test_weights_and_descriptions_are_no_code_unless_the_values_say_so(
    hooks: ModuleType, make_context: Callable[..., Context]
) -> None:
    assert hooks.train_environment(made(make_context))["ULTRALYTICS_SAFE_LOAD"] == "1"
    own = make_context({"train": TRAIN, "env": {"ULTRALYTICS_SAFE_LOAD": "0"}})
    assert hooks.train_environment(own)["ULTRALYTICS_SAFE_LOAD"] == "0"


@pytest.mark.parametrize(
    ("backend", "count", "device", "wanted"),
    [("cpu", 0, "", "cpu"), ("cuda", 1, "", "0"), ("cuda", 2, "", "0,1"), ("cuda", 2, "1", "1")],
)
def test_the_device_follows_the_accelerator(
    backend: str, count: int, device: str, wanted: str, hooks: ModuleType, make_context: Callable[..., Context]
) -> None:
    changes = {"run.backend": backend, "accelerator.count": count, "train": {**TRAIN, "device": device}}
    assert hooks.device(make_context(changes)) == wanted


def test_metrics_are_the_whole_lines_and_a_repeated_epoch_s_last(hooks: ModuleType, context: Context) -> None:
    assert hooks.metrics(context) == []
    results = context.output / "train" / "results.csv"
    results.parent.mkdir(parents=True)
    results.write_text("epoch,time,metrics/mAP50(B),val/box_loss\n1,2,0.1,inf\n2,4,0.2,1.5\n2,3,0.3,1.5\n3,5")
    assert hooks.metrics(context) == [
        {"epoch": 1, "seconds": 2.0, "metrics/mAP50": 0.1, "val/box_loss": float("inf")},
        {"epoch": 2, "seconds": 3.0, "metrics/mAP50": 0.3, "val/box_loss": 1.5},
    ]


def weights(context: Context, *names: str) -> Path:
    """Empty checkpoints, each written a second after the one before."""
    folder = context.output / "train" / "weights"
    folder.mkdir(parents=True, exist_ok=True)
    for second, name in enumerate(names):
        (folder / name).touch()
        os.utime(folder / name, (second, second))
    return folder


def test_checkpoints_are_tried_as_they_were_written_newest_first(hooks: ModuleType, context: Context) -> None:
    assert hooks.checkpoints(context) == []
    folder = weights(context, "epoch8.pt", "epoch9.pt", "last.pt", "epoch10.pt", "best.pt", "epoch.pt")
    assert [path.name for path in hooks.checkpoints(context)] == ["epoch10.pt", "last.pt", "epoch9.pt", "epoch8.pt"]
    os.utime(folder / "last.pt", (99, 99))  # stripped at the end, or half written
    assert hooks.checkpoints(context)[0].name == "last.pt"


def test_the_last_two_epochs_stay(hooks: ModuleType, context: Context) -> None:
    weights(context, "epoch8.pt", "epoch9.pt", "last.pt")
    assert hooks.stale(context) == []
    weights(context, "epoch8.pt", "epoch9.pt", "last.pt", "epoch10.pt", "epoch11.pt")
    assert [path.name for path in hooks.stale(context)] == ["epoch9.pt", "epoch8.pt"]


def test_without_weights_there_is_nothing_to_export(hooks: ModuleType, context: Context) -> None:
    with pytest.raises(FamilyError, match=r"best\.pt"):
        hooks.export_arguments(context)
    weights(context, "last.pt")
    told = job(hooks.export_arguments(context), "export")
    assert (told["formats"], told["maxBatchSize"], told["imgsz"]) == (["torchscript"], 8, 64)


def exported(context: Context, files: dict[str, str]) -> None:
    (context.output / "train").mkdir(parents=True)
    (context.output / "export").mkdir()
    context.artifacts.mkdir()
    for name in ("args.yaml", "results.csv"):
        (context.output / "train" / name).write_text(name)
    for name in ("best.pt", *files.values()):
        (context.output / "export" / name).write_text(name)
    (context.output / "export" / "metrics.json").write_text('{"metrics/mAP50": 0.5}')
    (context.output / "export" / "exported.json").write_text(json.dumps(files))


def files_of(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_the_artifacts_are_a_triton_model_repository(hooks: ModuleType, context: Context) -> None:
    exported(context, {"paddle": "best.paddle", "onnx": "best.onnx", "torchscript": "best.torchscript"})
    hooks.layout(context, {"input": [3, 64, 64], "output": [6, 84]})
    assert files_of(context.artifacts) == {
        "1/model.onnx", "config.pbtxt", "exports/best.paddle", "exports/best.torchscript",
        "best.pt", "args.yaml", "results.csv", "metrics.json",
    }  # fmt: skip
    assert (context.artifacts / "config.pbtxt").read_text() == (
        'name: "yolov5-out"\nplatform: "onnxruntime_onnx"\nmax_batch_size: 8\n'
        'input [\n  {\n    name: "images"\n    data_type: TYPE_FP32\n    dims: [3, 64, 64]\n  }\n]\n'
        'output [\n  {\n    name: "output0"\n    data_type: TYPE_FP32\n    dims: [6, 84]\n  }\n]\n'
    )
    assert hooks.model_card(context) == {"base_model": "yolov8n", "validation": {"metrics/mAP50": 0.5}}


def test_torchscript_is_served_as_such(hooks: ModuleType, context: Context) -> None:
    exported(context, {"torchscript": "best.torchscript"})
    hooks.layout(context, {"input": [3, 64, 64], "output": [6, 84]})
    assert (context.artifacts / "1" / "model.pt").read_text() == "best.torchscript"
    assert 'platform: "pytorch_libtorch"' in (context.artifacts / "config.pbtxt").read_text()


def test_without_an_export_the_weights_are_the_artifacts(hooks: ModuleType, context: Context) -> None:
    exported(context, {})
    hooks.layout(context, {})
    assert files_of(context.artifacts) == {"best.pt", "args.yaml", "results.csv", "metrics.json"}


def test_a_trainer_that_leaves_no_results_is_none_of_ultralytics(hooks: ModuleType, context: Context) -> None:
    exported(context, {})
    (context.output / "train" / "results.csv").unlink()
    with pytest.raises(FamilyError, match=r"results\.csv"):
        hooks.layout(context, {})


class Pod:
    """The run's folder, and an image whose libraries are stand-ins."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.libraries, self.most = folder, folder / "libraries", 0
        for name, text in LIBRARIES.items():
            (self.libraries / name).parent.mkdir(parents=True, exist_ok=True)
            (self.libraries / name).write_text(text)
        self.model, self.dataset, self.output = folder / "model", folder / "datasets" / "shapes", folder / "output"
        self.output.mkdir()
        for part in ("train", "val"):
            for kind in ("images", "labels"):
                (self.dataset / kind / part).mkdir(parents=True)
            (self.dataset / "images" / part / "0.jpg").write_text("image")
            (self.dataset / "labels" / part / "0.txt").write_text("1\n")
        self.describe()

    def describe(self, text: str = "train: images/train\nval: images/val\nnames: [circle, square]\n") -> None:
        (self.dataset / "data.yaml").write_text(text)

    def start(self, *argv: str, **environment: str) -> subprocess.CompletedProcess[str]:
        own = {
            "PYTHONPATH": os.pathsep.join([str(self.libraries), str(FILES)]),
            "PATH": os.environ["PATH"],
        }
        command = [sys.executable, str(FOLDER / argv[0]), *argv[1:]]
        return subprocess.run(
            command, cwd=self.folder, env={**own, **environment}, capture_output=True, text=True, check=False
        )

    def probe(self, name: str, argument: dict[str, Any]) -> dict[str, Any]:
        done = self.start(f"probe_{name}.py", json.dumps(argument))
        assert done.returncode == 0, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return answer

    def inputs(self, hyperparameters: tuple[str, ...] = (), **train: Any) -> dict[str, Any]:
        (self.folder / "scratch").mkdir(exist_ok=True)
        folders = {name: str(self.folder / name) for name in ("model", "scratch")}
        argument = {**folders, "dataset": str(self.dataset), "train": {**TRAIN, **train}, "maxBroken": self.most}
        return self.probe("dataset", {**argument, "hyperparameters": hyperparameters})

    def job(self, **changes: Any) -> dict[str, Any]:
        options = {"epochs": 3, "batch": 4, "imgsz": 64, "workers": 0, "device": "cpu", "optimizer": "auto"}
        return {
            "model": "yolov8n.yaml", "data": "data.yaml", "arguments": [], "hyperparameters": {}, "repository": str(self.model),
            "dataset": str(self.dataset), "output": str(self.output), "resume": "", "options": options, **changes,
        }  # fmt: skip

    def checkpoint(self, name: str, **state: Any) -> Path:
        path = self.output / "train" / "weights" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = {"epoch": 0, "optimizer": {}, "train_args": {"epochs": 3}, **state}
        return torchfile.save(path, whole)


@pytest.fixture
def pod(tmp_path: Path) -> Pod:
    pytest.importorskip("yaml")
    return Pod(tmp_path)


def test_a_complete_dataset_is_counted(pod: Pod) -> None:
    found = pod.inputs()
    assert found["ok"], found
    assert [(part["part"], part["used"], part["total"]) for part in found["parts"]] == [("train", 1, 1), ("val", 1, 1)]
    assert found["notes"] == []


@pytest.mark.lab
@pytest.mark.parametrize(
    ("train", "words"),
    [
        ({"model": "yolov8n.pt"}, "train.model: no file {model}/yolov8n.pt or /opt/weights/yolov8n.pt, and runs download"),
        ({"model": "yolov8n"}, "train.model: 'yolov8n' names neither weights (.pt) nor a description"),
        ({"model": "yalov8n.yaml"}, "train.model: yalov8n.yaml cannot be loaded: 'yalov8n.yaml' does not exist"),
        ({"data": "coco.yaml"}, "train.data: neither the dataset nor the model repository nor ultralytics has a file coco.yaml"),
        ({"arguments": ["lr=0.1"]}, "train.arguments: the trainer has no option 'lr'"),
        ({"arguments": ["lr0"]}, "train.arguments: 'lr0' is not of the form option=value"),
        ({"arguments": ["lr0=fast"]}, "train.arguments: 'lr0=fast' is of invalid type"),
        ({"arguments": ["epochs=9"]}, "train.arguments: epochs is set by the run itself"),
        ({"arguments": ["resume=True"]}, "train.arguments: resume is set by the run itself"),
        ({"exportFormats": ["openvino"]}, "train.exportFormats: openvino needs openvino, which the image does not have"),
    ],
)  # fmt: skip
def test_wrong_settings_are_named(train: dict[str, Any], words: str, pod: Pod) -> None:
    answer = pod.inputs(**train)
    assert answer["ok"] is False
    assert words.format(model=pod.model) in answer["reason"]
    assert answer["fix"]


def test_a_search_tries_options_that_there_are(pod: Pod) -> None:
    assert pod.inputs(("lr0",))["ok"] is True
    answer = pod.inputs(("lr0", "lr1"))
    assert (answer["reason"], answer["fix"]) == ("tune.space: the trainer has no option 'lr1'", "did you mean lr0?")


def test_weights_are_loaded_before_they_are_trained(pod: Pod) -> None:
    pod.model.mkdir()
    (pod.model / "yolov8n.pt").write_text("version https://git-lfs.github.com/spec/v1")
    assert (
        "train.model: yolov8n.pt cannot be loaded: it is not a complete archive"
        in pod.inputs(model="yolov8n.pt")["reason"]
    )
    segments = Call(Name("ultralytics.nn.tasks", "SegmentationModel"), (), {"nc": 2})
    torchfile.save(pod.model / "yolov8n.pt", {"model": segments})
    assert "yolov8n.pt is for the task segment" in pod.inputs(model="yolov8n.pt")["reason"]
    detects = Call(Name("ultralytics.nn.tasks", "DetectionModel"), (), {"nc": 2})
    torchfile.save(pod.model / "yolov8n.pt", {"model": detects})
    assert pod.inputs(model="yolov8n.pt")["ok"] is True


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- a list", "data.yaml has no key 'train'"),
        ("train: [", "data.yaml cannot be read"),
        ("train: images/train\nnames: [a, b]", "data.yaml has no key 'val'"),
        ("train: images/train\nval: images/val", "train.data: key missing: names"),
        ("train: images/train\nval: images/test\nnames: [a, b]", "data.yaml names val: images/test, and"),
    ],
)
def test_a_wrong_description_of_the_data_is_named(text: str, words: str, pod: Pod) -> None:
    pod.describe(text)
    answer = pod.inputs()
    assert (answer["ok"], words in answer["reason"]) == (False, True), answer


@pytest.mark.parametrize("path", ["shapes", "../datasets/shapes", ".", "somewhere/else", "/no/such/folder"])
def test_a_description_that_was_written_for_another_place_finds_its_images(path: str, pod: Pod) -> None:
    pod.describe(f"path: {path}\ntrain: images/train\nval: images/val\nnames: [a, b]\ndownload: coco.zip\n")
    assert pod.inputs()["ok"] is True


@pytest.mark.parametrize("folder", [".", "coco128"])
def test_the_trainer_s_own_description_describes_the_run_s_dataset(folder: str, pod: Pod) -> None:
    root = pod.dataset / folder
    (root / "images" / "train2017").mkdir(parents=True)
    (root / "labels" / "train2017").mkdir(parents=True)
    (root / "images" / "train2017" / "0.jpg").write_text("image")
    (root / "labels" / "train2017" / "0.txt").write_text("0\n")
    assert pod.inputs(data="coco128.yaml")["parts"][0]["used"] == 1
    (pod.dataset / "coco128.yaml").write_text("train: no/folder\nval: no/folder\nnames: [a]\n")
    assert "names train: no/folder" in pod.inputs(data="coco128.yaml")["reason"], "the dataset's own comes first"


def test_the_trainer_s_own_description_needs_its_images_in_the_dataset(pod: Pod) -> None:
    answer = pod.inputs(data="coco128.yaml")
    assert answer["ok"] is False
    assert "coco128.yaml names train: images/train2017" in answer["reason"]
    assert answer["fix"] == "set train.data: data.yaml, which the dataset has"
    assert pod.inputs(data="../datasets/coco128.yaml")["ok"] is False, "it is found by its name, not by a path"


def test_a_broken_record_is_named_and_as_many_as_the_values_allow_are_left_out(pod: Pod) -> None:
    for number in range(1, 9):
        (pod.dataset / "images" / "train" / f"{number}.jpg").write_text(
            "image" if number > 1 else "cannot be identified"
        )
    answer = pod.inputs()
    assert answer["reason"] == (
        "the dataset has 1 damaged or invalid records among 10, and dataset.maxBroken is 0: images/train/1.jpg: cannot be identified"
    )
    assert "set dataset.maxBroken" in answer["fix"]
    pod.most = 1
    train = pod.inputs()["parts"][0]
    assert train == {
        "part": "train", "unit": "images", "used": 8, "total": 9, "leftOut": ["images/train/1.jpg: cannot be identified"], "leftOutTotal": 1,
    }  # fmt: skip


def test_options_of_the_trainer_apply_to_its_labels_and_images(pod: Pod) -> None:
    (pod.dataset / "labels" / "train" / "0.txt").write_text("7\n")
    assert "images/train/0.jpg: class too large" in pod.inputs()["reason"]
    assert pod.inputs(arguments=["single_cls=True"])["ok"] is True
    (pod.dataset / "labels" / "train" / "0.txt").write_text("1\n")
    for number in range(1, 4):
        (pod.dataset / "images" / "train" / f"{number}.jpg").write_text("image")
    half = pod.inputs(arguments=["fraction=0.5"])["parts"][0]
    assert (half["used"], half["total"]) == (2, 4)
    assert "none of the images of train has a label" in pod.inputs(arguments=["classes=[0]"])["reason"]


def test_images_without_any_label_are_no_dataset(pod: Pod) -> None:
    (pod.dataset / "labels" / "train" / "0.txt").unlink()
    assert "none of the images of train has a label" in pod.inputs()["reason"]


@pytest.mark.parametrize(
    ("state", "answer"),
    [
        ({"epoch": 0}, {"ok": True, "epoch": 1, "finished": False}),
        ({"epoch": 2}, {"ok": True, "epoch": 3, "finished": True}),
        ({"epoch": 2, "train_args": {"epochs": 3, "time": 1}}, {"ok": True, "epoch": 3, "finished": False}),
        ({"epoch": -1, "optimizer": None}, {"ok": True, "epoch": 3, "finished": True}),
        ({"epoch": -1, "optimizer": None, "train_results": {"epoch": [1, 2]}}, {"ok": True, "epoch": 2, "finished": True}),
    ],
)  # fmt: skip
def test_a_checkpoint_says_how_far_it_came(state: dict[str, Any], answer: dict[str, Any], pod: Pod) -> None:
    path = pod.checkpoint("last.pt", **state)
    assert pod.probe("checkpoint", {"path": str(path), "train": TRAIN}) == answer


def test_what_is_no_whole_checkpoint_is_not_resumed_from(pod: Pod) -> None:
    path = pod.checkpoint("last.pt")
    path.write_bytes(path.read_bytes()[:20])
    assert "cannot be loaded" in pod.probe("checkpoint", {"path": str(path), "train": TRAIN})["reason"]
    torchfile.save(path, {})
    assert "is not a checkpoint" in pod.probe("checkpoint", {"path": str(path), "train": TRAIN})["reason"]
    weights_only = pod.checkpoint("last.pt", optimizer=None)
    assert "no optimizer state" in pod.probe("checkpoint", {"path": str(weights_only), "train": TRAIN})["reason"]


def test_a_training_writes_where_the_run_looks_and_downloads_nothing(pod: Pod) -> None:
    pod.describe("path: shapes\ntrain: images/train\nval: images/val\nnames: {0: a, 1: b}\ndownload: coco.zip\n")
    wanted = pod.job(arguments=["cos_lr=True", "lr0=0.1"], hyperparameters={"lr0": 0.2})
    done = pod.start("run.py", "train", json.dumps(wanted), RANK="0", WORLD_SIZE="1")
    assert done.returncode == 0, done.stderr
    told = json.loads((pod.folder / "told.json").read_text())
    assert (told["model"], told["rank"]) == ("yolov8n.yaml", None)
    options = told["options"]
    assert (options["project"], options["name"], options["save_period"]) == (str(pod.output), "train", 1)
    assert (options["cos_lr"], options["lr0"], options["batch"]) == (True, 0.2, 4)
    assert json.loads((pod.output / "train" / "metrics.json").read_text()) == {"metrics/mAP50": 0.5}
    described = (pod.output / "dataset.yaml").read_text()
    assert ("download" in described, f"path: {pod.dataset}" in described) == (False, True)


def test_a_resumed_training_forgets_what_came_after_its_checkpoint(pod: Pod) -> None:
    checkpoint = pod.checkpoint("epoch0.pt", best_fitness=0.1, train_metrics={"fitness": 0.1})
    results = pod.output / "train" / "results.csv"
    results.write_text("epoch,loss\n1,0.5\n2,0.4\n3,0")
    best = pod.checkpoint("best.pt")
    best.write_text("{")
    done = pod.start("run.py", "train", json.dumps(pod.job(resume=str(checkpoint), arguments=["lr0=0.1"])))
    assert done.returncode == 0, done.stderr
    told = json.loads((pod.folder / "told.json").read_text())
    options = told["options"]
    assert (told["model"], options["resume"]) == (str(checkpoint), str(checkpoint))
    assert options["save_dir"] == str(pod.output / "train")
    assert not {"epochs", "lr0", "project", "optimizer"} & options.keys()  # they are in the checkpoint
    assert results.read_text() == "epoch,loss\n1,0.5\n"
    assert best.read_bytes() == checkpoint.read_bytes()


def test_best_weights_that_the_checkpoint_has_not_are_left_out(pod: Pod) -> None:
    checkpoint = pod.checkpoint("epoch1.pt", best_fitness=0.2, train_metrics={"fitness": 0.1})
    best = pod.checkpoint("best.pt")
    best.write_text("{")
    assert pod.start("run.py", "train", json.dumps(pod.job(resume=str(checkpoint)))).returncode == 0
    assert not best.exists()


def test_what_is_wrong_at_the_start_is_said_without_a_traceback(pod: Pod) -> None:
    done = pod.start("run.py", "train", json.dumps(pod.job(data="none.yaml")))
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert done.stderr.startswith(
        "ValueError: train.data: neither the dataset nor the model repository nor ultralytics has a file none.yaml"
    )


def export(pod: Pod, *formats: str) -> subprocess.CompletedProcess[str]:
    (pod.output / "train").mkdir(exist_ok=True)
    told = {"output": str(pod.output), "formats": formats, "device": "0,1", "batch": 4, "imgsz": 64, "maxBatchSize": 8}
    return pod.start("run.py", "export", json.dumps(told))


def test_the_best_weights_are_exported_and_their_validation_kept(pod: Pod) -> None:
    pod.checkpoint("best.pt", optimizer=None)
    (pod.output / "train" / "metrics.json").write_text('{"metrics/mAP50": 0.75}')
    done = export(pod, "torchscript", "onnx", "engine", "onnx")
    assert done.returncode == 0, done.stderr
    made = pod.output / "export"
    assert json.loads((made / "exported.json").read_text()) == {
        "torchscript": "best.torchscript", "onnx": "best.onnx", "engine": "best.engine",
    }  # fmt: skip
    assert json.loads((made / "best.torchscript").read_text()) == {"imgsz": 64, "device": "cpu"}
    assert json.loads((made / "best.onnx").read_text())["dynamic"] is True
    assert json.loads((made / "best.engine").read_text()) == {"imgsz": 64, "device": "0", "dynamic": True, "batch": 8}
    assert json.loads((made / "metrics.json").read_text()) == {"metrics/mAP50": 0.75}


def test_a_training_that_was_killed_at_its_very_end_is_finished_by_the_export(pod: Pod) -> None:
    pod.checkpoint("best.pt").write_text("{")
    pod.checkpoint("last.pt", epoch=2)
    done = export(pod, "torchscript")
    assert done.returncode == 0, done.stderr
    assert "best.pt is incomplete: exporting" in done.stdout
    assert read_torch(pod.output / "export" / "best.pt")["optimizer"] is None
    assert json.loads((pod.output / "export" / "metrics.json").read_text()) == {"metrics/mAP50": 0.25}


def test_an_export_that_leaves_nothing_is_an_error(pod: Pod) -> None:
    assert "no weights that can be loaded" in export(pod).stderr
    pod.checkpoint("best.pt", optimizer=None)
    done = export(pod, "lost")
    assert (done.returncode, "the export to lost wrote no best.lost" in done.stderr) == (1, True)
