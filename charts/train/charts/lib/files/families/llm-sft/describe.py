"""Describes a dataset for LLaMA-Factory: chooses the datasets, and writes a dataset_info.json where there is none.

A repository without one is read as Hugging Face's `datasets` reads it, which finds the files of each split. As a
program, with the dataset's folder and the values of `train`, it prints the description.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import re
import shutil
import sys
import zlib
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Dict, List, NamedTuple, NoReturn, Optional

sys.path.insert(1, str(Path(__file__).resolve().parents[1]))  # for runner
from runner import inside

INFO = "dataset_info.json"
TYPE = re.compile(r"\.(json|jsonl|ndjson|csv|tsv|parquet|arrow|txt)(\.(gz|bz2|xz|zst))?$")
TEXTS = ("json", "csv", "tsv", "txt")
# Files of other tools, which have these types too.
NOT_DATA = re.compile(
    r"(dataset_infos?|dataset_dict|state|config|configuration|package(-lock)?|tsconfig|croissant)\.json"
    r"|(licen[cs]e|readme|notice|copying|authors|changelog|version|citation|requirements)\b.*\.txt",
    re.IGNORECASE,
)
HUBS = ("hf_hub_url", "ms_hub_url", "om_hub_url", "script_url", "cloud_file_name")
PAIRWISE = ("rm", "dpo")  # the stages that compare two answers
MEDIA = ("image", "video", "audio")
VALIDATION = ("validation", "valid", "val", "dev")
TURNS = ("messages", "conversations", "conversation")
COLUMNS = {
    "prompt": ("instruction", "prompt", "question", "text", "content"),
    "query": ("input", "query", "context"),
    "response": ("output", "response", "answer", "completion"),
    "history": ("history",),
}
SYSTEM = ("system", "system_prompt")
# The trainer's tags, and their names in each format: its own comes first.
TAGS = {
    "sharegpt": {"role_tag": "from", "content_tag": "value", "function_tag": "function_call", "system_tag": "system"},
    "openai": {"role_tag": "role", "content_tag": "content", "function_tag": "function_call", "system_tag": "system"},
}
ROLES = {
    "user_tag": ("human", "user"),
    "assistant_tag": ("gpt", "assistant"),
    "observation_tag": ("observation", "tool"),
}
CORRECT = "correct the file in the dataset repository"
REPOSITORY = "the dataset repository"
EVALUATED = "train.arguments.eval_dataset"


class DatasetError(Exception):
    def __init__(self, reason: str, fix: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.fix = fix


class View(NamedTuple):
    path: Path  # a folder of links to data files, which the trainer reads
    config: Optional[str]  # of the README's metadata
    splits: Dict[str, List[Path]]  # what the links lead to


def describe(folder: Path, train: Dict[str, Any]) -> Dict[str, Any]:
    """Return the names of the datasets to train on and to evaluate on, the folders of dataset_info.json and of media
    files, the files of each dataset, and notes for the user.

    Raises:
        DatasetError: there is no dataset, or it is not clear which one is meant, or it leads out of the sources.
    """
    info = _info(folder)
    return _of_repository(folder, info, train) if info else Description(folder, train).found


def _names(listed: Any) -> List[str]:
    return [name.strip() for name in str(listed or "").split(",") if name.strip()]


def _check_inside(folder: Path, path: Path, described_as: str = "") -> None:
    try:
        inside.Sources(folder).check(path, described_as or str(path.relative_to(folder)))
    except inside.OutsideError as error:
        raise DatasetError(str(error), inside.FIX) from error


def _below(folder: Path, pattern: str) -> List[Path]:
    """Return the files below a folder that match, without hidden ones."""
    found = sorted(path for path in folder.rglob(pattern) if path.is_file())
    return [path for path in found if not re.search(r"(^|/)(\.|__)", str(path.relative_to(folder)))]


def _refuse(where: str, names: List[str], unknown: str = "", key: str = "train.dataset") -> NoReturn:
    listed = ", ".join(sorted(names)[:20])
    if unknown:
        raise DatasetError(f"{key}: {where} has no dataset {unknown}; it has {listed}", f"correct {key}")
    raise DatasetError(f"{where} has several datasets: {listed}", "name one, or several with commas, in train.dataset")


# A repository with a dataset_info.json


def _info(folder: Path) -> Optional[Path]:
    """Return LLaMA-Factory's dataset_info.json, at the top or below; Hugging Face's of that name is none."""
    _check_inside(folder, folder / INFO)
    found = _below(folder, INFO)
    if any(path.with_name("state.json").is_file() for path in found):
        raise DatasetError(
            f"{REPOSITORY} has what save_to_disk of Hugging Face's datasets writes, which LLaMA-Factory does not read",
            "push a file of records: load_from_disk(...).to_json('train.jsonl')",
        )
    found = [path for path in found if "features" not in _map(folder, path)]
    if len(found) > 1 and folder / INFO not in found:
        _refuse(REPOSITORY, [str(path.relative_to(folder)) for path in found])
    return folder / INFO if folder / INFO in found else next(iter(found), None)


def _map(folder: Path, path: Path) -> Dict[str, Any]:
    _check_inside(folder, path)
    try:
        info = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DatasetError(f"{path.name} is not JSON: {inside.describe_error(error)}", CORRECT) from error
    if not info or not isinstance(info, dict):
        raise DatasetError(f"{path.name} is not a map of datasets", CORRECT)
    return info


def _of_repository(folder: Path, path: Path, train: Dict[str, Any]) -> Dict[str, Any]:
    info, evaluated = _map(folder, path), _names(train["arguments"].get("eval_dataset"))
    chosen = _names(train["dataset"]) or list(info)
    if len(chosen) > 1 and not train["dataset"]:
        _refuse(INFO, chosen)
    files: Dict[str, List[str]] = {}
    for name in [*chosen, *evaluated]:
        if name not in info:
            _refuse(INFO, list(info), name, "train.dataset" if name in chosen else EVALUATED)
        if not isinstance(info[name], dict):
            raise DatasetError(f"{INFO}: {name} is not a map with file_name", CORRECT)
        for key in ("columns", "tags"):
            if not isinstance(info[name].get(key, {}), dict):
                raise DatasetError(f"{INFO}: {key} of {name} is not a map", CORRECT)
        hub = next((key for key in HUBS if key in info[name]), None)
        if hub:
            raise DatasetError(
                f"{INFO}: {name} is loaded by {hub}, from outside the run",
                "push its file to the dataset repository and name it in file_name",
            )
        if not isinstance(info[name].get("file_name"), str):
            raise DatasetError(f"{INFO}: {name} has no file_name", CORRECT)
        location = path.parent / info[name]["file_name"]
        _check_inside(folder, location, f"{INFO}: {name}: file_name")
        if not location.exists():
            raise DatasetError(f"{INFO}: {name} names the file {location.name}, which does not exist", CORRECT)
        found = sorted(location.iterdir()) if location.is_dir() else [location]
        for file in found:
            _check_inside(folder, file, f"{INFO}: a file of {name}")
        files[name] = [os.path.relpath(str(file), str(folder)) for file in found]
    where = str(path.parent)
    return {"datasets": chosen, "evaluated": evaluated, "folder": where, "media": where, "files": files, "notes": []}


# A repository without


class Description:
    """What is written for the trainer, in the folder of its cache, which is this pod's own."""

    def __init__(self, folder: Path, train: Dict[str, Any]) -> None:
        """Raises DatasetError; see describe."""
        self._folder, self._train, self._files = folder, train, _data_files(folder)
        self._place = Path(os.environ.get("HF_HOME") or "/tmp").resolve() / "described"  # noqa: S108
        shutil.rmtree(str(self._place), ignore_errors=True)
        self._entries: Dict[str, Any] = {}
        self.found: Dict[str, Any] = {"datasets": [], "evaluated": [], "files": {}, "notes": [], "media": str(folder)}
        if not self._files:
            raise DatasetError(
                f"{REPOSITORY} has no {INFO}, and no .json, .jsonl, .csv, .parquet, .arrow or .txt",
                "push the records as a .jsonl file",
            )
        evaluated = _names(train["arguments"].get("eval_dataset"))
        for name in _names(train["dataset"]) or [""]:
            self._add("datasets", name, bool(train["validationSize"]) and not evaluated)
        for name in evaluated:
            self._add("evaluated", name, False)
        (self._place / INFO).write_text(json.dumps(self._entries, indent=1), encoding="utf-8")
        self.found["folder"] = str(self._place)
        used = {file for files in self.found["files"].values() for file in files}
        unused = [file for file in (str(path.relative_to(folder)) for path in self._files) if file not in used]
        if unused:
            self.found["notes"].append(f"{len(unused)} files are not used: {', '.join(unused[:5])}")

    def _add(self, role: str, name: str, validates: bool) -> None:
        view = self._choose(name, "train.dataset" if role == "datasets" else EVALUATED)
        splits = view.splits
        split = name if name in splits else "train" if "train" in splits or len(splits) > 1 else next(iter(splits))
        if split not in splits:
            raise DatasetError(
                f"{view.config or REPOSITORY} has no split train, but {', '.join(splits)}", "name it in train.dataset"
            )
        name = name or view.config or (_stem(splits[split][0]) if len(splits[split]) == 1 else "default")
        name = name.replace(",", "_")  # the trainer takes the names in one text
        self._describe(role, name, view, split)
        if role == "datasets" and split not in ("train", name):
            self.found["notes"].append(f"trains on the split {split}, the only one of {name}")
        validation = next((each for each in VALIDATION if each in splits), split)
        if validates and validation != split:
            self._describe("evaluated", f"{name}-validation", view, validation)
            self.found["notes"].append(f"evaluates on the split {validation}, and not by train.validationSize")

    def _choose(self, name: str, key: str) -> View:
        """Return the dataset of that name, which is that of a config, a file, a folder or a split; "": the only one."""
        import datasets

        readme = self._folder / "README.md"
        _check_inside(self._folder, readme)
        metadata = readme.read_text(encoding="utf-8", errors="replace") if readme.is_file() else ""
        # Without dataset_info, which counts records, and is seldom renewed.
        listed = re.search(r"\A\ufeff?---\s.*?^(configs:.*?)(?=^\w|^---|\Z)", metadata, re.DOTALL | re.MULTILINE)
        if listed:
            whole = self._link(self._folder, self._files)
            (whole / "README.md").write_text(f"---\n{listed.group(1)}\n---\n", encoding="utf-8")
            try:
                configs = datasets.get_dataset_config_names(str(whole))
            except Exception as error:  # of the parsers of its metadata
                raise _misread(error, whole) from error
            if name in configs or (not name and len(configs) == 1):
                return _resolve(whole, name or configs[0])
            if not name:
                _refuse(REPOSITORY, configs)
        files = [path for path in self._files if name in _calls(path.relative_to(self._folder))]
        if name and files:
            base = self._folder / name if (self._folder / name).is_dir() else self._folder
            return _resolve(self._link(base, files))
        known = [str(path.relative_to(self._folder)) for path in self._files]
        if len(set(map(_kind, self._files))) > 1:
            _refuse(REPOSITORY, known, name, key)
        view = _resolve(self._link(self._folder, self._files))
        if name and name not in view.splits:
            _refuse(REPOSITORY, known, name, key)
        return view

    def _link(self, base: Path, files: List[Path]) -> Path:
        """Return a new folder with links to files."""
        path = self._place / f"dataset-{len(list(self._place.glob('*')))}"
        for file in files:
            link = path / file.relative_to(base)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(file)
            found = file.stat()  # the trainer's cache knows a file by its path and time
            os.utime(str(link), ns=(found.st_atime_ns, found.st_mtime_ns), follow_symlinks=False)
        return path

    def _describe(self, role: str, name: str, view: View, split: str) -> None:
        self.found[role].append(name)
        files = self.found["files"][name] = [str(path.relative_to(self._folder)) for path in view.splits[split]]
        place = {"script_url": view.path.name, "split": split, "subset": view.config}
        entry = _entry(self._folder, view, split, files, self._train)
        self.found["media"] = entry.pop("beside", self.found["media"])
        unused = entry.pop("unused")
        if unused:
            self.found["notes"].append(f"{name}: columns that are not used: {', '.join(unused[:10])}")
        self._entries[name] = {**place, **entry}


