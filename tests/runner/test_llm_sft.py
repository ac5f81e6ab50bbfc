"""The family llm-sft: its hooks, and what its programs say without LLaMA-Factory. Everything that reads records, or a
repository without dataset_info.json, needs the image: tests/differential/test_llm.py.
"""

from __future__ import annotations

import importlib
import json
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from runner.context import Context, Pinned
from runner.errors import FamilyError

from .conftest import FILES

FOLDER = FILES / "families" / "llm-sft"
TRAIN: dict[str, Any] = yaml.safe_load((FOLDER / "family.yaml").read_text())["defaults"]["train"]
ALPACA = {"instruction": "Who are you?", "input": "", "output": "Tiny."}
INFO = {"dataset_info.json": '{"identity": {"file_name": "identity.jsonl"}}', "identity.jsonl": ""}
DESCRIBED = {"datasets": ["a"], "evaluated": [], "folder": "/data", "media": "/data"}


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The folder as a package, which it is in the pod."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "llm_sft_family").symlink_to(FOLDER)
    sys.path.insert(0, str(folder))
    yield "llm_sft_family"
    sys.path.remove(str(folder))


@pytest.fixture(scope="module")
def hooks(package: str) -> ModuleType:
    return importlib.import_module(f"{package}.hooks")


@pytest.fixture(scope="module")
def describe(package: str) -> ModuleType:
    return importlib.import_module(f"{package}.describe")


@pytest.fixture
def context(make_context: Callable[..., Context]) -> Callable[..., Context]:
    def make(train: dict[str, Any] | None = None, **changes: Any) -> Context:
        made = make_context(
            {"train": {**TRAIN, **(train or {})}, **{key.replace("__", "."): value for key, value in changes.items()}}
        )
        made.dataset.mkdir(parents=True)
        made.output.mkdir(parents=True)
        return made

    return make


def write(path: Path, rows: list[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))


