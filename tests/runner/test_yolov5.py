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


def test_the_dataset_probe_names_what_is_missing(tmp_path: Path) -> None:
    pytest.importorskip("yaml")
    model, dataset = tmp_path / "model", tmp_path / "datasets" / "coco128"
    (model / "data").mkdir(parents=True)
    argument = {
        "model": str(model),
        "dataset": str(dataset),
        "train": {"data": "coco128.yaml", "weights": "models/n.pt"},
    }
    assert "train.weights" in probe("dataset", argument)["reason"]
    (model / "models").mkdir()
    (model / "models" / "n.pt").touch()
    assert "train.data" in probe("dataset", argument)["reason"]
    description = model / "data" / "coco128.yaml"
    description.write_text("path: ../datasets/coco128\ntrain: images/train2017\nnames: {0: a}\n")
    assert "has no key 'val'" in probe("dataset", argument)["reason"]
    description.write_text(
        "path: ../datasets/coco128\ntrain: images/train2017\nval: [images/train2017, images/val]\nnames: {0: a}\n"
    )
    (dataset / "images" / "train2017").mkdir(parents=True)
    missing = probe("dataset", argument)
    assert (
        missing["ok"],
        "val: images/val" in missing["reason"],
        str(dataset / "images" / "val") in missing["reason"],
    ) == (False, True, True)
    (dataset / "images" / "val").mkdir()
    assert probe("dataset", argument)["ok"] is True
    description.write_text("- not a map")
    assert "cannot be read" in probe("dataset", argument)["reason"]


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