def _resolve(path: Path, config: Optional[str] = None) -> View:
    """Return the splits that `datasets` finds in a folder of links. Raises DatasetError for none, or others' files."""
    import datasets

    try:
        resolved = datasets.load_dataset_builder(str(path), config).config.data_files or {}
        found = {str(split): list(map(Path, files)) for split, files in resolved.items() if files}
        if not found or any(path not in file.parents for files in found.values() for file in files):
            raise ValueError("configs names no files, or files outside of the repository")
        return View(path, config, {split: [Path(os.readlink(str(file))) for file in found[split]] for split in found})
    except Exception as error:  # every kind of mistake has its own
        raise _misread(error, path) from error


def _misread(error: Exception, view: Path) -> DatasetError:
    text = one_line(
        str(error).replace(f"{view}/", "").replace(str(view), REPOSITORY).partition(" with any supported")[0]
    )
    return DatasetError(f"README.md: {text}" if (view / "README.md").is_file() else text, CORRECT)


def _data_files(folder: Path) -> List[Path]:
    found = [path for path in _below(folder, "*") if _kind(path) and not NOT_DATA.fullmatch(path.name)]
    for path in found:
        _check_inside(folder, path)
    return [path for path in found if _kind(path) != "txt" and _has_records(path)] or found


def _kind(path: Path) -> str:
    """Return the type of a file: one that the trainer reads, or ""."""
    match = TYPE.search(path.name)
    kind = match.group(1) if match else ""
    return "json" if kind in ("jsonl", "ndjson") else kind


