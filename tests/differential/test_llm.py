"""LLaMA-Factory's datasets: what the probe of llm-sft says of them, and what the trainer reads.

Both directions are held: what the trainer reads is accepted, with the number of records that it uses, and the probe's
description leads to the same tokens; what stops the trainer is refused. What the trainer leaves out is broken, and only
accepted within `dataset.maxBroken`.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from e2e.fixtures import llm as fixtures
from tests.references.test_demo_datasets import DEMOS

from .trainer import FILES, Trainer, Verdict, image_of, trainer

pytestmark = pytest.mark.differential
Row = dict[str, Any]

DEFAULTS = yaml.safe_load((FILES / "families/llm-sft/family.yaml").read_text(encoding="utf-8"))["defaults"]["train"]
CPU = {"backend": "cpu", "replicas": 1, "processes": 1}
ROLES = {
    "role_tag": "role",
    "content_tag": "content",
    "user_tag": "user",
    "assistant_tag": "assistant",
    "system_tag": "system",
}
TOOL_ROLES = {**ROLES, "observation_tag": "tool", "function_tag": "function_call"}
MESSAGES = {"formatting": "sharegpt", "columns": {"messages": "messages"}, "tags": ROLES}
SHAREGPT = {"formatting": "sharegpt", "columns": {"messages": "conversations"}}
ANSWERED = {"columns": {"prompt": "instruction", "response": "output"}}
PAIR: Row = {"ranking": True, "columns": {"prompt": "instruction", "chosen": "chosen", "rejected": "rejected"}}
LLAVA: Row = {"train": {"template": "llava"}, "model": {"images": True}}


@pytest.fixture(scope="module")
def llm() -> Iterator[Trainer]:
    model = fixtures.model_repository(image_of("llm-sft"))
    with trainer("llm-sft", "llm", name="llm-sft, LLaMA-Factory", mounts={model: "/model"}) as found:
        yield found


def lines(*rows: Any) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def alpaca(number: int = 0, **more: Any) -> Row:
    return {"instruction": f"Who are you? {number}", "output": f"I am number {number}.", **more}


def said(*texts: str | None, names: tuple[str, str] = ("role", "content")) -> list[Row]:
    roles = ("user", "assistant") if names[0] == "role" else ("human", "gpt")
    return [{names[0]: roles[index % 2], names[1]: text} for index, text in enumerate(texts)]


def talk(*texts: str | None) -> Row:
    return {"messages": said(*texts)}


def shared(*texts: str | None) -> Row:
    return {"conversations": said(*texts, names=("from", "value"))}


def described(entry: Row, file: str = "data.jsonl") -> str:
    return json.dumps({"it": {"file_name": file, **entry}})


def ask(llm: Trainer, files: Row, **request: Any) -> Verdict:
    train = {**DEFAULTS, "preprocessingWorkers": 0, "validationSize": 0, **request.pop("train", {})}
    return llm.ask(lambda _: None, files=files, train=train, run=CPU, **{"names": ["it"], **request})


def agree(llm: Trainer, verdict: Verdict) -> None:
    """Both refuse, or both would train on the same tokens."""
    probe, reader = verdict.probe, verdict.reader
    assert probe["ok"] == reader["ok"], (probe, reader)
    if probe["ok"]:
        assert probe["texts"] == reader["texts"]
    else:
        assert probe["reason"], probe["fix"]
        assert "\n" not in probe["reason"] + probe["fix"]
    llm.agreed()


# Reports, each with what is to come of it.


class Case(NamedTuple):
    what: str
    files: Row
    told: str = ""  # in the reason, or in a note
    used: tuple[int, ...] = ()  # records of each part
    total: tuple[int, ...] = ()
    reader: Row | None = None  # how a user of LLaMA-Factory would describe it, and the names of the datasets
    more: Row = {}  # noqa: RUF012


def case(what: str, files: Row, told: str = "", used: Any = (), total: Any = (), **more: Any) -> Any:
    used, total = ((number,) if isinstance(number, int) else number for number in (used, total))
    return pytest.param(Case(what, files, told, used, total or used, more.pop("reader", None), more), id=what)


def hub(entry: Row, **more: Any) -> Row:
    """As a user of LLaMA-Factory would describe a folder in Hugging Face's layout: it resolves the splits itself."""
    return {"info": {"it": {"hf_hub_url": "FOLDER", **entry, **more}}}


def file(entry: Row, name: str = "a.jsonl") -> Row:
    return {"info": {"it": {"file_name": f"FOLDER/{name}", **entry}}}


TRAIN = {"train.jsonl": lines(alpaca(1), alpaca(2))}
EVALUATED = {
    "info": {
        "it": {"hf_hub_url": "FOLDER", **ANSWERED},
        "other": {"hf_hub_url": "FOLDER", "split": "validation", **ANSWERED},
    },
    "evaluated": ["other"],
}
VALIDATES = "evaluates on the split validation"
PICTURE = said("<image>What is it?", "A circle.")
PICTURES = {"formatting": "sharegpt", "columns": {"messages": "messages", "images": "images"}, "tags": ROLES}
CALL = [
    *said("How warm is it?"),
    {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "weather", "arguments": "{}"}}]},
    {"role": "tool", "content": "20 degrees"},
    {"role": "tool", "content": "and dry"},
    {"role": "assistant", "content": "20 degrees, and dry."},
]
CONFIGS = """---
dataset_info:
  splits:
  - name: train
    num_examples: 5000
configs:
- config_name: en
  data_files: en.jsonl
- config_name: zh
  data_files:
  - split: train
    path: zh/*.jsonl
---
# Two languages
"""

VALID = """---
configs:
- config_name: default
  data_files:
  - {split: train, path: data/train*}
  - {split: valid, path: data/valid*}
  - {split: test, path: data/test*}
---
"""

