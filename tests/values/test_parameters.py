"""The parameters of platforms' pipelines: the reference's names and defaults, and the values that they stand for."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.checks.cluster import ROOT
from trainchart.chart.families import family_names
from trainchart.chart.render import render
from trainchart.errors import UsageError
from trainchart.files import load_values, overlay
from trainchart.values.parameters import parameters, read, values_of

REFERENCE = {
    parameter["name"]: parameter.get("default")
    for parameter in yaml.safe_load(Path(ROOT, "tests/data/reference-pipeline.yaml").read_text("utf-8"))["spec"][
        "params"
    ]
}
REQUIRED = {
    "MODEL_REPO_URL": "https://git.example.com/team/yolov5.git",
    "DATASET_REPO_URL": "https://git.example.com/team/coco128.git",
    "OUTPUT_MODEL_REPO_URL": "https://git.example.com/team/trained.git",
    "GIT_CREDENTIAL_SECRET_NAME": "git-credentials",
    "TRAINING_IMAGE": "registry.example.com/training/yolov5:7.0",
}


def pairs(**more: str) -> list[str]:
    """What the reference pipeline passes on: every parameter, by its default where it is not given."""
    return [f"{name}={text}" for name, text in {**REFERENCE, **REQUIRED, **more}.items()]


def refusal(*given: str, family: str = "yolov5") -> str:
    with pytest.raises(UsageError) as refused:
        values_of(given, family)
    return str(refused.value)


def test_yolov5_has_the_names_and_defaults_of_the_reference() -> None:
    assert len(REFERENCE) == 27
    known = {parameter.name: parameter.default for parameter in parameters("yolov5")}
    assert {name: known.get(name, "missing") for name in REFERENCE} == REFERENCE
    required = [name for name in known.keys() - REFERENCE.keys() if known[name] is None]
    assert not required, f"a pipeline of the reference does not pass {required}: give them defaults"


def test_the_reference_requires_what_has_no_default() -> None:
    assert {name for name, default in REFERENCE.items() if default is None} == REQUIRED.keys()


def test_the_reference_s_parameters_as_they_stand_are_the_ready_to_run_file() -> None:
    file = load_values(ROOT / "values/yolov5.yaml")
    values = overlay({"family": "yolov5"}, values_of(pairs(), "yolov5"))
    assert render(values) == render(
        overlay(
            file,
            {
                "publish": {"repository": REQUIRED["OUTPUT_MODEL_REPO_URL"]},
                "dataset": {"path": "datasets/coco128"},
                "train": {"device": "0"},
            },
        )
    )


@pytest.mark.parametrize("family", family_names())
def test_every_family_has_the_common_parameters_and_its_own_settings(family: str) -> None:
    known = {parameter.name: parameter for parameter in parameters(family)}
    assert len(known) == len(parameters(family)), "no name is there twice"
    common = {name for name in REFERENCE if not name.startswith("TRAIN_ARG_")}
    assert common <= known.keys()
    assert all(name.startswith("TRAIN_ARG_") for name in known.keys() - common)
    assert all(parameter.description for parameter in known.values())


@pytest.mark.parametrize("family", family_names())
def test_a_family_s_defaults_are_its_ready_to_run_file(family: str) -> None:
    given = [f"{parameter.name}={parameter.default}" for parameter in parameters(family) if parameter.default]
    file = load_values(ROOT / f"values/{family}.yaml")
    values = overlay(file, values_of(given, family))
    if family == "yolov5":
        values["train"]["device"] = ""  # the reference's default; the file leaves it to the accelerator
    assert render(values) == render(file)


def test_an_empty_parameter_is_not_configured() -> None:
    assert values_of(["REPLICAS=", "CPU_LIMIT= ", "NVIDIA_GPU="], "yolov5") == {}


def test_texts_become_values_of_the_key_s_type() -> None:
    given = ["REPLICAS=2", "CPU_REQUEST=1", "TRAIN_ARG_EPOCHS=007", "TRAIN_ARG_DEVICE=0,1", "MODEL_REPO_URL=a=b"]
    assert values_of(given, "yolov5") == {
        "replicas": 2,
        "resources": {"requests": {"cpu": "1"}},
        "train": {"epochs": 7, "device": "0,1"},
        "model": {"repository": "a=b"},
    }
    numbers = ["TRAIN_ARG_LEARNING_RATE=2.0e-4", "TRAIN_ARG_VALIDATION_SIZE=100", "TRAIN_ARG_FP16=True"]
    train = values_of(numbers, "llm-sft")["train"]
    assert train == {"learningRate": 0.0002, "validationSize": 100, "fp16": True}
    assert isinstance(train["validationSize"], int)


def test_whole_cards_and_shares_of_them_choose_their_profile() -> None:
    assert values_of(["NVIDIA_GPU=2"], "yolov5")["accelerator"] == {
        "profile": "nvidia", "variant": None, "count": 2, "corePercent": None, "memory": None,
    }  # fmt: skip
    shared = ["NVIDIA_GPUALLOC=1", "NVIDIA_GPUCORES=50", "NVIDIA_GPUMEM=4096"]
    assert values_of(shared, "yolov5")["accelerator"] == {
        "profile": "hami-alauda", "variant": None, "count": 1, "corePercent": 50, "memory": "4096Mi",
    }  # fmt: skip
    assert "accelerator" not in values_of(["NVIDIA_GPU=", "NVIDIA_GPUALLOC="], "yolov5")
    assert refusal(*pairs(NVIDIA_GPU="1")) == (
        "--param NVIDIA_GPUALLOC: NVIDIA_GPUALLOC, NVIDIA_GPUCORES, NVIDIA_GPUMEM are for hami-alauda and NVIDIA_GPU is for "
        "nvidia, and a pod has one kind of device; leave one or the other empty"
    )


def test_the_resources_of_another_profile_are_not_requested_for_it() -> None:
    names = {"count": "huawei.com/Ascend910B"}
    below = {"accelerator": {"profile": "ascend", "variant": "Ascend910", "resourceNames": names}}
    assert read(["NVIDIA_GPU=1"], "yolov5", below).values["accelerator"]["resourceNames"] is None
    below = {"accelerator": {"profile": "nvidia", "resourceNames": {"count": "example.com/gpu"}}}
    assert "resourceNames" not in read(["NVIDIA_GPU=1"], "yolov5", below).values["accelerator"]


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("/mnt/workspace/datasets/coco128", "datasets/coco128"),
        ("/mnt/workspace/datasets/coco128/", "datasets/coco128"),
        ("datasets/mine", "datasets/mine"),
    ],
)
def test_the_dataset_s_folder_is_one_of_the_run_s(text: str, path: str) -> None:
    assert values_of([f"DATASET_DIR={text}"], "yolov5") == {"dataset": {"path": path}}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["REPLICAS"], "--param: 'REPLICAS' is not NAME=VALUE, such as REPLICAS=2"),
        (["=2"], "--param: '=2' is not NAME=VALUE"),
        (["REPLICA=2"], "--param REPLICA: unknown parameter, did you mean REPLICAS?"),
        (["COLOUR=red"], "--param COLOUR: unknown parameter; family yolov5 has TRAINING_IMAGE, REPLICAS,"),
        (["https://me:secret@git.example.com=1"], "--param https://***@git.example.com: unknown parameter"),
        (["TRAIN_ARG_ARGUMENTS=--evolve"], "--param TRAIN_ARG_ARGUMENTS: unknown parameter"),
        (["REPLICAS=1", "REPLICAS=2"], "--param REPLICAS: is given twice; keep one of them"),
        (["REPLICAS=two"], "--param REPLICAS: 'two' is not a whole number"),
        (["REPLICAS=1e3"], "--param REPLICAS: '1e3' is not a whole number"),
        (["REPLICAS=1_0"], "--param REPLICAS: '1_0' is not a whole number"),
        (["REPLICAS=\u0661"], "--param REPLICAS: '\u0661' is not a whole number"),
        ([f"REPLICAS={'9' * 5000}"], "--param REPLICAS: '99"),
        (["NVIDIA_GPUMEM=4Gi"], "--param NVIDIA_GPUMEM: '4Gi' is not a whole number of 1Mi"),
        (["DATASET_DIR=/data"], "--param DATASET_DIR: '/data' is not in /mnt/workspace, which stands for the run's folder"),
        (["TRAINING_IMAGE=\udcff"], "--param TRAINING_IMAGE: is not UTF-8 text"),
    ],
)  # fmt: skip
def test_a_wrong_parameter_is_refused_in_one_line(given: list[str], words: str) -> None:
    message = refusal(*given)
    assert message.startswith(words)
    assert "\n" not in message


@pytest.mark.parametrize("text", ["inf", "nan", "0x10", "1e999", "1,5", "--"])
def test_what_is_no_number_is_refused(text: str) -> None:
    assert "is not a number" in refusal(f"TRAIN_ARG_LEARNING_RATE={text}", family="llm-sft")
    assert "is not true or false" in refusal(f"TRAIN_ARG_FP16={text}", family="llm-sft")
