"""Checks that the program can be started. Argument: {"model", "dataset", "train"}; runs in the run's folder."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any, Dict, List


def probe(model: Path, train: Dict[str, Any]) -> Dict[str, Any]:
    folder = model if model.is_dir() else Path.cwd()
    for key in ("command", "exportCommand"):
        problem = check(f"train.{key}", train[key], folder) if train[key] else {}
        if problem:
            return problem
    return {"ok": True}


def check(key: str, argv: List[str], folder: Path) -> Dict[str, Any]:
    program = argv[0]
    path = folder / program
    if "/" not in program:
        if shutil.which(program):
            return {}
        return failure(f"{key}: the image has no program {program}", f"correct {key}, or use an image with {program}")
    if not path.is_file():
        return failure(f"{key}: file {path} does not exist", f"correct {key}; relative paths start at {folder}")
    if not os.access(str(path), os.X_OK):
        return failure(
            f"{key}: {path} is not executable",
            f"git update-index --chmod=+x {program}, or name its interpreter: [bash, {program}]",
        )
    with path.open("rb") as file:
        first = file.readline(1024)
    name_it = f"or name its interpreter: [bash, {program}]"
    if first[:2] == b"#!":
        interpreter = first[2:].strip(b" \t\n").split(b" ")[0].decode("utf-8", "replace")
        if not os.path.exists(interpreter):  # noqa: PTH110
            return failure(
                f"{key}: the first line of {path} names {json.dumps(interpreter)}, which the image does not have",
                f"correct the line (a \\r at its end comes from Windows), {name_it}",
            )
    elif b"\0" not in first:
        return failure(
            f"{key}: {path} is a text file without a first line that names its interpreter",
            f"add a first line such as #!/bin/sh, {name_it}",
        )
    return {}


def failure(reason: str, fix: str) -> Dict[str, Any]:
    return {"ok": False, "reason": reason, "fix": fix}


if __name__ == "__main__":
    argument = json.loads(sys.argv[1])
    print(json.dumps(probe(Path(argument["model"]), argument["train"])))
