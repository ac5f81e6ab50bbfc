"""Reads a dataset as LLaMA-Factory will: finds its files and their format, and checks its records.

Uses only the standard library and runner/inside.py, except for a Hugging Face folder's metadata (PyYAML) and Parquet
files (pyarrow), which the training image has. As a program, with the dataset's folder and the values of `train`, it
prints entries for dataset_info.json.
"""

from __future__ import annotations

import csv
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

sys.path.insert(1, str(Path(__file__).resolve().parents[1]))  # for runner
from runner import inside

INFO = "dataset_info.json"
TYPES = {".json": "json", ".jsonl": "json", ".csv": "csv", ".parquet": "parquet", ".arrow": "arrow", ".txt": "text"}
HUBS = ("hf_hub_url", "ms_hub_url", "om_hub_url", "script_url", "cloud_file_name")
FORMATS = ("alpaca", "sharegpt", "openai")
PAIRWISE = ("rm", "dpo")  # the stages that compare two answers
SHOWN = 20

# Defaults for an entry of dataset_info.json without `columns` or `tags`; an entry that has them gets no defaults.
COLUMNS = {"prompt": "instruction", "query": "input", "response": "output", "messages": "conversations"}
TAGS = {
    "role_tag": "from",
    "content_tag": "value",
    "user_tag": "human",
    "assistant_tag": "gpt",
    "observation_tag": "observation",
    "function_tag": "function_call",
    "system_tag": "system",
}
OPENAI_TAGS = {
    "role_tag": "role",
    "content_tag": "content",
    "user_tag": "user",
    "assistant_tag": "assistant",
    "observation_tag": "tool",
    "function_tag": "function_call",
    "system_tag": "system",
}


