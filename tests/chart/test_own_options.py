"""Options of a trainer that the run sets itself: the chart refuses those that the pod would refuse, and those that it passes."""

from __future__ import annotations

import ast
import re
from typing import Any

import pytest

from tests.chart.matrix import ROOT
from tests.chart.rules import LLM
from tests.chart.test_rules import broken_rules
from tests.conftest import rows
from trainchart.chart.families import family_data
from trainchart.chart.paths import LIB
from trainchart.files import load_values, overlay

FAMILIES = LIB / "files/families"


def constant(path: str, name: str) -> object:
    """A constant of a family's program, which needs the trainer's image to be imported."""
    for node in ast.parse((FAMILIES / path).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == name:
            return eval(compile(ast.Expression(node.value), path, "eval"))
    raise LookupError(name)


def test_those_of_yolov8_are_what_the_pod_refuses() -> None:
    assert set(family_data("yolov8")["ownOptions"]) == constant("yolov8/inputs.py", "OWNED")


def test_those_of_llm_sft_are_all_that_the_pod_sets() -> None:
    """`resume_from_checkpoint` and the others are of hooks.py; the last three a user may give, instead of the run."""
    text = (FAMILIES / "llm-sft/options.py").read_text(encoding="utf-8")
    own = family_data("llm-sft")["ownOptions"]
    names: dict[str, Any] = {"__file__": "options.py"}
    exec(compile(text, "options.py", "exec"), names)
    settings = {option: f"train.{key}" for key, option in names["VALUES"].items()}
    hooks = {"adapter_name_or_path", "export_dir", "overwrite_output_dir", "resume_from_checkpoint"}
    passed = set(re.findall(r'"(\w+)": |found\["(\w+)"\]', text.partition("def configuration")[2]))
    unnamed = {first or second for first, second in passed} | hooks | settings.keys()
    settings.update(dataset="train.dataset", model_name_or_path="model.repository")
    assert own == {name: settings.get(name, "") for name in unnamed - {"report_to", "deepspeed", "eval_dataset"}}


def test_those_of_yolov5_are_all_that_the_pod_passes() -> None:
    text = (FAMILIES / "yolov5/hooks.py").read_text(encoding="utf-8")
    passed = set(re.findall(r'"--([a-z-]+)"', text.partition("def train_arguments")[2].partition("def arguments")[0]))
    # A search has its own --hyp, which includes the user's.
    unnamed = passed - {"hyp"} - family_data("yolov5")["ownOptions"].keys()
    assert not unnamed, f"add to ownOptions of yolov5/family.yaml, each with its setting: {sorted(unnamed)}"


def test_those_of_ppyoloe_are_all_that_the_pod_passes() -> None:
    """`weights` is passed to the exporter, and the sections of the datasets are objects with their own arguments."""
    text = (FAMILIES / "ppyoloe/hooks.py").read_text(encoding="utf-8")
    lines = text.partition("    lines = {")[2].partition("}\n    path")[0]
    pairs = text.partition("    pairs: Dict[str, Any] = {")[2].partition("}\n    return")[0]
    passed = set(re.findall(r'"([A-Za-z_.]+)": ', lines + pairs)) | {"use_gpu", "use_npu", "use_mlu", "weights"}
    unnamed = passed - family_data("ppyoloe")["ownOptions"].keys()
    assert not unnamed, f"add to ownOptions of ppyoloe/family.yaml, each with its setting: {sorted(unnamed)}"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"epoch": 3}, "train.options: has epoch, which the run sets itself; set train.epochs instead"),
        ({"TrainReader": {"batch_size": 3}}, "train.options: has TrainReader.batch_size, "),
        ({"TrainReader.batch_size": 3}, "train.options: has TrainReader.batch_size, "),
        ({"TrainDataset.image_dir": "a"}, "train.options: has TrainDataset.image_dir, "),
        ({"num_classes": 3}, "train.options: has num_classes, which the run sets itself; remove it"),
        ({"epochs": 3}, ""),
        ({"TrainDataset": {"allow_empty": True}}, ""),
        ({"TrainReader.shuffle": False, "OptimizerBuilder": {"optimizer": {"momentum": 0.8}}}, ""),
    ],
)
def test_options_of_paddledetection_are_refused_at_any_depth(options: dict[str, object], words: str) -> None:
    broken = broken_rules(overlay(load_values(ROOT / "values/ppyoloe.yaml"), {"train": {"options": options}}))
    assert [message[: len(words)] for message in broken] == ([words] if words else [])


OF_YOLOV8, OF_LLM = (list(family_data(family)["ownOptions"]) for family in ("yolov8", "llm-sft"))


@pytest.mark.parametrize("option", rows(OF_YOLOV8, *OF_YOLOV8[::6]))
def test_each_is_refused_with_the_setting(option: str) -> None:
    values = load_values(ROOT / "values/yolov8.yaml")
    (only,) = broken_rules(overlay(values, {"train": {"arguments": [f"{option}=1"]}}))
    assert only.startswith(f"train.arguments: has {option}, which the run sets itself; ")
    assert broken_rules(overlay(values, {"train": {"arguments": [f"{option}x=1"]}})) == []


@pytest.mark.parametrize("option", rows(OF_LLM, *OF_LLM[::6]))
def test_each_key_is_refused(option: str) -> None:
    assert len(broken_rules(overlay(LLM, {"train": {"arguments": {option: 1}}}))) == 1
