"""Checks the base model, the trainer's configuration and the records that it will use, by LLaMA-Factory's own functions.

Argument: {"model", "dataset", "train", "maxBroken", "scratch", "run"}. What is read and tokenized here, the trainer
finds in its cache.
"""

from __future__ import annotations

import contextlib
import copy
import difflib
import json
import os
import re
import socket
import sys
from dataclasses import fields
from itertools import islice
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

import describe
import options
from describe import CORRECT, MEDIA, DatasetError, one_line

from runner import inside

SEARCHED = 100_000  # records that are searched for those that stop the trainer
# By stage: how many values the trainer's encoder returns for a record, and why it leaves one out.
ENCODED = {"sft": 2, "rm": 4, "kto": 5}
DROPPED = {
    "sft": "it has no answer that is text",
    "rm": "it has not both answers, chosen and rejected, as text or as a message",
    "kto": "it has no answer, or its label is not true or false",
}
# What the trainer's code says of a record that is not as it assumes.
EXPLAINED = {
    "Expected a string": "a text is missing, or is not text",
    "expected str instance": "a text is missing, or is not text",
    "NoneType": "a column that it needs is null",
    "indices must be integers": "its turns are not a list of maps",
    "JSON object must be str": "its tools are not text, in JSON",
}

# What the trainer says where settings and records do not fit, and what helps.
FIXES = {
    "test_size": "push more records, or set train.validationSize to a smaller share or number; 0: no validation",
    "sufficient samples": "push more text, or lower train.cutoffLength",
    "current training stage": "correct train.stage, or `ranking` in dataset_info.json, or name another dataset",
}

Problems = List[Tuple[str, str]]  # the record, and why the trainer does not use it


def probe(argument: Dict[str, Any]) -> Dict[str, Any]:
    try:
        refuse_incomplete(Path(argument["model"]))
        described = describe.describe(Path(argument["dataset"]), argument["train"])
        return Trainer(argument, described).check()
    except DatasetError as error:
        return {"ok": False, "reason": error.reason, "fix": error.fix}
    except ImportError as error:
        return {"ok": False, "reason": f"the image has no LLaMA-Factory: {error}", "fix": "use one with version 0.9.5"}


def refuse_incomplete(model: Path) -> None:
    """Raise DatasetError for a base model without tokenizer, or without all its weights, which only the training reads."""
    fix = "push the weights as .safetensors, with git lfs"
    if not (model / "config.json").is_file() and (model / "adapter_config.json").is_file():
        raise DatasetError("the model repository holds an adapter, not a base model", "use the base model's repository")
    if not any(model.glob("tokenizer*")):
        raise DatasetError("the base model has no tokenizer", "push the tokenizer's files of the same model")
    files = [*model.glob("*.safetensors"), *model.glob("pytorch_model*.bin")]
    if not files:
        raise DatasetError("the model repository has neither *.safetensors nor pytorch_model*.bin", fix)
    for index in model.glob("*.index.json"):
        named = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        missing = sorted(name for name in named if not (model / name).is_file())
        if missing:
            raise DatasetError(f"the model repository lacks weights that {index.name} names: {missing[:5]}", fix)
    from safetensors import SafetensorError, safe_open

    try:
        for path in (path for path in files if path.suffix == ".safetensors"):
            safe_open(str(path), framework="pt")
    except SafetensorError as error:
        raise DatasetError(f"{path.name} of the model repository is truncated, or none: {error}", fix) from error


def refuse_absent_modules(model: Path, targets: List[str]) -> None:
    """Raise DatasetError if no module of the base model has one of the names, to which the adapter would be added."""
    from safetensors import safe_open

    weights = [key for path in model.glob("*.safetensors") for key in safe_open(str(path), framework="pt").keys()]  # noqa: SIM118
    modules = {key.rpartition(".")[0] for key in weights}
    matched = any(f".{name}".endswith(f".{one}") for name in modules for one in targets)
    if modules and not matched and "all" not in targets:
        names = sorted({name.rpartition(".")[2] for name in modules if "norm" not in name})
        raise DatasetError(
            f"train.loraTarget: the base model has no module {', '.join(targets)}; it has {', '.join(names[:15])}",
            "name some of these, or set train.loraTarget: all",
        )


