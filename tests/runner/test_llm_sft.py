"""The family llm-sft: its hooks, the check of every record, and the probes that need no LLaMA-Factory."""

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
def records(package: str) -> ModuleType:
    return importlib.import_module(f"{package}.records")


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


def configured(hooks: ModuleType, made: Context) -> dict[str, Any]:
    hooks.configure(made)
    found: dict[str, Any] = json.loads((made.output / "train.yaml").read_text())
    return found


# What the trainer is told.


def test_the_configuration_is_the_values(hooks: ModuleType, context: Callable[..., Context]) -> None:
    made = context({"arguments": {"lr_scheduler_type": "cosine"}})
    write(made.dataset / "identity.jsonl", [ALPACA])
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
    found = hooks.settings_of(made, ["a"])
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
    found = hooks.settings_of(made, ["a"])
    assert ("deepspeed" in found, found.get("ddp_backend") == "gloo") == (deepspeed, gloo)
    if deepspeed:
        made.home.joinpath("family").unlink()
        made.home.joinpath("family").symlink_to(FOLDER)
        assert json.loads(Path(found["deepspeed"]).read_text())["zero_optimization"]["stage"] == 3


def test_a_resumed_training_names_its_checkpoint(hooks: ModuleType, context: Callable[..., Context]) -> None:
    made = context({"stage": "rm"})
    made.resume_from = made.output / "train" / "checkpoint-5"
    found = hooks.settings_of(made, ["a"])
    assert found["resume_from_checkpoint"] == found["adapter_name_or_path"] == str(made.resume_from)


def test_every_value_has_its_place(package: str) -> None:
    options = importlib.import_module(f"{package}.options")
    elsewhere = {"dataset", "datasetFormat", "merge", "modelSize", "arguments"}
    assert set(options.VALUES) | elsewhere == set(TRAIN)


# Where the records are.


def test_plain_files_get_a_description(hooks: ModuleType, context: Callable[..., Context]) -> None:
    made = context()
    write(made.dataset / "identity.jsonl", [{**ALPACA, "system": "Be brief."}])
    folder = Path(configured(hooks, made)["dataset_dir"])
    (entry,) = json.loads((folder / "dataset_info.json").read_text()).values()
    assert entry["formatting"] == "alpaca"
    assert entry["columns"] == {"prompt": "instruction", "query": "input", "response": "output", "system": "system"}
    assert (folder / entry["file_name"]).resolve() == (made.dataset / "identity.jsonl").resolve()
    hooks.configure(made)  # every rank does it


def test_a_description_of_the_repository_is_used_as_it_is(hooks: ModuleType, context: Callable[..., Context]) -> None:
    made = context({"dataset": "b"})
    (made.dataset / "dataset_info.json").write_text(
        json.dumps({"a": {"file_name": "a.json"}, "b": {"file_name": "b.json"}})
    )
    (made.dataset / "b.json").write_text(json.dumps([ALPACA]))
    found = configured(hooks, made)
    assert (found["dataset"], found["dataset_dir"]) == ("b", str(made.dataset))


README = '---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n    path: "{}"\n  - split: test\n    path: no.jsonl\n---\nText\n'


def test_a_hugging_face_folder_is_read_by_its_metadata(hooks: ModuleType, context: Callable[..., Context]) -> None:
    made = context({"dataset": "identity_alauda"})  # as the reference document calls it
    (made.dataset / "README.md").write_text(README.format("identity_alauda.jsonl"))
    write(made.dataset / "identity_alauda.jsonl", [ALPACA])
    write(made.dataset / "other.jsonl", [ALPACA])
    assert configured(hooks, made)["dataset"] == "identity_alauda"


def test_several_files_are_read_in_the_order_of_their_names(hooks: ModuleType, context: Callable[..., Context]) -> None:
    made = context()
    (made.dataset / "README.md").write_text(README.format("data/*.jsonl"))
    for name in ("b", "a"):
        write(made.dataset / "data" / f"{name}.jsonl", [ALPACA])
    folder = Path(configured(hooks, made)["dataset_dir"])
    entry = json.loads((folder / "dataset_info.json").read_text())["default"]
    links = sorted(Path(entry["hf_hub_url"]).iterdir())
    assert [link.resolve().name for link in links] == ["a.jsonl", "b.jsonl"]


