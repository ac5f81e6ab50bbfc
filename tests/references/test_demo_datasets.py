"""LLaMA-Factory's 14 demo datasets, in the forms that its data/dataset_info.json gives them: each is validated, rendered and found.

The records are made up; the entries have the columns and tags that stand there.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest
import yaml

from tests.references.test_references import FAMILIES, values_file
from trainchart.chart.render import render
from trainchart.files import Tree, load_values, overlay
from trainchart.values.validate import validate

ROLES = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"}
TOOLS = {"formatting": "sharegpt", "columns": {"messages": "conversations", "tools": "tools"}}
PAIRS = {
    "ranking": True,
    "formatting": "sharegpt",
    "columns": {"messages": "conversations", "chosen": "chosen", "rejected": "rejected"},
}


def said(*turns: tuple[str, str]) -> list[Tree]:
    return [{"from": role, "value": text} for role, text in turns]


def messages(question: str) -> list[Tree]:
    return [{"role": "user", "content": question}, {"role": "assistant", "content": "A circle."}]


def media(*kinds: str) -> Tree:
    columns = {"messages": "messages", **{kind: kind for kind in kinds}}
    return {"formatting": "sharegpt", "columns": columns, "tags": ROLES}


ALPACA = {"instruction": "Who are you?", "input": "", "output": "I am {{name}}, made by {{author}}."}
CALL = {
    "conversations": said(
        ("human", "How warm is it?"),
        ("function_call", '{"name": "weather", "arguments": {}}'),
        ("observation", '{"degrees": 20}'),
        ("gpt", "20 degrees."),
    ),
    "tools": '[{"name": "weather", "parameters": {}}]',
}
PAIR = {
    "conversations": said(("human", "Which is larger?")),
    "chosen": {"from": "gpt", "value": "The circle."},
    "rejected": {"from": "gpt", "value": "The square."},
}


class Demo(NamedTuple):
    file: str
    entry: Tree
    record: Any
    stage: str = "sft"


DEMOS = {
    "identity": Demo("identity.json", {}, ALPACA),
    "alpaca_en_demo": Demo("alpaca_en_demo.json", {}, ALPACA),
    "alpaca_zh_demo": Demo("alpaca_zh_demo.json", {}, {**ALPACA, "instruction": "介绍一下你自己"}),
    "glaive_toolcall_en_demo": Demo("glaive_toolcall_en_demo.json", TOOLS, CALL),
    "glaive_toolcall_zh_demo": Demo("glaive_toolcall_zh_demo.json", TOOLS, CALL),
    "mllm_demo": Demo(
        "mllm_demo.json", media("images"), {"messages": messages("<image>What is it?"), "images": ["media/1.jpg"]}
    ),
    "mllm_audio_demo": Demo(
        "mllm_audio_demo.json", media("audios"), {"messages": messages("<audio>What is it?"), "audios": ["media/1.mp3"]}
    ),
    "mllm_video_demo": Demo(
        "mllm_video_demo.json", media("videos"), {"messages": messages("<video>What is it?"), "videos": ["media/1.mp4"]}
    ),
    "mllm_video_audio_demo": Demo(
        "mllm_video_audio_demo.json",
        media("videos", "audios"),
        {
            "messages": messages("<video><audio>What is it?"),
            "videos": ["media/1.mp4"],
            "audios": ["media/1.mp3"],
        },
    ),
    "dpo_en_demo": Demo("dpo_en_demo.json", PAIRS, PAIR, "dpo"),
    "dpo_zh_demo": Demo("dpo_zh_demo.json", PAIRS, PAIR, "dpo"),
    "kto_en_demo": Demo(
        "kto_en_demo.json",
        {"formatting": "sharegpt", "columns": {"messages": "messages", "kto_tag": "label"}, "tags": ROLES},
        {"messages": messages("What is it?"), "label": True},
        "kto",
    ),
    "wiki_demo": Demo("wiki_demo.txt", {"columns": {"prompt": "text"}}, "A circle is round.", "pt"),
    "c4_demo": Demo("c4_demo.jsonl", {"columns": {"prompt": "text"}}, {"text": "A circle is round."}, "pt"),
}
HUB = {"alpaca_en": {"hf_hub_url": "llamafactory/alpaca_en"}}
"""One of the many that the same file lists beside them, and that the trainer would download."""


@pytest.fixture(scope="module")
def describe() -> ModuleType:
    spec = importlib.util.spec_from_file_location("llm_sft_describe", FAMILIES / "llm-sft" / "describe.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(sys.modules, "llm_sft_describe", module)
        spec.loader.exec_module(module)
    return module


def repository(folder: Path) -> Path:
    """A dataset repository with all of them, as LLaMA-Factory's own folder has them."""
    (folder / "media").mkdir()
    for name in ("1.jpg", "1.mp3", "1.mp4"):
        (folder / "media" / name).write_bytes(b"media")
    info = {name: {"file_name": demo.file, **demo.entry} for name, demo in DEMOS.items()}
    (folder / "dataset_info.json").write_text(json.dumps({**info, **HUB}), encoding="utf-8")
    for demo in DEMOS.values():
        write(folder / demo.file, [demo.record] * 2)
    return folder


def write(path: Path, rows: list[Any]) -> None:
    lines = {
        ".txt": lambda: "\n".join(rows),
        ".jsonl": lambda: "\n".join(map(json.dumps, rows)),
        ".json": lambda: json.dumps(rows, ensure_ascii=False),
    }
    path.write_text(lines[path.suffix](), encoding="utf-8")


def values(name: str) -> Tree:
    """The notebook's values file, with another dataset and stage."""
    train = {"dataset": name, "stage": DEMOS[name].stage}
    return overlay(load_values(values_file("llm-sft-notebook")), {"train": train})


def test_there_are_fourteen() -> None:
    assert len(DEMOS) == 14
    assert {demo.stage for demo in DEMOS.values()} == {"pt", "sft", "dpo", "kto"}


@pytest.mark.lab
@pytest.mark.parametrize("name", DEMOS)
def test_a_demo_dataset_is_valid_with_the_notebook_s_arguments(name: str, tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(yaml.safe_dump(values(name)), encoding="utf-8")
    report = validate([str(file)])
    assert report.valid, report.diagnostics
    (programs,) = [manifest["data"] for manifest in render(values(name)) if manifest["kind"] == "ConfigMap"]
    train = json.loads(programs["settings.json"])["train"]
    assert (train["dataset"], train["stage"]) == (name, DEMOS[name].stage)
    assert (train["arguments"], train["saveStrategy"], train["template"]) == (
        {"overwrite_cache": True},
        "steps",
        "qwen",
    )


@pytest.mark.parametrize("name", DEMOS)
def test_a_demo_dataset_is_used_as_its_description_says(name: str, describe: ModuleType, tmp_path: Path) -> None:
    """Its records go through the trainer in tests/differential/test_llm.py."""
    found = describe.describe(repository(tmp_path), values(name)["train"])
    assert (found["datasets"], found["folder"], found["files"]) == ([name], str(tmp_path), {name: [DEMOS[name].file]})


def test_a_dataset_of_a_hub_is_refused_with_the_fix(describe: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(describe.DatasetError, match="loaded by hf_hub_url, from outside the run") as refused:
        describe.describe(repository(tmp_path), {**values("identity")["train"], "dataset": "alpaca_en"})
    assert refused.value.fix


def test_without_a_name_the_datasets_are_listed(describe: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(describe.DatasetError) as refused:
        describe.describe(repository(tmp_path), {**values("identity")["train"], "dataset": ""})
    assert "identity" in refused.value.reason + refused.value.fix