def lay_out(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def configured(hooks: ModuleType, made: Context) -> dict[str, Any]:
    hooks.configure(made)
    found: dict[str, Any] = json.loads((made.output / "train.yaml").read_text())
    return found


# What the trainer is told.


def test_the_configuration_is_the_values(hooks: ModuleType, context: Callable[..., Context]) -> None:
    made = context({"arguments": {"lr_scheduler_type": "cosine"}})
    lay_out(made.dataset, INFO)
    found = configured(hooks, made)
    wanted = {
        "stage": "sft", "finetuning_type": "lora", "lora_target": "all", "lora_rank": 8, "lora_alpha": 16, "lora_dropout": 0.1,
        "template": "qwen3", "cutoff_len": 1024, "max_samples": 1000, "preprocessing_num_workers": 8, "logging_steps": 10,
        "per_device_train_batch_size": 2, "gradient_accumulation_steps": 2, "learning_rate": 0.0002, "num_train_epochs": 4,
        "val_size": 0.1, "per_device_eval_batch_size": 1, "eval_strategy": "epoch", "save_strategy": "epoch", "plot_loss": True,
        "use_cpu": True, "dataset": "identity", "lr_scheduler_type": "cosine", "model_name_or_path": str(made.model),
    }  # fmt: skip
    assert found == {**found, **wanted}
    assert not {"overwrite_output_dir", "resume_from_checkpoint", "deepspeed", "ddp_backend"} & found.keys()
    assert [Path(word).name for word in hooks.train_arguments(made)] == ["start.py", "train.yaml"]


def test_nothing_of_lora_or_of_a_validation_is_set_without_them(
    hooks: ModuleType, context: Callable[..., Context]
) -> None:
    made = context({"finetuningType": "full", "validationSize": 0, "maxSamples": 0, "preprocessingWorkers": 0})
    found = hooks.settings_of(made, DESCRIBED)
    assert not [
        key
        for key in found
        if key.startswith(("lora_", "eval_")) or key in ("max_samples", "preprocessing_num_workers")
    ]


@pytest.mark.parametrize(
    ("backend", "replicas", "deepspeed", "gloo"),
    [("cpu", 2, False, True), ("cpu", 1, False, False), ("cuda", 2, True, False), ("cuda", 1, False, False)],
)
def test_several_nodes_with_accelerators_divide_the_model(
    backend: str, replicas: int, deepspeed: bool, gloo: bool, hooks: ModuleType, context: Callable[..., Context]
) -> None:
    made = context(run__backend=backend, replicas=replicas)
    found = hooks.settings_of(made, DESCRIBED)
    assert ("deepspeed" in found, found.get("ddp_backend") == "gloo") == (deepspeed, gloo)
    if deepspeed:
        assert json.loads(Path(found["deepspeed"]).read_text())["zero_optimization"]["stage"] == 3


def test_a_resumed_training_names_its_checkpoint(hooks: ModuleType, context: Callable[..., Context]) -> None:
    made = context({"stage": "rm"})
    made.resume_from = made.output / "train" / "checkpoint-5"
    found = hooks.settings_of(made, DESCRIBED)
    assert found["resume_from_checkpoint"] == found["adapter_name_or_path"] == str(made.resume_from)


def test_every_value_has_its_place(package: str) -> None:
    options = importlib.import_module(f"{package}.options")
    elsewhere = {"dataset", "datasetFormat", "merge", "modelSize", "arguments"}
    assert set(options.VALUES) | elsewhere == set(TRAIN)


@pytest.mark.parametrize(
    ("evaluated", "arguments", "told"),
    [
        ([], {}, {"val_size": 0.1}),
        (["b"], {}, {"eval_dataset": "b"}),
        (["c"], {"eval_dataset": "c"}, {"eval_dataset": "c", "val_size": 0.1}),  # which the trainer refuses
    ],
)
def test_a_split_to_evaluate_on_replaces_a_share_of_the_records(
    evaluated: list[str],
    arguments: dict[str, Any],
    told: dict[str, Any],
    hooks: ModuleType,
    context: Callable[..., Context],
) -> None:
    found = hooks.settings_of(context({"arguments": arguments}), {**DESCRIBED, "evaluated": evaluated})
    assert {key: found[key] for key in ("eval_dataset", "val_size") if key in found} == told
    assert found["eval_strategy"] == "epoch"


# Where the records are.


@pytest.mark.parametrize("folder", ["", "data"])
def test_a_description_of_the_repository_is_used_as_it_is(
    folder: str, hooks: ModuleType, context: Callable[..., Context]
) -> None:
    made = context({"dataset": "b"})
    info = {"a": {"file_name": "a.json"}, "b": {"file_name": "b.json"}}
    lay_out(made.dataset / folder, {"dataset_info.json": json.dumps(info), "b.json": json.dumps([ALPACA])})
    found = configured(hooks, made)
    where = str(made.dataset / folder)
    assert (found["dataset"], found["dataset_dir"], found["media_dir"]) == ("b", where, where)
    hooks.configure(made)  # every rank does it


HUGGING_FACE = {"features": {"text": {"dtype": "string", "_type": "Value"}}, "splits": {}}


@pytest.mark.parametrize(
    ("files", "train", "reason"),
    [
        ({}, {}, "has no dataset_info.json, and no .json, .jsonl, .csv, .parquet, .arrow or .txt"),
        ({"a.xml": "", ".hidden/a.jsonl": "", "package.json": "{}"}, {}, "has no dataset_info.json, and no"),
        ({"dataset_info.json": "{"}, {}, "dataset_info.json is not JSON"),
        ({"dataset_info.json": "[]"}, {}, "dataset_info.json is not a map of datasets"),
        ({"dataset_info.json": '{"a": {}}'}, {}, "a has no file_name"),
        ({"dataset_info.json": '{"a": {"hf_hub_url": "x/y"}}'}, {}, "a is loaded by hf_hub_url, from outside the run"),
        ({"dataset_info.json": '{"a": {"file_name": "a.json"}}'}, {}, "names the file a.json, which does not exist"),
        ({"dataset_info.json": '{"a": {}, "b": {}}'}, {}, "dataset_info.json has several datasets: a, b"),
        ({"dataset_info.json": '{"a": {}}'}, {"dataset": "b"}, "train.dataset: dataset_info.json has no dataset b; it has a"),
        ({"dataset_info.json": '{"a": {}}'}, {"dataset": "a", "arguments": {"eval_dataset": "c"}}, "a has no file_name"),
        ({"a/dataset_info.json": '{"a": {}}', "b/dataset_info.json": '{"b": {}}'}, {}, "has several datasets: a/dataset_info.json, b/dataset_info.json"),
        ({"dataset_info.json": json.dumps(HUGGING_FACE), "state.json": "{}", "data-00000-of-00001.arrow": ""}, {}, "what save_to_disk of Hugging Face's datasets writes"),
        ({"dataset_dict.json": "{}", "train/dataset_info.json": json.dumps(HUGGING_FACE), "train/state.json": "{}"}, {}, "what save_to_disk"),
    ],
)  # fmt: skip
def test_what_is_no_dataset_is_told(
    files: dict[str, str], train: dict[str, Any], reason: str, describe: ModuleType, tmp_path: Path
) -> None:
    lay_out(tmp_path, files)
    with pytest.raises(describe.DatasetError) as error:
        describe.describe(tmp_path, {**TRAIN, **train})
    assert reason in error.value.reason
    assert error.value.fix


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({"LICENSE.txt": "", "README.txt": "", "requirements.txt": "", "notes.txt": "", "a.jsonl": ""}, ["a.jsonl"]),
        ({"LICENSE.txt": "", "wiki.txt": ""}, ["wiki.txt"]),
        ({"package.json": "{}", "dataset_infos.json": "{}", "a.json": "[]"}, ["a.json"]),
        ({"labels.json": '{\n "a": 1\n}', "a.json": '\ufeff\n{"text": "a"}\n{"text": "b"}'}, ["a.json"]),
        ({"a.JSONL": "", "b.json.gz": "", "c.md": "", ".d.csv": "", "__MACOSX/e.csv": ""}, ["b.json.gz"]),
    ],
)
def test_files_of_other_tools_are_no_records(
    files: dict[str, str], found: list[str], describe: ModuleType, tmp_path: Path
) -> None:
    lay_out(tmp_path, files)
    assert [path.name for path in describe._data_files(tmp_path)] == found