LAYOUTS = [
    case("en/train and zh/train are one split", {"en/train.jsonl": lines(alpaca(1)), "zh/train.jsonl": lines(alpaca(2))}, used=2, reader=hub(ANSWERED)),
    case("a folder of two", {"en/train.jsonl": lines(alpaca(1)), "zh/train.jsonl": lines(alpaca(2))}, "1 files are not used: zh/train.jsonl", 1, train={"dataset": "en"}, reader=hub(ANSWERED, folder="en")),
    case("datasets#6918: train.jsonl and train.csv", {**TRAIN, "train.csv": "instruction,output\na,b\n"}, "has several datasets: train.csv, train.jsonl"),
    case("datasets#6918: one of train.jsonl and train.csv", {**TRAIN, "train.csv": "instruction,output\na,b\n"}, "not used: train.jsonl", 1, train={"dataset": "train.csv"},
         reader=file(ANSWERED, "train.csv")),
    case("datasets#3027: train and test", {**TRAIN, "test.jsonl": lines(alpaca(3))}, "1 files are not used: test.jsonl", 2, reader=hub(ANSWERED)),
    case("datasets#3027: folders train and test", {"train/data.csv": "instruction,output\na,b\n", "test/data.csv": "instruction,output\nc,d\n"}, "test/data.csv", 1, reader=hub(ANSWERED)),
    case("datasets#4895: folders before names of files", {"train/val_1.jsonl": lines(alpaca(1)), "val/train_1.jsonl": lines(alpaca(2))}, VALIDATES, (1, 1), train={"validationSize": 0.1}, reader=EVALUATED),
    case("train and validation", {**TRAIN, "validation.jsonl": lines(alpaca(3))}, VALIDATES, (2, 1), train={"validationSize": 0.1}, reader=EVALUATED),
    case("train and dev", {**TRAIN, "dev.jsonl": lines(alpaca(3))}, VALIDATES, (2, 1), train={"validationSize": 0.1}, reader=EVALUATED),
    case("a validation that is not wanted", {**TRAIN, "validation.jsonl": lines(alpaca(3))}, "not used: validation.jsonl", 2, reader=hub(ANSWERED)),
    case("shards", {"data/train-00000-of-00002.parquet": [alpaca(1)], "data/train-00001-of-00002.parquet": [alpaca(2)], "data/test-00000-of-00001.parquet": [alpaca(3)]},
         "data/test-00000-of-00001.parquet", 2, reader=hub(ANSWERED)),
    case("LlamaFactory#2481: ultrachat's train_sft", {"data/train_sft-00000-of-00001.parquet": [talk("a", "b")], "data/test_sft-00000-of-00001.parquet": [talk("c", "d")]},
         "has no split train, but test_sft, train_sft"),
    case("LlamaFactory#2481: train_sft by name", {"data/train_sft-00000-of-00001.parquet": [talk("a", "b")], "data/test_sft-00000-of-00001.parquet": [talk("c", "d")]},
         "test_sft", 1, train={"dataset": "train_sft"}, reader=hub(MESSAGES, split="train_sft")),
    case("datasets#3788: only a file whose name says dev", {"my-dev.jsonl": lines(alpaca(1))}, used=1, reader=hub(ANSWERED, split="validation")),
    case("only test in a config of README.md", {"README.md": "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: test\n    path: x.jsonl\n---\n", "x.jsonl": lines(alpaca(1))},
         "trains on the split test, the only one of default", 1, reader=hub(ANSWERED, split="test")),
    case("configs with a folder, in one line", {"README.md": "---\nconfigs: [{config_name: a, data_dir: x}]\nlicense: mit\n---\n", "x/train.jsonl": lines(alpaca(1)), "y/train.jsonl": lines(alpaca(2))},
         "1 files are not used: y/train.jsonl", 1, reader=hub(ANSWERED, subset="a")),
    case("compressed", {"train.jsonl.gz": lines(alpaca(1), alpaca(2))}, used=2, reader=hub(ANSWERED)),
    case("signs of patterns in a name", {"my data [v2].jsonl": lines(alpaca(1)), "my data v.jsonl": lines(alpaca(2))}, "not used: my data v.jsonl", 1, train={"dataset": "my data [v2]"}, reader=hub(ANSWERED, folder="only"), copy={"only/a.jsonl": lines(alpaca(1))}),
    case("files whose names say no split", {"a.jsonl": lines(alpaca(1)), "b.jsonl": lines(alpaca(2))}, used=2, reader=hub(ANSWERED)),
    case("one of them by name", {"a.jsonl": lines(alpaca(1)), "b.jsonl": lines(alpaca(2))}, "not used: b.jsonl", 1, train={"dataset": "a"}, reader=file(ANSWERED)),
    case("both by name", {"a.jsonl": lines(alpaca(1)), "b.jsonl": lines(alpaca(2))}, used=(1, 1), train={"dataset": "b,a"},
         reader={"names": ["b", "a"], "info": {name: {"file_name": f"FOLDER/{name}.jsonl", **ANSWERED} for name in "ab"}}),
    case("an unknown name", {"a.jsonl": lines(alpaca(1)), "b.jsonl": lines(alpaca(2))}, "train.dataset: the dataset repository has no dataset c; it has a.jsonl, b.jsonl", train={"dataset": "c"}),
    case("two configs of README.md", {"README.md": CONFIGS, "en.jsonl": lines(alpaca(1)), "zh/1.jsonl": lines(alpaca(2))}, "has several datasets: en, zh"),
    case("one config by name, with counts that are out of date", {"README.md": CONFIGS, "en.jsonl": lines(alpaca(1)), "zh/1.jsonl": lines(alpaca(2)), "zh/2.jsonl": lines(alpaca(3))}, "en.jsonl", 2,
         train={"dataset": "zh"}, reader={"info": {"it": {"hf_hub_url": "FOLDER/zh", **ANSWERED}}}),
    case("a config that names no file", {"README.md": CONFIGS, "fr.jsonl": lines(alpaca(1))}, "README.md: Unable to find 'en.jsonl'"),
    case("a config that climbs", {"README.md": CONFIGS.replace("zh/*.jsonl", "../../../../*/passwd"), "en.jsonl": lines(alpaca(1))}, "README.md: ", train={"dataset": "zh"}),
    case("metadata that are not YAML", {"README.md": "---\nconfigs: [\n---\n", **TRAIN}, "README.md: while parsing"),
    case("a README without configs", {"README.md": "---\nlicense: mit\n---\n", **TRAIN}, used=2, reader=hub(ANSWERED)),
    case("dataset_info.json below data", {"data/dataset_info.json": described({"columns": {"prompt": "q", "response": "a"}}, "a.json"), "data/a.json": json.dumps([{"q": "Who?", "a": "I."}])}, used=1),
    case("licences and configurations beside the data", {"LICENSE.txt": "MIT", "package.json": '{"name": "x"}', "dataset_infos.json": "{}", "labels.json": "{\n}", "a.json": json.dumps([alpaca(1)])},
         used=1, reader=file(ANSWERED, "a.json")),
    case("datasets#6703: save_to_disk", {"dataset_info.json": '{"features": {}}', "state.json": "{}", "data-00000-of-00001.arrow": [alpaca(1)]}, "what save_to_disk of Hugging Face's datasets writes"),
    case("an Arrow file", {"a.arrow": [alpaca(1), alpaca(2)]}, used=2, reader=file(ANSWERED, "a.arrow")),
    case("tabs", {"a.tsv": "instruction\toutput\na, b\tc\n"}, used=1, reader=hub(ANSWERED)),
    case("a validation that README.md calls valid", {"README.md": VALID, **{f"data/{name}.parquet": [alpaca(1), alpaca(2)] for name in ("train", "valid", "test")}}, "evaluates on the split valid", (2, 2), train={"validationSize": 0.1},
         reader={"info": {name: {"hf_hub_url": "FOLDER", "split": name, **ANSWERED} for name in ("train", "valid")}, "names": ["train"], "evaluated": ["valid"]}),
    case("ModelScope's configuration.json", {"a.jsonl": lines(alpaca(1)), "configuration.json": '{"framework": "Pytorch", "task": "text-generation"}'}, used=1, reader=file(ANSWERED)),
    case("a comma in a name", {"a,b.jsonl": lines(alpaca(1))}, used=1, reader=file(ANSWERED, "a,b.jsonl")),
    case("a dataset to evaluate on that is none", TRAIN, "correct train.arguments.eval_dataset", train={"arguments": {"eval_dataset": "x"}}),
    case("an entry that is null", {"dataset_info.json": '{"it": null}'}, "it is not a map with file_name"),
    case("columns that are null", {"dataset_info.json": described({"columns": None}), "data.jsonl": lines(alpaca(1))}, "columns of it is not a map"),
    case("a suffix in capitals", {"A.JSONL": lines(alpaca(1))}, "has no dataset_info.json, and no .json, .jsonl", reader=hub(ANSWERED)),
    case("nothing", {"a.xml": "<a/>"}, "has no dataset_info.json, and no .json, .jsonl"),
    case("an empty file", {"a.jsonl": ""}, "a.jsonl: no records", reader=file({}, "a.jsonl")),
    case("an empty list", {"a.json": "[]"}, "a.json: no records", reader=file({}, "a.json")),
    case("datasets#7169: other columns in another file", {"a.jsonl": lines(alpaca(1)), "b.jsonl": lines({"text": "c"})}, "a.jsonl, b.jsonl have not the same columns", reader=hub(ANSWERED)),
    case("columns of no format", {"a.jsonl": lines({"x": 1})}, "the columns x are of none of the formats", reader=file({}, "a.jsonl")),
]  # fmt: skip