class DatasetError(Exception):
    def __init__(self, reason: str, fix: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.fix = fix


@dataclass(frozen=True)
class Described:
    """One dataset of the run."""

    name: str
    files: List[Path]
    entry: Dict[str, Any]  # of dataset_info.json; without file_name if it is generated
    from_info: bool  # the dataset repository has a dataset_info.json

    @property
    def formatting(self) -> str:
        return str(self.entry.get("formatting", "alpaca"))

    @property
    def ranking(self) -> bool:
        return bool(self.entry.get("ranking", False))

    def column(self, name: str) -> str:
        """Return the name of a record's column, or ""."""
        columns = self.entry.get("columns")
        return str((COLUMNS if columns is None else columns).get(name) or "")

    def tag(self, name: str) -> str:
        tags = self.entry.get("tags")
        return str((TAGS if tags is None else tags).get(name) or "")


# Finding the files


def discover(folder: Path, train: Dict[str, Any]) -> List[Described]:
    """Return the datasets that `train.dataset` names, or the only one that exists.

    Raises:
        DatasetError: there is none, or the trainer cannot use its description.
    """
    if (folder / INFO).is_file():
        return [_from_info(folder, name, entry, train) for name, entry in _chosen(_info(folder), train, INFO).items()]
    sources = _metadata(folder) or {path.stem: [path] for path in _data_files(folder)}
    if not sources:
        raise DatasetError(
            f"the dataset repository has no {INFO}, no README.md with configs, and no file {', '.join(TYPES)}",
            "push the records as a .jsonl file",
        )
    chosen = _chosen(sources, train, "the dataset repository")
    for name, files in chosen.items():
        _check_inside(folder, files, f"a file of dataset {name}")
    return [_generated(name, files, train) for name, files in chosen.items()]


def _info(folder: Path) -> Dict[str, Any]:
    _check_inside(folder, [folder / INFO], INFO)
    try:
        info = json.loads((folder / INFO).read_text(encoding="utf-8"))
    except ValueError as error:
        problem = inside.describe_error(error)
        raise DatasetError(f"{INFO} is not JSON: {problem}", "correct the file in the dataset repository") from error
    if not isinstance(info, dict) or not all(isinstance(entry, dict) for entry in info.values()):
        raise DatasetError(f"{INFO} is not a map of datasets", "correct the file in the dataset repository")
    return info


def _check_inside(folder: Path, files: List[Path], described_as: str) -> None:
    sources = inside.Sources(folder)
    try:
        for path in files:
            sources.check(path, described_as)
    except inside.OutsideError as error:
        raise DatasetError(str(error), inside.FIX) from error


def wanted(train: Dict[str, Any]) -> List[str]:
    return [name.strip() for name in str(train.get("dataset") or "").split(",") if name.strip()]


def _chosen(found: Dict[str, Any], train: Dict[str, Any], where: str) -> Dict[str, Any]:
    names = wanted(train)
    known = ", ".join(sorted(found)[:SHOWN])
    if not names and len(found) == 1:
        return found
    if not names:
        raise DatasetError(
            f"{where} has several datasets: {known}", "name one, or several separated by commas, in train.dataset"
        )
    unknown = [name for name in names if name not in found]
    if not unknown:
        return {name: found[name] for name in names}
    # The only dataset of a Hugging Face folder may be named after its file, as the trainer's users do.
    files = next(iter(found.values()), None)
    if len(found) == len(names) == 1 and isinstance(files, list) and names[0] in {path.stem for path in files}:
        return {names[0]: files}
    raise DatasetError(f"train.dataset: {where} has no dataset {unknown[0]}; it has {known}", "correct train.dataset")


def _from_info(folder: Path, name: str, entry: Dict[str, Any], train: Dict[str, Any]) -> Described:
    fix = f"correct {INFO} in the dataset repository"
    hub = next((key for key in HUBS if key in entry), None)
    if hub:
        raise DatasetError(
            f"{INFO}: {name} is loaded by {hub}, from outside the run",
            "push its file to the dataset repository and name it in file_name",
        )
    location = folder / str(entry.get("file_name", ""))
    if "file_name" not in entry or not location.exists():
        problem = (
            f"names the file {entry['file_name']}, which does not exist" if "file_name" in entry else "has no file_name"
        )
        raise DatasetError(f"{INFO}: {name} {problem}", fix)
    _check_inside(folder, [location], f"{INFO}: {name}: file_name")
    files = sorted(path for path in location.iterdir() if path.is_file()) if location.is_dir() else [location]
    _check_inside(folder, files, f"{INFO}: a file of {name}")
    described = Described(name, files, entry, from_info=True)
    _same_type(name, files)
    if described.formatting not in FORMATS:
        raise DatasetError(
            f"{INFO}: {name} has formatting {described.formatting}, not one of {', '.join(FORMATS)}", fix
        )
    pairwise = train["stage"] in PAIRWISE
    if described.ranking is not pairwise:
        raise DatasetError(
            f"{INFO}: {name} has ranking {json.dumps(described.ranking)}, and train.stage {train['stage']} needs {json.dumps(pairwise)}",
            "name a dataset for that stage in train.dataset, or correct train.stage",
        )
    needed = (["chosen", "rejected"] if pairwise else []) + (["kto_tag"] if train["stage"] == "kto" else [])
    for column in needed:
        if not described.column(column):
            raise DatasetError(f"{INFO}: {name} has no column {column}, which train.stage {train['stage']} needs", fix)
    return described


def _metadata(folder: Path) -> Dict[str, List[Path]]:
    """Return the training files of each config in a Hugging Face folder's README.md."""
    readme = folder / "README.md"
    _check_inside(folder, [readme], "README.md")
    parts = readme.read_text(encoding="utf-8", errors="replace").split("---", 2) if readme.is_file() else []
    if len(parts) < 3 or parts[0].strip():
        return {}
    import yaml

    try:
        front = yaml.safe_load(parts[1])
    except yaml.YAMLError as error:
        raise DatasetError(
            f"README.md: its metadata is not YAML: {inside.describe_error(error)}", "correct the file"
        ) from error
    configs = front.get("configs") if isinstance(front, dict) else None
    if not isinstance(configs, list):
        return {}
    found: Dict[str, List[Path]] = {}
    for config in configs:
        if not isinstance(config, dict) or "data_files" not in config:
            continue
        name = str(config.get("config_name", "default"))
        files: List[Path] = []
        for pattern in _training_patterns(config["data_files"]):
            below = Path(str(config.get("data_dir", ""))) / pattern
            if below.is_absolute() or ".." in below.parts:
                raise DatasetError(f"README.md: config {name} names {below}, outside the repository", "correct configs")
            matches = sorted(path for path in folder.glob(str(below)) if path.is_file())
            if not matches:
                raise DatasetError(f"README.md: config {name} names {below}, which does not exist", "correct configs")
            files += matches
        if not files:
            raise DatasetError(f"README.md: config {name} has no files of a split train", "add one to its data_files")
        found[name] = files
    return found


def _training_patterns(data_files: Any) -> List[str]:
    """Return the patterns in `data_files`: a path, paths, or paths by split, as a map or a list."""
    if isinstance(data_files, str):
        return [data_files]
    if isinstance(data_files, dict):
        splits = [{"split": split, "path": path} for split, path in data_files.items()]
    else:
        splits = [{"split": "train", "path": item} if isinstance(item, str) else item for item in data_files]
    patterns: List[str] = []
    for item in splits:
        if isinstance(item, dict) and item.get("split", "train") == "train":
            path = item.get("path", [])
            patterns += [path] if isinstance(path, str) else [str(part) for part in path]
    return patterns


def _data_files(folder: Path) -> List[Path]:
    inside = (path for path in folder.rglob("*") if path.is_file() and path.suffix in TYPES)
    hidden = (path for path in inside if not any(part.startswith(".") for part in path.relative_to(folder).parts))
    return sorted(path for path in hidden if path.suffix != ".txt" or path.name != "requirements.txt")


def _same_type(name: str, files: List[Path]) -> str:
    kinds = {TYPES.get(path.suffix, path.suffix or path.name) for path in files}
    if len(kinds) != 1 or not kinds <= set(TYPES.values()):
        raise DatasetError(
            f"dataset {name}: its files have the types {', '.join(sorted(kinds)) or 'none'}, the trainer reads one of {', '.join(TYPES)}",
            "keep files of one type in a dataset",
        )
    return kinds.pop()


# Detecting the format


def _generated(name: str, files: List[Path], train: Dict[str, Any]) -> Described:
    _same_type(name, files)
    first: Dict[str, Any] = {}
    columns: Dict[str, None] = {}
    tools = False
    for record in (record for path in files for record in read(path) if isinstance(record, dict)):
        first = first or record
        columns.update(dict.fromkeys(record))
        messages = record.get("messages")
        tools = tools or (isinstance(messages, list) and any(_uses_tools(message) for message in messages))
    formatting = train.get("datasetFormat") or _format(name, files[0], first, columns)
    entry: Dict[str, Any] = {"formatting": formatting}
    if formatting == "alpaca":
        entry["columns"] = _alpaca_columns(columns)
    else:
        turns = next((key for key in ("messages", "conversations") if key in columns), "")
        entry["columns"] = {"messages": turns or ("messages" if formatting == "openai" else "conversations")}
        entry["columns"].update({key: key for key in ("system", "tools") if key in columns})
        if formatting == "openai":
            entry["tags"] = OPENAI_TAGS
            if not tools:
                # The trainer's openai format writes "detailed thinking off" into every prompt, for one family of
                # models. Without tools the two formats do not differ otherwise.
                entry["formatting"] = "sharegpt"
    if train["stage"] in PAIRWISE:
        entry["ranking"] = True
        entry["columns"].update(chosen="chosen", rejected="rejected")
        entry["columns"].pop("response", None)
    if train["stage"] == "kto":
        entry["columns"]["kto_tag"] = next((key for key in ("kto_tag", "label") if key in columns), "kto_tag")
    return Described(name, files, entry, from_info=False)


def _uses_tools(message: Any) -> bool:
    return isinstance(message, dict) and (
        bool(message.get("tool_calls")) or message.get("role") in ("tool", "function_call")
    )


def _format(name: str, path: Path, first: Dict[str, Any], columns: Dict[str, None]) -> str:
    for key in ("messages", "conversations"):
        turns = first.get(key)
        if key in columns:
            turn = turns[0] if isinstance(turns, list) and turns and isinstance(turns[0], dict) else {}
            return "sharegpt" if "from" in turn or (key == "conversations" and "role" not in turn) else "openai"
    if {"instruction", "prompt", "text", "question", "query"} & set(columns):
        return "alpaca"
    raise DatasetError(
        f"{path.name} of dataset {name}: the columns {', '.join(list(columns)[:10]) or 'none'} are of none of the formats {', '.join(FORMATS)}",
        f"rename them (alpaca: instruction, input, output; sharegpt: conversations; openai: messages), or add a {INFO}",
    )


def _alpaca_columns(columns: Dict[str, None]) -> Dict[str, str]:
    """Return the columns that exist: the trainer fails on others."""
    aliases = {
        "prompt": ("instruction", "prompt", "question", "text"),
        "query": ("input", "query"),
        "response": ("output", "response", "answer", "completion"),
        "system": ("system",),
        "history": ("history",),
    }
    found = {name: next((key for key in keys if key in columns), "") for name, keys in aliases.items()}
    return {"prompt": "instruction", **{name: key for name, key in found.items() if key}}


# Reading and checking records


def read(path: Path) -> Iterator[Any]:
    """Yield every record of a file, or a ValueError for one that cannot be read."""
    kind = TYPES[path.suffix]
    if kind == "json":
        yield from _read_json(path)
    elif kind == "csv":
        with path.open(encoding="utf-8", errors="replace", newline="") as handle:
            for row in csv.DictReader(handle):
                yield ValueError("has more fields than the header") if None in row else row
    elif kind == "text":
        with path.open(encoding="utf-8", errors="replace") as handle:
            yield from ({"text": line.rstrip("\n")} for line in handle)
    else:
        yield from _read_arrow(path, kind)


def _read_json(path: Path) -> Iterator[Any]:
    with path.open("rb") as handle:
        start = handle.read(4096).lstrip(b"\xef\xbb\xbf \t\r\n")
        handle.seek(0)
        if start.startswith(b"["):
            try:
                yield from json.loads(handle.read().decode("utf-8-sig"))
            except ValueError as error:
                yield ValueError(f"is not JSON: {inside.describe_error(error)}")
            return
        for number, line in enumerate(handle, start=1):
            if not line.strip():
                continue
            try:
                yield json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
            except ValueError as error:
                yield ValueError(f"(line {number}) is not JSON: {error}")


def _read_arrow(path: Path, kind: str) -> Iterator[Any]:
    import pyarrow

    try:
        if kind == "parquet":
            import pyarrow.parquet

            batches = pyarrow.parquet.ParquetFile(path).iter_batches(batch_size=1000)
        else:
            batches = pyarrow.ipc.open_stream(pyarrow.memory_map(str(path)))
        for batch in batches:
            yield from batch.to_pylist()
    except (OSError, pyarrow.ArrowException) as error:
        yield ValueError(f"cannot be read: {error}")


@dataclass
class Checked:
    records: int
    problems: List[str]  # the first ones
    total: int  # number of all problems


def check(datasets: List[Described], train: Dict[str, Any], limit: int = SHOWN) -> Checked:
    """Check every record, and that its columns have the same types in all records, as the trainer's reader requires."""
    done = Checked(0, [], 0)
    for described in datasets:
        kinds: Dict[str, Tuple[str, int]] = {}
        for path in described.files:
            for number, record in enumerate(read(path), start=1):
                done.records += 1
                for problem in _check(record, described, str(train["stage"]), kinds, number):
                    done.total += 1
                    if len(done.problems) < limit:
                        done.problems.append(f"{path.name} record {number}: {problem}")
    return done


def _check(
    record: Any, described: Described, stage: str, kinds: Dict[str, Tuple[str, int]], number: int
) -> Iterator[str]:
    if isinstance(record, ValueError):
        yield str(record)
        return
    if not isinstance(record, dict):
        yield f"is {_kind(record)}, not an object"
        return
    for key, value in record.items():
        kind = _kind(value)
        before = kinds.setdefault(key, (kind, number)) if value is not None else (kind, number)
        if before[0] != kind:
            yield f"{key} is {kind}, in record {before[1]} it is {before[0]}"
    if described.formatting == "alpaca":
        yield from _check_alpaca(record, described, stage)
    else:
        yield from _check_turns(record, described, stage)
    for name in ("system", "tools"):
        column = described.column(name)
        if column and not isinstance(record.get(column), (str, type(None), list, dict)):
            yield f"{column} is {_kind(record[column])}, not text"


def _check_alpaca(record: Dict[str, Any], described: Described, stage: str) -> Iterator[str]:
    prompts = [described.column(name) for name in ("prompt", "query") if described.column(name)]
    for column in prompts:
        if not isinstance(record.get(column), (str, type(None))):
            yield f"{column} is {_kind(record[column])}, not text"
    if not any(record.get(column) for column in prompts):
        present = [column for column in prompts if column in record]
        yield f"{' and '.join(present)} empty" if present else f"has no {' and no '.join(prompts)}"
    history = described.column("history")
    for index, pair in enumerate(record.get(history) or [] if history else []):
        if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(part, str) for part in pair)):
            yield f"{history}[{index}] is not a question with its answer"
    unpaired = [] if stage == "pt" else ["response"]
    answers = ["chosen", "rejected"] if stage in PAIRWISE else unpaired
    for name in answers:
        yield from _check_text(record, described.column(name) or name)
    if stage == "kto":
        yield from _check_kto(record, described)


