"""The PP-YOLOE family's hooks and the probes that need no PaddlePaddle."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from runner.context import Context
from runner.errors import FamilyError

from .conftest import FILES

FOLDER = FILES / "families" / "ppyoloe"
TRAIN: dict[str, Any] = {
    "config": "configs/ppyoloe_crn_s.yml",
    "epochs": 4,
    "batchSize": 2,
    "workers": 2,
    "learningRate": None,
    "logInterval": 1,
    "snapshotInterval": 1,
    "pretrainWeights": "",
    "trainImages": "train",
    "trainAnnotations": "train.json",
    "evalImages": "val",
    "evalAnnotations": "val.json",
    "evaluate": False,
    "amp": False,
    "options": {},
}


@pytest.fixture(scope="module")
def hooks() -> ModuleType:
    spec = importlib.util.spec_from_file_location("ppyoloe_hooks", FOLDER / "hooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def make(make_context: Callable[..., Context]) -> Callable[..., Context]:
    def go(changes: dict[str, Any] | None = None, **train: Any) -> Context:
        context = make_context({"train": {**TRAIN, **train}, **(changes or {})})
        context.output.mkdir(parents=True, exist_ok=True)
        context.dataset.mkdir(parents=True, exist_ok=True)
        (context.dataset / "val.json").write_text(json.dumps({"categories": [{"id": 1}, {"id": 2}]}))
        return context

    return go


def pairs(argv: list[str]) -> dict[str, str]:
    """Those of the one -o."""
    assert argv.count("-o") == 1
    after = argv[argv.index("-o") + 1 :]
    return dict(word.split("=", 1) for word in after if "=" in word)


def test_one_o_has_all_pairs(hooks: ModuleType, make: Callable[..., Context]) -> None:
    context = make(learningRate=0.01, options={"TrainReader.shuffle": False})
    argv = hooks.train_arguments(context)
    found = pairs(argv)
    assert found["output_eval"] == str(context.output), "the repository's folder may be read-only"
    assert (found["use_gpu"], found["worker_num"], found["TrainReader.batch_size"]) == ("false", "2", "2")
    assert (found["epoch"], found["TrainReader.shuffle"], found["LearningRate.base_lr"]) == ("4", "false", "0.01")
    assert found["pretrain_weights"] == ""  # or the configuration's own would be downloaded
    assert "--eval" not in argv
    assert "--eval" in hooks.train_arguments(make(evaluate=True))


def test_small_numbers_are_numbers_to_paddledetection(hooks: ModuleType, make: Callable[..., Context]) -> None:
    """It reads YAML 1.1, to which 1e-05 is a text: the training ended with a TypeError."""
    yaml = pytest.importorskip("yaml")
    context = make(learningRate=0.00001, options={"A.b": [1e-07, {"c": 2.5e-06}], "A.d.e": 1e-08, "A.f": "1e-05"})
    found = pairs(hooks.train_arguments(context))
    assert yaml.safe_load(found["LearningRate.base_lr"]) == 0.00001
    assert yaml.safe_load(found["A.b"]) == [1e-07, {"c": 2.5e-06}]
    hooks.configure(context)
    lines = (context.output / "train.yml").read_text().splitlines()
    assert yaml.safe_load(next(line for line in lines if line.startswith("A: "))) == {"A": {"d": {"e": 1e-08}}}


def test_a_resumed_training_is_given_its_snapshot(hooks: ModuleType, make: Callable[..., Context]) -> None:
    context = make()
    context.resume_from = context.output / "train" / "0.pdopt"
    argv = hooks.train_arguments(context)
    assert argv[argv.index("-r") + 1] == str(context.output / "train" / "0")


def test_settings_of_three_levels_are_in_the_generated_configuration(
    hooks: ModuleType, make: Callable[..., Context]
) -> None:
    yaml = pytest.importorskip("yaml")

    class Loader(yaml.SafeLoader):  # type: ignore[misc, name-defined]
        pass

    Loader.add_multi_constructor("!", lambda loader, tag, node: {"!": tag, **loader.construct_mapping(node, deep=True)})
    context = make(options={"A.b.c": 1, "A.b.d": [2], "A.e": 3})
    hooks.configure(context)
    found = yaml.load((context.output / "train.yml").read_text(), Loader=Loader)
    assert found["A"] == {"b": {"c": 1, "d": [2]}}
    assert found["_BASE_"] == [str(context.model / "configs/ppyoloe_crn_s.yml")]
    assert found["num_classes"] == 2  # as the dataset has
    assert (found["TrainDataset"]["!"], found["TrainDataset"]["anno_path"]) == ("COCODataSet", "train.json")
    given = pairs(hooks.train_arguments(context))
    assert given["A.e"] == "3"
    assert "A.b.c" not in given
    (context.dataset / "val.json").write_text("{}")
    with pytest.raises(FamilyError, match=r"val\.json cannot be read"):
        hooks.configure(context)


@pytest.mark.parametrize("options", [{"TrainDataset.allow_empty": True}, {"TrainDataset": {"allow_empty": True}}])
def test_options_of_the_datasets_reach_paddledetections_reader(
    hooks: ModuleType, make: Callable[..., Context], options: dict[str, Any]
) -> None:
    context = make(options=options)
    found = hooks.datasets(context.dataset, context.train)
    assert found["TrainDataset"]["allow_empty"] is True
    assert (found["TrainDataset"]["image_dir"], found["TrainDataset"]["anno_path"]) == ("train", "train.json")
    assert found["EvalDataset"]["anno_path"] == found["TestDataset"]["anno_path"] == "val.json"
    assert not {key for key in pairs(hooks.train_arguments(context)) if key.startswith("TrainDataset")}
    hooks.configure(context)
    assert '"allow_empty": true' in (context.output / "train.yml").read_text().split("EvalDataset")[0]
    without = make(evalAnnotations="", options=options)
    assert hooks.datasets(without.dataset, without.train)["EvalDataset"]["image_dir"] == "train"


def test_several_nodes_meet_at_the_address_of_rank_0(hooks: ModuleType, make: Callable[..., Context]) -> None:
    assert hooks.launch(make()) == []
    context = make({"replicas": 2})
    context.rank, context.master_ip, context.own_ip = 1, "10.0.0.7", "10.0.0.8"
    line = hooks.launch(context)
    assert line[:2] == ["-m", "paddle.distributed.launch"]
    options = dict(zip(line[2::2], line[3::2], strict=True))
    assert (options["--master"], options["--nnodes"], options["--rank"]) == ("10.0.0.7:23456", "2", "1")
    assert options["--log_dir"] == str(context.output / "log" / "1")  # not another node's, on one workspace
    environment = hooks.train_environment(context)
    assert (environment["PADDLE_DISTRI_BACKEND"], environment["POD_IP"]) == ("gloo", "10.0.0.8")


def test_several_devices_are_named(hooks: ModuleType, make: Callable[..., Context]) -> None:
    context = make({"run.processes": 2, "run.backend": "cuda", "accelerator.count": 2})
    assert hooks.launch(context)[-2:] == ["--devices", "0,1"]
    assert pairs(hooks.train_arguments(context))["use_gpu"] == "true"
    assert "PADDLE_DISTRI_BACKEND" not in hooks.train_environment(context)


def test_metrics_of_an_epoch_are_its_losses_and_its_evaluation(hooks: ModuleType, make: Callable[..., Context]) -> None:
    context = make()
    assert hooks.metrics(context) == []
    (context.output / "metrics.jsonl").write_text(
        '{"epoch": 1, "loss": 4}\n{"epoch": 1, "bbox/mAP": 0.1}\n{"epoch": 1, "loss": 3}\n{"epoch": 2, "loss": 2}\n{"epo'
    )
    # The first epoch was repeated after a resume: what was found of it before is not its any more.
    assert hooks.metrics(context) == [{"epoch": 1, "loss": 3}, {"epoch": 2, "loss": 2}]


def test_only_whole_snapshots_are_resumed_from_and_two_are_kept(
    hooks: ModuleType, make: Callable[..., Context]
) -> None:
    context = make()
    assert hooks.checkpoints(context) == []
    folder = context.output / "train"
    folder.mkdir()
    for number in (0, 1, 2, 10):
        for part in ("pdparams", "pdema", "pdopt"):
            (folder / f"{number}.{part}").touch()
    (folder / "10.pdopt").unlink()  # it is written last
    assert [path.name for path in hooks.checkpoints(context)] == ["2.pdopt", "1.pdopt", "0.pdopt"]
    assert [path.name for path in hooks.stale(context)] == ["0.pdema", "0.pdopt", "0.pdparams"]


def test_the_best_weights_are_exported_else_the_last(hooks: ModuleType, make: Callable[..., Context]) -> None:
    context = make()
    with pytest.raises(FamilyError, match=r"model_final\.pdparams"):
        hooks.export_arguments(context)
    (context.output / "model_final.pdparams").touch()  # PaddleDetection 2.8 has no folder of the configuration's name
    assert pairs(hooks.export_arguments(context))["weights"] == str(context.output / "model_final")
    (context.output / "best_model.pdparams").touch()
    assert pairs(hooks.export_arguments(context))["weights"] == str(context.output / "best_model")


def probe(model: Path, dataset: Path, **train: Any) -> dict[str, Any]:
    folders = {"model": str(model), "dataset": str(dataset), "scratch": str(dataset)}
    run = {"replicas": 1, "processes": 1}
    argument = {**folders, "train": {**TRAIN, **train}, "run": run, "maxBroken": 0}
    done = subprocess.run(
        [sys.executable, str(FOLDER / "probe_dataset.py"), json.dumps(argument)],
        capture_output=True,
        text=True,
        check=True,
    )
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


@pytest.fixture
def model(tmp_path: Path) -> Path:
    pytest.importorskip("yaml")
    folder = tmp_path / "model"
    for name in ("tools/train.py", "tools/export_model.py", "configs/base.yml"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("a: 1\n")
    (folder / TRAIN["config"]).write_text("_BASE_: [base.yml]\nTrainDataset: !COCODataSet {image_dir: x}\n")
    return folder


def test_a_configuration_that_is_not_there_is_named(model: Path, tmp_path: Path) -> None:
    assert "has no file configs/no.yml" in probe(model, tmp_path, config="configs/no.yml")["reason"]
    (model / "configs" / "base.yml").unlink()
    assert "configs/base.yml, which configs/ppyoloe_crn_s.yml names" in probe(model, tmp_path)["reason"]


def test_what_would_be_downloaded_is_refused(model: Path, tmp_path: Path) -> None:
    assert "is a URL" in probe(model, tmp_path, pretrainWeights="https://example.com/a.pdparams")["reason"]
    assert "no file weights/a.pdparams" in probe(model, tmp_path, pretrainWeights="weights/a")["reason"]
    assert "train.trainAnnotations: the dataset has no file 'train.json'" in probe(model, tmp_path)["reason"]