RECORDS = [
    case("LlamaFactory#7017: more than maxSamples", {"a.jsonl": lines(*map(alpaca, range(50)))}, "uses 10 of 50 records of a: train.maxSamples is 10, 0 uses all", 10, 50, train={"maxSamples": 10},
         reader=file(ANSWERED)),
    case("a record without answer", {"a.jsonl": lines(alpaca(1), {"instruction": "Who?"}, alpaca(3))}, "leaves out 1 records: a.jsonl record 2: it has no answer", reader=file(ANSWERED)),
    case("the same within maxBroken", {"a.jsonl": lines(alpaca(1), {"instruction": "Who?"}, alpaca(3))}, used=2, total=3, maxBroken=1, reader=file(ANSWERED)),
    case("an empty question, which is used", {"a.jsonl": lines({"instruction": "", "output": "b"}, alpaca(2))}, used=2, reader=file(ANSWERED)),
    case("databricks-dolly-15k: a context", {"a.jsonl": lines({"instruction": "When?", "context": "It began in 2000.", "response": "In 2000.", "category": "closed_qa"})}, "a: columns that are not used: category", 1,
         reader=file({"columns": {"prompt": "instruction", "query": "context", "response": "response"}})),
    case("OpenOrca: a system_prompt", {"a.jsonl": lines({"id": "1", "system_prompt": "Be brief.", "question": "a", "response": "b"})}, "not used: id", 1, reader=file({"columns": {"prompt": "question", "response": "response", "system": "system_prompt"}})),
    case("lmsys-chat-1m: a conversation", {"a.jsonl": lines({"conversation": said("a", "b"), "model": "x"})}, "not used: model", 1, reader=file({**MESSAGES, "columns": {"messages": "conversation"}})),
    case("only an input", {"a.jsonl": lines({"input": "a", "output": "b"})}, used=1, reader=file({"columns": {"prompt": "input", "response": "output"}})),
    case("ShareGPT with other roles", {"a.jsonl": lines({"conversations": [{"from": "user", "value": "a"}, {"from": "assistant", "value": "b"}]})}, used=1,
         reader=file({**SHAREGPT, "tags": {**ROLES, "role_tag": "from", "content_tag": "value"}})),
    case("LlamaFactory#6924: tags that are not all there", {"dataset_info.json": described({**MESSAGES, "tags": {"user_tag": "user", "assistant_tag": "assistant"}}), "data.jsonl": lines(talk("a", "b"))}, "lacks the name of a column or tag"),
    case("a role that is none", {"a.jsonl": lines(talk("a", "b"), {"messages": [{"role": "developer", "content": "x"}, *said("a", "b")]})}, "leaves out 1 records: a.jsonl record 2: its role developer is none of user, assistant", reader=file(MESSAGES)),
    case("no turns", {"a.jsonl": lines(talk("a", "b"), {"messages": []})}, "leaves out 1 records: a.jsonl record 2: it has no turns", reader=file(MESSAGES)),
    case("turns in a list of lists", {"a.jsonl": lines({"messages": [said("a", "b")]})}, "its turns are not a list of maps", reader=file(MESSAGES)),
    case("keys of turns", {"a.jsonl": lines({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "reasoning_content": "c"}]})}, "not used: messages.reasoning_content", 1, reader=file(MESSAGES)),
    case("texts without answers", {"a.jsonl": lines({"text": "a"})}, "for text without answers set train.stage: pt", reader=file({"columns": {"prompt": "text"}})),
    case("ultrafeedback_binarized: an answer in the messages, for dpo", {"a.jsonl": lines({**talk("a", "b"), "chosen": said("a", "b"), "rejected": said("a", "c")})}, "the last one is not of user: user, assistant", train={"stage": "dpo"},
         reader=file({**PAIR, **MESSAGES, "columns": {"messages": "messages", "chosen": "chosen", "rejected": "rejected"}})),
    case("text in GBK", {"a.csv": "instruction,output\n你好,世界\n"}, "a.csv is not UTF-8 text: line 2", reader=file(ANSWERED, "a.csv"), encoding="gbk"),
    case("text in UTF-16", {"a.jsonl": lines(alpaca(1))}, "a.jsonl is not UTF-8 text: line 1", reader=file(ANSWERED), encoding="utf-16"),
    case("not JSON, compressed", {"a.jsonl.gz": lines(alpaca(1)) + '{"instruction": \n'}, "a.jsonl.gz record 2: Invalid value", reader=file(ANSWERED, "a.jsonl.gz")),
    case("not JSON", {"a.jsonl": lines(alpaca(1)) + '{"instruction": \n'}, "a.jsonl record 2: Invalid value", reader=file(ANSWERED)),
    case("FlashRAG#132: a number among texts, beyond the first block", {"a.jsonl": lines(*[alpaca(1)] * 9000, alpaca(2, output=5), alpaca(3))}, "a.jsonl record 9001: Column(/output) changed from string to number",
         reader=file(ANSWERED)),
    case("LlamaFactory#8805: a list with several types", {"a.json": json.dumps([alpaca(1), alpaca(2, output=[1])])}, "a.json: Arrow", reader=file(ANSWERED, "a.json")),
    case("a list that breaks off", {"a.json": '[\n{"instruction": "a",\n'}, "a.json is not JSON: line 3", reader=file(ANSWERED, "a.json")),
    case("LlamaFactory#8323: a list per line", {"a.jsonl": lines(said("a", "b"), said("c", "d"))}, "a.jsonl is not JSON", reader=file(MESSAGES)),
    case("datasets#6460: a byte order mark", {"a.jsonl": "\ufeff" + lines(alpaca(1))}, used=1, reader=file(ANSWERED)),
    case("a list with a byte order mark", {"a.json": "\ufeff" + json.dumps([alpaca(1)])}, "a.json begins with a byte order mark", reader=file(ANSWERED, "a.json")),
    case("answers that a table reads as numbers", {"a.csv": "instruction,output\nWhat is one and one?,2\n"}, "a.csv record 1: it has no answer that is text", reader=file(ANSWERED, "a.csv")),
    case("answers that are read as dates", {"a.jsonl": lines(alpaca(1, output="2024-01-01"))}, "it has no answer that is text", reader=file(ANSWERED)),
    case("messages in a text", {"a.jsonl": lines({"messages": json.dumps(said("a", "b"))})}, "a.jsonl record 1: its turns are not a list of maps", reader=file(MESSAGES)),
    case("tools in a list", {"a.jsonl": lines({**talk("a", "b"), "tools": [{"name": "weather", "parameters": {}}]})}, used=1,
         reader=file({"formatting": "openai", "columns": {"messages": "messages", "tools": "tools"}, "tags": TOOL_ROLES})),
    case("a row with more fields", {"a.csv": "instruction,output\nWho?,Tiny.\na,b,c\n"}, "a.csv: ParserError", reader=file(ANSWERED, "a.csv")),
    case("LlamaFactory#4249: an answer that is an object", {"dataset_info.json": described(ANSWERED), "data.jsonl": lines(alpaca(1, output={"a": 1}))}, "it has no answer"),
    case("LlamaFactory#4108: a query that is no column", {"dataset_info.json": described({"columns": {"prompt": "instruction", "query": "", "response": "output"}}), "data.jsonl": lines(alpaca(1))}, used=1),
    case("LlamaFactory#3874: columns that the file has not", {"dataset_info.json": described({}), "data.jsonl": lines({"question": "a", "answer": "b"})}, "data.jsonl record 1: it has no instruction"),
    case("LlamaFactory#7577: format for formatting", {"dataset_info.json": described({"format": "sharegpt"}), "data.jsonl": lines(shared("a", "b"))}, "it has no instruction"),
    case("LlamaFactory#1312: a text to pre-train on", {"dataset_info.json": described({"columns": {"prompt": "text"}}), "data.jsonl": lines({"text": "A circle is round. " * 9})}, used=1, train={"stage": "pt", "cutoffLength": 8}),
    case("LlamaFactory#7065: too little text", {"dataset_info.json": described({"columns": {"prompt": "text"}}), "data.jsonl": lines({"text": "A circle."})}, "Cannot find sufficient samples", train={"stage": "pt"}),
    case("LlamaFactory#2962: several turns of one side", {"a.jsonl": lines(talk("a", "b"), {"messages": [*said("a"), *said("b", "c")]})}, "leaves out 1 records: a.jsonl record 2: its turns do not alternate", reader=file(MESSAGES)),
    case("LlamaFactory#6926: an answer first", {"a.jsonl": lines(shared("a", "b"), {"conversations": shared("a", "b")["conversations"][::-1], "tools": "[]"})}, "leaves out 1 records: a.jsonl record 2: its turns", reader=file(SHAREGPT)),
    case("a question last", {"a.jsonl": lines(talk("a", "b"), talk("a", "b", "c"))}, "leaves out 1 records: a.jsonl record 2: its turns do not alternate, or the last one is not of assistant: user, assistant, user", reader=file(MESSAGES)),
    case("PR 8197: other tags than the records have", {"dataset_info.json": described({**MESSAGES, "tags": {**ROLES, "user_tag": "human"}}), "data.jsonl": lines(talk("a", "b"))}, "finds no valid record"),
    case("an unknown role", {"a.jsonl": lines(talk("a", "b"), {"messages": [{"role": "usr", "content": "a"}, *said("a", "b")[1:]]})}, "leaves out 1 records: a.jsonl record 2", reader=file(MESSAGES)),
    case("messages that are null", {"a.jsonl": lines(talk("a", "b"), {"messages": None})}, "record 2: a column that it needs is null", reader=file(MESSAGES)),
    case("a content that is null", {"a.jsonl": lines(talk("a", "b"), talk(None, "b"))}, "record 2: a text is missing, or is not text", reader=file(MESSAGES)),
    case("contents in parts, as of OpenAI's API", {"a.jsonl": lines({"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}, {"role": "assistant", "content": [{"type": "text", "text": "b"}]}]})},
         "a text is missing, or is not text", reader=file(MESSAGES)),
    case("messages with a system", {"a.jsonl": lines({"messages": [{"role": "system", "content": "Be brief."}, *said("a", "b")]})}, used=1, reader=file(MESSAGES)),
    case("calls of tools, with two results in a row", {"a.jsonl": lines({"messages": CALL, "tools": "[]"})}, used=1,
         reader={"info": {"it": {"file_name": "FOLDER/a.jsonl", "formatting": "openai", "columns": {"messages": "messages", "tools": "tools"}, "tags": TOOL_ROLES}}}),
    case("LlamaFactory#7547: tools that are not JSON", {"a.jsonl": lines({"conversations": shared("a", "b")["conversations"], "tools": " ' "})}, "a.jsonl record 1: RuntimeError: Invalid JSON format in tool description",
         reader={"info": {"it": {"file_name": "FOLDER/a.jsonl", "formatting": "sharegpt", "columns": {"messages": "conversations", "tools": "tools"}}}}),
    case("a history that is not of pairs", {"a.jsonl": lines(alpaca(1, history=[["a", "b"]]), alpaca(2, history=[["a"]]))}, "record 2: ValueError: not enough values to unpack", reader={"info": {"it": {"file_name": "FOLDER/a.jsonl", "columns": {**ANSWERED["columns"], "history": "history"}}}}),
    case("pairs", {"a.jsonl": lines({"instruction": "a", "chosen": "b", "rejected": "c"})}, used=1, train={"stage": "dpo"},
         reader=file(PAIR)),
    case("a pair that is none", {"a.jsonl": lines({"instruction": "a", "chosen": "b", "rejected": "c"}, {"instruction": "a", "chosen": "b"})}, "leaves out 1 records: a.jsonl record 2: it has not both answers", train={"stage": "rm"}, reader=file(PAIR)),
    case("PR 3066: answers that are conversations", {"a.jsonl": lines({"prompt": "a", "chosen": said("a", "b"), "rejected": said("a", "c")})}, "it has not both answers", train={"stage": "dpo"}, reader=file({**PAIR, "columns": {**PAIR["columns"], "prompt": "prompt"}})),
    case("pairs for a stage without", {"dataset_info.json": described({"ranking": True}), "data.jsonl": lines(alpaca(1))}, "correct train.stage, or `ranking`"),
    case("a stage with pairs", {"a.jsonl": lines(alpaca(1))}, "it has no chosen", train={"stage": "dpo"}),
    case("labels", {"a.jsonl": lines({**talk("a", "b"), "label": True}, {**talk("c", "d"), "label": False})}, used=2, train={"stage": "kto"},
         reader=file({**MESSAGES, "columns": {"messages": "messages", "kto_tag": "label"}})),
    case("labels that are numbers", {"a.jsonl": lines({**talk("a", "b"), "label": 1}, {**talk("c", "d"), "label": 0})}, "its label is not true or false", train={"stage": "kto"},
         reader=file({**MESSAGES, "columns": {"messages": "messages", "kto_tag": "label"}})),
    case("num_samples", {"dataset_info.json": described({**ANSWERED, "num_samples": 2}), "data.jsonl": lines(*map(alpaca, range(9)))}, used=2, total=9, tokens=False),
    case("LlamaFactory#3244: a folder", {"dataset_info.json": described(ANSWERED, "d"), "d/a.jsonl": lines(alpaca(1)), "d/b.jsonl": lines(alpaca(2))}, used=2),
    case("a folder with several types", {"dataset_info.json": described(ANSWERED, "d"), "d/a.jsonl": lines(alpaca(1)), "d/b.csv": "instruction,output\na,b\n"}, "File types should be identical"),
    case("a type that is none", {"dataset_info.json": described(ANSWERED, "a.xml"), "a.xml": "<a/>"}, "a.xml: ValueError: Allowed file types"),
    case("a formatting that is none", {"dataset_info.json": described({"formatting": "chatml"}), "data.jsonl": lines(alpaca(1))}, "Dataset converter chatml not found"),
    case("one record, of which a share is held back", {"a.jsonl": lines(alpaca(1))}, "to a smaller share or number", train={"validationSize": 0.1}, reader=file(ANSWERED)),
    case("a number of records that is held back", {"a.jsonl": lines(*map(alpaca, range(5)))}, used=5, train={"validationSize": 1}, tokens=False, reader=file(ANSWERED)),
    case("more are held back than there are", {"a.jsonl": lines(alpaca(1), alpaca(2))}, "test_size=3", train={"validationSize": 3}, reader=file(ANSWERED)),
    case("packed records", {"a.jsonl": lines(alpaca(1), {"instruction": "a"}, alpaca(3))}, used=2, total=3, maxBroken=1, train={"arguments": {"packing": True}, "cutoffLength": 128},
         reader=file(ANSWERED)),
]  # fmt: skip

MEDIA = [
    case("pictures", {"a.jsonl": lines({"messages": PICTURE, "images": ["1.png"]}), "1.png": None}, used=1, **LLAVA, reader=file(PICTURES)),
    case("LlamaFactory#5883: a picture that is no list", {"a.jsonl": lines({"messages": PICTURE, "image": "1.png"}), "1.png": None}, used=1, **LLAVA,
         reader=file({**PICTURES, "columns": {"messages": "messages", "images": "image"}})),
    case("LlamaFactory#6135: more pictures than places", {"a.jsonl": lines({"messages": PICTURE, "images": ["1.png", "1.png"]}), "1.png": None}, "a.jsonl record 1: ValueError: The number of images does not match", **LLAVA,
         reader=file(PICTURES)),
    case("LlamaFactory#8440: a place in an answer by chance", {"a.jsonl": lines({"messages": PICTURE, "images": ["1.png"]}, {"messages": said("<image>a", "b <image>"), "images": ["1.png"]}), "1.png": None},
         "record 2: ValueError: The number of images", **LLAVA, reader=file(PICTURES)),
    case("places without pictures", {"a.jsonl": lines({"messages": PICTURE})}, "The number of images does not match", **LLAVA, reader=file(MESSAGES)),
    case("LlamaFactory#6839: a picture that is missing", {"a.jsonl": lines({"messages": PICTURE, "images": ["1.png"]}, {"messages": PICTURE, "images": ["2.png"]}), "1.png": None}, "record 2: FileNotFoundError", **LLAVA,
         reader=file(PICTURES)),
    case("a picture that is none", {"a.jsonl": lines({"messages": PICTURE, "images": ["1.png"]}), "1.png": "text"}, "record 1: UnidentifiedImageError", **LLAVA, reader=file(PICTURES)),
    case("pictures beside the records", {"data/a.jsonl": lines({"messages": PICTURE, "images": ["i/1.png"]}), "data/i/1.png": None}, used=1, **LLAVA,
         reader={"info": {"it": {"file_name": "FOLDER/data/a.jsonl", **PICTURES}}, "media": "data"}),
    case("pictures beside dataset_info.json", {"data/dataset_info.json": described(PICTURES), "data/data.jsonl": lines({"messages": PICTURE, "images": ["i/1.png"]}), "data/i/1.png": None}, used=1, **LLAVA),
    case("a picture somewhere else", {"a.jsonl": lines({"messages": PICTURE, "images": ["/etc/passwd"]})}, "a record names /etc/passwd, outside of the run's sources", **LLAVA),
    case("the address of a picture", {"a.jsonl": lines({"messages": PICTURE, "images": ["https://example.com/1.png"]})}, "a record names https://example.com/1.png, outside", **LLAVA),
    case("pictures, and a model that has no eyes", {"a.jsonl": lines({"messages": PICTURE, "images": ["1.png"]}), "1.png": None}, "set train.template to that of the base model",
         reader=file(PICTURES)),
    case("a column that the file has not", {"dataset_info.json": described({**PICTURES, "columns": {"messages": "messages", "images": "pictures"}}), "data.jsonl": lines({"messages": PICTURE, "images": ["1.png"]}), "1.png": None},
         "it has no pictures", **LLAVA),
    case("a word of markup", {"a.jsonl": lines(talk("What is <image>?", "An element of SVG."))}, "<image> in 1 texts is trained on as text", 1, reader=file(MESSAGES)),
]  # fmt: skip

REFUSED = [
    case("both halves", TRAIN, "At most one of train.fp16 and train.bf16 can be True", train={"fp16": True, "bf16": True}),
    case("an option that is none", TRAIN, "train.arguments.learning_rat: LLaMA-Factory has no such option", train={"arguments": {"learning_rat": 1}}),
    case("a scheduler that is none", TRAIN, "correct train.arguments.lr_scheduler_type", train={"arguments": {"lr_scheduler_type": "cosinee"}}),
    case("an older name of an option", TRAIN, "has no such option set train.evalStrategy", train={"arguments": {"evaluation_strategy": "steps"}}),
    case("a tracker that the image lacks", TRAIN, "correct train.arguments.report_to", train={"arguments": {"report_to": "wandb"}}, model={"images": False}),
    case("LlamaFactory#3597: modules of another model", TRAIN, "the base model has no module c_attn; it has down_proj, embed_tokens", train={"loraTarget": "c_attn"}, model={"images": False}),
    case("a template that is none", TRAIN, "train.template qwen33 does not exist", train={"template": "qwen33"}),
    case("a stream and a share", TRAIN, "Streaming mode should have an integer val size", train={"validationSize": 0.1, "maxSamples": 0, "arguments": {"streaming": True}}),
    case("a stream and a limit", TRAIN, "`streaming`", train={"arguments": {"streaming": True}}),
    case("a stream without an end", TRAIN, "Please specify `max_steps` in streaming mode", train={"maxSamples": 0, "arguments": {"streaming": True}}),
    case("a stream", TRAIN, "the records are not checked: streaming", (), train={"maxSamples": 0, "arguments": {"streaming": True, "max_steps": 5}}, tokens=False),
    case("DeepSpeed's configuration is missing", TRAIN, "train.arguments.deepspeed", train={"arguments": {"deepspeed": "ds-z3-config.json"}}),
    case("a share and a dataset to evaluate on", {"a.jsonl": lines(alpaca(1)), "b.jsonl": lines(alpaca(2))}, "train.validationSize", train={"dataset": "a", "validationSize": 0.1, "arguments": {"eval_dataset": "b"}}),
    case("quantized on the way", TRAIN, "bitsandbytes", train={"arguments": {"quantization_bit": 4}}, model={"images": False}),
    case("LlamaFactory#5625: an adapter to merge into a quantized model", TRAIN, "the base model is quantized (awq): LLaMA-Factory cannot merge the adapter into it",
         model={"config": {"quantization_config": {"quant_method": "awq", "bits": 4}}}),
    case("a quantized model, and the adapter alone", TRAIN, "gptqmodel", train={"merge": False}, model={"config": {"quantization_config": {"quant_method": "gptq", "bits": 4}}}),
    case("a quantized model to train whole", TRAIN, "LLaMA-Factory trains it with LoRA only", train={"finetuningType": "full"}, model={"config": {"quantization_config": {"quant_method": "aqlm"}}}),
    case("no tokenizer", TRAIN, "the base model has no tokenizer", model={"without": ["tokenizer*"]}),
    case("weights that break off", TRAIN, "model.safetensors of the model repository is truncated", model={"cut": {"model.safetensors": 9}}),
    case("a model of no type", TRAIN, "has model type", model={"config": {"model_type": ""}}),
]  # fmt: skip


@pytest.mark.parametrize("given", [*LAYOUTS, *RECORDS, *MEDIA, *REFUSED])
def test_a_report_is_judged_as_the_trainer_does(given: Case, llm: Trainer) -> None:
    more = {**(hub(ANSWERED) if given.files is TRAIN else {}), **given.more}
    tokens = more.pop("tokens", True)
    verdict = ask(llm, given.files, **{**more, **(given.reader or {})})
    probe = verdict.probe
    accepted = bool(given.used) or not tokens
    assert probe["ok"] == accepted, probe
    assert given.told in " ".join([probe.get("reason", ""), probe.get("fix", ""), *probe.get("notes", [])]), probe
    if accepted:
        parts = probe.get("parts", [])
        assert [part["used"] for part in parts] == list(given.used)
        assert [part["total"] for part in parts] == list(given.total)
    if "leaves out" in given.told:
        assert verdict.reader["ok"]
        llm.agreed()
    elif tokens:
        agree(llm, verdict)
    else:
        assert verdict.reader["ok"], verdict.reader
        llm.agreed()


# LLaMA-Factory's own demo datasets.


@pytest.mark.parametrize("name", DEMOS)
def test_a_demo_dataset_is_judged_as_the_trainer_does(name: str, llm: Trainer) -> None:
    demo = DEMOS[name]
    rows = [demo.record] * 2
    write = {".txt": lambda: "\n".join(rows), ".jsonl": lambda: lines(*rows), ".json": lambda: json.dumps(rows)}
    info = json.dumps({name: {"file_name": demo.file, **demo.entry}})
    files = {"dataset_info.json": info, demo.file: write[Path(demo.file).suffix](), "media/1.jpg": None}
    pictures = LLAVA if "images" in demo.entry.get("columns", {}) else {}
    train = {"stage": demo.stage, "cutoffLength": 4 if demo.stage == "pt" else 1024, **pictures.get("train", {})}
    verdict = ask(llm, files, names=[name], **{**pictures, "train": train})
    agree(llm, verdict)
    deaf = {"videos", "audios"} & set(demo.entry.get("columns", {}))  # the small models see pictures at most
    assert verdict.probe["ok"] is not bool(deaf), verdict.probe


BROKEN: dict[str, Any] = {
    "identity": {"output": None},
    "glaive_toolcall_en_demo": {"conversations": DEMOS["glaive_toolcall_en_demo"].record["conversations"][:1]},
    "dpo_en_demo": {"chosen": None},
    "kto_en_demo": {"label": None},
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_record_of_a_demo_dataset_is_left_out_or_stops_both(name: str, llm: Trainer) -> None:
    demo = DEMOS[name]
    rows = [demo.record, {**demo.record, **BROKEN[name]}]
    info = json.dumps({name: {"file_name": demo.file, **demo.entry}})
    files = {"dataset_info.json": info, demo.file: json.dumps(rows)}
    assert not ask(llm, files, names=[name], train={"stage": demo.stage}).probe["ok"]
    llm.agreed()
    agree(llm, ask(llm, files, names=[name], train={"stage": demo.stage}, maxBroken=1))


# Made-up records.

TEXTS = st.sampled_from(["Who are you?", "", "a\nb", "你好", "<image>", " ", "\u2028", "0"])
FAULTY = st.one_of(TEXTS, st.none(), st.sampled_from([5, True, ["a"], {"a": "b"}]))


def mostly(good: st.SearchStrategy[Any], bad: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(good, good, good, good, bad)


def without(rows: st.SearchStrategy[Row]) -> st.SearchStrategy[Row]:
    """Records of which some lack a column."""
    lacking = st.tuples(rows, st.randoms(use_true_random=False)).map(
        lambda drawn: {key: drawn[0][key] for key in drawn[0] if drawn[1].random() > 0.3}
    )
    return mostly(rows, lacking)


VALUES = mostly(TEXTS, FAULTY)
PAIRS_OF_TEXTS = st.lists(st.lists(VALUES, min_size=2, max_size=2), max_size=2)
ALPACA = without(
    st.fixed_dictionaries(
        {"instruction": VALUES, "output": VALUES},
        optional={"input": VALUES, "system": TEXTS, "history": PAIRS_OF_TEXTS},
    )
)


def turns(roles: tuple[str, ...], role: str, content: str) -> st.SearchStrategy[Any]:
    ordered = st.integers(1, 3).flatmap(
        lambda pairs: st.tuples(*(st.just(roles[1 + index % 2]) for index in range(2 * pairs)))
    )
    names = mostly(ordered, st.lists(st.sampled_from((*roles, "usr")), max_size=4).map(tuple))
    with_system = st.tuples(st.booleans(), names).map(lambda drawn: (roles[0],) * drawn[0] + drawn[1])
    return with_system.flatmap(
        lambda drawn: st.tuples(*(st.fixed_dictionaries({role: st.just(name), content: VALUES}) for name in drawn))
    ).map(list)


OPENAI = without(
    st.fixed_dictionaries(
        {"messages": mostly(turns(("system", "user", "assistant"), "role", "content"), st.none())},
        optional={"system": TEXTS},
    )
)
SHARED = without(
    st.fixed_dictionaries(
        {"conversations": mostly(turns(("system", "human", "gpt"), "from", "value"), st.none())},
        optional={"tools": st.sampled_from(["", "[]", "no"])},
    )
)
FORMATS: dict[str, tuple[st.SearchStrategy[Row], Row]] = {
    "alpaca": (ALPACA, {}),
    "openai": (OPENAI, MESSAGES),
    "sharegpt": (SHARED, SHAREGPT),
}
MAPPED = {
    "alpaca": {
        "prompt": "instruction",
        "query": "input",
        "response": "output",
        "system": "system",
        "history": "history",
    },
    "openai": {"messages": "messages", "system": "system"},
    "sharegpt": {"messages": "conversations", "tools": "tools"},
}


def shapes(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """The type of every part of a value, by its path."""
    if value is not None:
        yield path, type(value).__name__
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        yield from shapes(part, f"{path}/{key if isinstance(value, dict) else '*'}")


def is_table(rows: list[Row]) -> bool:
    found = set(shapes(rows))
    return len(found) == len({path for path, _ in found})


def written(kind: str, rows: list[Row]) -> tuple[str, Any]:
    """A file of a type with these records. A table has all columns in all of them, and one type in each."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    if kind == "csv" and columns:
        text = io.StringIO()
        writer = csv.DictWriter(text, columns)
        writer.writeheader()
        writer.writerows(rows)
        return "a.csv", text.getvalue()
    if kind == "parquet" and columns and is_table(rows):
        return "a.parquet", [{key: row.get(key) for key in columns} for row in rows]
    return ("a.json", json.dumps(rows)) if kind == "json" else ("a.jsonl", lines(*rows))


@pytest.mark.parametrize("formatting", FORMATS)
@settings(
    max_examples=50,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],  # a failure is small as it is, and a smaller one costs minutes
    suppress_health_check=list(HealthCheck),
)
@given(data=st.data())
def test_made_up_records_are_judged_as_the_trainer_does(formatting: str, data: st.DataObject, llm: Trainer) -> None:
    records, entry = FORMATS[formatting]
    rows = data.draw(st.lists(records, min_size=1, max_size=5))
    kind = data.draw(
        st.sampled_from(["jsonl", "jsonl", "json", "parquet", *(["csv"] if formatting == "alpaca" else [])])
    )
    blank = data.draw(st.sampled_from(["", "\n", "\n\n"]))
    path, content = written(kind, rows)
    files = {path: f"{blank}{content}" if path.startswith("a.json") else content}
    columns = {name: key for name, key in MAPPED[formatting].items() if any(key in row for row in rows)}
    described_by_user = {**entry, "columns": columns}
    train = {
        "validationSize": data.draw(st.sampled_from([0, 0, 0, 0.5])),
        "maxSamples": data.draw(st.sampled_from([0, 2])),
    }
    reader = file(described_by_user, path)
    # The probe can only describe what has the columns of a format.
    if not {"prompt", "query", "messages"} & columns.keys() or data.draw(st.booleans()):
        files["dataset_info.json"] = json.dumps({"it": {"file_name": path, **described_by_user}})
        reader = {}
    verdict = ask(llm, files, train=train, maxBroken=99, **reader)
    agree(llm, verdict)
    if verdict.probe["ok"]:
        assert sum(part["used"] for part in verdict.probe["parts"]) == len(verdict.reader["texts"])