class Trainer:
    """LLaMA-Factory with the run's configuration, and what it reads."""

    def __init__(self, argument: Dict[str, Any], described: Dict[str, Any]) -> None:
        """Raises DatasetError if the trainer refuses the configuration or the base model."""
        from llamafactory.data import get_template_and_fix_tokenizer
        from llamafactory.hparams import get_train_args
        from llamafactory.model import load_tokenizer
        from llamafactory.model.loader import load_config
        from transformers.integrations import get_reporting_integration_callbacks

        self._train, self._described, self._folder = argument["train"], described, Path(argument["dataset"])
        self._names = [*described["datasets"], *described["evaluated"]]
        self._sources = inside.Sources(self._folder, Path(argument["model"]))
        self._max_broken = argument.get("maxBroken") or 0
        self._totals: List[int] = []  # records in the files of each dataset
        self._read: List[Tuple[Any, Any]] = []  # the records that are used of each, and its attributes
        self.stage = "rm" if self._train["stage"] in describe.PAIRWISE else self._train["stage"]
        run = argument.get("run") or {"backend": "cpu", "replicas": 1, "processes": 1}
        output = str(Path(argument["scratch"]) / "output")
        configured = options.configuration(self._train, described, argument["model"], output, run)
        if run["replicas"] * run["processes"] > 1:
            be_distributed()
        if not has_device():  # as on a laptop: what needs one is not checked
            configured.update(use_cpu=True)
            configured.pop("pure_bf16", None)
        refuse_unknown(self._train["arguments"])
        os.chdir(argument["model"])  # where the trainer is started
        try:
            self.model, self.data, self.training, tuning, _ = get_train_args(configured)
            for callback in get_reporting_integration_callbacks(self.training.report_to):
                callback()  # it refuses what is not installed
            config = load_config(self.model)
            self.tokenizer = load_tokenizer(self.model)
            self._refuse_quantized(config)
            if self._train["finetuningType"] == "lora":
                refuse_absent_modules(Path(argument["model"]), tuning.lora_target)
            self.template = get_template_and_fix_tokenizer(self.tokenizer["tokenizer"], self.data)
        except DatasetError:
            raise
        except Exception as error:  # of several libraries
            raise refused(error, self._train) from error

    def _refuse_quantized(self, config: Any) -> None:
        """Raise DatasetError for a quantized model that cannot be trained, or into which no adapter can be merged."""
        from llamafactory.model.model_utils.quantization import configure_quantization

        quantized, lora = getattr(config, "quantization_config", None), self._train["finetuningType"] == "lora"
        changed: Dict[str, Any] = {}  # not empty if the model is trained, and exported, in full precision
        try:
            configure_quantization(config, self.tokenizer["tokenizer"], self.model, True, changed)
        finally:  # what cannot be done at all is said before what the image lacks
            if quantized and not changed and (self._train["merge"] or not lora):
                cannot = "cannot merge the adapter into it" if lora else "trains it with LoRA only"
                setting = "merge: false, to publish the adapter alone" if lora else "finetuningType: lora"
                raise DatasetError(
                    f"the base model is quantized ({quantized.get('quant_method')}): LLaMA-Factory {cannot}",
                    f"set train.{setting}, or use the model that is not quantized",
                )

    def check(self) -> Dict[str, Any]:
        """Return what the trainer uses of the dataset. Raises DatasetError if it cannot, or leaves out too much."""
        from llamafactory.data import loader

        self._watch(loader)
        try:
            module = loader.get_dataset(
                self.template, self.model, self.data, self.training, self.stage, **self.tokenizer
            )
        except DatasetError:
            raise
        except Exception as error:  # whatever the trainer and the libraries below it raise
            raise self._unusable(error) from error
        if self.data.streaming:
            return {"ok": True, "notes": [*self._described["notes"], "the records are not checked: streaming"]}
        kept = [one for each in module.values() for one in (each.values() if type(each) is dict else [each])]
        return self._judge(self.stage == "pt" or sum(map(len, kept)) == sum(len(data) for data, _ in self._read))

    def _watch(self, loader: Any) -> None:
        """Have the trainer's loader note what it reads, and stop before it opens a file outside of the sources."""
        load, align = loader.load_dataset, loader.align_dataset

        def noted(*arguments: Any, **named: Any) -> Any:
            data = load(*arguments, **named)
            self._totals.append(len(data) if hasattr(data, "__len__") else 0)
            return data

        def checked(data: Any, attributes: Any, *more: Any) -> Any:
            self._read.append((data, attributes))
            aligned = align(data, attributes, *more)
            media = [f"_{kind}s" for kind in MEDIA if getattr(attributes, f"{kind}s")]
            if media and self.data.streaming:
                raise DatasetError("the media files of a stream cannot be checked", "remove streaming")
            rows = aligned.select_columns(media).with_format("arrow") if media else []
            for path in {path for row in rows for path in paths(row.to_pylist())}:
                if "://" in path or not self._sources.contains(Path.cwd() / path):
                    raise DatasetError(f"a record names {path}, outside of the run's sources", inside.FIX)
            return aligned

        loader.load_dataset, loader.align_dataset = noted, checked

    def _judge(self, whole: bool) -> Dict[str, Any]:
        """Return the answer for what has been read; `whole` if all of it is used."""
        parts: List[Dict[str, Any]] = []
        left_out: Problems = []
        notes = list(self._described["notes"])
        for index, (name, total, (data, attributes)) in enumerate(zip(self._names, self._totals, self._read)):
            found = [] if whole else self._problems(index, encode=False)
            left_out += found
            single = len(self._described["datasets"]) == 1 and index < 2
            used = min(len(data) - len(found), total)
            parts.append({"part": ("train", "validation")[index] if single else name, "unit": "records", "used": used})
            parts[-1]["total"] = total
            if found:
                parts[-1].update(leftOut=[": ".join(each) for each in found[:5]], leftOutTotal=len(found))
            if len(data) < total and not attributes.num_samples:
                limit = f"train.maxSamples is {self.data.max_samples}, 0 uses all"
                notes.append(f"uses {len(data):,} of {total:,} records of {name}: {limit}")
            for kind in (kind for kind in MEDIA if not getattr(attributes, f"{kind}s")):
                count, like = describe.mentions(data, f"<{kind}>"), [one for one in data.column_names if kind in one]
                text = f"{name}: <{kind}> in {count} texts is trained on as text: no column of {kind}s is described"
                if count and like:
                    raise DatasetError(text, f'add "{kind}s": "{like[0]}" to its columns in {describe.INFO}')
                notes += [text] if count else []
        if len(left_out) > self._max_broken:
            allowed = f", more than dataset.maxBroken: {self._max_broken}" if self._max_broken else ""
            raise DatasetError(
                f"LLaMA-Factory leaves out {len(left_out)} records{allowed}: {listed(left_out)}",
                f"correct them, or set dataset.maxBroken: {len(left_out)}",
            )
        return {"ok": True, "parts": parts, "notes": notes}

    def _problems(self, only: int = -1, encode: bool = True) -> Problems:
        """Return the records that the trainer does not use, by giving it one at a time: all of one dataset that it
        leaves out, or with `encode`, which looks at their texts, the first of each.
        """
        from llamafactory.data.converter import get_dataset_converter
        from llamafactory.data.loader import _get_dataset_processor

        alone = copy.copy(self.data)
        alone.packing = False
        processor = _get_dataset_processor(alone, self.stage, self.template, **self.tokenizer)
        if not encode:
            processor._encode_data_example = lambda **_: [[0]] * ENCODED[self.stage]
        limit = SEARCHED if encode else None

        def search(name: str, data: Any, attributes: Any) -> Iterator[Tuple[str, str]]:
            convert = get_dataset_converter(attributes.formatting, attributes, self.data)
            files = self._described["files"][name]
            for number, record in enumerate(islice(data, limit), start=1):
                where = f"{files[0]} record {number}" if len(files) == 1 else f"record {number} of {name}"
                where = f"a record of {name}" if attributes.num_samples else where  # they are in another order
                try:
                    found = convert(record)
                    if not any(processor.preprocess_dataset({key: [found[key]] for key in found}).values()):
                        yield where, DROPPED[self.stage] if found["_prompt"] else misordered(record, attributes)
                except Exception as error:
                    yield where, explained(error)

        found = [search(self._names[index], *read) for index, read in enumerate(self._read) if only in (-1, index)]
        return [problem for each in found for problem in islice(each, 20 if encode else None)]

    def _unusable(self, error: Exception) -> DatasetError:
        """Return which records stop the trainer, or what it says itself."""
        text = one_line(str(error))
        fix = next((fix for words, fix in FIXES.items() if words in text), "")
        if fix:
            records = sum(len(data) for data, _ in self._read)
            return DatasetError(f"LLaMA-Factory cannot train on {records} records with these settings: {text}", fix)
        if len(self._read) < len(self._names):
            return describe.unreadable(error, self._folder, self._described["files"][self._names[len(self._read)]])
        problems: Problems = []
        with contextlib.suppress(Exception):  # it is not one of a record
            problems = self._problems()
        if not problems:
            return DatasetError(f"LLaMA-Factory cannot read the dataset: {type(error).__name__}: {text}", CORRECT)
        print("\n".join(map(": ".join, problems)), file=sys.stderr)
        what = "finds no valid record to train on, or to validate with" if "valid samples" in text else "cannot use"
        fix = f"correct the records, or the columns in {describe.INFO}"
        if any("template" in why for _, why in problems):
            fix = "set train.template to that of the base model, or remove the column"
        return DatasetError(f"LLaMA-Factory {what}: {listed(problems)}", fix)


