"""Checks that a training can resume from a checkpoint, by loading its state. Argument: {"path", "train"}."""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path
from typing import Any, Dict, List


def probe(path: Path) -> Dict[str, Any]:
    try:
        # The trainer writes this file last.
        state = json.loads((path / "trainer_state.json").read_text(encoding="utf-8"))
        step, steps, epoch = int(state["global_step"]), int(state["max_steps"]), float(state["epoch"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        return failure(f"{path.name}/trainer_state.json is missing or incomplete: {error!r}")
    try:
        load_weights(path)
        load_states(path)
    except Exception as error:  # whatever the libraries raise for a truncated file
        return failure(f"{path.name} cannot be loaded: {type(error).__name__}: {error}")
    return {"ok": True, "epoch": round(epoch, 4), "finished": 0 < steps <= step}


def load_weights(path: Path) -> None:
    from safetensors import safe_open

    files = sorted(path.glob("*.safetensors"))
    for index in path.glob("*.safetensors.index.json"):
        named = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        files += [path / name for name in named if not (path / name).is_file()]  # missing ones fail below
    if not files:
        raise FileNotFoundError("it has no .safetensors file")
    for file in files:
        with safe_open(str(file), framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118
                tensors.get_tensor(name)


def load_states(path: Path) -> None:
    """Read the optimizer's state; with DeepSpeed that of every process, in the folder that `latest` names."""
    if (path / "latest").is_file():
        folder = path / (path / "latest").read_text(encoding="utf-8").strip()
        files: List[Path] = sorted(folder.glob("*_optim_states.pt"))
        processes = len(list(path.glob("rng_state_*.pth"))) or 1
        if len(files) < processes:
            raise FileNotFoundError(f"{folder.name} has the optimizer states of {len(files)} of {processes} processes")
    else:
        files = [path / "optimizer.pt"]
    for file in [*files, path / "scheduler.pt"]:
        # The index at the end of the file is enough: the optimizer of a large model has hundreds of gigabytes.
        zipfile.ZipFile(str(file)).close()


def failure(reason: str) -> Dict[str, Any]:
    return {"ok": False, "reason": reason, "fix": "nothing: the previous checkpoint is tried"}


if __name__ == "__main__":
    print(json.dumps(probe(Path(json.loads(sys.argv[1])["path"]))))