# The base model.


def safetensors(path: Path, size: int = 4) -> None:
    header = json.dumps({"w": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + b"\0" * size)


def base_model(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"model_type": "qwen3"}')
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_text("{}")
    safetensors(folder / "model.safetensors")
    return folder


def probe(name: str, argument: dict[str, Any]) -> dict[str, Any]:
    command = [sys.executable, str(FOLDER / f"probe_{name}.py"), json.dumps(argument)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def ask(model: Path, dataset: Path, **train: Any) -> dict[str, Any]:
    return probe("dataset", {"model": str(model), "dataset": str(dataset), "train": {**TRAIN, **train}})


@pytest.mark.parametrize(
    ("file", "text", "reason"),
    [
        ("tokenizer", None, "the base model has no tokenizer"),
        ("model.safetensors", None, "the model repository has neither *.safetensors nor pytorch_model*.bin"),
        ("model.safetensors.index.json", '{"weight_map": {"w": "model-2.safetensors"}}', "lacks weights that model.safetensors.index.json names: ['model-2"),
        ("adapter_config.json", "{}", "the model repository holds an adapter, not a base model"),
    ],
)  # fmt: skip
def test_an_incomplete_base_model_is_named(file: str, text: str | None, reason: str, tmp_path: Path) -> None:
    model = base_model(tmp_path / "model")
    if text is None:
        for path in model.glob(f"{file}*"):
            path.unlink()
    else:
        (model / file).write_text(text)
        (model / "config.json").unlink()
    answer = ask(model, tmp_path / "dataset")
    assert (answer["ok"], reason in answer["reason"]) == (False, True), answer


def test_an_image_without_the_trainer_is_named(tmp_path: Path) -> None:
    lay_out(tmp_path / "dataset", INFO)
    answer = ask(base_model(tmp_path / "model"), tmp_path / "dataset")
    assert answer["reason"].startswith("the image has no LLaMA-Factory")


# What comes of it.


def test_metrics_are_a_row_for_every_epoch_that_has_ended(hooks: ModuleType, context: Callable[..., Context]) -> None:
    made = context()
    assert hooks.metrics(made) == []
    log = made.output / "train" / "trainer_log.jsonl"
    lines = [
        {"current_steps": 1, "total_steps": 4, "loss": 4.0, "lr": 0.1, "epoch": 0.5},
        {"current_steps": 2, "total_steps": 4, "loss": 2.0, "lr": 0.05, "epoch": 1.0},
        {"current_steps": 2, "total_steps": 4, "eval_loss": 2.5, "epoch": 1.0},
        {"current_steps": 3, "total_steps": 4, "loss": 1.5, "lr": 0.02, "epoch": 1.5},
    ]
    write(log, lines)
    first = {"epoch": 1, "loss": 3.0, "eval_loss": 2.5, "learning_rate": 0.05}
    assert hooks.metrics(made) == [first]
    # Killed there, and gone on from the checkpoint of the first epoch; the last line is being written.
    again = [{**lines[3], "loss": 1.0}, {"current_steps": 4, "total_steps": 4, "loss": 0.5, "lr": 0.0, "epoch": 2.0}]
    write(log, [*lines, *again])
    with log.open("a") as handle:
        handle.write('{"current_st')
    assert hooks.metrics(made) == [first]  # the second epoch is still to be validated
    (made.output / "train" / "train_results.json").touch()
    assert hooks.metrics(made) == [first, {"epoch": 2, "loss": 0.75, "learning_rate": 0.0}]


def test_a_part_of_an_epoch_is_a_row_when_nothing_follows(hooks: ModuleType, context: Callable[..., Context]) -> None:
    made = context({"validationSize": 0})
    lines = [{"current_steps": step, "total_steps": 3, "loss": 1.0, "lr": 0.1, "epoch": step / 2} for step in (1, 2, 3)]
    write(made.output / "train" / "trainer_log.jsonl", lines[:2])
    assert [row["epoch"] for row in hooks.metrics(made)] == [1]
    write(made.output / "train" / "trainer_log.jsonl", lines)
    assert [row["epoch"] for row in hooks.metrics(made)] == [1, 2]


def test_checkpoints_are_newest_first(hooks: ModuleType, context: Callable[..., Context]) -> None:
    made = context()
    for number in ("9", "10", "x"):
        (made.output / "train" / f"checkpoint-{number}").mkdir(parents=True)
    assert [path.name for path in hooks.checkpoints(made)] == ["checkpoint-10", "checkpoint-9"]
    made.train.update(stage="rm", finetuningType="full")
    assert hooks.checkpoints(made) == []


def test_a_checkpoint_without_its_state_is_not_resumed_from(tmp_path: Path) -> None:
    (tmp_path / "checkpoint-5").mkdir()
    answer = probe("checkpoint", {"path": str(tmp_path / "checkpoint-5"), "train": TRAIN})
    assert (answer["ok"], "trainer_state.json is missing" in answer["reason"]) == (False, True)


def options_of(words: list[str]) -> dict[str, str]:
    return dict(zip(words[4::2], words[5::2], strict=True))


def test_the_adapter_is_merged_from_whole_weights(hooks: ModuleType, context: Callable[..., Context]) -> None:
    made = context({"arguments": {"trust_remote_code": True}})
    with pytest.raises(FamilyError, match="no weights and no checkpoint"):
        hooks.export_command(made)
    trained = made.output / "train"
    (trained / "checkpoint-5").mkdir(parents=True)
    (trained / "adapter_model.safetensors").touch()  # half written, when the pod was killed
    found = options_of(hooks.export_command(made))
    assert found["--adapter_name_or_path"] == str(trained / "checkpoint-5")
    (trained / "train_results.json").touch()
    found = options_of(hooks.export_command(made))
    assert (found["--model_name_or_path"], found["--adapter_name_or_path"]) == (str(made.model), str(trained))
    assert (found["--export_size"], found["--export_device"], found["--trust_remote_code"]) == ("4", "cpu", "True")


def test_a_model_that_was_trained_whole_is_exported_itself(hooks: ModuleType, context: Callable[..., Context]) -> None:
    made = context({"finetuningType": "full"})
    (made.output / "train" / "checkpoint-5").mkdir(parents=True)
    found = options_of(hooks.export_command(made))
    assert found["--model_name_or_path"] == str(made.output / "train" / "checkpoint-5")
    assert "--adapter_name_or_path" not in found


@pytest.mark.parametrize(
    ("repository", "base"),
    [
        ("https://git.example.com/team/Qwen3-0.6B.git", "Qwen3-0.6B"),
        ("https://huggingface.co/Qwen/Qwen3-0.6B", "Qwen/Qwen3-0.6B"),
    ],
)
def test_an_adapter_alone_names_its_base_model(
    repository: str, base: str, hooks: ModuleType, context: Callable[..., Context]
) -> None:
    made = context({"merge": False})
    made.sources["model"] = Pinned(repository, "main", "0" * 40)
    trained = made.output / "train"
    trained.mkdir(parents=True)
    made.artifacts.mkdir()
    for name in (
        "adapter_model.safetensors",
        "tokenizer.json",
        "optimizer.pt",
        "train_results.json",
        "trainer_log.jsonl",
    ):
        (trained / name).touch()
    (trained / "adapter_config.json").write_text('{"base_model_name_or_path": "/workspace/run/model"}')
    assert hooks.export_command(made) == []
    hooks.layout(made, {})
    assert {path.name for path in made.artifacts.iterdir()} == {
        "adapter_model.safetensors", "adapter_config.json", "tokenizer.json", "trainer_log.jsonl",
    }  # fmt: skip
    config = json.loads((made.artifacts / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == base
    assert hooks.model_card(made) == {"base_model": base, "base_model_relation": "adapter"}
