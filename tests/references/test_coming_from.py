"""docs/coming-from.md: the keys that it names exist, and each example is the same run as the one that it comes from."""

from __future__ import annotations

import ast
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.checks.cluster import ROOT
from tests.references.test_references import asks, plain
from trainchart.chart.families import family_names
from trainchart.chart.paths import CHART, LIB
from trainchart.chart.render import Manifest, render
from trainchart.cluster.quantities import parse_quantity
from trainchart.files import Tree
from trainchart.values.parameters import values_of
from trainchart.values.validate import validate

PAGE = (ROOT / "docs/coming-from.md").read_text(encoding="utf-8")
CUSTOM = (ROOT / "docs/custom.md").read_text(encoding="utf-8")
SCHEMA: Tree = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
KEY = re.compile(r"[a-z][A-Za-z]*(\.[A-Za-z]+)*")


def sections() -> dict[str, str]:
    parts = re.split(r"^## From (.+)$", PAGE, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


SECTIONS = sections()


def example(title: str) -> tuple[str, str, Tree]:
    """The language of the one that it comes from, its text, and our values."""
    (language, theirs), (ours, text) = BLOCK.findall(SECTIONS[title])
    assert ours == "yaml"
    return language, theirs, yaml.safe_load(text)


def rows(title: str) -> list[list[str]]:
    lines = [line for line in SECTIONS[title].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines[2:]]


def is_key(path: str) -> bool:
    node: Tree = SCHEMA
    first, *rest = path.split(".")
    if first == "train":
        return not rest or any(rest[0] in SCHEMA["$defs"][f"train.{family}"]["properties"] for family in family_names())
    for part in (first, *rest):
        while "$ref" in node:
            node = SCHEMA["$defs"][node["$ref"].rpartition("/")[2]]
        if part not in node.get("properties", {}):
            return False
        node = node["properties"][part]
    return True


def test_the_page_has_a_section_for_each_launcher() -> None:
    assert list(SECTIONS) == [
        "the Tekton pipeline for YOLOv5",
        "the SFT notebook",
        "a Volcano Job",
        "PaddleCloud",
        "Kubeflow Pipelines v1",
        "arena",
        "torchx",
    ]


@pytest.mark.parametrize("title", SECTIONS)
def test_what_a_table_says_is_here_is_a_key_of_the_values(title: str) -> None:
    table = rows(title)
    assert len(table) > 10
    for there, here, more in table:
        spans = re.findall(r"`([^`]+)`", here)
        assert there
        assert [span for span in spans if not is_key(span)] == []
        assert spans or (here == "-" and more), f"{there}: says neither where it is nor why it is nowhere"


@pytest.mark.parametrize("wrong", ["train.epoch", "model.branch", "spec.queue", "resources.cpu"])
def test_another_key_is_none(wrong: str) -> None:
    """So that the test above can fail."""
    assert not is_key(wrong)


def valid(values: Tree, folder: Path) -> list[Manifest]:
    """What the values render, which are valid and warn of nothing but what a page can leave open."""
    file = folder / "run.yaml"
    file.write_text(yaml.safe_dump(values), encoding="utf-8")
    report = validate([str(file)])
    assert report.valid, report.diagnostics
    assert {found.key for found in report.diagnostics} <= {"workspace.type"}, report.diagnostics
    return render(values)


@pytest.mark.parametrize("title", SECTIONS)
def test_our_side_of_an_example_is_valid_and_renders(title: str, tmp_path: Path) -> None:
    assert {"Job", "ConfigMap"} <= {manifest["kind"] for manifest in valid(example(title)[2], tmp_path)}


def test_the_example_of_code_inside_the_image_is_valid(tmp_path: Path) -> None:
    section = CUSTOM.split("## Code that is inside the image", 1)[1].split("\n## ", 1)[0]
    ((_, text),) = BLOCK.findall(section)
    values = yaml.safe_load(text)
    assert "model" not in values
    valid(values, tmp_path)


def test_the_pipeline_run_s_parameters_are_our_example() -> None:
    _, theirs, ours = example("the Tekton pipeline for YOLOv5")
    given = [f"{one['name']}={one['value']}" for one in yaml.safe_load(theirs)["spec"]["params"]]
    assert render({"family": "yolov5", **values_of(given, "yolov5")}) == render(ours)


def test_every_parameter_of_the_pipeline_is_in_its_table() -> None:
    named = re.findall(r"`([A-Z_.]+)`", " ".join(row[0] for row in rows("the Tekton pipeline for YOLOv5")))
    whole = {name.replace("...", "TRAIN_ARG") for name in named}
    pipeline = yaml.safe_load((ROOT / "tests/data/reference-pipeline.yaml").read_text(encoding="utf-8"))
    assert {parameter["name"] for parameter in pipeline["spec"]["params"]} <= whole


def test_llama_factory_s_file_is_our_example() -> None:
    names = ast_literal(LIB / "files/families/llm-sft/options.py", "NAMES", "LORA", "EVALUATION")
    _, theirs, ours = example("the SFT notebook")
    asked = yaml.safe_load(theirs)
    train = ours["train"]
    given = {names[key]: value for key, value in train.items() if key in names}
    given.update(train["arguments"], dataset=train["dataset"], model_name_or_path=asked["model_name_or_path"])
    assert {key: plain(value) for key, value in given.items()} == {key: plain(value) for key, value in asked.items()}


def ast_literal(path: Path, *names: str) -> dict[str, str]:
    """Some dictionaries of a program, read without running it."""
    found: dict[str, str] = {}
    for statement in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(statement, ast.Assign) and getattr(statement.targets[0], "id", "") in names:
            found.update(ast.literal_eval(statement.value))
    return found


def test_the_volcano_job_asks_for_what_our_example_asks_for() -> None:
    _, theirs, ours = example("a Volcano Job")
    job = yaml.safe_load(theirs)
    wanted, got = asks([job]), asks(render(ours))
    del wanted["mounts"]  # a claim lies where the program is told that it lies
    assert {key: got.get(key) for key in wanted} == wanted
    assert ours["nodeSelector"] == job["spec"]["tasks"][0]["template"]["spec"]["nodeSelector"]


def test_the_paddle_job_asks_for_what_our_example_asks_for() -> None:
    _, theirs, ours = example("PaddleCloud")
    job = yaml.safe_load(theirs)
    wanted, got = asks([job]), asks(render(ours))
    assert {key: got.get(key) for key in wanted} == wanted
    (container,) = job["spec"]["worker"]["template"]["spec"]["containers"]
    options = dict(word.split("=") for word in container["args"] if "=" in word)
    assert options.pop("use_gpu") == "false"
    assert ours["accelerator"]["profile"] == "cpu"
    names = {
        "epoch": "epochs", "worker_num": "workers", "TrainReader.batch_size": "batchSize", "log_iter": "logInterval",
        "snapshot_epoch": "snapshotInterval",
    }  # fmt: skip
    assert {name: str(ours["train"][names[name]]) for name in options} == options
    assert ours["train"]["config"] == container["args"][2]


def test_the_component_trains_what_our_example_trains() -> None:
    language, theirs, ours = example("Kubeflow Pipelines v1")
    assert language == "python"
    calls = [node for node in ast.walk(ast.parse(theirs)) if isinstance(node, ast.Call)]
    (made,) = [call for call in calls if getattr(call.func, "id", "") == "partial"]
    (trained,) = [call for call in calls if getattr(call.func, "attr", "") == "train"]
    assert isinstance(trained.func, ast.Attribute)
    assert isinstance(trained.func.value, ast.Call)
    options = {word.arg: ast.literal_eval(word.value) for word in trained.keywords}
    train = ours["train"]
    assert options == {
        "data": train["data"], "epochs": train["epochs"], "imgsz": train["imageSize"], "batch": train["batchSize"],
    }  # fmt: skip
    assert ast.literal_eval(trained.func.value.args[0]) == train["model"]
    images = [ast.literal_eval(word.value) for word in made.keywords if word.arg == "base_image"]
    assert images == [ours["image"]]


def words_of(title: str) -> list[str]:
    language, theirs, _ = example(title)
    assert language == "sh"
    return shlex.split(theirs)


ARENA: dict[str, Callable[[Tree], Any]] = {
    "workers": lambda run: run["replicas"],
    "gpus": lambda run: run["limits.nvidia.com/gpu"],
    "cpu": lambda run: run["limits.cpu"],
    "memory": lambda run: run["limits.memory"],
    "share-memory": lambda run: run["shared memory"],
    "image": lambda run: run["image"],
    "retry": lambda run: run["maxRetry"] - 1,
}


def test_arena_s_options_ask_for_what_our_example_asks_for() -> None:
    words, ours = words_of("arena"), example("arena")[2]
    given = dict(word[2:].split("=", 1) for word in words if word.startswith("--"))
    run = asks(render(ours))
    for name, read in ARENA.items():
        assert read(run) == (given[name] if name == "image" else parse_quantity(given[name])), name
    assert run["claims"] == [given["data"].partition(":")[0]]
    assert given["sync-source"] == ours["model"]["repository"]
    assert dict([given["selector"].split("=")]) == ours["nodeSelector"]
    assert [given["image-pull-secret"]] == ours["imagePullSecrets"]
    program = words[-1].replace("/root/code/mnist-pytorch/", "").replace("/data", '"$DATASET_DIR"')
    assert ours["train"]["command"] == ["bash", "-c", f"exec {program}"]


def test_torchx_s_options_ask_for_what_our_example_asks_for() -> None:
    words, ours = words_of("torchx"), example("torchx")[2]
    options = {word: words[at + 1] for at, word in enumerate(words) if word.startswith("-") and word != "--"}
    run = asks(render(ours))
    nodes, processes = options["-j"].split("x")
    assert (run["replicas"], run["limits.nvidia.com/gpu"]) == (int(nodes), int(processes))
    assert run["limits.nvidia.com/gpu"] == parse_quantity(options["--gpu"])
    assert run["limits.cpu"] == parse_quantity(options["--cpu"])
    assert run["limits.memory"] == parse_quantity(options["--memMB"] + "M")
    assert run["image"] == options["--image"]
    assert run["maxRetry"] - 1 == int(options["--max_retries"])
    assert dict(pair.split("=") for pair in options["-cfg"].split(","))["queue"] == run["queue"]
    assert ours["env"] == dict([options["--env"].split("=")])
    script = " ".join([options["--script"], *words[words.index("--") + 1 :]])
    assert ours["train"]["command"][2].endswith(script)