def _stem(path: Path) -> str:
    return TYPE.sub("", path.name)


def _has_records(path: Path) -> bool:
    """Whether a file may have records: a JSON object of several lines is a configuration."""
    if path.suffix != ".json":
        return True
    with path.open("rb") as handle:
        first = next((line.strip(b"\xef\xbb\xbf \t\r\n") for line in handle if line.strip()), b"")
    return not first.startswith(b"{") or first.endswith(b"}")


def _calls(path: Path) -> List[str]:
    """Return what a user may call a file: its path or name, with or without its type, or a folder of it."""
    return [str(path), str(path.with_name(_stem(path))), path.name, _stem(path), *map(str, path.parents)]


# The format of the records


def _entry(folder: Path, view: View, split: str, files: List[str], train: Dict[str, Any]) -> Dict[str, Any]:
    """Return the format of a dataset, from its columns."""
    import datasets

    streaming = bool(train["arguments"].get("streaming"))
    try:
        data = datasets.load_dataset(str(view.path), view.config, split=split, streaming=streaming)
        rows = list(islice(data, 1000)) if streaming else data.with_format("arrow")[:1000].to_pylist()
        columns = list(rows[0])
    except Exception as error:  # whatever the reader of a type of file raises
        raise unreadable(error, folder, files) from error
    turns = next((key for key in TURNS if key in columns), "")
    listed = [turn for row in rows for turn in row.get(turns) or [] if isinstance(turn, dict)]
    formatting = train["datasetFormat"]
    if not formatting and turns:
        role = next(iter(listed), {})
        formatting = "sharegpt" if "from" in role or (turns == "conversations" and "role" not in role) else "openai"
    if not formatting and not {*COLUMNS["prompt"], *COLUMNS["query"]} & set(columns):
        raise DatasetError(
            f"{files[0]}: the columns {', '.join(columns[:10])} are of none of the formats alpaca, sharegpt, openai",
            "rename them (alpaca: instruction, input, output; sharegpt: conversations; openai: messages), "
            f"or add a {INFO}",
        )
    found = {name: key for name, keys in (("tools", ("tools",)), ("system", SYSTEM)) for key in keys if key in columns}
    entry: Dict[str, Any] = {"formatting": formatting or "alpaca", "columns": found}
    if entry["formatting"] == "alpaca":
        # The trainer fails on columns that do not exist.
        named = {name: next((key for key in keys if key in columns), "") for name, keys in COLUMNS.items()}
        found.update({"prompt": named["prompt"] or named.pop("query") or "instruction"})
        found.update({name: key for name, key in named.items() if key})
        if train["stage"] == "sft" and "response" not in found:
            raise DatasetError(
                f"{files[0]}: none of the columns {', '.join(columns[:10])} is an answer",
                f"rename the answer's to output, or add a {INFO}; for text without answers set train.stage: pt",
            )
    else:
        found["messages"] = turns or ("messages" if formatting == "openai" else "conversations")
        tags = entry["tags"] = dict(TAGS[entry["formatting"]])
        roles = {turn.get(tags["role_tag"]) for turn in listed}
        for tag, names in ROLES.items():
            own, other = names if formatting == "sharegpt" else names[::-1]
            tags[tag] = other if other in roles and own not in roles else own
    if formatting == "openai":
        tools = any(turn.get("tool_calls") or turn.get("role") in ("tool", "function_call") for turn in listed)
        if not tools and all(isinstance(row.get("tools") or "", str) for row in rows):
            # The trainer's openai format writes "detailed thinking off" into every prompt, for one family of
            # models. Without tools the two formats do not differ otherwise.
            entry["formatting"] = "sharegpt"
    for kind in MEDIA:
        column = next((key for key in (f"{kind}s", kind) if key in columns), "")
        if column and mentions(data, f"<{kind}>"):
            found[f"{kind}s"] = column
            paths = [row[column] if isinstance(row[column], list) else [row[column]] for row in rows if row[column]]
            path = paths[0][0] if paths and isinstance(paths[0][0], str) else ""
            beside = (folder / files[0]).parent
            if path and not (folder / path).is_file() and (beside / path).is_file():
                entry["beside"] = str(beside)
    if train["stage"] in PAIRWISE:
        entry["ranking"] = True
        found.update(chosen="chosen", rejected="rejected")
        found.pop("response", None)
    if train["stage"] == "kto":
        found["kto_tag"] = next((key for key in ("kto_tag", "label") if key in columns), "kto_tag")
    used = {*found.values(), *entry.get("tags", {}).values(), "tool_calls", "tool_call_id"}
    keys = [key for turn in listed for key in turn if turn[key] is not None and key not in used] if turns else []
    entry["unused"] = [column for column in columns if column not in found.values()]
    entry["unused"] += [f"{turns}.{key}" for key in dict.fromkeys(keys)]
    return entry