@pytest.mark.parametrize(
    ("files", "train", "reason"),
    [
        ({}, {}, "has no dataset_info.json, no README.md with configs, and no file"),
        ({"a.jsonl": "", "b.jsonl": ""}, {}, "has several datasets: a, b"),
        ({"a.jsonl": ""}, {"dataset": "b"}, "train.dataset: the dataset repository has no dataset b; it has a"),
        ({"dataset_info.json": "{"}, {}, "dataset_info.json is not JSON"),
        ({"dataset_info.json": '{"a": {}}'}, {}, "a has no file_name"),
        ({"dataset_info.json": '{"a": {"hf_hub_url": "x/y"}}'}, {}, "a is loaded by hf_hub_url, from outside the run"),
        ({"dataset_info.json": '{"a": {"file_name": "a.json"}}'}, {}, "names the file a.json, which does not exist"),
        ({"dataset_info.json": '{"a": {"file_name": "a.xml"}}', "a.xml": ""}, {}, "its files have the types .xml"),
        (
            {"dataset_info.json": '{"a": {"file_name": "a.json"}}', "a.json": "[]"},
            {"stage": "dpo"},
            "a has ranking false, and train.stage dpo needs true",
        ),
        ({"README.md": README.format("x.jsonl")}, {}, "README.md: config default names x.jsonl, which does not exist"),
        ({"a.jsonl": '{"x": 1}'}, {}, "a.jsonl of dataset a: the columns x are of none of the formats"),
    ],
)
def test_what_is_no_dataset_is_told(
    files: dict[str, str], train: dict[str, Any], reason: str, records: ModuleType, tmp_path: Path
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(records.DatasetError) as error:
        records.discover(tmp_path, {**TRAIN, **train})
    assert reason in error.value.reason


# What is wrong in them.


def problems(records: ModuleType, folder: Path, rows: list[Any], **train: Any) -> list[str]:
    write(folder / "data.jsonl", rows)
    values = {**TRAIN, **train}
    checked = records.check(records.discover(folder, values), values)
    assert checked.records == len(rows)
    return list(checked.problems)


TURNS = [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "Tiny."}]
SHAREGPT = [{"from": "human", "value": "Who?"}, {"from": "gpt", "value": "Tiny."}]
TOOLS = [
    {"role": "user", "content": "Weather?"},
    {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "w", "arguments": "{}"}}]},
    {"role": "tool", "content": "sun"},
    {"role": "tool", "content": "rain"},
    {"role": "assistant", "content": "Both."},
]


@pytest.mark.parametrize(
    ("stage", "row"),
    [
        ("sft", ALPACA),
        ("sft", {"messages": [{"role": "system", "content": "Be brief."}, *TURNS]}),
        ("sft", {"messages": TOOLS}),
        ("sft", {"conversations": SHAREGPT}),
        ("pt", {"text": "Once upon a time."}),
        ("dpo", {"instruction": "Who?", "chosen": "Tiny.", "rejected": "Nobody."}),
        ("rm", {"conversations": SHAREGPT[:1], "chosen": SHAREGPT[1], "rejected": SHAREGPT[1]}),
        ("kto", {**ALPACA, "kto_tag": True}),
        ("kto", {"messages": TURNS, "label": False}),
    ],
)
def test_good_records_have_no_problems(stage: str, row: Any, records: ModuleType, tmp_path: Path) -> None:
    assert problems(records, tmp_path, [row, row], stage=stage) == []


@pytest.mark.parametrize(
    ("stage", "good", "bad", "told"),
    [
        ("sft", ALPACA, '{"instruction": ', "(line 2) is not JSON"),
        ("sft", ALPACA, [1], "is a list, not an object"),
        ("sft", ALPACA, {"instruction": "Who?", "input": ""}, "has no output"),
        ("sft", ALPACA, {**ALPACA, "output": 5}, "output is a number, in record 1 it is text"),
        ("sft", ALPACA, {**ALPACA, "instruction": ""}, "instruction and input empty"),
        ("sft", {**ALPACA, "history": [["a", "b"]]}, {**ALPACA, "history": [["a"]]}, "history[0] is not a question with its answer"),
        ("sft", {"messages": TURNS}, {"messages": [TURNS[0], {**TURNS[1], "role": "usr"}]}, "messages[1].role is 'usr', not one of user,"),
        ("sft", {"messages": TURNS}, {"messages": [TURNS[0], {"role": "assistant"}]}, "messages[1].content is missing"),
        ("sft", {"messages": TURNS}, {"messages": []}, "messages is missing or empty"),
        ("sft", {"messages": TURNS}, {"messages": TURNS[:1]}, "messages does not end with an answer of 'assistant'"),
        ("sft", {"messages": TURNS}, {"messages": TURNS[::-1]}, "messages[0].role is 'assistant' where 'user' is expected"),
        ("sft", {"conversations": SHAREGPT}, {"conversations": TURNS}, "conversations[0] has no from"),
        ("dpo", {**ALPACA, "chosen": "a", "rejected": "b"}, {**ALPACA, "chosen": "a"}, "has no rejected"),
        ("rm", {"messages": TURNS[:1], "chosen": TURNS[1], "rejected": TURNS[1]}, {"messages": TURNS[:1], "chosen": TURNS[1], "rejected": TURNS[0]},
         "rejected.role is 'user', not 'assistant'"),
        ("kto", {**ALPACA, "kto_tag": True}, {**ALPACA, "kto_tag": 1}, "kto_tag is a number, not true or false"),
    ],
)  # fmt: skip
def test_a_broken_record_among_others_is_named(
    stage: str, good: Any, bad: Any, told: str, records: ModuleType, tmp_path: Path
) -> None:
    found = problems(records, tmp_path, [good, bad, good], stage=stage)
    assert any(problem.startswith(f"data.jsonl record 2: {told}") for problem in found), found
    assert all("record 2:" in problem for problem in found)