def _check_turns(record: Dict[str, Any], described: Described, stage: str) -> Iterator[str]:
    column = described.column("messages")
    turns = record.get(column)
    if not isinstance(turns, list) or not turns:
        yield (f"{column} is {_kind(turns)}, not a list of messages" if turns else f"{column} is missing or empty")
        return
    roles: List[str] = []
    broken = False
    for index, turn in enumerate(turns):
        role, wrong = _turn(turn, described, f"{column}[{index}]", system=index == 0)
        broken = broken or bool(wrong)
        yield from wrong
        roles.append(role)
    if not broken:
        yield from _check_order(roles, described, column, stage)
    if stage in PAIRWISE:
        for name in ("chosen", "rejected"):
            key = described.column(name) or name
            role, wrong = _turn(record.get(key), described, key, system=False)
            yield from wrong
            if not wrong and role not in (described.tag("assistant_tag"), described.tag("function_tag")):
                yield f"{key}.{described.tag('role_tag')} is {role!r}, not {described.tag('assistant_tag')!r}"
    if stage == "kto":
        yield from _check_kto(record, described)


def _turn(turn: Any, described: Described, where: str, system: bool) -> Tuple[str, List[str]]:
    """Return the role of a message, and its problems."""
    if not isinstance(turn, dict):
        return "", [f"{where} is {_kind(turn)}, not a message"]
    role_key, content_key = described.tag("role_tag"), described.tag("content_tag")
    names = ["system_tag"] if system else []
    names += ["user_tag", "assistant_tag", "observation_tag", "function_tag"]
    known = [described.tag(name) for name in names if described.tag(name)]
    role = turn.get(role_key)
    if role_key not in turn:
        return "", [f"{where} has no {role_key}"]
    if role not in known:
        return "", [f"{where}.{role_key} is {role!r}, not one of {', '.join(known)}"]
    if described.formatting == "openai" and turn.get("tool_calls"):
        return described.tag("function_tag"), []
    if not isinstance(turn.get(content_key), str):
        problem = f"is {_kind(turn[content_key])}, not text" if content_key in turn else "is missing"
        return str(role), [f"{where}.{content_key} {problem}"]
    return str(role), []