def mentions(data: Any, text: str) -> int:
    """Return how many texts of a dataset contain `text`; of one that is streamed, 0."""
    import pyarrow
    from pyarrow import compute

    found, queue = 0, [data.data.column(name) for name in data.column_names] if hasattr(data, "data") else []
    for array in queue:
        if pyarrow.types.is_list(array.type):
            queue.append(compute.list_flatten(array))
        elif pyarrow.types.is_struct(array.type):
            queue += [compute.struct_field(array, [index]) for index in range(array.type.num_fields)]
        elif pyarrow.types.is_string(array.type) or pyarrow.types.is_large_string(array.type):
            found += compute.sum(compute.match_substring(array, text)).as_py() or 0
    return found


def one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()[:300]


def unreadable(error: BaseException, folder: Path, files: List[str]) -> DatasetError:
    """Return what is wrong with files that `datasets` could not read; the record, if it can be known."""
    while error.__cause__ or (error.__context__ and not error.__suppress_context__):
        error = error.__cause__ or error.__context__ or error
    kind, text, names = type(error).__name__, one_line(str(error)), ", ".join(files[:3])
    if kind in ("SchemaInferenceError", "EmptyDataError", "IndexError") or "corresponds to no data" in text:
        return DatasetError(f"{names}: no records", "push records")
    if kind == "CastError":
        return DatasetError(f"{names} have not the same columns: {text}", "correct them, or name one in train.dataset")
    # Python has no zstd before 3.14.
    texts = [file for file in files if _kind(folder / file) in TEXTS and not file.endswith(".zst")]
    for file in texts:
        try:
            line = _other_encoding(folder / file)
        except (EOFError, OSError, lzma.LZMAError, zlib.error) as error:
            return DatasetError(f"{file} cannot be unpacked: {one_line(str(error))}", "push the whole file")
        if line:
            return DatasetError(f"{file} is not UTF-8 text: line {line}", "save it as UTF-8")
    faults = (f"{file} {_fault(folder / file)}" for file in texts if _kind(folder / file) == "json")
    return DatasetError(next((fault for fault in faults if fault[-1] != " "), f"{names}: {kind}: {text}"), CORRECT)


