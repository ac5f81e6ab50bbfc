"""Is a checkpoint whole, as far as that can be seen without the program? Argument: {"path", "train"}.

Formats with a known end are read to it. `<checkpoint>.json` beside it, or the checkpoint where it is JSON itself, may say
{"epoch": N, "finished": true}.
"""

from __future__ import annotations

import json
import os
import struct
import sys
import zipfile
from pathlib import Path
from typing import Any, Dict

FIX = "let the program write a checkpoint under another name and rename it when it is whole"


def probe(path: Path) -> Dict[str, Any]:
    files = (
        [Path(folder, name) for folder, _, names in os.walk(str(path)) for name in names] if path.is_dir() else [path]
    )
    if not any(file.stat().st_size for file in files):
        return no(f"{path.name} is empty")
    for file in files:
        problem = broken(file)
        if problem:
            return no(f"{file.name} {problem}")
    description = path.with_name(f"{path.name}.json")
    if not description.exists() and path.suffix != ".json":
        return {"ok": True}
    try:
        said = json.loads((description if description.exists() else path).read_text(encoding="utf-8"))
        return {"ok": True, "epoch": float(said["epoch"]), "finished": said.get("finished") is True}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        return no(f"{description.name} does not say the epoch: {error!r}") if description.exists() else {"ok": True}


def broken(file: Path) -> str:
    """What is wrong with a file; "" also where its format has no end that could be seen."""
    size = file.stat().st_size
    with file.open("rb") as stream:
        head = stream.read(8)
    if head[:2] == b"PK":  # torch.save, numpy's npz
        return "" if zipfile.is_zipfile(str(file)) else "has lost the end of its archive"
    if file.suffix == ".safetensors":
        return "" if len(head) == 8 and is_whole_safetensors(file, struct.unpack("<Q", head)[0], size) else "is cut off"
    if file.suffix == ".json":
        try:
            json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            return f"is not JSON: {error}"
    return ""


def is_whole_safetensors(file: Path, header: int, size: int) -> bool:
    """Its header says where each tensor ends."""
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


def no(reason: str) -> Dict[str, Any]:
    return {"ok": False, "reason": reason, "fix": FIX}


if __name__ == "__main__":
    print(json.dumps(probe(Path(json.loads(sys.argv[1])["path"]))))
