"""Checks that a folder is a complete base model in Hugging Face's layout. Standard library only."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

# Any one of these groups of files is a tokenizer.
TOKENIZERS = (
    ("tokenizer.json",),
    ("tokenizer.model",),
    ("vocab.json", "merges.txt"),
    ("vocab.txt",),
    ("spiece.model",),
    ("qwen.tiktoken",),
    ("tiktoken.model",),
)
INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
POINTER = b"version https://git-lfs.github.com/spec/v1"

Problem = Optional[Tuple[str, str]]  # reason and fix


def find_problem(model: Path) -> Problem:
    """Return what the training would fail on, or None."""
    return _config(model) or _tokenizer(model) or _weights(model)


def _config(model: Path) -> Problem:
    if not (model / "config.json").is_file():
        if (model / "adapter_config.json").is_file():
            return "the model repository holds an adapter, not a base model: it has no config.json", (
                "use the repository of the base model; the export of a run merges its adapter into it"
            )
        return "the model repository has no config.json", "push a model in Hugging Face's layout"
    config = _read(model / "config.json")
    if not isinstance(config, dict) or not (config.get("model_type") or config.get("architectures")):
        return (
            "config.json of the model repository is not a JSON object with a model_type",
            "push the model's own config.json",
        )
    return None


def _tokenizer(model: Path) -> Problem:
    missing = [] if (model / "tokenizer_config.json").is_file() else ["tokenizer_config.json"]
    if not any(all((model / name).is_file() for name in group) for group in TOKENIZERS):
        missing.append("tokenizer.json (nor " + ", ".join(" with ".join(group) for group in TOKENIZERS[1:]) + ")")
    if missing:
        return f"the base model has no tokenizer: the model repository has no {' and no '.join(missing)}", (
            "push the tokenizer's files of the same model"
        )
    for name in ("tokenizer.json", "tokenizer_config.json"):
        if (model / name).is_file() and not isinstance(_read(model / name), dict):
            return (
                f"{name} of the model repository is not a JSON object",
                "push the tokenizer's files of the same model",
            )
    return None


def _weights(model: Path) -> Problem:
    fix = "push the weights as .safetensors, with git lfs"
    files = sorted([*model.glob("*.safetensors"), *model.glob("pytorch_model*.bin")])
    for index in (model / name for name in INDEXES):
        if index.is_file():
            described = _read(index)
            shards = described.get("weight_map") if isinstance(described, dict) else None
            if not isinstance(shards, dict):
                return f"{index.name} of the model repository has no weight_map", fix
            missing = sorted({name for name in shards.values() if not (model / name).is_file()})
            if missing:
                return f"the model repository lacks weights that {index.name} names: {', '.join(missing[:5])}", fix
    if not files:
        kind = "only GGUF weights" if any(model.glob("*.gguf")) else "no weights"
        return f"the model repository has {kind}: neither *.safetensors nor pytorch_model*.bin", fix
    for path in files:
        with path.open("rb") as handle:
            if handle.read(len(POINTER)) == POINTER:
                return f"{path.name} of the model repository is an LFS pointer, not the weights", "push the LFS object"
        if path.suffix == ".safetensors" and not is_complete(path):
            return f"{path.name} of the model repository is truncated, or not a safetensors file", fix
    return None


def is_complete(path: Path) -> bool:
    """Whether a safetensors file has all the bytes of its header."""
    try:
        with path.open("rb") as handle:
            (length,) = struct.unpack("<Q", handle.read(8))
            if length > path.stat().st_size:
                return False
            header: Dict[str, Any] = json.loads(handle.read(length))
        ends: List[int] = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        end: int = 8 + length + max(ends, default=0)
        return path.stat().st_size == end
    except (OSError, struct.error, ValueError, KeyError, TypeError):
        return False


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