def _opened(path: Path) -> BinaryIO:
    """Open a file for reading, unpacked if Python can do that."""
    openers: Dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
    opened: BinaryIO = openers.get(path.suffix, open)(str(path), "rb")
    return opened


def _other_encoding(path: Path) -> int:
    """Return the first line that is not UTF-8, or 0."""
    with _opened(path) as handle:
        lines = enumerate(handle, start=1)
        return next((number for number, line in lines if line.decode("utf-8", "ignore").encode() != line), 0)


def _fault(path: Path) -> str:
    """Return the first record of a JSON file that cannot be read, or has a column of another type."""
    from pyarrow import ArrowInvalid
    from pyarrow import json as reader

    try:
        with _opened(path) as handle:
            content = handle.read()
        if content.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"["):
            text = content.decode("utf-8")
            json.loads(text.lstrip("\ufeff"))
            return "begins with a byte order mark, which is not JSON" if text.startswith("\ufeff") else ""
        # In one block, as rows are counted in each.
        reader.read_json(io.BytesIO(content), reader.ReadOptions(use_threads=False, block_size=len(content) + 1))
    except ArrowInvalid as error:
        found = re.search(r"^(?:JSON parse error: )?(.*?)\.? in row (\d+)", str(error))
        return f"record {int(found.group(2)) + 1}: {found.group(1)}" if found else one_line(str(error))
    except ValueError as error:
        return f"is not JSON: {inside.describe_error(error)}"
    return ""


if __name__ == "__main__":
    try:
        answer = {"ok": True, **describe(Path(sys.argv[1]), json.loads(sys.argv[2]))}
    except DatasetError as error:
        answer = {"ok": False, "reason": error.reason, "fix": error.fix}
    print(json.dumps(answer))