def listed(problems: Problems) -> str:
    more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
    return "; ".join(map(": ".join, problems[:3])) + more


def paths(value: Any) -> List[str]:
    """Return the files that a column of media names; a dict with bytes is the picture itself."""
    if isinstance(value, dict) and "bytes" in value:
        value = None if value["bytes"] else value.get("path")
    if isinstance(value, (list, dict)):
        return [path for part in (value.values() if isinstance(value, dict) else value) for path in paths(part)]
    return [value] if isinstance(value, str) else []


def misordered(record: Dict[str, Any], attributes: Any) -> str:
    """Return why the trainer does not take the turns of a record."""
    roles = [str(turn.get(attributes.role_tag)) for turn in record[attributes.messages]]
    known = [getattr(attributes, f"{name}_tag") for name in ("user", "assistant", "observation", "function", "system")]
    unknown = next((role for role in roles if role not in known), "")
    if unknown:
        return f"its role {unknown} is none of {', '.join(filter(None, known))}"
    last = attributes.user_tag if attributes.ranking else attributes.assistant_tag
    order = f"its turns do not alternate, or the last one is not of {last}: {', '.join(roles[-6:])}"
    return order if roles else "it has no turns"


def explained(error: Exception) -> str:
    if isinstance(error, KeyError):
        unnamed = f"its entry in {describe.INFO} lacks the name of a column or tag that is needed"
        return f"it has no {error.args[0]}" if error.args[0] else unnamed
    text = re.sub(r" (in|got) [\[{].*", "", one_line(str(error)))  # what the trainer quotes of the record
    return next((words for said, words in EXPLAINED.items() if said in text), f"{type(error).__name__}: {text}")