def _check_order(roles: List[str], described: Described, column: str, stage: str) -> Iterator[str]:
    """Check that questions and answers alternate. Several results of tools in a row are one turn in the openai
    format.
    """
    first = 1 if roles[0] == described.tag("system_tag") else 0
    asking = (described.tag("user_tag"), described.tag("observation_tag"))
    answering = (described.tag("assistant_tag"), described.tag("function_tag"))
    turns: List[Tuple[int, str]] = []
    for index, role in enumerate(roles[first:], start=first):
        tool = described.formatting == "openai" and role == described.tag("observation_tag")
        if not (tool and turns and turns[-1][1] == role):
            turns.append((index, role))
    for position, (index, role) in enumerate(turns):
        if role not in (asking, answering)[position % 2]:
            wanted_role = (asking, answering)[position % 2][0]
            yield f"{column}[{index}].{described.tag('role_tag')} is {role!r} where {wanted_role!r} is expected"
            return
    if stage in PAIRWISE and len(turns) % 2 == 0:
        yield f"{column} does not end with {asking[0]!r}, which chosen and rejected answer"
    if stage not in PAIRWISE and len(turns) % 2 == 1:
        yield f"{column} does not end with an answer of {answering[0]!r}"


def _check_kto(record: Dict[str, Any], described: Described) -> Iterator[str]:
    column = described.column("kto_tag") or "kto_tag"
    value = record.get(column)
    if not isinstance(value, bool) and value not in ("True", "False", "true", "false"):
        yield f"{column} is {_kind(value)}, not true or false" if column in record else f"has no {column}"


def _check_text(record: Dict[str, Any], column: str) -> Iterator[str]:
    if column not in record:
        yield f"has no {column}"
    elif not isinstance(record[column], str):
        yield f"{column} is {_kind(record[column])}, not text"


def _kind(value: Any) -> str:
    names = ((bool, "true or false"), ((int, float), "a number"), (str, "text"), (list, "a list"), (dict, "an object"))
    return next((name for kind, name in names if isinstance(value, kind)), "nothing")


# Describing the datasets for the trainer


def plan(folder: Path, train: Dict[str, Any]) -> List[Dict[str, Any]]:
    """Return the name and the entry of each dataset, and its files if the entry is generated."""
    return [
        {
            "name": found.name,
            "entry": found.entry,
            "files": [] if found.from_info else [str(path) for path in found.files],
        }
        for found in discover(folder, train)
    ]


def main(folder: str, train: str) -> Optional[Dict[str, Any]]:
    try:
        return {"ok": True, "datasets": plan(Path(folder), json.loads(train))}
    except DatasetError as error:
        return {"ok": False, "reason": error.reason, "fix": error.fix}


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:3])))