def test_only_the_first_problems_are_listed_and_all_are_counted(records: ModuleType, tmp_path: Path) -> None:
    write(tmp_path / "data.jsonl", [ALPACA, *[{"instruction": "Who?"}] * 50])
    checked = records.check(records.discover(tmp_path, TRAIN), TRAIN)
    assert (len(checked.problems), checked.total, checked.records) == (20, 50, 51)


def test_messages_without_tools_are_not_read_by_the_format_that_adds_words(records: ModuleType, tmp_path: Path) -> None:
    for name, turns, formatting in (("plain", TURNS, "sharegpt"), ("tools", TOOLS, "openai")):
        write(tmp_path / name / "data.jsonl", [{"messages": turns}])
        (found,) = records.discover(tmp_path / name, TRAIN)
        assert (found.formatting, found.tag("user_tag")) == (formatting, "user")


def test_a_table_is_checked_too(records: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("instruction,output\nWho?,Tiny.\na,b,c\n")
    checked = records.check(records.discover(tmp_path, TRAIN), TRAIN)
    assert checked.problems == ["data.csv record 2: has more fields than the header"]


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


def test_a_whole_model_and_good_records_pass(tmp_path: Path) -> None:
    write(tmp_path / "dataset" / "identity.jsonl", [ALPACA] * 3)
    answer = ask(base_model(tmp_path / "model"), tmp_path / "dataset")
    assert answer == {"ok": True, "records": 3, "datasets": ["identity"]}


@pytest.mark.parametrize(
    ("file", "text", "reason"),
    [
        ("config.json", None, "the model repository has no config.json"),
        ("config.json", "[]", "config.json of the model repository is not a JSON object"),
        ("tokenizer.json", None, "the base model has no tokenizer: the model repository has no tokenizer.json (nor tokenizer.model,"),
        ("tokenizer_config.json", None, "the base model has no tokenizer: the model repository has no tokenizer_config.json"),
        ("model.safetensors", None, "the model repository has no weights"),
        ("model.safetensors", "version https://git-lfs.github.com/spec/v1\n", "model.safetensors of the model repository is an LFS pointer"),
        ("model.safetensors", "cut", "model.safetensors of the model repository is truncated"),
        ("model.safetensors.index.json", '{"weight_map": {"w": "model-2.safetensors"}}', "lacks weights that model.safetensors.index.json names: model-2"),
    ],
)  # fmt: skip
def test_an_incomplete_base_model_is_named(file: str, text: str | None, reason: str, tmp_path: Path) -> None:
    model = base_model(tmp_path / "model")
    (model / file).unlink(missing_ok=True)
    if text is not None:
        (model / file).write_text(text)
    answer = ask(model, tmp_path / "dataset")
    assert (answer["ok"], reason in answer["reason"]) == (False, True), answer


def test_the_first_broken_records_are_in_the_reason(tmp_path: Path) -> None:
    write(tmp_path / "dataset" / "identity.jsonl", [ALPACA] * 16 + [{"instruction": "Who?"}] + [ALPACA] * 3)
    answer = ask(base_model(tmp_path / "model"), tmp_path / "dataset")
    assert (
        answer["reason"]
        == "1 problems in 20 records of the dataset, the first: identity.jsonl record 17: has no output"
    )


@pytest.mark.parametrize(
    ("key", "reason", "fix"),
    [
        (
            "learning_rate",
            "train.arguments.learning_rate: duplicates train.learningRate",
            "set train.learningRate",
        ),
        ("overwrite_output_dir", "train.arguments.overwrite_output_dir: is set by the run", "remove it"),
    ],
)
def test_an_option_that_is_not_the_user_s_is_refused(key: str, reason: str, fix: str, tmp_path: Path) -> None:
    answer = ask(base_model(tmp_path / "model"), tmp_path / "dataset", arguments={key: True})
    assert (answer["reason"], answer["fix"].startswith(fix)) == (reason, True)


def test_records_are_left_to_train_on(tmp_path: Path) -> None:
    write(tmp_path / "dataset" / "identity.jsonl", [ALPACA] * 3)
    answer = ask(base_model(tmp_path / "model"), tmp_path / "dataset", validationSize=3)
    assert answer["reason"] == "the dataset has 3 records, and train.validationSize is 3"


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


def test_an_adapter_alone_names_its_base_model(hooks: ModuleType, context: Callable[..., Context]) -> None:
    made = context({"merge": False})
    made.sources["model"] = Pinned("https://git.example.com/team/Qwen3-0.6B.git", "main", "0" * 40)
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
    assert config["base_model_name_or_path"] == "Qwen3-0.6B"
    assert hooks.model_card(made) == {"base_model": "Qwen3-0.6B", "base_model_relation": "adapter"}
