"""Checks that a checkpoint is complete, as far as possible without the program. Argument: {"path", "train"}.

Formats with a known end are read to it. `<checkpoint>.json` beside it, or the checkpoint if it is JSON itself, may
contain {"epoch": N, "finished": true}.
"""

from __future__ import annotations

import json
import os
import struct
import sys
import zipfile
from pathlib import Path
from typing import Any, Dict

FIX = "make the program write a checkpoint under another name and rename it when it is complete"


def probe(path: Path) -> Dict[str, Any]:
    files = (
        [Path(folder, name) for folder, _, names in os.walk(str(path)) for name in names] if path.is_dir() else [path]
    )
    if not any(file.stat().st_size for file in files):
        return failure(f"{path.name} is empty")
    for file in files:
        problem = find_problem(file)
        if problem:
            return failure(f"{file.name} {problem}")
    description = path.with_name(f"{path.name}.json")
    if not description.exists() and path.suffix != ".json":
        return {"ok": True}
    try:
        described = json.loads((description if description.exists() else path).read_text(encoding="utf-8"))
        return {"ok": True, "epoch": float(described["epoch"]), "finished": described.get("finished") is True}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        return (
            failure(f"{description.name} does not have the epoch: {error!r}") if description.exists() else {"ok": True}
        )


def find_problem(file: Path) -> str:
    """Return what is wrong with a file, or "", also if its format has no recognizable end."""
    size = file.stat().st_size
    with file.open("rb") as stream:
        head = stream.read(8)
    if head[:2] == b"PK":  # torch.save, numpy's npz
        return "" if zipfile.is_zipfile(str(file)) else "is truncated: it lacks the end of its archive"
    if file.suffix == ".safetensors":
        return (
            "" if len(head) == 8 and is_whole_safetensors(file, struct.unpack("<Q", head)[0], size) else "is truncated"
        )
    if file.suffix == ".json":
        try:
            json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            return f"is not JSON: {error}"
    return ""


def is_whole_safetensors(file: Path, header: int, size: int) -> bool:
    """Whether a safetensors file has all the tensors of its header."""
    if header > size - 8:
        return False
    with file.open("rb") as stream:
        stream.seek(8)
        try:
            tensors = json.loads(stream.read(header))
            ends = [tensor["data_offsets"][1] for name, tensor in tensors.items() if name != "__metadata__"]
        except (ValueError, TypeError, KeyError):
            return False
    return 8 + header + max(ends, default=0) == size


def failure(reason: str) -> Dict[str, Any]:
    return {"ok": False, "reason": reason, "fix": FIX}


if __name__ == "__main__":
    print(json.dumps(probe(Path(json.loads(sys.argv[1])["path"]))))