def be_distributed() -> None:
    """Make this process the only one of a distributed training, as torchrun would."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(free.getsockname()[1]))
    os.environ.update(RANK="0", LOCAL_RANK="0", WORLD_SIZE="1")


def has_device() -> bool:
    import torch
    from transformers.utils import is_torch_npu_available

    return bool(torch.cuda.is_available() or is_torch_npu_available(check_device=True))


def refuse_unknown(arguments: Dict[str, Any]) -> None:
    from llamafactory.hparams.parser import _TRAIN_ARGS

    known = [field.name for parsed in _TRAIN_ARGS for field in fields(parsed) if field.init]
    own = {name: f"set train.{key}" for key, name in options.VALUES.items()}
    for key in sorted(set(arguments) - set(known)):
        similar = difflib.get_close_matches(key, known, n=1)
        fix = "see LLaMA-Factory's documentation of its arguments"
        if similar:
            fix = own.get(similar[0], f"did you mean {similar[0]}?")
        raise DatasetError(f"train.arguments.{key}: LLaMA-Factory has no such option", fix)


def refused(error: Exception, train: Dict[str, Any]) -> DatasetError:
    """Return why the trainer refuses its configuration or the base model, with the names of the values."""
    text, named = one_line(f"{error} {error.__cause__ or ''}"), []
    for key, name in options.VALUES.items():
        if "_" in name or name in ("fp16", "bf16", "template"):
            text, found = re.subn(rf"[`'\"]?\b{name}\b[`'\"]?", f"train.{key}", text, flags=re.IGNORECASE)
            named += [f"train.{key}"] if found else []
    for key, value in train["arguments"].items():
        if re.search(rf"\b({key}|{re.escape(str(value))})\b", text, re.IGNORECASE):
            named.append(f"train.arguments.{key}")
    fix = " or ".join(named) or "train.arguments or the base model, or use an image that has what is missing"
    return DatasetError(f"LLaMA-Factory refuses the configuration or the base model: {text}", f"correct {fix}")


if __name__ == "__main__":
    os.environ.setdefault("LLAMAFACTORY_VERBOSITY", "ERROR")  # else it quotes every record that it leaves out
    print(json.dumps(probe(json.loads(sys.argv[1]))))
